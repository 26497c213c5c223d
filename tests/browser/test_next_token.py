"""NextToken in JupyterLab: what a person sees, types, hears and clicks."""

import json

import nbformat
import numpy as np
import pytest

from .lab import notebook_of
from .lifetime import views_leave_nothing_behind
from .next_token_page import WIDGET, NextTokenWidget, work_by_keyboard_alone

pytestmark = pytest.mark.browser

SETUP = r'''
import time, zlib
from pathlib import Path
import numpy as np
from llmlab.viz import NextToken

HOSTILE = "</script><img src=x onerror=alert(1)>"
tokens = [" Paris", " London", HOSTILE, "\n", "\t", "", "\x00", "\u202e", "\ud800", "  the sea",
          "=" * 200, "$x$ & <b>bold</b>", "漢字", "مرحبا", "é"] + [f" word{i}" for i in range(1185)]
calls = []

def predict(text):
    """A cheap language model: the text seeds it, and the first 15 tokens are always on top."""
    calls.append(text)
    if "refuse" in text:
        raise ValueError("this text is refused; type another")
    if "crash" in text:
        raise KeyError("crash")
    if "nothing" in text:
        return np.full(len(tokens), np.nan)
    while "wait" in text and not Path("go").exists():
        time.sleep(0.01)
    logits = np.random.default_rng(zlib.crc32(text.encode())).normal(size=len(tokens))
    logits[:15] += 8
    return logits

widget = NextToken(predict, tokens, top=15)
'''
HOSTILE = "</script><img src=x onerror=alert(1)>"


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
    widget = NextTokenWidget(notebook)
    widget.fill("The capital of France is")
    return widget


def test_bars_are_there_at_once_and_change_while_you_type(notebook, widget):
    assert widget.bars.count() == 15
    assert widget.others.inner_text().startswith("1,185 other tokens: ")
    before = widget.rows()
    widget.type(" not")
    assert widget.rows() != before
    assert notebook.evaluate("widget.text") == repr("The capital of France is not")
    shown = json.loads(
        notebook.evaluate("__import__('json').dumps(widget.top_tokens())")
        .strip("'")
        .encode()
        .decode("unicode_escape")
    )
    assert [f"{100 * probability:.1f} %" for _, probability in shown[:3]] == [
        row.split("\n")[-1] for row in widget.rows()[:3]
    ]


def test_enter_begins_a_new_line(notebook, widget):
    widget.type("\nand")
    assert notebook.evaluate("widget.text") == repr("The capital of France is\nand")


def test_the_temperature_by_keyboard_needs_no_kernel(notebook, widget):
    widget.slider.focus()
    notebook.kernel_messages.clear()
    seen = [widget.rows()]
    for key in ("ArrowRight", "ArrowLeft", "End", "Home"):
        widget.keyboard.press(key)
        seen.append(widget.rows())
    at_one, warmer, at_one_again, at_two, at_zero = seen
    assert at_one == at_one_again
    assert len({tuple(rows) for rows in (at_one, warmer, at_two, at_zero)}) == 4
    assert at_zero[0].endswith("\n100 %")
    assert at_zero[-1] == "1,185 other tokens: 0 %"
    assert notebook.kernel_messages == []
    widget.press("Tab")  # done: Python learns the temperature
    notebook.wait_for_kernel("widget.temperature == 0.0")
    widget.slider.fill("1")
    widget.sample.focus()


def test_the_temperature_by_mouse_is_told_once_at_the_end_of_the_drag(notebook, widget):
    widget.slider.fill("1")
    notebook.wait_for_kernel("widget.temperature == 1.0")
    frame = widget.slider.bounding_box()
    middle = frame["y"] + frame["height"] / 2
    mouse = notebook.page.mouse
    mouse.move(frame["x"] + frame["width"] / 2, middle)
    mouse.down()
    notebook.kernel_messages.clear()
    before = widget.rows()
    mouse.move(frame["x"] + frame["width"] * 0.75, middle, steps=5)
    assert widget.rows() != before
    assert notebook.kernel_messages == []
    mouse.move(frame["x"] + frame["width"] + 20, middle, steps=5)
    mouse.up()
    # The focus stays: in some browsers a dragged slider never has it, so none can be lost.
    notebook.wait_for_kernel("widget.temperature == 2.0")
    told = [message for message in notebook.kernel_messages if 'temperature":' in message]
    assert len(told) == 1
    widget.slider.fill("1")
    notebook.wait_for_kernel("widget.temperature == 1.0")


