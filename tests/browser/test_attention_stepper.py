"""AttentionStepper in JupyterLab: what a person sees, presses, hears and types."""

import ast

import nbformat
import numpy as np
import pytest

from llmlab.viz import AttentionStepper

from .attention_stepper_page import STEPPER, AttentionStepperWidget
from .lab import notebook_of
from .lifetime import views_leave_nothing_behind

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"
SETUP = f'''
import numpy as np
from llmlab.viz import AttentionStepper

rng = np.random.default_rng(4)
q, k, v = (rng.normal(size=(6, 4)) for _ in range(3))
tokens = ["The", " cat", " sat", " on", "{HOSTILE}", "\\n"]
stepper = AttentionStepper(q, k, v, tokens=tokens, query=3)
'''
FRESH = (
    "stepper.edits = []; stepper.query, stepper.step, stepper.scaled, stepper.masked ="
    " 3, 0, True, True"
)


def small_notebook():
    another = "AttentionStepper(q, k, v, tokens=tokens, query=5)"
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
    """The widget as it was opened; what the last test did has reached Python first."""
    widget = AttentionStepperWidget(notebook)
    widget.root.evaluate("(root) => document.activeElement.blur()")
    widget.next.focus()
    notebook.page.wait_for_timeout(300)  # a change that is still to be told would win
    notebook.run_code(FRESH)
    notebook.wait(
        "(root) => root.dataset.step === '0'"
        " && root.querySelectorAll('[type=radio]')[3].checked"
        " && !root.querySelector('.lm-edited')"
        " && [...root.querySelectorAll('[type=checkbox]')].every((box) => box.checked)",
        widget.root.element_handle(),
    )
    return widget


def python_weights(notebook):
    return ast.literal_eval(notebook.evaluate("stepper.weights().tolist()"))


def test_columns_appear_step_by_step_with_real_numbers(notebook, widget):
    assert widget.columns() == ["key", "vector", "q·k"]
    expected = notebook.evaluate(
        "[f'{x:.2f}'.replace('-', '−') for x in np.float32(k) @ np.float32(q)[3]]"
    )
    assert widget.column("q·k") == ast.literal_eval(expected)
    assert widget.column("key")[1] == "␣cat"
    for names, said in [
        (["scaled"], "Step 2: divide by 2, the root of 4"),
        (["masked"], "Step 3: the mask hides 2 keys: their scores become −∞"),
        (["exp", "weight"], "Step 4: softmax: exp of every score, divided by the sum of them all"),
        (["value"], "Step 5: every value times its weight, added up"),
    ]:
        before = widget.columns()
        widget.next.click()
        assert widget.columns() == before + names
        assert widget.sentence() == said
        assert widget.live.text_content() == said.replace("−∞", "minus infinity")
    assert widget.column("masked")[3:] == [widget.column("scaled")[3], "−∞", "−∞"]
    assert widget.column("weight")[4:] == ["0.000", "0.000"]
    assert widget.weights() == pytest.approx(python_weights(notebook), abs=1e-12)
    output = ast.literal_eval(notebook.evaluate("stepper.output().tolist()"))
    assert widget.output() == "output: " + ", ".join(
        f"{number:.2f}".replace("-", "−") for number in output
    )
    assert widget.next.get_attribute("aria-disabled") == "true"
    widget.next.click(force=True)
    notebook.wait_for_kernel("stepper.step == 4")
    widget.back.click()
    assert widget.columns() == ["key", "vector", "q·k", "scaled", "masked", "exp", "weight"]


def test_keyboard_alone(notebook, widget):
    widget.queries.nth(3).focus()
    visited = []
    for _ in range(8):
        visited.append(widget.focused())
        widget.press("Tab")
    assert visited[:6] == ["radio 3", "Back", "Next", "Scale", "Mask", "Reset scores"]
    assert visited[6] == "sheet"
    assert visited[7] == f"score {widget.chosen()}"
    assert widget.focused() == "outside"
    widget.queries.nth(3).focus()
    widget.press("ArrowLeft", "ArrowUp")
    assert widget.query() == 1
    assert widget.focused() == "radio 1"
    assert widget.live.text_content().startswith("Query space cat")
    widget.press("Tab", "Tab", "Enter", "Space")
    assert widget.root.get_attribute("data-step") == "2"
    widget.press("Tab", "Space")
    assert not widget.scale.is_checked()
    widget.press("Tab", "Space")
    assert not widget.mask.is_checked()
    notebook.wait_for_kernel(
        "(stepper.query, stepper.step, stepper.scaled, stepper.masked) == (1, 2, False, False)"
    )


