"""TranslationStepper in JupyterLab: what a person sees, types, presses and hears."""

import ast

import nbformat
import pytest

from llmlab.viz import TranslationStepper

from .lab import notebook_of
from .lifetime import views_leave_nothing_behind
from .translation_stepper_page import TRANSLATION, TranslationStepperWidget

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"
SETUP = r'''
import time
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from llmlab.viz import TranslationStepper

HOSTILE = "</script><img src=x onerror=alert(1)>"
calls = []

def reading(source, target, text=None):
    """Two layers of two heads; head h of layer l looks ever more sharply, along the diagonal."""
    S, T = len(source), len(target)
    weights = np.empty((2, 2, T, S), np.float32)
    for head, sharp in enumerate((2.0, 3.0, 4.0, 5.0)):
        for t in range(T):
            score = -sharp * np.abs(np.arange(S) - t * (S - 1) / max(1, T - 1))
            weights[head // 2, head % 2, t] = np.exp(score) / np.exp(score).sum()
    best = tuple(((token, 0.75), (HOSTILE, 0.125), ("<end>", 0.0625), (" x", 0.03125), ("", 0.0003))
                 for token in target)
    text = "".join(target[:-1]).strip() if text is None else text
    return SimpleNamespace(source_tokens=source, target_tokens=target, text=text,
                           weights_LHTS=weights, candidates=best)

def read(text):
    calls.append(text)
    while "wait" in text and not Path("go").exists():
        time.sleep(0.01)
    if not text.strip():
        raise ValueError("type a sentence, such as “I like apples.”")
    if "crash" in text:
        raise KeyError("crash")
    if "long" in text:
        target = [f" wort{n}" for n in range(63)] + ["<end>"]
        return reading([f" word{n}" for n in range(64)], target)
    if "strange" in text:
        return reading([HOSTILE, " 😀", "مرحبا", "\u0301", "\n", "", "\u202e", "\ud800"],
                       [" " + HOSTILE, "漢字", "$x$", " <b>b</b>", "<end>"])
    if "beam" in text:
        result = reading(["a", " b"], ["c", "<end>"])
        result.candidates = ((("other", 0.5),), ())
        return result
    words = text.split(" ")
    return reading([words[0], *(" " + word for word in words[1:])],
                   [words[-1][::-1], *(" " + word[::-1] for word in words[-2::-1]), "<end>"])

stepper = TranslationStepper(read, text="This is an example", examples=["two dogs", HOSTILE])
'''


def small_notebook():
    another = "TranslationStepper(read, text='another one', layer=1)"
    sources = SETUP, "stepper", "stepper", another
    return notebook_of(*sources)


@pytest.fixture(scope="module")
def notebook(lab):
    lab.open(small_notebook())
    lab.run_all()
    assert lab.errors() == []
    return lab


@pytest.fixture
def widget(notebook):
    """The widget with its first sentence at its first step; the mouse points at nothing."""
    (notebook.server.root / "go").unlink(missing_ok=True)
    widget = TranslationStepperWidget(notebook)
    notebook.page.mouse.move(2, 2)
    widget.translate("This is an example")
    widget.layer.select_option("")
    widget.speed.select_option("1")
    notebook.wait_for_kernel("(stepper.step, stepper.layer, stepper.head) == (1, None, None)")
    return widget


def percents(notebook, layer=None, head=None, row=0):
    """A row of the grid, as Python computes it."""
    index = "mean((0, 1))" if layer is None else f"[{layer}].mean(0)"
    if head is not None:
        index = f"[{layer}, {head}]"
    index = index if index.startswith("[") else f".{index}"
    code = f"[round(100 * float(x)) for x in read(stepper.text).weights_LHTS{index}[{row}]]"
    return ast.literal_eval(notebook.evaluate(code))


# --- what is seen ---


