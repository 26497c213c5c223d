"""The third notebook as a learner meets it: the map of words, and exercises with real answers."""

import pytest

from .embedding_map_page import EmbeddingMapWidget, work_by_keyboard_alone
from .every_widget import THEMES, every_widget_can_be_read, every_widget_moves
from .series import (
    all_solved,
    every_cell_ran,
    every_solution_passed,
    notebook_page,
    nothing_left_the_machine,
    shorter,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(chromium, server):
    quick = shorter("03_embeddings", "control", ("n_steps)", "50)"))
    for cell_id in ("check", "check-centred", "check-plot"):  # for what the control reaches
        quick |= shorter("03_embeddings", cell_id)
    answers = all_solved("embeddings") | quick
    with notebook_page(chromium, server, "03_embeddings", answers) as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_every_solution_passes_where_it_stands(notebook):
    every_solution_passed(notebook, "embeddings")


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


@pytest.mark.parametrize("theme", THEMES)
def test_every_widget_can_be_read(notebook, theme):
    every_widget_can_be_read(notebook, "notebook_03", theme)


def test_every_widget_moves(notebook):
    every_widget_moves(notebook, "embedding-map")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
