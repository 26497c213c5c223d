"""What a class gets says the same as the series, with blank or with solved exercises."""

import ast
import copy
import os
import re
import stat
from pathlib import Path

import nbformat
import pytest

from llmlab.classroom import build, editions
from llmlab.classroom.course import SETUP
from llmlab.classroom.editions import learner_edition, solved_edition
from llmlab.exercises.checking import Result
from llmlab.exercises.shelf import find

from .series import FOLDER, PATHS, by_id, code_cell_id, exercises_of, read, run

TOKENS = FOLDER / "02_tokens.ipynb"


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def no_checks(monkeypatch):
    """Solutions are taken as right: those of notebook 1 take a real model half a minute."""
    passed = Result("taken as passed", status="passed")
    monkeypatch.setattr(editions, "check", lambda id, answer: passed)


def test_a_learner_gets_the_cells_of_the_series_and_nothing_that_they_gave(path):
    notebook = read(path)
    edition = learner_edition(notebook, exercises_of(path.stem))
    nbformat.validate(edition)
    assert [(c.id, c.cell_type, c.source) for c in edition.cells] == [
        (c.id, c.cell_type, c.source) for c in notebook.cells
    ]
    code = [cell for cell in edition.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert any(cell.outputs for cell in notebook.cells if cell.cell_type == "code")


def test_a_learner_gets_blank_stubs_even_if_the_series_has_been_worked_in():
    notebook = read(TOKENS)
    there = exercises_of(TOKENS.stem)
    expected = learner_edition(notebook, there)
    by_id(notebook)[code_cell_id(there[0])].source = "def my_own_answer(): ..."
    assert learner_edition(notebook, there) == expected


def test_only_exercises_differ_in_the_solved_edition(path, no_checks):
    notebook, there = read(path), exercises_of(path.stem)
    before = copy.deepcopy(notebook)
    edition = solved_edition(notebook, there)
    nbformat.validate(edition)
    assert notebook == before
    answers = {code_cell_id(exercise) for exercise in there}
    differing = {id for id, cell in by_id(edition).items() if cell != by_id(notebook).get(id, None)}
    assert differing == answers


def imports_of(notebook):
    """The imports of a notebook's own cells, without what is needed for exercises alone."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    nodes = [node for cell in code for node in ast.parse(cell.source).body]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, imports))


@pytest.mark.slow
def test_every_solved_exercise_passes_its_check(path, no_checks):
    there = exercises_of(path.stem)
    notebook = read(path)
    cells = by_id(solved_edition(notebook, there))
    names = {}
    run(imports_of(notebook), names)
    for exercise in there:
        result = run(cells[code_cell_id(exercise)].source, names)
        assert result.passed, result


def test_a_solved_exercise_carries_the_card_of_its_check():
    there = exercises_of(TOKENS.stem)
    cells = by_id(solved_edition(read(TOKENS), there))
    for exercise in there:
        cell = cells[code_cell_id(exercise)]
        (output,) = cell.outputs
        assert output.data["text/plain"] == f"✓ {exercise.id}: passed"
        assert "passed" in output.data["text/html"]
        assert output.execution_count == cell.execution_count


def test_a_solution_that_does_not_pass_is_no_solution(monkeypatch):
    exercise = find("tokens.encode")
    monkeypatch.setattr(exercise, "answer", find("tokens.round_trip").answer)
    with pytest.raises(ValueError, match=r"does not pass:\n✗ tokens\.encode: not yet"):
        solved_edition(read(TOKENS), [exercise])


def test_solved_is_the_stub_with_the_solution(path):
    for exercise in exercises_of(path.stem):
        names, stub_names = {}, {}
        run(f"{SETUP}\n{exercise.solved}", names)
        run(f"{SETUP}\n{exercise.stub}", stub_names)
        solved, stub = names[exercise.name], stub_names[exercise.name]
        assert solved.__doc__ == stub.__doc__
        assert solved.__doc__.strip()
        assert exercise.solution_body in exercise.solved
        assert not re.search(r"= \.\.\.$|return \.\.\.$|^ +\.\.\.$", exercise.solved, re.MULTILINE)
        assert not exercise.is_blank(solved)
        assert exercise.is_blank(stub)


def test_the_folder_holds_all_three_and_says_what_they_are(tmp_path, no_checks):
    out = tmp_path / "Klasse 10b" / "Übungen"
    done = list(build([TOKENS, FOLDER / "05_translation.ipynb"], out))
    assert done == [("02_tokens", 5), ("05_translation", 5)]
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert found == [
        "README.md",
        "learner/02_tokens.ipynb",
        "learner/05_translation.ipynb",
        "nbgrader/nbgrader_config.py",
        "nbgrader/source/02_tokens/02_tokens.ipynb",
        "nbgrader/source/05_translation/05_translation.ipynb",
        "solved/02_tokens.ipynb",
        "solved/05_translation.ipynb",
    ]
    assert [path.name for path in out.parent.iterdir()] == ["Übungen"]
    readme = (out / "README.md").read_text("utf-8")
    assert {"learner", "solved", "nbgrader"} <= set(re.findall(r"`(\w+)`", readme))
    assert "nbgrader generate_assignment 02_tokens" in readme


def test_a_seed_gives_the_same_hidden_tests_and_no_seed_gives_others(tmp_path, no_checks):
    def course(name, **options):
        list(build([TOKENS], tmp_path / name, **options))
        return (tmp_path / name / "nbgrader/source/02_tokens/02_tokens.ipynb").read_text("utf-8")

    assert course("a", seed=7) == course("b", seed=7)
    assert len({course("c", seed=7), course("d", seed=8), course("e"), course("f")}) == 4


def test_what_is_there_is_never_overwritten(tmp_path, no_checks):
    grades = tmp_path / "out" / "grades.csv"
    grades.parent.mkdir()
    list(build([TOKENS], grades.parent))  # an empty folder is as good as none
    grades.write_text("ada,10", encoding="utf-8")
    with pytest.raises(FileExistsError, match="is not empty; name a folder that does not exist"):
        build([TOKENS], grades.parent)
    assert grades.read_text("utf-8") == "ada,10"
    with pytest.raises(FileExistsError):
        build([TOKENS], grades)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        build([TOKENS], link)


def test_a_build_that_fails_or_is_stopped_leaves_nothing(tmp_path, monkeypatch):
    def fail(id, answer):
        raise KeyboardInterrupt

    monkeypatch.setattr(editions, "check", fail)
    with pytest.raises(KeyboardInterrupt):
        list(build([TOKENS], tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_of_another_version_is_refused_before_anything_is_written(tmp_path):
    there = exercises_of(TOKENS.stem)
    lacking = read(TOKENS)
    lacking.cells = [cell for cell in lacking.cells if cell.id != code_cell_id(there[0])]
    other = tmp_path / TOKENS.name
    other.write_text(nbformat.writes(lacking), encoding="utf-8")
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"has no cell exercise-most-frequent-pair; take the"):
        build([other], out)
    other.write_text(nbformat.writes(lacking, version=4)[:1000], encoding="utf-8")
    with pytest.raises(ValueError, match="is no notebook, or a damaged one; take the"):
        build([other], out)
    with pytest.raises(ValueError, match="no notebook was named"):
        build([], out)
    assert [path.name for path in tmp_path.iterdir()] == [TOKENS.name]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_who_may_read_it_is_for_the_umask_to_say(tmp_path, no_checks):
    before = os.umask(0o027)
    try:
        list(build([TOKENS], tmp_path / "out"))
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").rglob("*")}
    assert modes | {stat.S_IMODE((tmp_path / "out").stat().st_mode)} == {0o750, 0o640}


def test_a_disk_that_is_full_gets_a_sentence_and_keeps_nothing(tmp_path, no_checks, monkeypatch):
    def full(path, text, **options):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=r"out could not be written \(No space left.*; make room on"):
        list(build([TOKENS], tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_another_notebook_is_refused(tmp_path):
    mine = tmp_path / "10_mine.ipynb"
    mine.write_bytes(TOKENS.read_bytes())
    with pytest.raises(ValueError, match=r"10_mine\.ipynb: no notebook of the series"):
        build([mine], tmp_path / "out")


def test_links_between_notebooks_hold_in_a_folder_of_editions(path):
    """They stand side by side there as well, and nothing else of the repository does."""
    sources = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", "\n".join(sources))
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert inside
    assert all(link in {other.name for other in PATHS} for link in inside)
