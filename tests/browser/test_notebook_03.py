"""The third notebook as a learner meets it: the map of words, and exercises with real answers."""

import nbformat
import pytest

from llmlab.exercises.shelf import exercises

from .embedding_map_page import EmbeddingMapWidget, work_by_keyboard_alone
from .lab import REPOSITORY, LabPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOK = REPOSITORY / "notebooks" / "03_embeddings.ipynb"


def with_solutions() -> nbformat.NotebookNode:
    """The notebook with every exercise solved."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    for exercise in exercises("embeddings"):
        code_cell = cells[list(exercise.cells)[1]]
        code_cell.source = f'{exercise.solution}\n\n\ncheck("{exercise.id}", {exercise.name})'
    return notebook


@pytest.fixture(scope="module")
def notebook(chromium, server):
    page = LabPage(chromium, server)
    page.open(with_solutions())
    page.run_all()
    yield page
    page.close()


def test_every_cell_runs(notebook):
    counts = notebook.execution_counts()
    assert counts == list(range(1, len(counts) + 1))
    assert notebook.errors() == []


def test_every_solution_passes_where_it_stands(notebook):
    cards = notebook.page.locator(".jp-RenderedHTMLCommon > [role=status]")
    titles = [text.split("\n")[0] for text in cards.all_inner_texts()]
    assert titles == [f"✓ {exercise.id}: passed" for exercise in exercises("embeddings")]


def test_a_word_typed_on_the_map_has_the_neighbours_that_numpy_finds(notebook):
    widget = EmbeddingMapWidget(notebook)
    widget.add("banana")
    widget.choose("banana")
    widget.wait_until_chosen("banana")
    found = [word for word, _ in widget.neighbours()]
    expected = "' '.join(my_ranking(directions @ directions[place['banana']])[1:9])"
    assert notebook.evaluate(expected) == repr(" ".join(found))


def test_a_sum_finds_the_queen(notebook):
    widget = EmbeddingMapWidget(notebook)
    widget.add("king - man + woman")
    widget.choose(widget.shown()[-1])
    assert "queen" in [word for word, _ in widget.neighbours()][:2]


def test_keyboard_alone(notebook):
    work_by_keyboard_alone(EmbeddingMapWidget(notebook), "castle")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, theme):
    notebook.theme(f"JupyterLab {theme}")
    widget = EmbeddingMapWidget(notebook)
    widget.choose("mango")
    notebook.screenshot(f"notebook_03_{theme.lower()}_widget", widget.root)
    notebook.theme("JupyterLab Light")


def test_nothing_left_the_machine(notebook):
    assert notebook.left_machine == []
    assert notebook.dialogs == []