def test_the_first_step_shows_the_source_one_token_and_where_it_looks(notebook, widget):
    assert widget.tokens("source") == ["This", "␣is", "␣an", "␣example"]
    assert widget.tokens("target") == widget.rows() == ["elpmaxe"]
    assert widget.written() == "elpmaxe"
    row = percents(notebook)
    assert widget.numbers(0) == row
    assert widget.sentence().startswith(f"Step 1 of 5: elpmaxe looks at This {row[0]} %")
    assert max(widget.lines()) == widget.lines()[0]
    assert widget.candidates() == [
        ["✓", "elpmaxe", "75.0 %"],
        ["", HOSTILE.replace(" ", "␣")[:16] + "…", "12.5 %"],
        ["", "■ end", "6.3 %"],
        ["", "␣x", "3.1 %"],
        ["", "(empty)", "<0.1 %"],
    ]


def test_steps_write_the_translation_and_the_grid_grows(notebook, widget):
    for step, (token, text) in enumerate(
        [("␣na", "elpmaxe na"), ("␣si", "elpmaxe na si"), ("␣sihT", "elpmaxe na si sihT")], start=2
    ):
        widget.next.click()
        assert widget.step() == step
        assert widget.tokens("target")[-1] == widget.rows()[-1] == token
        assert len(widget.rows()) == step
        assert widget.written() == text
        assert widget.sheet.locator("tr[aria-current]").inner_text().startswith(token)
    widget.next.click()
    assert widget.rows()[-1] == "■ end"
    assert widget.next.get_attribute("aria-disabled") == "true"
    widget.next.click(force=True)
    notebook.wait_for_kernel("stepper.step == 5")
    widget.back.click()
    assert len(widget.rows()) == widget.step() == 4


def test_everything_happens_in_the_page(notebook, widget):
    notebook.kernel_messages.clear()
    # No message can be sent within one task of the page, so all that is drawn here is its own.
    found = widget.root.evaluate(
        """(root) => {
            const next = [...root.querySelectorAll('button')].find((b) => b.textContent === 'Next');
            const seen = [];
            for (let i = 0; i < 4; i++) {
                next.click();
                seen.push(root.querySelector('.lm-written bdi').textContent);
            }
            return seen;
        }"""
    )
    assert found[0] == "elpmaxe na"
    assert found[-1] == "elpmaxe na si sihT"


def test_play_runs_to_the_end_and_pause_stops_it(notebook, widget):
    widget.speed.select_option("4")
    widget.play.click()
    assert widget.play.inner_text() == "Pause"
    widget.wait("root.dataset.playing === 'false' && root.dataset.step === root.dataset.last")
    assert widget.written() == "elpmaxe na si sihT"
    assert widget.play.inner_text() == "Play"
    notebook.wait_for_kernel("stepper.step == 5")
    widget.speed.select_option("0.5")
    widget.play.click()
    assert widget.step() == 1
    widget.play.click()
    assert not widget.playing()
    assert widget.step() == 1


def test_layers_and_heads(notebook, widget):
    assert widget.layer.locator("option").all_inner_texts() == ["mean of all layers", "0", "1"]
    assert widget.head.is_disabled()
    assert widget.numbers(0) == percents(notebook)
    widget.layer.select_option("1")
    assert widget.numbers(0) == percents(notebook, 1)
    widget.head.select_option("0")
    assert widget.numbers(0) == percents(notebook, 1, 0)
    assert widget.numbers(0) != percents(notebook, 1)
    notebook.wait_for_kernel("(stepper.layer, stepper.head) == (1, 0)")
    assert notebook.evaluate("repr(stepper)") == repr(
        "TranslationStepper(text='This is an example', layer=1, head=0)"
    )
    widget.head.select_option("")
    widget.layer.select_option("")
    assert widget.numbers(0) == percents(notebook)