def test_the_sheet_takes_arrow_keys(notebook, widget):
    widget.sheet.focus()
    widget.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft")
    assert widget.sentence().startswith("Step 3")
    widget.press("Home")
    assert widget.chosen() == 0
    widget.press("ArrowDown", "ArrowDown", "ArrowUp")
    assert widget.chosen() == 1
    assert widget.live.text_content().startswith("Key space cat: this key may be seen, the score")
    widget.press("End", "ArrowDown")
    assert widget.chosen() == 5
    assert "later than the query, so " in widget.detail.inner_text()
    assert widget.live.text_content().endswith("becomes minus ∞")
    widget.press("PageUp", "PageUp", "PageDown")
    assert widget.query() == 2
    assert notebook.page.locator(".jp-Notebook.jp-mod-commandMode .jp-mod-selected").count() <= 1
    notebook.wait_for_kernel("(stepper.query, stepper.step) == (2, 2)")


def test_arrow_keys_work_after_a_click_on_a_button_and_leave_boxes_and_radios_alone(
    notebook, widget
):
    selected = "() => jupyterapp.shell.currentWidget.content.activeCellIndex"
    before = notebook.page.evaluate(selected)
    step = "(root) => root.dataset.step"
    widget.next.click()
    widget.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert widget.root.evaluate(step) == "2"
    widget.press("Enter", "ArrowLeft")
    assert widget.root.evaluate(step) == "2"
    assert widget.focused() == "Next"
    key = widget.chosen()
    widget.press("ArrowUp")
    assert widget.chosen() == key - 1
    for control in (widget.back, widget.scale, widget.mask, widget.reset):
        control.focus()
        widget.press("ArrowRight")
        assert widget.root.evaluate(step) == "3"
        widget.press("ArrowLeft")
        assert widget.root.evaluate(step) == "2"
    widget.scores.nth(1).focus()
    widget.press("ArrowRight", "ArrowLeft")
    assert widget.root.evaluate(step) == "2"
    widget.queries.nth(3).focus()
    widget.press("ArrowLeft")
    assert (widget.root.evaluate(step), widget.query()) == ("2", 2)
    assert notebook.page.evaluate(selected) == before
    assert widget.root.locator(".lm-hint").inner_text() == "← → steps, ↑ ↓ keys"


def test_the_products_of_the_chosen_key_are_written_out(notebook, widget):
    widget.sheet.locator("tbody th").nth(1).click()
    assert widget.chosen() == 1
    table = widget.detail.locator("tr").all_inner_texts()
    numbers = [
        [float(cell.replace("−", "-")) for cell in row.split("\t")[1:] if cell.strip()]
        for row in table[1:]
    ]
    query, key, product = numbers
    assert len(query) == len(key) == 4
    np.testing.assert_allclose(np.multiply(query, key), product[:4], atol=0.03)
    assert sum(product[:4]) == pytest.approx(product[4], abs=0.03)
    assert f"{product[4]:.2f}".replace("-", "−") == widget.column("q·k")[1]


def test_switches_show_what_breaks(notebook, widget):
    assert widget.note.inner_text() == ""
    widget.scale.uncheck()
    before = float(notebook.evaluate("float(stepper.weights().max())"))
    notebook.wait_for_kernel("not stepper.scaled")
    after = float(notebook.evaluate("float(stepper.weights().max())"))
    assert widget.note.inner_text() == (
        f"Without the scale, the largest weight goes from {before:.2f} to {after:.2f}."
    )
    assert widget.column("scaled") == widget.column("q·k")
    widget.scale.check()
    widget.mask.uncheck()
    notebook.wait_for_kernel("stepper.scaled and not stepper.masked")
    share = float(notebook.evaluate("float(stepper.weights()[4:].sum())"))
    assert widget.note.inner_text() == (
        f"Without the mask, the future is visible: later tokens get {share:.2f} of the weight."
    )
    assert widget.weights() == pytest.approx(python_weights(notebook), abs=1e-12)
    assert min(widget.weights()) > 0


