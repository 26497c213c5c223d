"""The ninth notebook as a learner meets it: every cell runs, and tokens coloured by their loss."""

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
from .token_values_page import TokenValuesWidget

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STEM = "09_finetuning_to_follow_instructions"

# nbval asks and trains in full; here one instruction of each family is asked, and a few steps show
# the board.
ANSWERS = {
    **shorter(STEM, "small-pretrain", ("200", "6"), ("warmup=", "warmup=0*")),
    **shorter(STEM, "train", ("n_steps = 120", "n_steps = 3"), ("warmup=", "warmup=0*")),
}
MORE = {
    "sample": """
test_pairs = list({pair.family: pair for pair in data.test}.values())
held_pairs = list({pair.family: pair for pair in data.held_out}.values())
""",
}


@pytest.fixture(scope="module")
def notebook(chromium, server):
    answers = ANSWERS | all_solved("instructions")
    with notebook_page(chromium, server, STEM, answers, more=MORE, statements=False) as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_every_solution_passes_where_it_stands(notebook):
    every_solution_passed(notebook, "instructions")


def test_the_mask_and_the_surprise_of_one_example(notebook):
    mask = TokenValuesWidget(notebook, 0)
    assert mask.names() == ["learned", "surprise now"]
    assert mask.written()[-4:] == ["", "✓", "✓", "✓"]
    both = TokenValuesWidget(notebook, 1)
    assert both.names() == ["learned", "before", "after"]
    both.radios.first.focus()
    both.keyboard.press("ArrowDown")
    assert both.chosen() == "before"
    before = both.written()
    both.keyboard.press("ArrowDown")
    assert both.chosen() == "after"
    assert both.written() != before


@pytest.mark.parametrize("theme", THEMES)
def test_every_widget_can_be_read(notebook, theme):
    every_widget_can_be_read(notebook, "notebook_09", theme)


def test_every_widget_moves(notebook):
    every_widget_moves(notebook, "token-values", "training-board", "token-values")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