def test_pointing_at_tokens_and_cells(notebook, widget):
    widget.to_step(3)
    before = widget.sentence(), widget.lines(), widget.candidates()
    widget.target.nth(0).hover()
    assert widget.sentence().startswith("Step 1 of 5: elpmaxe looks at This")
    assert widget.lines() != before[1]
    assert widget.candidates()[0][1] == "elpmaxe"
    assert widget.step() == 3
    widget.source.nth(1).hover()
    assert widget.readout.inner_text().startswith("␣is is looked at by ␣na ")
    assert widget.sentence() == before[0]
    assert len(widget.lines()) <= 3  # of the tokens that are written only
    widget.sheet.locator("tbody tr").nth(1).locator("td").nth(2).hover()
    share = widget.numbers(1)[2]
    said = widget.readout.inner_text()
    assert said.startswith("␣na looks at ␣an ")
    assert abs(float(said.split()[-2]) - share) <= 0.5
    notebook.page.mouse.move(2, 2)
    assert (widget.sentence(), widget.lines(), widget.candidates()) == before
    widget.target.nth(1).click()
    assert widget.step() == 2


def test_a_token_that_beam_search_chose_is_told_from_the_likeliest(widget):
    widget.translate("beam")
    note = widget.root.locator(".lm-candidates > p").last
    assert [tick for tick, _, _ in widget.candidates()] == [""]
    assert note.inner_text().startswith("✓ c was chosen")
    widget.next.click()
    assert (widget.candidates(), note.inner_text()) == ([], "none were given")


# --- typing and the kernel ---


def test_enter_translates_and_plays(notebook, widget):
    widget.box.fill("a new sentence")
    widget.box.press("Enter")
    widget.wait("root.querySelector('.lm-source').textContent === 'a␣new␣sentence'")
    assert widget.playing()
    assert widget.box.input_value() == "a new sentence"
    assert notebook.evaluate("stepper.text") == repr("a new sentence")
    widget.to_step(4)
    assert widget.written() == "ecnetnes wen a"


def test_who_wants_less_motion_sees_the_translation_at_once(notebook, widget):
    notebook.page.emulate_media(reduced_motion="reduce")
    widget.box.fill("no motion please")
    widget.box.press("Enter")
    widget.wait("root.dataset.settled === 'true' && root.dataset.last === '4'")
    state = widget.step(), widget.playing()
    durations = widget.root.evaluate(
        """(root) => [...root.querySelectorAll('*')].map(
            (node) => getComputedStyle(node).animationName)"""
    )
    notebook.page.emulate_media(reduced_motion="no-preference")
    assert state == (4, False)
    assert set(durations) == {"none"}


def test_the_newest_row_appears(widget):
    widget.next.click()
    names = widget.sheet.locator("tr.lm-now td").evaluate_all(
        "(cells) => cells.map((cell) => getComputedStyle(cell).animationName)"
    )
    assert set(names) == {"llmlab-appear"}
    names = widget.root.locator(".lm-lines path").evaluate_all(
        "(paths) => paths.map((path) => getComputedStyle(path).animationName)"
    )
    assert set(names) == {"llmlab-flow"}


def test_examples_are_translated_and_hostile_text_stays_text(notebook, widget):
    widget.root.get_by_role("button", name="two dogs").click()
    widget.wait("root.querySelector('.lm-source').textContent === 'two␣dogs'")
    assert widget.box.input_value() == "two dogs"
    widget.root.get_by_role("button", name=HOSTILE).click()
    widget.settled()
    widget.wait("root.querySelector('textarea').value === argument", HOSTILE)
    widget.translate("strange " + HOSTILE)
    widget.to_step(5)
    shown = widget.tokens("source")
    assert shown[1:] == ["␣😀", "مرحبا", "◌\u0301", "⏎", "(empty)", "\\u202e", "\ufffd"]
    assert widget.tokens("target")[1:] == ["漢字", "$x$", "␣<b>b</b>", "■ end"]
    widget.source.nth(0).hover()
    assert notebook.page.locator(f"{TRANSLATION} :is(img, script, b)").count() == 0
    assert notebook.dialogs == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "type a sentence, such as “I like apples.”"),
        (" \n ", "type a sentence, such as “I like apples.”"),
        ("crash", "KeyError: 'crash'"),
    ],
)
def test_an_error_is_shown_and_nothing_is_lost(widget, text, message):
    widget.to_step(3)
    before = widget.tokens("source"), widget.rows(), widget.written()
    widget.box.fill(text)
    widget.box.press("Enter")
    widget.wait("root.querySelector('.lm-message').textContent !== ''")
    assert widget.message.inner_text() == message
    assert widget.box.input_value() == text
    assert (widget.tokens("source"), widget.rows(), widget.written()) == before
    widget.next.click()
    assert widget.step() == 4
    widget.translate("fine again")
    assert widget.message.inner_text() == ""


