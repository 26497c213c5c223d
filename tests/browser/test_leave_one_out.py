"""LeaveOneOut in JupyterLab: what a person sees, types, hears and takes out."""

import nbformat
import pytest

from .lab import notebook_of
from .leave_one_out_page import WIDGET, LeaveOneOutWidget, work_by_keyboard_alone
from .lifetime import views_leave_nothing_behind

pytestmark = pytest.mark.browser

SETUP = r"""
import math, time
from pathlib import Path
from llmlab.inference import leave_one_out
from llmlab.viz import LeaveOneOut

WORTH = {"win": 2, "prize!": 3, "mum": -4, "won": 1}
calls = []

def probability(texts):
    odds = [sum(WORTH.get(word.lower(), 0) for word in text.split()) - 1 for text in texts]
    return [1 / (1 + math.exp(-each)) for each in odds]

def read(text):
    calls.append(text)
    if "crash" in text:
        raise KeyError("crash")
    while "wait" in text and not Path("go").exists():
        time.sleep(0.01)
    return leave_one_out(probability, text)

widget = LeaveOneOut(read, text="Win a prize! Tell mum", threshold=0.6)
"""
HOSTILE = "</script><img src=x onerror=alert(1)>"
START = "Win a prize! Tell mum"


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
    (notebook.server.root / "go").unlink(missing_ok=True)
    widget = LeaveOneOutWidget(notebook)
    widget.fill(START)
    return widget


def test_words_are_coloured_at_once_and_change_while_you_type(notebook, widget):
    assert widget.shown() == [
        ["Win", "spam"], ["a", "spam"], ["prize!", "spam"], ["Tell", "spam"], ["mum", "ham"],
    ]  # fmt: skip
    assert widget.verdict.inner_text() == "50.0 %: ham"
    assert widget.meter.get_attribute("aria-valuenow") == "50.0"
    widget.box.focus()
    widget.press("Control+End")
    widget.keyboard.type(" won")
    widget.settled()
    assert widget.verdict.inner_text() == "73.1 %: spam"
    assert widget.shown()[-1] == ["won", "spam"]
    assert notebook.evaluate("widget.text") == repr(START + " won")


def test_the_strongest_word_has_the_fullest_colour(widget):
    strengths = widget.words.evaluate_all(
        "words => words.map((word) => parseInt(word.style.getPropertyValue('--lm-strength')))"
    )
    assert strengths == [50, 0, 75, 0, 100]


def test_keyboard_alone(widget):
    work_by_keyboard_alone(widget)


def test_pointing_tells_and_a_click_takes_out(widget):
    widget.words.nth(4).hover()
    assert widget.detail.inner_text() == "without “mum”: spam 98.2 %, not 50.0 %"
    widget.words.nth(4).click()
    widget.settled()
    assert widget.text() == "Win a prize! Tell"
    assert widget.verdict.inner_text() == "98.2 %: spam"
    widget.undo.click()
    widget.settled()
    assert widget.text() == START


def test_what_a_screen_reader_says(widget):
    assert widget.labels()[2] == "prize!: without “prize!”: spam 4.7 %, not 50.0 %"
    assert widget.meter.get_attribute("aria-valuetext") == "50.0 %: ham"
    assert widget.root.get_by_role("list").count() == 1
    assert widget.root.get_by_role("listitem").count() == 5


def test_enter_begins_a_new_line_and_the_line_is_kept(notebook, widget):
    widget.fill("Win\n\n  mum ")
    assert notebook.evaluate("widget.text") == repr("Win\n\n  mum ")
    assert [word for word, _ in widget.shown()] == ["Win", "mum"]
    assert (
        widget.root.locator(".lm-words").evaluate("(list) => list.textContent") == "Win\n\n  mum "
    )
    widget.words.nth(0).click()
    widget.settled()
    assert widget.text() == "mum "


def test_hostile_words_stay_text(notebook, widget):
    widget.fill(f"Win {HOSTILE} \u202e $x$")
    shown = " ".join(word for word, _ in widget.shown())
    assert shown == f"Win {HOSTILE} \u202e $x$"
    assert notebook.page.locator(f"{WIDGET} img, {WIDGET} script").count() == 0
    assert notebook.dialogs == []


