"""TokenStrip in JupyterLab: what a person sees, types, hears and points at."""

import ast

import nbformat
import numpy as np
import pytest

from .lab import notebook_of
from .lifetime import views_leave_nothing_behind
from .token_strip_page import STRIP, TokenStripWidget

pytestmark = pytest.mark.browser

TEXT = "The capital of France is Paris."
HOSTILE = "</script><img src=x onerror=alert(1)>"
SETUP = f'''
from llmlab.text import gpt2_tokenizer
from llmlab.viz import TokenStrip

tokenizer = gpt2_tokenizer()
special = set(tokenizer.special_tokens.values())
vocabulary = [b"" if i in special else tokenizer.decode_bytes([i])
              for i in range(tokenizer.vocab_size)]
vocabulary.append(b"{HOSTILE}")
strip = TokenStrip(vocabulary, pattern=tokenizer.pattern, text="{TEXT}")
'''


def small_notebook():
    return notebook_of(SETUP, "strip", "strip")


@pytest.fixture(scope="module")
def notebook(lab):
    lab.open(small_notebook())
    lab.run_all()
    assert lab.errors() == []
    return lab


@pytest.fixture
def widget(notebook):
    widget = TokenStripWidget(notebook)
    widget.box.fill(TEXT)
    widget.number.fill("50001")
    widget.strip.focus()
    widget.keyboard.press("Escape")
    widget.box.focus()
    return widget


def python_tokens(notebook):
    return ast.literal_eval(notebook.evaluate("strip.tokens()"))


def test_tokens_are_there_and_change_while_you_type(notebook, widget):
    assert [token for _, token in widget.tokens()][:3] == [b"The", b" capital", b" of"]
    assert widget.summary.inner_text() == (
        "31 characters, 31 bytes, 7 tokens, 4.43 bytes per token"
    )
    widget.keyboard.press("Control+End")
    widget.keyboard.type(" Señor 😀\n漢")
    notebook.wait_for_kernel("strip.text.endswith('漢')")
    assert widget.tokens() == python_tokens(notebook)
    assert notebook.evaluate("strip.text") == repr(TEXT + " Señor 😀\n漢")
    assert widget.summary.inner_text().startswith("41 characters, 47 bytes, ")
    widget.box.fill("")
    assert widget.tokens() == []
    assert widget.summary.inner_text() == "0 characters, 0 bytes, 0 tokens"
    assert widget.details.inner_text() == "Type a text to see its tokens."


def test_the_slider_recolours_without_the_kernel_which_hears_of_it_later(notebook, widget):
    notebook.wait_for_kernel(f"strip.text == {TEXT!r} and strip.merges == 50_001")
    widget.slider.focus()
    # No message can be sent within one task of the page, so all that is drawn here is its own.
    found = widget.slider.evaluate(
        """(slider) => {
            const { inSight } = slider.closest('.llmlab-token-strip').querySelector('canvas');
            const seen = [];
            for (const value of [0, 5, 30, slider.max]) {
                slider.value = value;
                slider.dispatchEvent(new Event('input', { bubbles: true }));
                seen.push([inSight.session.ids.length, slider.getAttribute('aria-valuetext')]);
            }
            return seen;
        }"""
    )
    assert [count for count, _ in found] == sorted({count for count, _ in found})[::-1]
    assert found[0] == [31, "0 merges"]
    assert found[-1] == [7, "50,001 merges"]
    widget.keyboard.press("Home")
    assert len(widget.tokens()) == 31
    widget.keyboard.press("ArrowRight")
    widget.keyboard.press("ArrowRight")
    assert widget.number.input_value() == "2"
    notebook.wait_for_kernel("strip.merges == 2")
    assert widget.tokens() == python_tokens(notebook)


def test_an_exact_number_of_merges_can_be_typed(notebook, widget):
    widget.number.fill("")
    assert len(widget.tokens()) == 7
    for typed, merges in [("1234", 1234), ("-5", 0), ("99999", 50_001)]:
        widget.number.fill(typed)
        assert widget.number.input_value() == typed
        notebook.wait_for_kernel(f"strip.merges == {merges}")
        assert widget.tokens() == python_tokens(notebook)
    widget.slider.focus()
    assert widget.number.input_value() == "50001"


