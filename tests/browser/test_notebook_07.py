"""The seventh notebook as a learner meets it: every cell runs, and a training to watch."""

import pytest

from .series import (
    all_solved,
    every_cell_ran,
    every_solution_passed,
    notebook_page,
    nothing_left_the_machine,
)
from .training_board_page import TrainingBoardWidget

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# nbval trains in full; here a few steps show the board, and what needs a trained model is left out.
ANSWERS = {
    "prepare": """
from llmlab.pretraining import PretrainingRecipe, prepare

recipe = PretrainingRecipe.load("shakespeare").changed(
    training={"steps": 8}, schedule={"warmup": 2}
)
made = prepare(recipe, tokenizer=tokenizer)
model = made.model.to(device)
""",
    "rate": """
factors = [1 / 16, 1 / 4, 1, 4, 16]
sweep = {"linear": [3.0, 2.2, 1.9, 1.9, 2.2], "constant": [2.9, 2.1, 1.9, 1.9, 2.3]}
""",
    "sizes": "tokens_a_step, sizes = 1024, {17_000: 2.6, 78_000: 2.5, 656_000: 2.9}",
    **dict.fromkeys(
        ["result", "copied", "chinchilla", "repeats", "repeats-plot", "places", "strides"], "pass"
    ),
}


@pytest.fixture(scope="module")
def notebook(chromium, server):
    with notebook_page(
        chromium, server, "07_pretraining", ANSWERS | all_solved("pretraining")
    ) as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_every_solution_passes_where_it_stands(notebook):
    every_solution_passed(notebook, "pretraining")


def test_the_board_shows_the_whole_training(notebook):
    board = TrainingBoardWidget(notebook)
    board.wait_for(state="finished")
    assert board.root.get_attribute("data-latest") == notebook.evaluate("n_steps")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, theme):
    notebook.theme(f"JupyterLab {theme}")
    notebook.screenshot(f"notebook_07_{theme.lower()}_board", TrainingBoardWidget(notebook).root)
    notebook.theme("JupyterLab Light")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