def test_scores_are_edited_by_hand(notebook, widget):
    box = widget.scores.nth(1)
    old = box.input_value()
    box.focus()
    widget.keyboard.type("9.5")
    notebook.wait_for_kernel("stepper.edits == [[3, 1, 9.5]]")
    assert widget.weights() == pytest.approx(python_weights(notebook), abs=1e-12)
    assert widget.weights()[1] > 0.9
    assert widget.note.inner_text() == "1 score is written over by hand."
    notebook.wait(
        "(node) => node.textContent.startsWith('Score of space cat is 9.5, its weight 0.9')",
        widget.live.element_handle(),
    )
    widget.press("Enter")
    assert box.input_value() == "9.50"
    widget.press("ArrowDown")
    assert widget.focused() == "score 2"
    widget.press("ArrowUp", "ArrowUp", "ArrowUp")
    assert widget.focused() == "score 0"
    widget.queries.nth(4).check()
    assert widget.note.inner_text() == ""
    widget.queries.nth(3).check()
    assert widget.note.inner_text() == "1 score is written over by hand."
    widget.reset.click()
    assert box.input_value() == old
    notebook.wait_for_kernel("stepper.edits == []")


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        ("abc", "“abc” is no number"),
        ("", "An empty box is no number"),
        ("1e400", "“1e400” is too large"),
        (HOSTILE, "“</script><img src=x onerror=al…” is no number"),
    ],
)
def test_what_is_no_number_gets_a_message_and_loses_nothing(notebook, widget, typed, what):
    box = widget.scores.nth(0)
    box.fill("2.25")
    notebook.wait_for_kernel("stepper.edits == [[3, 0, 2.25]]")
    weights = widget.weights()
    box.fill(typed)
    message = widget.message.inner_text().replace("\u2068", "").replace("\u2069", "")
    assert message == f"{what}; the score stays 2.25. Type a number such as 1.5 or −2."
    assert box.get_attribute("aria-invalid") == "true"
    assert box.input_value() == typed
    assert widget.weights() == weights
    widget.sheet.focus()
    assert box.input_value() == "2.25"
    assert box.get_attribute("aria-invalid") is None
    assert notebook.evaluate("stepper.edits") == "[[3, 0, 2.25]]"
    box.fill("−1")
    assert widget.message.inner_text() == ""
    notebook.wait_for_kernel("stepper.edits == [[3, 0, -1.0]]")
    assert notebook.page.locator(f"{STEPPER} img, {STEPPER} script").count() == 0
    assert notebook.dialogs == []


def test_everything_happens_in_the_page(notebook, widget):
    # No message can be sent within one task of the page, so all that is drawn here is its own.
    found = widget.root.evaluate(
        """(root) => {
            const seen = [];
            for (const radio of root.querySelectorAll('[type=radio]')) {
                radio.click();
                const [...bars] = root.querySelectorAll('.lm-track');
                seen.push(bars.map((bar) => Number(bar.parentNode.title)));
            }
            return seen;
        }"""
    )
    for query, row in enumerate(found):
        assert sum(row) == pytest.approx(1)
        assert [weight > 0 for weight in row] == [key <= query for key in range(6)]


def test_pointing_at_a_vector_tells_its_numbers(notebook, widget):
    widget.sheet.locator("tbody .lm-vector").nth(0).hover(position={"x": 20, "y": 5})
    number = float(notebook.evaluate("float(np.float32(k)[0, 1])"))
    assert widget.tip.inner_text() == f"key The, number 2 of 4: {number:.4f}".replace("-", "−")
    notebook.page.mouse.move(2, 2)
    assert widget.tip.is_hidden()