def test_several_lines_are_pasted_whole(notebook, widget):
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    widget.box.fill("")
    widget.box.focus()
    notebook.page.evaluate("() => navigator.clipboard.writeText('one\\ntwo\\nthree')")
    widget.press("Control+V")
    assert widget.box.input_value() == "one\ntwo\nthree"
    widget.press("Shift+Enter")
    widget.keyboard.type("four")
    assert widget.box.input_value() == "one\ntwo\nthree\nfour"
    widget.press("Enter")
    notebook.wait_for_kernel("stepper.text == 'one\\ntwo\\nthree\\nfour'")
    widget.settled()


def test_half_a_surrogate_pair_becomes_the_replacement_character(notebook, widget):
    widget.box.evaluate(
        "(box) => { box.value = 'a\\ud800b'; box.dispatchEvent(new Event('input')); }"
    )
    widget.box.press("Enter")
    notebook.wait_for_kernel("stepper.text == 'a\\ufffdb'")
    widget.settled()


def test_one_request_at_a_time_while_the_kernel_is_slow(notebook, widget):
    before = widget.written()
    for text in ("wait 1", "wait 2", "wait 3"):
        widget.box.fill(text)
        widget.box.press("Enter")
    widget.root.get_by_text("translating…").wait_for()
    assert widget.root.get_attribute("aria-busy") == "true"
    assert widget.written() == before
    # The longest wait of these tests: the widget gives a silent kernel ten seconds.
    widget.root.get_by_text("still no answer").wait_for()
    (notebook.server.root / "go").touch()
    widget.settled()
    assert widget.message.inner_text() == ""
    assert notebook.evaluate("calls[-2:]") == repr(["wait 1", "wait 3"])
    assert widget.tokens("source") == ["wait", "␣3"]


def test_python_moves_the_view(notebook, widget):
    notebook.run_code("stepper.text = 'set in Python'")
    widget.wait("root.querySelector('.lm-source').textContent === 'set␣in␣Python'")
    assert (widget.box.input_value(), widget.playing(), widget.step()) == (
        "set in Python",
        False,
        1,
    )
    notebook.run_code("stepper.step, stepper.layer, stepper.head = 3, 1, 1")
    widget.wait("root.dataset.step === '3'")
    assert widget.numbers(0) == percents(notebook, 1, 1)
    assert widget.head.input_value() == "1"


def test_two_views_stay_in_sync_and_other_widgets_are_let_alone(notebook, widget):
    other, stranger = (TranslationStepperWidget(notebook, place) for place in (1, 2))
    assert stranger.layer.input_value() == "1"
    before = stranger.written(), stranger.step()
    widget.to_step(3)
    assert other.written() == widget.written()
    other.layer.select_option("0")
    assert widget.numbers(2) == other.numbers(2) == percents(notebook, 0, row=2)
    other.box.fill("typed there")
    assert widget.box.input_value() == "typed there"
    other.box.press("Enter")
    widget.settled()
    other.to_step(2)
    assert widget.written() == other.written() == "ereht depyt"
    assert (stranger.written(), stranger.step()) == before


# --- keys and words ---


