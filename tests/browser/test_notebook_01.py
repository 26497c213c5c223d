"""The first notebook as a learner meets it: run all, type, watch the bars."""

import pytest

from .lab import REPOSITORY, LabPage
from .next_token_page import NextTokenWidget, work_by_keyboard_alone

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOK = REPOSITORY / "notebooks" / "01_what_is_an_llm.ipynb"


@pytest.fixture(scope="module")
def notebook(chromium, server):
    page = LabPage(chromium, server)
    page.open(NOTEBOOK)
    page.run_all()
    yield page
    page.close()


def test_every_cell_runs(notebook):
    counts = notebook.execution_counts()
    assert counts == list(range(1, len(counts) + 1))
    assert notebook.errors() == []


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


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, theme):
    notebook.theme(f"JupyterLab {theme}")
    widget = NextTokenWidget(notebook)
    widget.bars.first.focus()
    notebook.screenshot(f"notebook_01_{theme.lower()}")
    notebook.screenshot(f"notebook_01_{theme.lower()}_widget", widget.root)
    notebook.theme("JupyterLab Light")


def test_nothing_left_the_machine(notebook):
    assert notebook.left_machine == []
    assert notebook.dialogs == []
