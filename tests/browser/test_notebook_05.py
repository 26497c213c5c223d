"""The fifth notebook as a learner meets it: two trainings to watch, and translations that move."""

import pytest

from .every_widget import THEMES, every_widget_can_be_read, every_widget_moves
from .series import (
    all_solved,
    every_cell_ran,
    every_solution_passed,
    notebook_page,
    nothing_left_the_machine,
)
from .training_board_page import TrainingBoardWidget
from .translation_stepper_page import TranslationStepperWidget

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# nbval trains on the sentences in full; here the longer trained translator takes the place of the
# one that would take minutes, after a few steps for the board to show.
ANSWERS = {
    "train-sentences": """
from llmlab.inference import load_translator

n_steps = 6
board = viz.TrainingBoard("English to Spanish", steps=n_steps)
steps = train(
    model, pair_batches(sentence_ids, batch_size=128, **sentence_marks), steps=n_steps
)
for step in board.watch(steps):
    board.sample(step.number, dict(zip(five, translate(model, tokenizer, five))))
model, tokenizer = load_translator()
""",
}


@pytest.fixture(scope="module")
def notebook(chromium, server):
    with notebook_page(
        chromium, server, "05_translation", ANSWERS | all_solved("translation")
    ) as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_every_solution_passes_where_it_stands(notebook):
    every_solution_passed(notebook, "translation")


def test_the_board_shows_the_whole_training(notebook):
    board = TrainingBoardWidget(notebook)
    board.wait_for(state="finished")
    assert board.root.get_attribute("data-latest") == notebook.evaluate("n_number_steps")


def test_ones_and_tens_cross_for_a_number_that_is_typed(notebook):
    widget = TranslationStepperWidget(notebook)
    widget.translate("ninety-three")
    widget.press("ArrowRight")
    assert widget.written().replace(" ", "").startswith("drei")
    widget.to_step(1)
    row = widget.numbers(0)
    assert widget.tokens("source")[row.index(max(row))].strip() == "three"


def test_a_sentence_that_is_typed_is_translated(notebook):
    widget = TranslationStepperWidget(notebook, index=1)
    widget.translate("We have two dogs.")
    last = int(widget.slider.get_attribute("max"))
    widget.to_step(last)
    assert "dos perros" in widget.written()


@pytest.mark.parametrize("theme", THEMES)
def test_every_widget_can_be_read(notebook, theme):
    every_widget_can_be_read(notebook, "notebook_05", theme)


def test_every_widget_moves(notebook):
    every_widget_moves(
        notebook, "training-board", "translation-stepper", "training-board", "translation-stepper"
    )


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