def test_keyboard_alone(widget):
    widget.to_step(3)
    widget.layer.select_option("1")
    widget.box.focus()
    visited = []
    for _ in range(13):
        visited.append(widget.focused())
        widget.press("Tab")
    assert visited == [
        "Sentence to translate", "Translate", "two dogs", HOSTILE, "source 0", "target 0", "Back",
        "Play", "Next", "Step", "Speed", "layer", "head",
    ]  # fmt: skip
    assert widget.focused() == "grid"
    widget.press("Home")
    assert widget.step() == 1
    widget.press("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp")
    assert widget.step() == 3
    widget.press("End", "ArrowLeft")
    assert widget.step() == 4
    widget.press("Space")
    assert widget.playing()
    widget.press("Space")
    assert not widget.playing()
    assert widget.focused() == "grid"
    widget.to_step(3)
    widget.slider.focus()
    widget.press("ArrowLeft")
    assert widget.step() == 2
    assert widget.slider.get_attribute("aria-valuetext") == "2 of 5: na"
    widget.source.nth(0).focus()
    widget.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert widget.focused() == "source 1"
    assert widget.readout.inner_text().startswith("␣is is looked at by")
    assert widget.live.text_content().startswith("is, looked at by na ")
    widget.press("Tab")
    assert widget.focused() == "target 0"
    assert widget.sentence().startswith("Step 1 of 5")
    widget.press("End")
    assert widget.focused() == "target 1"
    widget.press("ArrowRight", "Home", "Enter")
    assert (widget.focused(), widget.step()) == ("target 0", 1)


def test_a_screen_reader_hears_each_step_and_finds_a_table(notebook, widget):
    widget.next.click()
    share = percents(notebook, row=1)
    assert widget.live.text_content() == f"Step 2 of 5: na, looks at is {share[1]} percent"
    widget.slider.focus()
    widget.press("End")
    assert widget.live.text_content().endswith("Translation: elpmaxe na si sihT")
    table = widget.sheet.get_by_role("table", name="How many per cent")
    assert table.get_by_role("columnheader").all_inner_texts() == ["This", "␣is", "␣an", "␣example"]
    assert table.get_by_role("rowheader").count() == 5
    widget.to_step(2)
    assert table.get_by_role("rowheader").count() == 2
    assert widget.source.nth(1).get_attribute("aria-label") == f"is, {share[1]} percent"
    nameless = widget.root.evaluate(
        """(root) => [...root.querySelectorAll('button, input, select, textarea, [tabindex]')]
            .filter((node) => !(node.ariaLabel || node.labels?.[0]?.textContent.trim()
                || node.textContent.trim())).map((node) => node.outerHTML)"""
    )
    assert nameless == []
    unprotected = widget.root.evaluate(
        """(root) => [...root.querySelectorAll('button, input, select, textarea, [tabindex]')]
            .filter((node) => !node.dataset.lmSuppressShortcuts).map((node) => node.outerHTML)"""
    )
    assert unprotected == []


def test_the_notebook_keeps_its_keys_to_itself(notebook, widget):
    active = "() => jupyterapp.shell.currentWidget.content.activeCellIndex"
    before = notebook.page.evaluate(active)
    for place in (widget.sheet, widget.next, widget.source.first, widget.layer, widget.slider):
        place.focus()
        widget.press("ArrowDown", "ArrowUp")
    assert notebook.page.evaluate(active) == before


# --- sizes and colours ---

OVER = "(root) => [root.scrollWidth - root.clientWidth, root.clientWidth]"