def test_a_screen_reader_finds_a_table_with_heads(notebook, widget):
    table = widget.sheet.get_by_role("table")
    assert table.get_by_role("columnheader").all_inner_texts() == [
        "key", "vector", "q·k", "scaled", "masked", "exp", "weight", "value",
    ]  # fmt: skip
    heads = table.get_by_role("rowheader").all_inner_texts()
    assert heads[:3] == ["query ␣on", "The", "␣cat"]
    assert widget.queries.evaluate_all("(all) => all.map((radio) => radio.ariaLabel)")[1] == (
        "space cat"
    )
    assert widget.scores.nth(1).get_attribute("aria-label") == "Score of space cat"


def test_python_moves_the_view(notebook, widget):
    notebook.run_code("stepper.query, stepper.step, stepper.masked = 1, 3, False")
    notebook.run_code("stepper.edits = [(1, 0, -3)]")
    notebook.wait(
        "(root) => root.dataset.step === '3' && root.querySelector('.lm-edited')",
        widget.root.element_handle(),
    )
    assert widget.query() == 1
    assert not widget.mask.is_checked()
    assert widget.column("q·k")[0] == "−3.00"
    assert widget.weights() == pytest.approx(python_weights(notebook), abs=1e-12)


def test_two_views_stay_in_sync_and_other_widgets_are_let_alone(notebook, widget):
    other, stranger = (AttentionStepperWidget(notebook, place) for place in (1, 2))
    widget.queries.nth(1).check()
    widget.next.click()
    assert other.query() == widget.query() == 1
    assert other.sentence() == widget.sentence()
    other.scores.nth(0).fill("4")
    assert widget.column("q·k")[0] == "4.00"
    assert (widget.query(), stranger.query()) == (1, 5)
    stranger.queries.nth(0).check()
    assert (widget.query(), other.query(), stranger.query()) == (1, 1, 0)


def test_views_leave_nothing_behind(notebook):
    widget = AttentionStepper([[1.0]], [[2.0]], [[3.0]], tokens=["a"])
    names = ("numbers", "words", "query", "step", "scaled", "masked", "edits")
    traits = {name: getattr(widget, name) for name in names}
    views_leave_nothing_behind(notebook, "attention_stepper.js", traits)


def test_the_numbers_are_seen_where_the_system_sets_the_colours(notebook, widget):
    notebook.run_code("stepper.step = 4")
    notebook.wait("(root) => root.dataset.step === '4'", widget.root.element_handle())
    notebook.page.emulate_media(forced_colors="active")
    adjusted = widget.sheet.locator(".lm-vector").first.evaluate(
        "(node) => getComputedStyle(node).forcedColorAdjust"
    )
    notebook.screenshot("attention_stepper_forced_colors", widget.root)
    notebook.page.emulate_media(forced_colors="none")
    assert adjusted == "none"


CONTRASTS = """
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
    const paper = getComputedStyle(root.querySelector('tbody td')).backgroundColor;
    const nodes = root.querySelectorAll(
        '.lm-step, .lm-note, .lm-message, legend, .lm-now, .lm-query td, tbody th, tbody td,'
        + 'tfoot td, input');
    return [...nodes].map((node) => {
        const back = getComputedStyle(node).backgroundColor;
        const [a, b] = [[paper, back], [paper, back, getComputedStyle(node).color]].map(
            (colours) => light(paint(...colours)));
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.textContent];
    });
}
"""


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_boxes_have_edges_in_the_row_of_the_chosen_key(notebook, widget, theme):
    notebook.theme(f"JupyterLab {theme}")
    contrasts = widget.sheet.evaluate(
        """(sheet) => {
            const page = document.createElement('canvas').getContext('2d');
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
            return [...sheet.querySelectorAll('tbody :is(input, .lm-vector)')].map((box) => {
                const ground = getComputedStyle(box.parentNode).backgroundColor;
                const style = getComputedStyle(box);
                const edge = box.matches('input') ? style.borderTopColor : style.outlineColor;
                const [a, b] = [light(ground), light(ground, edge)];
                return Math.max(a, b) / Math.min(a, b);
            });
        }"""
    )
    notebook.theme("JupyterLab Light")
    assert len(contrasts) == 18
    assert min(contrasts) >= 3


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, widget, theme):
    notebook.theme(f"JupyterLab {theme}")
    name = f"attention_stepper_{theme.lower()}"
    notebook.screenshot(name, widget.root)
    widget.next.focus()
    widget.press("Enter", "Enter", "Enter", "Enter")
    notebook.screenshot(f"{name}_sum", widget.root)
    contrasts = widget.root.evaluate(CONTRASTS)
    widget.scale.uncheck()
    widget.mask.uncheck()
    widget.scores.nth(1).fill("8")
    notebook.screenshot(f"{name}_broken", widget.root)
    widget.scores.nth(1).fill("8x")
    contrast, text = min(contrasts + widget.root.evaluate(CONTRASTS))
    assert contrast >= 4.5, text
    widget.root.evaluate("(root) => { root.style.width = '360px'; }")
    notebook.screenshot(f"{name}_360", widget.root)
    overflow = widget.root.evaluate("(root) => root.scrollWidth - root.clientWidth")
    widget.root.evaluate("(root) => { root.style.width = ''; }")
    assert overflow <= 0
    notebook.theme("JupyterLab Light")


