"""Which cells of a notebook the browser runs, and which it runs otherwise."""

import nbformat
import pytest

from .lab import REPOSITORY
from .series import is_exercise, is_long, quicker, read_notebook, without_statements

STEMS = sorted(path.stem for path in (REPOSITORY / "notebooks").glob("*.ipynb"))

USE = """x = [1]  # one
assert x == [
    1,
], "a line"
for y in x:
    assert y
print(x)
assert x"""


@pytest.fixture
def notebook():
    new = nbformat.v4.new_code_cell
    long = {"tags": ["nbval-ignore-output", "long"]}
    cells = [
        nbformat.v4.new_markdown_cell("# Title", id="title"),
        new("n = train(100)\nassert n", id="train", metadata=long),
        new("plot(n)", id="plot", metadata=long),
        new(USE, id="use"),
        new("assert stub()", id="exercise-stub"),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def ids(notebook):
    return [cell.id for cell in notebook.cells]


def sources(notebook):
    return {cell.id: cell.source for cell in notebook.cells}


def test_a_long_cell_is_left_out_or_replaced(notebook):
    quicker(notebook, {"train": "n = train(1)", "exercise-stub": "assert solved()"}, more={})
    assert ids(notebook) == ["title", "train", "use", "exercise-stub"]
    assert sources(notebook)["train"] == "n = train(1)"
    assert sources(notebook)["use"] == USE
    assert sources(notebook)["exercise-stub"] == "assert solved()"


def test_no_other_cell_is_replaced(notebook):
    with pytest.raises(ValueError, match="'use' is no exercise and not tagged long"):
        quicker(notebook, {"use": "pass"}, more={})


def test_a_cell_that_is_not_there_is_named(notebook):
    with pytest.raises(ValueError, match=r"\['gone', 'plot', 'title'\]"):
        quicker(notebook, {"gone": "pass"}, more={"title": "pass", "plot": "pass"})


def test_all_that_other_cells_lose_are_statements(notebook):
    quicker(notebook, {"train": "assert train(1)"}, more={}, statements=False)
    assert sources(notebook)["use"] == without_statements(USE)
    assert sources(notebook)["train"] == "assert train(1)"
    assert sources(notebook)["title"] == "# Title"


def test_statements_go_line_by_line_and_nothing_else():
    assert without_statements(USE) == ("x = [1]  # one\nfor y in x:\n    pass\nprint(x)")


def test_a_cell_is_put_behind_another(notebook):
    quicker(notebook, {}, more={"use": "x = x[:1]"})
    assert [cell.source for cell in notebook.cells][1:] == [USE, "x = x[:1]", "assert stub()"]


@pytest.mark.parametrize("stem", STEMS)
def test_long_is_a_tag_of_code_that_is_no_exercise(stem):
    cells = read_notebook(stem).cells
    assert {tag for cell in cells for tag in cell.metadata.get("tags", [])} <= {
        "nbval-ignore-output",
        "long",
    }
    for cell in filter(is_long, cells):
        assert cell.cell_type == "code"
        assert not is_exercise(cell)
