"""The fourth notebook as a learner meets it: attention by hand, and all heads of a real model."""

import json

import pytest

from .attention_explorer_page import AttentionExplorerWidget
from .attention_stepper_page import AttentionStepperWidget
from .every_widget import THEMES, every_widget_can_be_read, every_widget_moves
from .series import (
    all_solved,
    every_cell_ran,
    every_solution_passed,
    notebook_page,
    nothing_left_the_machine,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(chromium, server):
    with notebook_page(chromium, server, "04_attention", all_solved("attention")) as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_every_solution_passes_where_it_stands(notebook):
    every_solution_passed(notebook, "attention")


def test_the_steps_end_at_what_the_notebook_calculates(notebook):
    widget = AttentionStepperWidget(notebook)
    assert widget.column("q·k") == ["6.00", "3.00", "0.00"]
    expected = json.loads(notebook.evaluate("toy_scores[2].softmax(dim=-1).tolist()"))
    assert widget.weights() == pytest.approx(expected, abs=1e-6)


def test_the_explorer_shows_what_trace_has_kept(notebook):
    widget = AttentionExplorerWidget(notebook.page)
    widget.settled()
    assert widget.chosen() == (13, 8)
    assert widget.exact(8, 1) == pytest.approx(
        float(notebook.evaluate("float(all_weights[13, 8, 8, 1])")), rel=6e-3
    )


def test_another_text_and_a_head_switched_off(notebook):
    widget = AttentionExplorerWidget(notebook.page)
    widget.fill("The queen met the king, and then she")
    before = widget.shares()
    assert widget.exact(8, 1) > 0.4  # she, queen
    widget.choose(0, 6)
    widget.button("Switch off").click()
    widget.settled()
    assert widget.shares() != before


@pytest.mark.parametrize("theme", THEMES)
def test_every_widget_can_be_read(notebook, theme):
    every_widget_can_be_read(notebook, "notebook_04", theme)


def test_every_widget_moves(notebook):
    every_widget_moves(notebook, "attention-stepper", "attention-explorer")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