def test_long_tables_scroll_in_themselves_and_keep_the_chosen_row_in_sight(notebook, widget):
    cell = nbformat.v4.new_code_cell(
        SETUP + "AttentionStepper(*(rng.normal(size=(40, 64)) for _ in range(3)),"
        " tokens=[f' word{n}' for n in range(40)])"
    )
    notebook.open(nbformat.v4.new_notebook(cells=[cell]))
    notebook.run_all()
    long = AttentionStepperWidget(notebook)
    long.sheet.focus()
    long.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    for key, row in [("Home", 0), ("End", 39), ("ArrowUp", 38)]:
        long.press(key)
        seen = long.sheet.evaluate(
            """(sheet, row) => {
                const [box, line, head, foot] = [sheet, sheet.querySelectorAll('tbody tr')[row],
                    sheet.querySelector('thead'), sheet.querySelector('tfoot')].map(
                    (node) => node.getBoundingClientRect());
                return line.top >= head.bottom - 1 && line.bottom <= foot.top + 1
                    && head.top >= box.top - 1 && foot.bottom <= box.bottom + 1;
            }""",
            row,
        )
        assert seen, key
    assert long.detail.locator("th").all_inner_texts()[8] == "56 others"
    notebook.screenshot("attention_stepper_long", long.root)


WIDE = SETUP + (
    "tokens = ['The', ' animal', '</script><img src=x onerror=alert(1)>', ' \\0$x$', ' because',"
    " ' it']\n"
    "q, k, v = (rng.normal(size=(6, 8)) for _ in range(3))\n"
    "k[0] = 0\n"
    "wide = AttentionStepper(3 * q, 3 * k, v, tokens=tokens)\n"
    "wide"
)

COLUMNS = """
(sheet) => {
    const box = sheet.getBoundingClientRect();
    const wrong = [];
    for (const row of sheet.querySelectorAll('tr')) {
        const [first, ...cells] = row.children;
        const edge = first.getBoundingClientRect().right;
        for (const cell of cells) {
            const { left, right, width } = cell.getBoundingClientRect();
            const seen = width > 0 && getComputedStyle(cell).visibility === 'visible';
            if (seen && left < edge - 1 && right > edge + 1) {
                wrong.push(`${cell.textContent} is half covered`);
            }
            const input = cell.querySelector('input');
            if (cell.scrollWidth > cell.clientWidth + 1
                || (input && input.scrollWidth > input.clientWidth)) {
                wrong.push(`${input?.value ?? cell.textContent} is cut`);
            }
        }
    }
    const { step } = sheet.closest('[data-step]').dataset;
    const [present] = [...sheet.querySelectorAll(`tbody .lm-column-${step}`)].slice(-1);
    const { left, right } = present.getBoundingClientRect();
    const edge = sheet.querySelector('tbody th').getBoundingClientRect().right;
    if (left < edge - 1) wrong.push('the present column begins behind the first one');
    if (right > Math.max(box.right, left + box.right - edge) + 1) wrong.push('it ends outside');
    return { wrong, over: sheet.scrollWidth - sheet.clientWidth, left: sheet.scrollLeft };
}
"""


def resized(widget, width):
    """The sheet gets a width; what depends on it has been drawn."""
    widget.root.evaluate(
        """(root, width) => {
            const around = root.offsetWidth - root.querySelector('.lm-sheet').offsetWidth;
            root.style.width = `${width + around}px`;
            return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        }""",
        width,
    )


