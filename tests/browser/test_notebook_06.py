"""The sixth notebook as a learner meets it: a GPT of one's own, and a next token that is cut."""

import pytest

from .every_widget import THEMES, every_widget_can_be_read, every_widget_moves
from .next_token_page import NextTokenWidget
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
    with notebook_page(chromium, server, "06_gpt", all_solved("gpt")) as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_every_solution_passes_where_it_stands(notebook):
    every_solution_passed(notebook, "gpt")


def test_only_what_top_p_keeps_can_be_drawn(notebook):
    widget = NextTokenWidget(notebook)
    widget.fill("The king sat on his")
    shares = [float(label.rpartition(" ")[0].rpartition(" ")[2]) for label in widget.labels()]
    assert "throne" in widget.labels()[0]
    assert shares[0] > 95  # of two that are kept
    assert max(shares[2:]) == 0
    assert widget.others.inner_text().split()[-2] in ("0", "<0.1")  # what rounding leaves
    widget.sample.click()
    widget.settled()
    assert widget.text().startswith("The king sat on his ")


@pytest.mark.parametrize("theme", THEMES)
def test_every_widget_can_be_read(notebook, theme):
    every_widget_can_be_read(notebook, "notebook_06", theme)


def test_every_widget_moves(notebook):
    every_widget_moves(notebook, "next-token")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