def test_keyboard_alone(widget):
    work_by_keyboard_alone(widget)


def test_a_click_appends_and_the_focus_stays_on_the_bars(widget):
    place = [i for i, label in enumerate(widget.labels()) if label.startswith("space Paris,")]
    widget.bars.nth(place[0]).click()
    widget.settled()
    assert widget.text() == "The capital of France is Paris"
    assert widget.focused() == f"bar {place[0]}"
    widget.sample.click()
    widget.settled()
    widget.undo.click()
    widget.settled()
    assert widget.text().startswith("The capital of France is")


def test_sample_at_temperature_0_takes_the_most_likely(notebook, widget):
    notebook.run_code("widget.temperature = 0.0")
    widget.lab.wait("(slider) => slider.value === '0'", widget.slider.element_handle())
    top = notebook.evaluate("widget.text + widget.top_tokens()[0][0]")
    widget.sample.click()
    widget.settled()
    assert notebook.evaluate("widget.text") == top
    notebook.run_code("widget.temperature = 1.0")


def test_hostile_tokens_stay_text(notebook, widget):
    shown = widget.bars.all_inner_texts()
    visible = HOSTILE.replace(" ", "␣")
    place = next(i for i, row in enumerate(shown) if row.startswith(visible))
    widget.bars.nth(place).click()
    widget.settled()
    assert widget.text().endswith(HOSTILE)
    assert notebook.page.locator(f"{WIDGET} img, {WIDGET} script, {WIDGET} b").count() == 0
    assert notebook.dialogs == []


def test_unseen_characters_are_written_out_and_named(widget):
    tokens = {row.split("\n")[0] for row in widget.bars.all_inner_texts()}
    assert {"␣Paris", "⏎", "⇥", "(empty)", r"\x00", r"\u202e", r"\ud800", "␣␣the␣sea"} <= tokens
    words = {label.split(",")[0] for label in widget.labels()}
    assert {"space Paris", "newline", "tab", "empty token", "character 202E"} <= words
    assert all(label.endswith(" percent") for label in widget.labels())


def test_a_refused_text_shows_why_and_keeps_the_bars(widget):
    before = widget.rows()
    widget.fill("The capital of France is refuse")
    assert widget.message.inner_text() == "this text is refused; type another"
    assert widget.rows() == before
    assert "lm-old" in widget.root.get_attribute("class")
    widget.undo.click()
    widget.settled()
    assert widget.message.inner_text() == ""
    assert "lm-old" not in widget.root.get_attribute("class")


def test_a_broken_predict_says_so_and_the_widget_goes_on(widget):
    widget.fill("crash")
    assert widget.message.inner_text() == "KeyError: 'crash'"
    widget.fill("nothing")
    assert "every logit must be a finite" in widget.message.inner_text()
    widget.fill("a\x00b")
    widget.fill("")
    assert widget.message.inner_text() == ""
    widget.fill("word " * 100_000)
    assert widget.message.inner_text() == ""


def test_half_a_surrogate_pair_becomes_the_replacement_character(notebook, widget):
    widget.box.evaluate(
        "(box) => { box.value = 'a\\ud800b'; box.dispatchEvent(new Event('input')); }"
    )
    widget.settled()
    assert notebook.evaluate("ascii(widget.text)") == repr(ascii("a\ufffdb"))


def test_python_sets_the_text(notebook, widget):
    before = widget.rows()
    notebook.run_code("widget.text = 'set in Python'")
    widget.lab.wait("(box) => box.value === 'set in Python'", widget.box.element_handle())
    widget.settled()
    assert widget.rows() != before
    widget.undo.click()
    widget.settled()
    assert widget.text() == "The capital of France is"
    assert widget.rows() == before


def test_two_views_stay_in_sync(notebook, widget):
    other = NextTokenWidget(notebook, 1)
    widget.type(" big")
    assert other.text() == widget.text()
    assert other.rows() == widget.rows()
    other.slider.focus()
    other.keyboard.press("End")
    assert widget.slider.input_value() == "2"
    assert other.rows() == widget.rows()
    other.slider.fill("1")
    other.type("ger")
    assert widget.text().endswith(" bigger")


