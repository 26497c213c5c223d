import ast
import importlib
import json
import symtable
from pathlib import Path

import nbformat
import pytest

from llmlab.exercises.shelf import NOTEBOOKS as NOTEBOOK_OF
from llmlab.exercises.shelf import exercises

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_the_format_is_valid_and_every_cell_has_its_own_id(notebook):
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_cells_were_run_once_in_order_without_an_error(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert "error" not in kinds


def test_no_state_of_widgets_and_no_path_of_a_machine_is_stored(notebook):
    assert "widgets" not in notebook.metadata
    stored = json.dumps(notebook)
    places = ("/home/", "/root/", "/tmp/", "/Users/", "/opt/", "file://", "C:\\\\")
    assert not [place for place in places if place in stored]


def test_cells_fit_a_screen(notebook):
    assert max(len(cell.source.splitlines()) for cell in code_cells(notebook)) <= 25


def test_it_opens_and_closes_as_every_notebook_does(notebook):
    first, last = notebook.cells[0].source, notebook.cells[-1].source
    assert first.startswith("# ")
    assert "you can" in first
    assert "**Time**" in first
    assert "**Needs**" in first
    assert "you now know" in last
    assert "Read on" in last


def test_pictures_are_described_in_words(notebook):
    for before, cell, after in zip(
        notebook.cells, notebook.cells[1:], notebook.cells[2:], strict=False
    ):
        outputs = cell.get("outputs", [])
        if any("image/png" in output.get("data", {}) for output in outputs):
            told = [
                line
                for text in (before.source, after.source)
                for line in text.split("\n")
                if "picture" in line.lower()
            ]
            assert max((len(line.split()) for line in told), default=0) >= 12, cell.id


def public_names():
    packages = ("data", "text", "model", "train", "inference", "viz", "exercises")
    modules = [importlib.import_module(f"llmlab.{package}") for package in packages]
    return {name for module in modules for name in module.__all__}


def test_no_name_of_the_package_is_defined_again(notebook):
    defined = set()
    for cell in code_cells(notebook):
        for node in ast.parse(cell.source).body:  # a class may have whatever methods it needs
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
    assert not defined & public_names()
    assert all(name.startswith(("my_", "My")) for name in defined)


def module_of(path):
    """The module that holds a notebook's exercises."""
    return next(module for module, stem in NOTEBOOK_OF.items() if stem == path.stem)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_exercise_cells_are_the_stubs(path):
    expected = {}
    for exercise in exercises(module_of(path)):
        expected |= exercise.cells
    cells = nbformat.read(path, as_version=4).cells
    found = {cell.id: cell.source for cell in cells if cell.id.startswith("exercise-")}
    assert list(found) == list(expected)
    assert found == expected


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_exercises_come_blank(path):
    cells = {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}
    names = [list(exercise.cells)[1] for exercise in exercises(module_of(path))]
    assert len(names) >= 3
    for name in names:
        (output,) = cells[name].outputs
        assert "not attempted yet" in output.data["text/plain"]


def assigned_and_needed(source):
    """The global names that a cell gives a value, and those that it only uses."""
    top = symtable.symtable(source, "cell", "exec")
    assigned = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned()}
    assigned |= {symbol.get_name() for symbol in top.get_symbols() if symbol.is_imported()}
    tables, used = [top], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        used |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (table is top or symbol.is_global())
        }
    return assigned, used - assigned


def test_cells_can_be_run_again_in_any_order(notebook):
    """A name that one cell takes from another gets its value in one cell only."""
    cells = [(cell.id, *assigned_and_needed(cell.source)) for cell in code_cells(notebook)]
    needed = set().union(*(names for _, _, names in cells))
    givers = {name: [id_ for id_, assigned, _ in cells if name in assigned] for name in needed}
    assert {name: ids for name, ids in givers.items() if len(ids) > 1} == {}


def test_every_use_of_a_name_is_seen():
    source = "def f(a):\n    return [a + b for c in d]\nx = 1\nfor y in z:\n    w = y"
    assert assigned_and_needed(source) == ({"f", "x", "y", "w"}, {"b", "d", "z"})
