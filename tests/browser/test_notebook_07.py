"""The seventh notebook as a learner meets it: every cell runs, and a training to watch."""

import pytest

from .every_widget import THEMES, every_widget_can_be_read, every_widget_moves
from .series import (
    all_solved,
    every_cell_ran,
    every_solution_passed,
    notebook_page,
    nothing_left_the_machine,
    shorter,
)
from .training_board_page import TrainingBoardWidget

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STEM = "07_pretraining"

# nbval trains in full; here a few steps show the board.
EIGHT_STEPS = 'recipe = recipe.changed(training={"steps": 8}, schedule={"warmup": 2})'
ANSWERS = shorter(STEM, "train", ("n_steps =", f"{EIGHT_STEPS}\nn_steps ="))


@pytest.fixture(scope="module")
def notebook(chromium, server):
    with notebook_page(chromium, server, STEM, ANSWERS | all_solved("pretraining")) as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_every_solution_passes_where_it_stands(notebook):
    every_solution_passed(notebook, "pretraining")


def test_the_board_shows_the_whole_training(notebook):
    board = TrainingBoardWidget(notebook)
    board.wait_for(state="finished")
    assert board.root.get_attribute("data-latest") == notebook.evaluate("n_steps")


@pytest.mark.parametrize("theme", THEMES)
def test_every_widget_can_be_read(notebook, theme):
    every_widget_can_be_read(notebook, "notebook_07", theme)


def test_every_widget_moves(notebook):
    every_widget_moves(notebook, "training-board")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
