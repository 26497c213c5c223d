"""docs/teaching.md: its exercise works, its commands and links exist, its table is right."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from llmlab import cli
from llmlab.exercises.checking import judge
from llmlab.exercises.shelf import NOTEBOOKS, exercises, find

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "teaching.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
IMPORTS = """from __future__ import annotations

import numpy as np

from llmlab.exercises.exercise import Exercise

"""


@pytest.fixture
def exercise(tmp_path, monkeypatch):
    """The exercise of the page, as in a module of its own."""
    path = tmp_path / "pasted.py"
    path.write_text(IMPORTS + PYTHON[0], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("pasted", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "pasted", module)
    spec.loader.exec_module(module)
    return module.unknown_share


@pytest.mark.parametrize("seed", range(5))
def test_the_reference_passes_and_each_wrong_answer_gets_its_own_hint(exercise, seed):
    result = judge(exercise, exercise.answer, np.random.default_rng(seed))
    assert result.passed, result
    messages = [message for _, message in exercise.wrong_answers]
    assert len(set(messages)) == 3
    for function, message in exercise.wrong_answers:
        result = judge(exercise, function, np.random.default_rng(seed))
        assert result.status == "not yet"
        assert [text for text in messages if text in result.text] == [message]


def test_its_stub_is_blank_and_its_solution_is_not(exercise):
    assert "..." in exercise.stub
    names = {}
    exec(exercise.stub, names)
    result = judge(exercise, names[exercise.name], np.random.default_rng(0))
    assert result.status == "not attempted"
    exec(exercise.solved, names)
    assert judge(exercise, names[exercise.name], np.random.default_rng(0)).passed


def test_the_example_in_its_prompt_is_right(exercise):
    assert "the answer is 0.25" in exercise.prompt
    assert exercise.answer(["the", "cat", "the", "dog"], ["the", "dog"]) == 0.25


def test_its_lines_are_as_many_as_the_page_says():
    lines = [line for line in PYTHON[0].splitlines() if line.strip()]
    said = re.search(r"takes (\d+) lines, not counting the blank ones", TEXT)
    assert int(said[1]) == len(lines)
    assert max(map(len, lines)) <= 100


def test_its_cells_come_behind_those_of_the_other_exercises(exercise, monkeypatch):
    assert find(exercise.id) is None, "the page adds an exercise that is there by now"
    spec = importlib.util.spec_from_file_location("refresh", ROOT / "notebooks" / "refresh.py")
    refresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(refresh)
    notebook = nbformat.read(ROOT / "notebooks" / "02_tokens.ipynb", as_version=4)
    before = [(cell.id, cell.source) for cell in notebook.cells]
    refresh.write_exercises(notebook, "02_tokens")
    assert [(cell.id, cell.source) for cell in notebook.cells] == before
    monkeypatch.setattr(refresh, "exercises", lambda module: (*exercises(module), exercise))
    refresh.write_exercises(notebook, "02_tokens")
    nbformat.validate(notebook)
    after = [(cell.id, cell.source) for cell in notebook.cells]
    assert after == [*before[:-1], *exercise.cells.items(), before[-1]]
    assert [cell.cell_type for cell in notebook.cells[-3:-1]] == ["markdown", "code"]
    assert [cell_id for cell_id, _ in before[-3:-1]] == list(exercises("tokens")[-1].cells)


def commands():
    """List each command line of the page that calls llmlab with arguments."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", TEXT, flags=re.M | re.S))
    lines = [line for language, code in BLOCKS if not language for line in code.splitlines()]
    found = [re.match(r"(?:\S*[/\\])?llmlab\s+(.+)", text) for text in [*lines, *spans]]
    return sorted({match[1] for match in found if match})


@pytest.mark.parametrize("line", commands())
def test_every_command_line_is_one_that_llmlab_understands(line):
    chosen = cli._parser().parse_args(shlex.split(line))
    assert callable(chosen.run)


def test_its_commands_are_found():
    assert {line.split()[0] for line in commands()} >= {"fetch", "doctor", "lab", "train", "class"}


def slug(heading):
    """The anchor that GitHub gives to a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


LINKS = sorted(set(re.findall(r"\]\(([^)\s]+)\)", TEXT)))


@pytest.mark.parametrize("link", LINKS)
def test_every_link_leads_somewhere(link):
    assert "://" not in link
    path, _, anchor = link.partition("#")
    target = (PAGE.parent / path) if path else PAGE
    assert target.exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in map(slug, headings)


def test_the_table_has_every_notebook_with_its_number_of_exercises():
    section = TEXT.partition("## What each notebook needs")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if "ipynb" in line]
    said = {re.search(r"notebooks/(\w+)\.ipynb", row[0])[1]: int(row[4]) for row in rows}
    assert said == {stem: len(exercises(module)) for module, stem in NOTEBOOKS.items()}


def test_the_exercises_that_it_names_exist():
    modules = "|".join(NOTEBOOKS)
    named = set(re.findall(rf"`(?:\w+\(\")?((?:{modules})\.[a-z_]+)(?:\"\))?`", TEXT))
    assert len(named) > 10
    assert {name for name in named if find(name) is None} == set()


def test_the_parts_of_notebooks_that_the_plans_name_are_headings_there():
    notebooks = [nbformat.read(ROOT / f"notebooks/{stem}.ipynb", 4) for stem in NOTEBOOKS.values()]
    headings = {
        line.lstrip("# ").rstrip("?")
        for notebook in notebooks
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("#")
    }
    plans = TEXT.partition("## Plans")[2].partition("\n## ")[0]
    named = {
        name.rstrip("?")
        for line in plans.splitlines()
        if line.startswith("|")
        for name in re.findall(r"\*([^*]+)\*", line)
    }
    menus = {"Run All Above"}
    short = {name for name in named - menus if not any(h.startswith(name) for h in headings)}
    assert len(named) > 15
    assert short == set()