def test_an_empty_text_says_so_and_keeps_the_colours(widget):
    before = widget.shown()
    widget.fill("  ")
    assert widget.message.inner_text() == "the text has no word; write something"
    assert widget.shown() == before
    assert "lm-old" in widget.root.get_attribute("class")
    widget.undo.click()
    widget.settled()
    assert widget.message.inner_text() == ""
    assert "lm-old" not in widget.root.get_attribute("class")


def test_a_broken_read_says_so_and_the_widget_goes_on(widget):
    widget.fill("crash")
    assert widget.message.inner_text() == "KeyError: 'crash'"
    widget.fill("word " * 300)
    assert "has 300 words" in widget.message.inner_text()
    widget.fill("fine")
    assert widget.message.inner_text() == ""


def test_python_sets_the_text_and_the_threshold(notebook, widget):
    notebook.run_code("widget.text = 'set in Python'")
    widget.lab.wait("(box) => box.value === 'set in Python'", widget.box.element_handle())
    widget.settled()
    assert widget.verdict.inner_text() == "26.9 %: ham"
    notebook.run_code("widget.threshold = 0.2")
    widget.root.get_by_text("26.9 %: spam").wait_for()
    notebook.run_code("widget.threshold = 0.6")
    widget.undo.click()
    widget.settled()
    assert widget.text() == START


def test_two_views_stay_in_sync(notebook, widget):
    other = LeaveOneOutWidget(notebook, 1)
    widget.fill("You won a prize!")
    assert other.text() == widget.text()
    assert other.shown() == widget.shown()


def test_only_the_newest_text_is_asked_for_while_the_kernel_is_slow(notebook, widget):
    widget.box.focus()
    widget.keyboard.press("Control+End")
    widget.keyboard.type(" wait")
    widget.root.get_by_text("computing…").wait_for()
    widget.keyboard.type(" for this")
    (notebook.server.root / "go").touch()
    widget.settled()
    assert widget.message.inner_text() == ""
    assert notebook.evaluate("calls[-2:]") == repr([f"{START} wait", f"{START} wait for this"])


def test_views_leave_nothing_behind(notebook):
    traits = {
        "answer": {"n": 0, "error": ""},
        "text": "x",
        "labels": ["ham", "spam"],
        "threshold": 0.5,
        "reading": {"probability": 0.5, "words": [["x", 0.5]]},
    }
    views_leave_nothing_behind(notebook, "leave_one_out.js", traits)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, widget, theme):
    notebook.theme(f"JupyterLab {theme}")
    widget.words.nth(2).focus()
    notebook.screenshot(f"leave_one_out_{theme.lower()}", widget.root)
    widget.fill("crash")
    notebook.screenshot(f"leave_one_out_{theme.lower()}_error", widget.root)
    widget.fill(START)
    widget.root.evaluate("(root) => { root.style.width = '320px'; }")
    notebook.screenshot(f"leave_one_out_{theme.lower()}_320", widget.root)
    overflow = widget.root.evaluate("(root) => root.scrollWidth - root.clientWidth")
    widget.root.evaluate("(root) => { root.style.width = ''; }")
    assert overflow <= 0
    notebook.theme("JupyterLab Light")


def test_the_meter_is_seen_where_the_system_sets_the_colours(notebook, widget):
    notebook.page.emulate_media(forced_colors="active")
    fill, track = widget.meter.evaluate(
        """(meter) => [
            getComputedStyle(meter.querySelector('.lm-fill')).backgroundColor,
            getComputedStyle(meter).backgroundColor,
        ]"""
    )
    notebook.page.emulate_media(forced_colors="none")
    assert fill != track


def test_the_picture_stands_in_where_there_is_no_kernel(notebook, widget):
    assert notebook.page.locator(".jp-OutputArea-output img").count() == 0
    cells = notebook.cells()
    assert all("image/png" in cell["outputs"][0]["data"] for cell in cells[1:])
    # As someone else receives it: outputs, no widget state.
    saved = nbformat.v4.new_notebook(cells=nbformat.from_dict(cells))
    notebook.open(saved, keep_outputs=True)
    picture = notebook.page.locator(".jp-OutputArea-output img").first
    picture.wait_for()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 300
    assert notebook.page.locator(WIDGET).count() == 0


def test_the_page_complained_of_nothing_of_ours(lab):
    assert [error for error in lab.console_errors if "blob:" in error or "llmlab" in error] == []