def test_keyboard_alone(notebook, widget):
    visited = []
    for _ in range(3):
        widget.keyboard.press("Tab")
        visited.append(widget.focused())
    assert visited == ["range", "number", "strip"]
    assert widget.chosen() == "The"
    for key, expected in [
        ("ArrowRight", "space capital"),
        ("End", "."),
        ("ArrowRight", "."),
        ("Home", "The"),
        ("ArrowLeft", "The"),
        ("ArrowRight", "space capital"),
    ]:
        widget.keyboard.press(key)
        assert widget.chosen() == expected
    option = notebook.page.get_by_role("option", name="space capital")
    assert option.get_attribute("aria-posinset") == "2"
    assert option.get_attribute("aria-setsize") == "7"
    assert widget.live.text_content() == (
        "space capital, id 3139, bytes 20 63 61 70 69 74 61 6c, merge 2884: space cap plus ital"
    )
    lines = widget.details.locator("p").all_inner_texts()
    assert lines[0] == "␣capital id 3,139"
    assert lines[1] == "8 bytes: 20 63 61 70 69 74 61 6c"
    assert lines[2] == "merge 2,884: '␣cap' + 'ital'"
    assert lines[3].startswith("before it merge ")
    widget.keyboard.press("Escape")
    assert widget.chosen() is None
    assert widget.details.inner_text().startswith("Point at a token")
    widget.keyboard.press("Shift+Tab")
    widget.keyboard.press("Shift+Tab")
    widget.keyboard.press("Home")
    assert len(widget.tokens()) == 31
    notebook.page.wait_for_function(
        "(node) => node.textContent.startsWith('31 characters, 31 bytes, 31 tokens')",
        arg=widget.live.element_handle(),
    )


def test_rows_are_walked_and_scrolled(notebook, widget):
    widget.box.fill("one two three four five six seven eight nine ten.\n" * 60)
    widget.strip.focus()
    widget.keyboard.press("Home")
    widget.keyboard.press("ArrowDown")
    assert widget.chosen() == "one"
    for _ in range(25):
        widget.keyboard.press("ArrowDown")
    assert widget.strip.evaluate("(strip) => strip.scrollTop") > 500
    first, chosen = widget.strip.evaluate(
        """(strip) => [strip.querySelector('canvas').inSight.first,
                       strip.querySelector('[role=option]').ariaPosInSet - 1]"""
    )
    assert first < chosen < first + len(widget.tokens())
    widget.keyboard.press("End")
    assert widget.chosen() == "newline"
    widget.keyboard.press("Home")
    assert widget.strip.evaluate("(strip) => strip.scrollTop") == 0


def test_pointing_tells_what_a_token_is_made_of(notebook, widget):
    canvas = widget.root.locator("canvas")
    canvas.hover(position={"x": 70, "y": 15})
    assert widget.details.inner_text().startswith("␣capital id 3,139")
    canvas.click(position={"x": 15, "y": 15})
    notebook.page.mouse.move(2, 2)
    assert widget.details.inner_text().startswith("The id 464")
    assert widget.chosen() == "The"


def test_hostile_tokens_stay_text(notebook, widget):
    widget.box.fill("")
    widget.keyboard.type(f"{HOSTILE} {HOSTILE}")
    widget.strip.focus()
    widget.keyboard.press("Home")
    assert widget.chosen()
    assert b"".join(token for _, token in widget.tokens()) == f"{HOSTILE} {HOSTILE}".encode()
    assert notebook.page.locator(f"{STRIP} img, {STRIP} script").count() == 0
    # A rule that cuts nothing lets the token of the vocabulary appear.
    notebook.run_code(f"hostile = TokenStrip(vocabulary, pattern='(?:.|\\n)+', text={HOSTILE!r})")
    notebook.run_code("strip.text = hostile.text")
    assert notebook.evaluate("hostile.tokens()") == repr([(50257, HOSTILE.encode())])
    assert notebook.dialogs == []


def test_python_moves_the_view(notebook, widget):
    notebook.wait_for_kernel(f"strip.text == {TEXT!r} and strip.merges == 50_001")
    notebook.run_code("strip.text, strip.merges = 'set in Python', 3")
    notebook.wait(
        "(root) => root.querySelector('textarea').value === 'set in Python'"
        " && root.querySelector('input[type=number]').value === '3'",
        widget.root.element_handle(),
    )
    assert widget.tokens() == python_tokens(notebook)


def test_two_views_stay_in_sync(notebook, widget):
    other = TokenStripWidget(notebook, 1)
    widget.box.fill("seen twice")
    widget.slider.focus()
    widget.keyboard.press("Home")
    assert other.box.input_value() == "seen twice"
    assert other.tokens() == widget.tokens()
    other.number.fill("77")
    assert widget.number.input_value() == "77"
    assert widget.tokens() == other.tokens()


def test_a_very_long_text_shows_its_first_part(notebook, widget):
    widget.box.evaluate(
        """(box) => {
            box.value = 'pasted text '.repeat(10_000);
            box.dispatchEvent(new Event('input', { bubbles: true }));
        }"""
    )
    assert widget.summary.inner_text().endswith(
        "; only this first part is shown, 100,000 characters are left out"
    )
    notebook.wait_for_kernel("len(strip.text) == 120_000")


def test_half_a_surrogate_pair_becomes_the_replacement_character(notebook, widget):
    widget.box.evaluate(
        "(box) => { box.value = 'a\\ud800b'; box.dispatchEvent(new Event('input')); }"
    )
    notebook.wait_for_kernel(r"strip.text == 'a\ufffdb'")