def test_64_by_64_tokens_scroll_inside_and_follow_the_step(notebook, widget):
    widget.translate("long")
    for width in ("", "600px", "360px"):
        widget.root.evaluate("(root, width) => { root.style.width = width; }", width)
        for step in (64, 1, 33):
            widget.to_step(step)
            found = widget.root.evaluate(
                """(root, t) => {
                    const box = (node) => node.getBoundingClientRect();
                    const inside = (node, around, top = 0, left = 0) => {
                        const [a, b] = [box(node), box(around)];
                        return a.top >= b.top + top - 1 && a.bottom <= b.bottom + 1
                            && a.left >= b.left + left - 1 && a.right <= b.right + 1;
                    };
                    const [stage, sheet] = ['.lm-stage', '.lm-sheet'].map(
                        (name) => root.querySelector(name));
                    const row = root.querySelectorAll('tbody tr')[t];
                    const corner = box(root.querySelector('thead td'));
                    return [root.scrollWidth <= root.clientWidth,
                        inside(root.querySelectorAll('.lm-target .lm-chip')[t], stage),
                        inside(root.querySelectorAll('.lm-source .lm-chip')[t], stage),
                        inside(row.querySelectorAll('td')[t], sheet, corner.height, corner.width),
                        box(sheet).height < 450];
                }""",
                step - 1,
            )
            assert found == [True] * 5, (width, step)
    widget.root.evaluate("(root) => { root.style.width = ''; }")
    notebook.screenshot("translation_stepper_long", widget.root)


def test_the_page_does_not_jump_while_it_plays(widget):
    widget.translate("a sentence of several words that are written one by one")
    heights = set()
    for step in range(1, 13):
        widget.to_step(step)
        heights.add(widget.root.evaluate("(root) => root.offsetHeight"))
    assert len(heights) == 1


CONTRASTS = """
(root) => {
    const page = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const light = (...colours) => {
        for (const colour of colours) {
            page.fillStyle = colour;
            page.fillRect(0, 0, 1, 1);
        }
        const [r, g, b] = [...page.getImageData(0, 0, 1, 1).data].map((value) => {
            const share = value / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const paper = getComputedStyle(root).backgroundColor;
    const nodes = root.querySelectorAll('.lm-chip, .lm-now td, td.lm-column, tbody th, thead th,'
        + '.lm-step, .lm-muted, .lm-message, .lm-readout, .lm-written p, .lm-share, .lm-mark,'
        + '.lm-tick, .lm-play');
    return [...nodes].filter((node) => node.textContent.trim()
            && getComputedStyle(node).visibility === 'visible').map((node) => {
        const grounds = [paper];
        for (const at of [node.parentNode.parentNode, node.parentNode, node]) {
            if (root.contains(at)) grounds.push(getComputedStyle(at).backgroundColor);
        }
        const alpha = Number(getComputedStyle(node).opacity);
        const { color } = getComputedStyle(node);
        const ink = `color-mix(in srgb, ${color} ${100 * alpha}%, transparent)`;
        const [a, b] = [light(...grounds), light(...grounds, ink)];
        return [Math.max(a, b) / Math.min(a, b), node.className + ' ' + node.textContent];
    });
}
"""


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, widget, theme):
    notebook.theme(f"JupyterLab {theme}")
    name = f"translation_stepper_{theme.lower()}"
    contrasts = []
    # Still pictures: no colour is on its way to another.
    notebook.page.emulate_media(reduced_motion="reduce")
    for layer in ("", "0", "1"):
        widget.layer.select_option(layer)
        for step in (1, 3, 5):
            widget.to_step(step)
            contrasts += widget.root.evaluate(CONTRASTS)
            if not layer:
                notebook.screenshot(f"{name}_{step}", widget.root)
    widget.source.nth(2).hover()
    contrasts += widget.root.evaluate(CONTRASTS)
    notebook.screenshot(f"{name}_column", widget.root)
    widget.box.fill("")
    widget.box.press("Enter")
    widget.wait("root.querySelector('.lm-message').textContent !== ''")
    contrasts += widget.root.evaluate(CONTRASTS)
    widget.root.evaluate("(root) => { root.style.width = '360px'; }")
    notebook.screenshot(f"{name}_360", widget.root)
    overflow, width = widget.root.evaluate(OVER)
    widget.root.evaluate("(root) => { root.style.width = ''; }")
    notebook.page.emulate_media(reduced_motion="no-preference")
    notebook.theme("JupyterLab Light")
    assert (overflow, width) == (0, 360)
    contrast, text = min(contrasts)
    assert contrast >= 4.5, text