def test_python_sets_the_number_of_bars(notebook, widget):
    notebook.run_code("widget.top = 50")
    widget.bars.nth(49).wait_for()
    assert widget.bars.count() == 50
    assert widget.others.inner_text().startswith("1,150 other tokens: ")
    assert notebook.evaluate("len(widget.top_tokens())") == "50"
    widget.bars.first.focus()
    widget.press("End")
    assert widget.focused() == "bar 49"
    notebook.run_code("widget.top = 15")
    widget.bars.nth(15).wait_for(state="detached")
    assert widget.bars.count() == 15
    assert widget.focused() == "bar 14"
    widget.press("Enter")
    assert widget.focused() == "bar 14"
    assert len(widget.text()) > len("The capital of France is")
    widget.press("Home")


def test_right_to_left_text_starts_at_the_right(widget):
    direction = "(box) => getComputedStyle(box).direction"
    assert widget.box.evaluate(direction) == "ltr"
    widget.fill("عاصمة فرنسا هي")
    assert widget.box.evaluate(direction) == "rtl"


def test_bars_are_seen_where_the_system_sets_the_colours(notebook, widget):
    notebook.page.emulate_media(forced_colors="active")
    fill, track, edge, width = widget.bars.first.evaluate(
        """(bar) => {
            const fill = getComputedStyle(bar.querySelector('.lm-fill'));
            const track = getComputedStyle(bar.querySelector('.lm-track'));
            return [fill.backgroundColor, track.backgroundColor, track.borderTopColor,
                    track.borderTopWidth];
        }"""
    )
    notebook.screenshot("next_token_forced_colors", widget.root)
    notebook.page.emulate_media(forced_colors="none")
    assert fill not in (track, edge)
    assert edge != track
    assert width == "1px"


def test_only_the_newest_text_is_asked_for_while_the_kernel_is_slow(notebook, widget):
    widget.box.focus()
    widget.keyboard.press("Control+End")
    widget.keyboard.type(" wait")
    widget.root.get_by_text("computing…").wait_for()
    widget.keyboard.type(" for this")
    # The longest wait of these tests: the widget gives a silent kernel ten seconds.
    widget.root.get_by_text("the kernel is busy or stopped: run the cell again").wait_for()
    (notebook.server.root / "go").touch()
    widget.settled()
    assert widget.message.inner_text() == ""
    texts = [" wait", " wait for this"]
    assert notebook.evaluate("calls[-2:]") == repr([f"The capital of France is{t}" for t in texts])


def test_views_leave_nothing_behind(notebook):
    traits = {
        "vocabulary": b'["a", "b"]',
        "logits": np.array([1, 2], "<f4").tobytes(),
        "answer": {"n": 0, "error": ""},
        "text": "x",
        "temperature": 1,
        "top": 2,
    }
    views_leave_nothing_behind(notebook, "next_token.js", traits)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, widget, theme):
    notebook.theme(f"JupyterLab {theme}")
    widget.bars.nth(1).focus()
    notebook.screenshot(f"next_token_{theme.lower()}", widget.root)
    widget.type(" refuse")
    notebook.screenshot(f"next_token_{theme.lower()}_error", widget.root)
    widget.undo.click()
    widget.settled()
    widget.root.evaluate("(root) => { root.style.width = '320px'; }")
    notebook.screenshot(f"next_token_{theme.lower()}_320", widget.root)
    overflow = widget.root.evaluate("(root) => root.scrollWidth - root.clientWidth")
    widget.root.evaluate("(root) => { root.style.width = ''; }")
    assert overflow <= 0
    notebook.theme("JupyterLab Light")


def test_the_live_view_wins_while_there_is_a_kernel_and_the_picture_without(notebook, widget):
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


def test_a_stopped_kernel_is_named(lab):
    lab.open(small_notebook())
    lab.run_all()
    widget = NextTokenWidget(lab)
    lab.shutdown_kernel()
    widget.box.focus()
    widget.keyboard.type("x")
    widget.root.get_by_text("the kernel is busy or stopped: run the cell again").wait_for()
    assert widget.text() == "The capital of France isx"
    # ipywidgets itself mentions the message that it could not send.
    lab.console_errors[:] = [error for error in lab.console_errors if "Cannot send" not in error]


def test_the_page_complained_of_nothing_of_ours(lab):
    assert [error for error in lab.console_errors if "blob:" in error or "llmlab" in error] == []