def test_right_to_left_text_starts_at_the_right(notebook, widget):
    widget.box.fill("مرحبا بالعالم")
    widget.strip.focus()
    widget.keyboard.press("Home")
    first = widget.chosen()
    widget.keyboard.press("ArrowLeft")
    assert widget.chosen() != first
    right = widget.root.locator("canvas").evaluate("(canvas) => canvas.clientWidth") - 8
    widget.root.locator("canvas").click(position={"x": right, "y": 15})
    assert widget.chosen() == first


def test_boxes_are_wide_enough_for_their_words(notebook, widget):
    for text in ("iiii", f"Ωmega ∑ {HOSTILE} \u202e", "漢字 😀 مرحبا"):
        widget.box.fill(text)
        gaps = widget.root.locator("canvas").evaluate(
            """(canvas, labels) => {
                const pen = document.createElement('canvas').getContext('2d');
                pen.font = `14px ${getComputedStyle(canvas).fontFamily}`;
                return canvas.inSight.widths.map((w, i) => w - pen.measureText(labels[i]).width);
            }""",
            [
                token.decode(errors="backslashreplace").replace("\u202e", r"\u202e")
                for _, token in widget.tokens()
            ],
        )
        assert min(gaps) >= 9


def test_words_in_boxes_have_contrast_in_both_themes(notebook, widget):
    contrasts = """
        (root) => {
            const page = document.createElement('canvas').getContext('2d');
            const paint = (...colours) => {
                for (const colour of colours) {
                    page.fillStyle = colour;
                    page.fillRect(0, 0, 1, 1);
                }
                return [...page.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => {
                    const share = value / 255;
                    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
                });
            };
            const light = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
            const { ink, fills } = root.querySelector('canvas').inSight.style;
            const paper = getComputedStyle(root.querySelector('.lm-strip')).backgroundColor;
            return fills.map((fill) => {
                const [a, b] = [light(paint(paper, fill)), light(paint(paper, fill, ink))];
                return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            });
        }
    """
    for theme in ("Dark", "Light"):
        notebook.theme(f"JupyterLab {theme}")
        found = widget.root.evaluate(contrasts)
        assert min(found) >= 4.5, (theme, found)


def test_a_box_is_seen_where_the_system_sets_the_colours(notebook, widget):
    notebook.page.emulate_media(forced_colors="active")
    notebook.wait(
        "(root) => root.querySelector('canvas').inSight.style.ink === 'CanvasText'",
        widget.root.element_handle(),
    )
    notebook.screenshot("token_strip_forced_colors", widget.root)
    notebook.page.emulate_media(forced_colors="none")
    notebook.wait(
        "(root) => root.querySelector('canvas').inSight.style.ink !== 'CanvasText'",
        widget.root.element_handle(),
    )


def test_views_leave_nothing_behind(notebook):
    vocabulary = np.array([1, 0], "<u4").tobytes()
    traits = {"vocabulary": vocabulary, "rule": "a+", "text": "x", "merges": 0}
    views_leave_nothing_behind(notebook, "token_strip.js", traits)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, widget, theme):
    notebook.theme(f"JupyterLab {theme}")
    widget.box.fill(f"Señor, 漢字 😀 مرحبا\n\tdef f(x): return '\x00'\n{HOSTILE} {'word ' * 200}")
    widget.strip.focus()
    for _ in range(5):
        widget.keyboard.press("ArrowRight")
    notebook.screenshot(f"token_strip_{theme.lower()}", widget.root)
    widget.number.fill("100")
    widget.root.evaluate("(root) => { root.style.width = '320px'; }")
    notebook.page.wait_for_function(
        "(canvas) => canvas.clientWidth < 320", arg=widget.root.locator("canvas").element_handle()
    )
    notebook.screenshot(f"token_strip_{theme.lower()}_320", widget.root)
    overflow = widget.root.evaluate("(root) => root.scrollWidth - root.clientWidth")
    widget.root.evaluate("(root) => { root.style.width = ''; }")
    assert overflow <= 0
    notebook.theme("JupyterLab Light")


def test_the_picture_stands_in_where_there_is_no_kernel(notebook, widget):
    cells = notebook.cells()
    assert all("image/png" in cell["outputs"][0]["data"] for cell in cells[1:])
    saved = nbformat.v4.new_notebook(cells=nbformat.from_dict(cells))
    notebook.open(saved, keep_outputs=True)
    picture = notebook.page.locator(".jp-OutputArea-output img").first
    picture.wait_for()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 300


def test_everything_works_when_the_kernel_has_stopped(lab):
    lab.open(small_notebook())
    lab.run_all()
    widget = TokenStripWidget(lab)
    lab.shutdown_kernel()
    widget.box.fill("without a kernel")
    assert [token for _, token in widget.tokens()] == [b"without", b" a", b" kernel"]
    widget.slider.focus()
    widget.keyboard.press("Home")
    assert len(widget.tokens()) == 16
    widget.keyboard.press("Tab")
    # ipywidgets itself mentions the message that it could not send.
    lab.console_errors[:] = [error for error in lab.console_errors if "Cannot send" not in error]


def test_the_page_complained_of_nothing_of_ours(lab):
    assert [error for error in lab.console_errors if "blob:" in error or "llmlab" in error] == []
