"""TokenValues in JupyterLab: what a person sees, hears and chooses."""

import nbformat
import pytest

from .lab import notebook_of
from .lifetime import views_leave_nothing_behind
from .token_values_page import WIDGET, TokenValuesWidget

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"
SETUP = f"""
from llmlab.viz import TokenValues

tokens = ["<|im_start|>", "user", "\\n", "Say", " hi", {HOSTILE!r}]
values = {{
    "learned": [False, False, False, True, True, True],
    "loss before": [None, 4.0, 0.5, 8.25, 0.0, 12.0],
    "loss after": [None, 3.0, 0.25, 0.01, 2.0, 0.1],
}}
widget = TokenValues(tokens, values)
"""


def small_notebook():
    return notebook_of(SETUP, "widget", "widget")


@pytest.fixture(scope="module")
def notebook(lab):
    lab.open(small_notebook())
    lab.run_all()
    assert lab.errors() == []
    return lab


@pytest.fixture
def widget(notebook):
    widget = TokenValuesWidget(notebook)
    widget.radios.first.check()
    return widget


def test_what_is_there_at_once(widget):
    assert widget.names() == ["learned", "loss before", "loss after"]
    assert widget.chosen() == "learned"
    assert widget.written() == ["", "", "", "✓", "✓", "✓"]
    colours = widget.colours()
    assert len(set(colours)) == 2
    assert colours[:3] == [colours[0]] * 3
    assert colours[3:] == [colours[3]] * 3


def test_choosing_by_keyboard_needs_no_kernel(notebook, widget):
    widget.radios.first.focus()
    notebook.kernel_messages.clear()
    widget.keyboard.press("ArrowDown")
    assert widget.chosen() == "loss before"
    assert widget.written() == ["", "4.0", "0.5", "8.3", "0.0", "12"]
    before = widget.colours()
    assert before[0] == before[4]  # nothing to say, and nothing
    assert len(set(before)) == 5
    widget.keyboard.press("ArrowDown")
    assert widget.written() == ["", "3.0", "0.3", "0.0", "2.0", "0.1"]
    assert widget.colours()[5] != before[5]
    assert notebook.evaluate("widget.shown") == repr("loss after")
    assert all('shown":' in message for message in notebook.kernel_messages[:1])


def test_walking_through_the_tokens(widget):
    widget.radios.nth(1).check()
    widget.keyboard.press("Tab")
    assert widget.focused() == 0
    for key, place in [("ArrowRight", 1), ("ArrowDown", 2), ("ArrowLeft", 1), ("End", 5),
                       ("ArrowRight", 5), ("Home", 0), ("ArrowUp", 0)]:  # fmt: skip
        widget.keyboard.press(key)
        assert widget.focused() == place
    widget.keyboard.press("ArrowRight")
    assert widget.detail.inner_text() == (
        "2 of 6: “user”, loss before: 4.00 nats, learned: no, loss after: 3.00 nats"
    )
    widget.keyboard.press("Shift+Tab")
    assert widget.focused() == -1


def test_pointing_at_a_token(widget):
    widget.tokens.nth(4).hover()
    assert widget.detail.inner_text().startswith("5 of 6: “␣hi”, learned: yes")
    widget.detail.hover()
    assert widget.detail.inner_text().startswith("Point at a token")


def test_what_a_screen_reader_says(widget):
    heard = widget.heard()
    assert heard[2] == "newline, learned: no, loss before: 0.50 nats, loss after: 0.25 nats"
    assert heard[4].startswith("space hi, learned: yes")


def test_hostile_tokens_stay_text(notebook, widget):
    assert HOSTILE[:10] in widget.tokens.nth(5).inner_text()
    assert notebook.page.locator(f"{WIDGET} img, {WIDGET} script").count() == 0
    assert notebook.dialogs == []


def test_a_token_of_a_new_line_ends_the_row(widget):
    top = widget.tokens.evaluate_all("boxes => boxes.map((b) => b.getBoundingClientRect().top)")
    assert top[0] == top[1] == top[2] < top[3] == top[4]


def test_two_views_and_python_stay_in_sync(notebook, widget):
    other = TokenValuesWidget(notebook, 1)
    widget.radios.nth(2).check()
    assert other.chosen() == "loss after"
    assert other.written() == widget.written()
    notebook.run_code("widget.shown = 'loss before'")
    notebook.wait(
        "(root) => root.querySelector('input:checked').parentNode.textContent === 'loss before'",
        widget.root.element_handle(),
    )
    assert other.chosen() == "loss before"


def test_views_leave_nothing_behind(notebook):
    traits = {
        "labels": ["a", "b"],
        "breaks": [False, True],
        "rows": [{"name": "x", "kind": "number", "values": [None, 2]}],
        "unit": "nats",
        "shown": "x",
    }
    views_leave_nothing_behind(notebook, "token_values.js", traits)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, widget, theme):
    notebook.theme(f"JupyterLab {theme}")
    widget.radios.nth(1).check()
    widget.keyboard.press("Tab")
    widget.keyboard.press("End")
    notebook.screenshot(f"token_values_{theme.lower()}", widget.root)
    widget.root.evaluate("(root) => { root.style.width = '260px'; }")
    notebook.screenshot(f"token_values_{theme.lower()}_260", widget.root)
    overflow = widget.root.evaluate("(root) => root.scrollWidth - root.clientWidth")
    widget.root.evaluate("(root) => { root.style.width = ''; }")
    assert overflow <= 0
    notebook.theme("JupyterLab Light")


def test_numbers_are_read_where_the_system_sets_the_colours(notebook, widget):
    widget.radios.nth(1).check()
    notebook.page.emulate_media(forced_colors="active")
    assert widget.written()[5] == "12"
    edge, paper = widget.tokens.first.evaluate(
        "(box) => [getComputedStyle(box).borderTopColor, getComputedStyle(document.body)"
        ".backgroundColor]"
    )
    notebook.page.emulate_media(forced_colors="none")
    assert edge != paper


def test_the_picture_stands_for_it_without_a_kernel(notebook, widget):
    cells = notebook.cells()
    assert all("image/png" in cell["outputs"][0]["data"] for cell in cells[1:])
    saved = nbformat.v4.new_notebook(cells=nbformat.from_dict(cells))
    notebook.open(saved, keep_outputs=True)
    picture = notebook.page.locator(".jp-OutputArea-output img").first
    picture.wait_for()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 300
    assert notebook.page.locator(WIDGET).count() == 0


def test_the_page_complained_of_nothing_of_ours(lab):
    assert [error for error in lab.console_errors if "blob:" in error or "llmlab" in error] == []
