"""The eighth notebook as a learner meets it: every cell runs, and a box to type messages into."""

import pytest

from .every_widget import THEMES, every_widget_can_be_read, every_widget_moves
from .leave_one_out_page import LeaveOneOutWidget
from .series import (
    all_solved,
    every_cell_ran,
    every_solution_passed,
    notebook_page,
    nothing_left_the_machine,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STEM = "08_finetuning_to_classify"

# nbval runs all messages; here few are enough for the widget and the exercises.
MORE = {
    "split": """
for name, part in parts.items():
    spam = [m for m in part if m.label == "spam"]
    parts[name] = [*spam[:30], *(m for m in part if m.label == "ham")][:90]
    labels[name] = my_labels(parts[name])
""",
}


@pytest.fixture(scope="module")
def notebook(chromium, server):
    answers = all_solved("classification")
    with notebook_page(chromium, server, STEM, answers, more=MORE, statements=False) as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_every_solution_passes_where_it_stands(notebook):
    every_solution_passed(notebook, "classification")


def test_a_message_is_judged_while_you_type(notebook):
    widget = LeaveOneOutWidget(notebook)
    before = widget.verdict.inner_text()
    widget.fill("Ok, see you at home")
    assert widget.words.count() == 5
    assert widget.verdict.inner_text() != before
    assert notebook.evaluate("box.text") == repr("Ok, see you at home")


@pytest.mark.parametrize("theme", THEMES)
def test_every_widget_can_be_read(notebook, theme):
    every_widget_can_be_read(notebook, "notebook_08", theme)


def test_every_widget_moves(notebook):
    every_widget_moves(notebook, "leave-one-out")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
