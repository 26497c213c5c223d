"""The course for nbgrader, with nbgrader itself as a teacher uses it: from the command line."""

import copy
import csv
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions
from traitlets.config import Config

from llmlab.classroom import build, editions
from llmlab.classroom.course import BLANK, POINTS, SETUP
from llmlab.classroom.nbgrader_steps import RestoreTests
from llmlab.exercises.checking import Result

from .series import PATHS, by_id, code_cell_id, exercises_of, read, run

ASSIGNMENT = "02_tokens"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The course of the whole series, in a folder with a space in its name."""
    out = tmp_path_factory.mktemp("class of 10b") / "out"
    with pytest.MonkeyPatch.context() as patch:  # solutions are checked below, in the sheets
        patch.setattr(editions, "check", lambda id, answer: Result("", status="passed"))
        list(build(PATHS, out, seed=1))
    return out / "nbgrader"


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def stem(request):
    return request.param.stem


def source(course, stem):
    return read(course / "source" / stem / f"{stem}.ipynb")


def about(cell):
    return cell.metadata["nbgrader"]


def test_every_exercise_has_its_cells_and_points(course, stem):
    sheet = source(course, stem)
    nbformat.validate(sheet)
    ids = [about(cell)["grade_id"] for cell in sheet.cells]
    assert ids == [cell.id for cell in sheet.cells]
    assert len(set(ids)) == len(ids)
    expected = ["introduction", "setup"]
    for exercise in exercises_of(stem):
        prompt, answer = exercise.cells
        expected += [prompt, answer, f"{answer}-test"]
        expected += [f"{answer}-hidden"] if exercise.draw else []
    assert ids == expected
    points = sum(about(cell).get("points", 0) for cell in sheet.cells)
    assert points == POINTS * len(exercises_of(stem))
    for cell in sheet.cells:
        assert about(cell)["locked"] != about(cell)["solution"]


@pytest.mark.slow
def test_the_solutions_pass_every_test_of_their_sheet(course, stem):
    names = {}
    for cell in source(course, stem).cells:
        if cell.cell_type == "code":
            run(cell.source, names)  # a test that fails raises


def handed_out(course, stem):
    """The sheet as nbgrader hands it out, with the course's own settings."""
    config = Config(ClearSolutions={"code_stub": {"python": BLANK}})
    sheet, resources = source(course, stem), {}
    for step in (ClearSolutions(config=config), ClearHiddenTests(config=config)):
        sheet, resources = step.preprocess(sheet, resources)
    return sheet


def test_what_is_handed_out_is_the_blank_stub(course, stem):
    cells = by_id(handed_out(course, stem))
    names = {}
    run(SETUP, names)
    for exercise in exercises_of(stem):
        cell = cells[code_cell_id(exercise)]
        assert [line for line in cell.source.splitlines() if line.strip() != BLANK] == (
            exercise.cells[cell.id].splitlines()
        )
        assert run(cell.source, names).status == "not attempted"
        with pytest.raises(AssertionError, match="not attempted yet"):
            run(cells[f"{cell.id}-test"].source, names)
    shown = "\n".join(cell.source for cell in cells.values())
    assert "HIDDEN" not in shown
    assert "seed=" not in shown


def nbgrader(course, *arguments):
    """Run nbgrader in the course's folder, with settings of nobody else."""
    home = course.parent / "home"
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment = os.environ | {name: str(home / name.lower()) for name in folders}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment.pop("PYTHONPATH", None)  # it would stand before a folder of hand-ins
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def right(sheet, exercise):
    by_id(sheet)[code_cell_id(exercise)].source = f"{exercise.solved}\n\n\n{exercise.call}"


def hand_in_right(sheet, there):
    for exercise in there:
        right(sheet, exercise)
    return POINTS * len(there)


def hand_in_half_right(sheet, there):
    """Two solved, and one that has learned the answers of the shown tests by heart."""
    right(sheet, there[0])
    right(sheet, there[1])
    encode = there[2]
    known = {repr(arguments): encode.answer(*arguments) for arguments in encode.fixed}
    by_id(sheet)[code_cell_id(encode)].source = (
        f"KNOWN = {known!r}\n\n\n"
        f"def my_encode(text, merges):\n    return KNOWN.get(repr((text, merges)), [])"
    )
    return 2 * POINTS + POINTS / 2