def test_the_numbers_are_seen_where_the_system_sets_the_colours(notebook, widget):
    widget.to_step(3)
    notebook.page.emulate_media(forced_colors="active")
    ink, ground = widget.sheet.locator("tbody td").first.evaluate(
        "(cell) => [getComputedStyle(cell).color, getComputedStyle(cell).backgroundColor]"
    )
    fill, track = widget.root.locator(".lm-chosen").evaluate(
        """(item) => ['.lm-fill', '.lm-track'].map(
            (name) => getComputedStyle(item.querySelector(name)).backgroundColor)"""
    )
    notebook.screenshot("translation_stepper_forced_colors", widget.root)
    notebook.page.emulate_media(forced_colors="none")
    assert ink != ground
    assert "0)" not in ink.removeprefix("rgb(0, 0, 0)")
    assert fill != track


# --- lifetimes ---


def test_views_leave_nothing_behind(notebook):
    class Reading:
        source_tokens, target_tokens, text = ("a", "b"), ("c", "<end>"), "c"
        weights_LHTS, candidates = [[[[0.5, 0.5]] * 2]], ((("c", 0.5),),) * 2

    widget = TranslationStepper(lambda text: Reading())
    names = ("text", "reading", "weights", "examples", "step", "layer", "head")
    traits = {name: getattr(widget, name) for name in names}
    views_leave_nothing_behind(notebook, "translation_stepper.js", traits)


def test_a_reloaded_page_and_a_cell_run_again_show_the_present_state(lab):
    lab.open(small_notebook())
    lab.run_all()
    widget = TranslationStepperWidget(lab)
    widget.translate("keep this please")
    widget.layer.select_option("1")
    widget.head.select_option("0")
    widget.to_step(2)
    lab.wait_for_kernel("(stepper.step, stepper.layer, stepper.head) == (2, 1, 0)")
    shown = widget.written(), widget.numbers(1), widget.sentence()
    lab.page.evaluate("() => { jupyterapp.shell.currentWidget.content.activeCellIndex = 1; }")
    lab.command("notebook:run-cell")
    again = TranslationStepperWidget(lab)
    assert (again.written(), again.numbers(1), again.sentence()) == shown
    assert again.box.input_value() == "keep this please"
    assert (again.layer.input_value(), again.head.input_value()) == ("1", "0")


def test_the_picture_stands_in_where_there_is_no_kernel(lab):
    lab.open(small_notebook())
    lab.run_all()
    cells = lab.cells()
    assert all("image/png" in cell["outputs"][0]["data"] for cell in cells[1:])
    assert "".join(cells[1]["outputs"][0]["data"]["text/plain"]) == (
        "TranslationStepper(text='This is an example')"
    )
    saved = nbformat.v4.new_notebook(cells=nbformat.from_dict(cells))
    lab.open(saved, keep_outputs=True)
    picture = lab.page.locator(".jp-OutputArea-output img").first
    picture.wait_for()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 300


def test_all_but_typing_works_when_the_kernel_has_stopped(lab):
    lab.open(small_notebook())
    lab.run_all()
    widget = TranslationStepperWidget(lab)
    lab.shutdown_kernel()
    widget.to_step(5)
    widget.layer.select_option("1")
    assert widget.written() == "elpmaxe na si sihT"
    widget.box.fill("anyone there")
    widget.box.press("Enter")
    widget.root.get_by_text("still no answer: the kernel is busy or stopped").wait_for()
    assert widget.box.input_value() == "anyone there"
    assert widget.written() == "elpmaxe na si sihT"
    # ipywidgets itself mentions the message that it could not send.
    lab.console_errors[:] = [error for error in lab.console_errors if "Cannot send" not in error]


def test_the_page_complained_of_nothing_of_ours(lab):
    assert [error for error in lab.console_errors if "blob:" in error or "llmlab" in error] == []
