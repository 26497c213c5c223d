"""The first notebook as a learner meets it: run all, type, watch the bars."""

import pytest

from .every_widget import THEMES, every_widget_can_be_read, every_widget_moves
from .next_token_page import NextTokenWidget, work_by_keyboard_alone
from .series import every_cell_ran, notebook_page, nothing_left_the_machine

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(chromium, server):
    with notebook_page(chromium, server, "01_what_is_an_llm") as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_bars_change_while_you_type(notebook):
    widget = NextTokenWidget(notebook)
    assert widget.text() == "The capital of France is"
    assert widget.rows()[0].startswith("␣Paris\n")
    before = widget.rows()
    widget.type(" not")
    assert widget.rows() != before
    widget.undo.click()
    widget.settled()
    assert widget.rows() == before


def test_keyboard_alone(notebook):
    work_by_keyboard_alone(NextTokenWidget(notebook))


@pytest.mark.parametrize("theme", THEMES)
def test_every_widget_can_be_read(notebook, theme):
    every_widget_can_be_read(notebook, "notebook_01", theme)


def test_every_widget_moves(notebook):
    every_widget_moves(notebook, "next-token")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
