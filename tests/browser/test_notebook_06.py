"""The sixth notebook as a learner meets it: a GPT of one's own, and a next token that is cut."""

import pytest

from .next_token_page import NextTokenWidget
from .series import (
    all_solved,
    every_cell_ran,
    every_solution_passed,
    notebook_page,
    nothing_left_the_machine,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


# nbval trains the deep stacks in full; nothing in the page depends on them.
ANSWERS = dict.fromkeys(
    ("stack-run", "stack-plot", "alike", "alike-plot", "wrong-residual"), "pass"
)


@pytest.fixture(scope="module")
def notebook(chromium, server):
    with notebook_page(chromium, server, "06_gpt", ANSWERS | all_solved("gpt")) as page:
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


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, theme):
    notebook.theme(f"JupyterLab {theme}")
    notebook.screenshot(f"notebook_06_{theme.lower()}_cut", NextTokenWidget(notebook).root)
    notebook.theme("JupyterLab Light")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