def hand_in_blank(sheet, there):
    return 0


def hand_in_tampered(sheet, there):
    """One solved whose tests are gone; another whose tests and whose grade are made to pass."""
    right(sheet, there[0])
    gone = code_cell_id(there[0])
    sheet.cells = [c for c in sheet.cells if c.id not in (f"{gone}-test", f"{gone}-hidden")]
    cells, edited = by_id(sheet), code_cell_id(there[1])
    cells[edited].source += "\ngrade = check = lambda *given, **more: True"
    cells[f"{edited}-test"].source = "assert True"
    cells[f"{edited}-hidden"].source = "pass"
    cells[f"{edited}-hidden"].metadata["nbgrader"]["points"] = 100
    return POINTS


def hand_in_endless(sheet, there):
    """A function that never ends, and a loop outside of functions; the others are solved."""
    hand_in_right(sheet, there)
    cells = by_id(sheet)
    cells[
        code_cell_id(there[0])
    ].source = f"def {there[0].name}(pieces):\n    while True:\n        pass\n\n\n{there[0].call}"
    cells[code_cell_id(there[1])].source = f"while True:\n    pass\n{there[1].solved}"
    return POINTS * (len(there) - 2)


def hand_in_odd(sheet, there):
    """What happens by mistake: a cell is copied, an exercise is deleted whole, words are logged."""
    hand_in_right(sheet, there)
    pair, merge, encode = map(code_cell_id, there[:3])
    twice = copy.deepcopy(by_id(sheet)[pair])
    twice.id = "copied"
    sheet.cells.insert(5, twice)
    sheet.cells = [cell for cell in sheet.cells if not cell.id.startswith(merge)]
    cell = by_id(sheet)[encode]
    head, _, body = cell.source.partition("    ids = ")
    cell.source = (
        "import logging\n\nlogging.basicConfig(level='INFO')\n\n\n"
        f"{head}    logging.info('encoding')\n    ids = {body}"
    )
    return POINTS * (len(there) - 1)


HAND_INS = {
    "odd": hand_in_odd,
    "shadowing": hand_in_blank,  # with files beside it, see below
    "right": hand_in_right,
    "half": hand_in_half_right,
    "blank": hand_in_blank,
    "tampered": hand_in_tampered,
    "endless": hand_in_endless,
}


@pytest.mark.slow
def test_every_hand_in_gets_the_score_it_should(course):
    nbgrader(course, "generate_assignment", ASSIGNMENT)
    there = exercises_of(ASSIGNMENT)
    released = course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    assert by_id(read(released)).keys() == by_id(source(course, ASSIGNMENT)).keys()
    expected = {}
    for learner, hand_in in HAND_INS.items():
        sheet = read(released)
        expected[learner] = hand_in(sheet, there)
        path = course / "submitted" / learner / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(sheet, path)
    everything = "grade = check = hint = solution = lambda *given, **more: True"
    shadow = course / "submitted" / "shadowing" / ASSIGNMENT / "llmlab"
    shadow.mkdir()
    (shadow / "__init__.py").touch()
    (shadow / "exercises.py").write_text(everything, encoding="utf-8")
    # The course gives a cell 300 seconds, which one of these cells uses up.
    nbgrader(course, "autograde", ASSIGNMENT, "--Execute.timeout=60")
    nbgrader(course, "export", "--to", "grades.csv")
    with (course / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    scores = {learner: float(row["score"]) for learner, row in rows.items()}
    assert scores == expected
    assert {float(row["max_score"]) for row in rows.values()} == {POINTS * len(there)}


def test_the_settings_of_the_course_are_python_that_nbgrader_can_read(course, monkeypatch):
    config = Config()
    text = (course / "nbgrader_config.py").read_text("utf-8")
    monkeypatch.setenv("PYTHONSAFEPATH", "")  # the settings set it
    exec(compile(text, "nbgrader_config.py", "exec"), {"get_config": lambda: config})
    assert config.ClearSolutions.code_stub == {"python": BLANK}
    assert config.RestoreTests.add_missing_cells is True
    assert RestoreTests in config.Autograde.sanitize_preprocessors
    assert config.Execute.timeout >= 300


def test_the_notebooks_of_the_series_are_all_there(course):
    assert sorted(path.name for path in (course / "source").iterdir()) == [
        path.stem for path in PATHS
    ]