def test_all_steps_fit_and_no_column_is_half_covered(notebook):
    notebook.open(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(WIDE)]))
    notebook.run_all()
    wide = AttentionStepperWidget(notebook)
    at_ordinary_width = {}
    for width in (860, 660, 640, 480, 360, 300):
        resized(wide, width)
        wide.sheet.focus()
        wide.press(*["ArrowLeft"] * 4)
        for step in range(5):
            found = wide.sheet.evaluate(COLUMNS)
            assert found["wrong"] == [], (width, step)
            assert width < 640 or found["over"] <= 0, (width, step)
            if width == 660:
                at_ordinary_width[step] = wide.columns()
            # By hand, the sheet scrolls from column to column, too.
            wide.sheet.evaluate("(sheet) => { sheet.scrollLeft += 30; }")
            assert [text for text in wide.sheet.evaluate(COLUMNS)["wrong"] if "half" in text] == []
            wide.press("ArrowRight")
    assert at_ordinary_width[0] == ["key", "vector", "q·k"]
    assert at_ordinary_width[4] == ["key", "q·k", "scaled", "masked", "exp", "weight", "value"]
    notebook.run_code("wide.edits = [(5, 0, -1234.56), (5, 1, -1e308), (5, 2, -9999.99)]")
    notebook.wait("(root) => root.querySelector('.lm-edited')", wide.root.element_handle())
    assert wide.column("q·k")[:3] == ["−1234.56", "−1.0e+308", "−9999.99"]
    assert wide.sheet.evaluate(COLUMNS)["wrong"] == []
    wide.reset.click()
    for theme in ("Light", "Dark"):
        notebook.theme(f"JupyterLab {theme}")
        for width in (660, 756):
            resized(wide, width)
            wide.sheet.focus()
            wide.press(*["ArrowLeft"] * 4, "Home")
            notebook.screenshot(f"attention_stepper_{theme.lower()}_{width}_first", wide.root)
            wide.press(*["ArrowRight"] * 4)
            notebook.screenshot(f"attention_stepper_{theme.lower()}_{width}_last", wide.root)
    notebook.theme("JupyterLab Light")


def test_the_picture_stands_in_where_there_is_no_kernel(lab):
    lab.open(small_notebook())
    lab.run_all()
    cells = lab.cells()
    assert all("image/png" in cell["outputs"][0]["data"] for cell in cells[1:])
    saved = nbformat.v4.new_notebook(cells=nbformat.from_dict(cells))
    lab.open(saved, keep_outputs=True)
    picture = lab.page.locator(".jp-OutputArea-output img").first
    picture.wait_for()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 300


def test_a_reloaded_page_and_a_cell_run_again_show_the_present_state(lab):
    lab.open(small_notebook())
    lab.run_all()
    widget = AttentionStepperWidget(lab)
    widget.queries.nth(2).check()
    widget.next.click()
    lab.wait_for_kernel("(stepper.query, stepper.step) == (2, 1)")
    lab.command("notebook:move-cursor-down")
    lab.page.evaluate("() => { jupyterapp.shell.currentWidget.content.activeCellIndex = 1; }")
    lab.command("notebook:run-cell")
    again = AttentionStepperWidget(lab)
    assert again.query() == 2
    assert again.sentence() == "Step 2: divide by 2, the root of 4"


def test_everything_works_when_the_kernel_has_stopped(lab):
    lab.open(small_notebook())
    lab.run_all()
    widget = AttentionStepperWidget(lab)
    lab.shutdown_kernel()
    widget.next.click()
    widget.queries.nth(0).check()
    widget.mask.uncheck()
    widget.scores.nth(5).fill("50")
    assert widget.weights()[5] == pytest.approx(1)
    assert widget.columns() == ["key", "vector", "q·k", "scaled"]
    widget.press("Tab")
    # ipywidgets itself mentions the message that it could not send.
    lab.console_errors[:] = [error for error in lab.console_errors if "Cannot send" not in error]


def test_the_page_complained_of_nothing_of_ours(lab):
    assert [error for error in lab.console_errors if "blob:" in error or "llmlab" in error] == []
