"""EmbeddingMap in JupyterLab: what a person sees, types, hears and clicks."""

import nbformat
import numpy as np
import pytest

from llmlab.viz import EmbeddingMap

from .embedding_map_page import WIDGET, EmbeddingMapWidget, work_by_keyboard_alone
from .lab import notebook_of
from .lifetime import views_leave_nothing_behind

pytestmark = pytest.mark.browser

SETUP = r"""
import numpy as np
from llmlab.viz import EmbeddingMap

HOSTILE = "</script><img src=x onerror=alert(1)>"
PEOPLE = ["king", "queen", "man", "woman", "prince", "uncle"]
FRUITS = ["apple", "mango", "orange", "pear", "cherry"]
ODD = [HOSTILE, "😀", "مرحبا", "\ud800", "y" * 200, "$x$ & <b>bold</b>"]
words = [*PEOPLE, *FRUITS, *ODD, *(f"word{i}" for i in range(1_983))]
vectors = np.random.default_rng(5).normal(size=(2_000, 20))
vectors[:6, 0] += 5
vectors[6:11, 1] += 5
vectors[5] = vectors[0] - 1.5 * vectors[2] + 1.5 * vectors[3]
shown = ["king", "queen", "man", "woman", "apple", "mango", "orange"]
groups = {"people": PEOPLE, "fruits": FRUITS}
"""
MAKE = "widget = EmbeddingMap(words, vectors, shown=shown, groups=groups)"
HOSTILE = "</script><img src=x onerror=alert(1)>"
SHOWN = ["king", "queen", "man", "woman", "apple", "mango", "orange"]


def small_notebook():
    sources = (SETUP + MAKE, "widget", "widget")
    return notebook_of(*sources)


@pytest.fixture(scope="module")
def ours():
    """The same words and vectors on this side."""
    space = {}
    exec(SETUP, space)
    return space


@pytest.fixture
def oracle(ours):
    """The same map on this side."""
    return EmbeddingMap(ours["words"], ours["vectors"], shown=SHOWN)


@pytest.fixture(scope="module")
def notebook(lab):
    lab.page.emulate_media(reduced_motion="reduce")
    lab.open(small_notebook())
    lab.run_all()
    assert lab.errors() == []
    return lab


@pytest.fixture
def widget(notebook):
    notebook.run_code(f"widget.shown = {SHOWN}; widget.fit()")
    widget = EmbeddingMapWidget(notebook)
    notebook.wait(
        "([root, count]) => root.querySelectorAll('.lm-word').length === count"
        " && root.querySelector('.lm-note').textContent.endsWith('show.')",
        [widget.root.element_handle(), len(SHOWN)],
    )
    widget.choose("king")
    return widget


def rounded(neighbours):
    return [[word, f"{cosine:.2f}"] for word, cosine in neighbours]


def test_the_map_is_there_and_a_typed_word_is_placed_where_numpy_says(notebook, widget, oracle):
    np.testing.assert_allclose(widget.positions(), oracle.place(), atol=1e-6)
    before = widget.positions()
    widget.add("pear")
    oracle.shown = [*SHOWN, "pear"]
    assert widget.shown() == oracle.shown
    assert widget.positions()[:7] == before
    np.testing.assert_allclose(widget.positions(), oracle.place(), atol=1e-6)
    assert widget.message.inner_text() == "Added: pear."
    assert widget.box.input_value() == ""
    share = f"{100 * oracle.shares().sum():.0f} %"
    assert f"The plane shows {share} of the spread of the 8 words" in widget.note.inner_text()
    notebook.wait_for_kernel("widget.shown[-1] == 'pear' and len(widget.fitted) == 7")
    widget.fit.click()
    oracle.fit()
    np.testing.assert_allclose(widget.positions(), oracle.place(), atol=1e-6)
    assert np.abs(np.subtract(widget.positions()[:7], before)).max() > 1e-3
    notebook.wait_for_kernel("len(widget.fitted) == 8")


def test_pixels_keep_the_distances_of_the_plane(widget, oracle):
    pixels = widget.words.evaluate_all(
        "words => words.map((word) => { const r = word.querySelector('svg')"
        ".getBoundingClientRect(); return [r.x + r.width / 2, -r.y - r.height / 2]; })"
    )
    place = oracle.place()
    ratio = np.subtract(pixels[1:], pixels[0]) / (place[1:] - place[0])
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=0.02)


def test_hovering_a_word_lists_the_neighbours_numpy_finds(notebook, widget, oracle):
    for name in ("mango", "woman", "king"):
        widget.word(name).locator(".lm-label").hover()
        widget.wait_until_chosen(name)
        assert widget.neighbours() == rounded(oracle.neighbours(name))
        assert widget.heading.inner_text() == f"Nearest to {name} of 2,000 words"
        here = [word for word, _ in oracle.neighbours(name) if word in SHOWN]
        assert widget.lines.count() == len(here) > 0
    widget.word("apple").locator("svg").hover()
    widget.wait_until_chosen("apple")
    # A word that comes to lie under a resting pointer is not chosen.
    widget.choose("queen")
    for padding in ("60px", ""):
        widget.root.evaluate("(root, padding) => { root.style.paddingLeft = padding; }", padding)
        notebook.page.wait_for_timeout(200)
        assert widget.chosen() == "queen"


def test_the_neighbours_are_told(notebook, widget, oracle):
    widget.choose("queen")
    nearest = ", ".join(" ".join(pair) for pair in rounded(oracle.neighbours("queen")))
    notebook.wait(
        "([node, text]) => node.textContent === text",
        [
            widget.root.locator(".lm-spoken").element_handle(),
            f"Nearest to queen: {nearest}",
        ],
    )
    assert widget.word("queen").get_attribute("aria-label") == "queen, people"
    word, cosine = rounded(oracle.neighbours("queen"))[0]
    label = widget.rows.first.get_attribute("aria-label")
    assert label.startswith(f"{word}, cosine {cosine}, ")


def test_several_words_at_once_and_those_it_does_not_know(widget):
    widget.add("pear, KING kng Cherry nosuchword, apple - ")
    assert widget.shown() == [*SHOWN, "pear", "cherry"]
    said = widget.message.inner_text()
    assert "Added: pear, cherry. On the map already: king." in said
    assert "Not among the 2,000 words: “kng” (near spellings: king), “nosuchword”." in said
    assert "“apple -” is no sum of 2 to 20 words; write a sign between two words" in said
    assert "lm-failed" in widget.message.get_attribute("class")
    assert widget.box.input_value() == "kng, nosuchword, apple -"
    widget.add("")
    widget.add("kin")
    widget.add("pear")
    assert "lm-failed" not in widget.message.get_attribute("class")


def test_an_analogy_is_a_word_on_the_map(widget, oracle):
    widget.add("king - man + woman")
    assert widget.chosen() == "king - man + woman"
    assert widget.neighbours() == rounded(oracle.neighbours("king - man + woman"))
    assert widget.neighbours()[0][0] == "uncle"
    oracle.shown = [*SHOWN, "king - man + woman"]
    np.testing.assert_allclose(widget.positions(), oracle.place(), atol=1e-6)
    label = widget.word("king - man + woman").get_attribute("aria-label")
    assert label == "king − man + woman, sums"


def test_keyboard_alone(widget):
    work_by_keyboard_alone(widget, "pear")


def test_clicks_add_choose_remove_clear_and_undo(notebook, widget):
    widget.word("man").locator(".lm-label").click()
    assert widget.focused() == "word man"
    names = [name for name, _ in widget.neighbours()]
    new = next(i for i, name in enumerate(names) if name not in SHOWN)
    widget.rows.nth(new).click()
    assert widget.shown() == [*SHOWN, names[new]]
    assert widget.chosen() == "man"
    widget.remove.click()
    assert widget.shown() == [name for name in SHOWN if name != "man"] + [names[new]]
    widget.clear.click()
    assert widget.shown() == []
    assert widget.rows.count() == 0
    assert widget.note.inner_text() == "Type words to place them on the map."
    notebook.wait_for_kernel("widget.shown == []")
    for _ in range(3):
        widget.undo.click()
    assert widget.shown() == SHOWN
    notebook.wait_for_kernel(f"widget.shown == {SHOWN}")


def test_odd_words_stay_text(notebook, widget, ours):
    for word in ours["ODD"]:
        if word != "\ud800":  # no keyboard has half a character
            widget.add(word)
    assert widget.shown()[7:] == [word for word in ours["ODD"] if word != "\ud800"]
    assert widget.word(HOSTILE).inner_text() == HOSTILE.replace(" ", "␣")
    notebook.run_code("widget.shown = [*widget.shown, '\\ud800']")
    widget.root.get_by_text(r"\ud800").first.wait_for()
    assert notebook.page.locator(f"{WIDGET} img, {WIDGET} script, {WIDGET} b").count() == 0
    assert notebook.dialogs == []
    frame = widget.root.locator(".lm-map").bounding_box()
    for box in (label.bounding_box() for label in widget.root.locator(".lm-label").all()):
        assert frame["x"] <= box["x"]
        assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
    notebook.screenshot("embedding_map_odd", widget.root)


def test_two_views_share_the_words_and_each_has_its_own_choice(notebook, widget):
    other = EmbeddingMapWidget(notebook, 1)
    widget.add("pear")
    assert other.shown() == widget.shown()
    other.choose("apple")
    assert (widget.chosen(), other.chosen()) == ("pear", "apple")


def test_contrast_and_forced_colours(notebook, widget):
    widget.add("pear kng, king - man + woman")
    for theme in ("Light", "Dark"):
        notebook.theme(f"JupyterLab {theme}")
        contrasts = widget.root.evaluate(CONTRASTS)
        assert [found for found in contrasts if found[1] < (4.5 if found[0] == "text" else 3)] == []
    notebook.theme("JupyterLab Light")
    notebook.page.emulate_media(forced_colors="active", reduced_motion="reduce")
    notebook.screenshot("embedding_map_forced_colors", widget.root)
    fills = widget.root.evaluate(
        "(root) => ['.lm-fill', '.lm-track'].map((name) => "
        "getComputedStyle(root.querySelector(name)).backgroundColor)"
    )
    notebook.page.emulate_media(forced_colors="none", reduced_motion="reduce")
    assert fills[0] != fills[1]


# Of all text and shapes of a widget against the paper behind the map and behind the page.
CONTRASTS = """(root) => {
    const channels = (colour) => {
        const numbers = colour.match(/[\\d.]+/g).map(Number);
        return numbers.length < 4 ? [...numbers, 1] : numbers;
    };
    const over = ([r, g, b, a], paper) =>
        [r, g, b].map((n, i) => n * a + paper[i] * (1 - a));
    const light = (rgb) => {
        const [r, g, b] = rgb.map((n) => n / 255)
            .map((n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (node) => {
        for (; node; node = node.parentElement) {
            const colour = channels(getComputedStyle(node).backgroundColor);
            if (colour[3] === 1) return colour.slice(0, 3);
        }
        return [255, 255, 255];
    };
    const result = [];
    const look = (kind, selector, property) => {
        for (const node of root.querySelectorAll(selector)) {
            let colour = getComputedStyle(node)[property];
            const paper = behind(node);
            const [a, b] = [light(over(channels(colour), paper)), light(paper)];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            result.push([kind, ratio, node.textContent || node.className.baseVal, colour]);
        }
    };
    look('text', '.lm-label, .lm-heading, .lm-note, .lm-message, .lm-cosine, label', 'color');
    look('text', '.lm-neighbour, .lm-legend bdi, button, input', 'color');
    look('text', '.lm-back text', 'fill');
    look('shape', '.lm-shape:not(.lm-style-yours)', 'fill');
    look('shape', '.lm-style-yours', 'stroke');
    return result;
}"""


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, widget, theme):
    notebook.theme(f"JupyterLab {theme}")
    widget.add("pear, cherry, prince, king - man + woman, kng")
    widget.choose("king")
    notebook.screenshot(f"embedding_map_{theme.lower()}", widget.root)
    widget.root.evaluate("(root) => { root.style.width = '520px'; }")
    notebook.wait(
        "(svg) => svg.viewBox.baseVal.width === svg.parentNode.clientWidth",
        widget.root.locator(".lm-back").element_handle(),
    )
    notebook.screenshot(f"embedding_map_{theme.lower()}_520", widget.root)
    overflow = widget.root.evaluate("(root) => root.scrollWidth - root.clientWidth")
    widget.root.evaluate("(root) => { root.style.width = ''; }")
    assert overflow <= 0
    notebook.theme("JupyterLab Light")


def test_views_leave_nothing_behind(notebook, oracle):
    names = ("vocabulary", "vectors", "groups", "marks")
    traits = {name: getattr(oracle, name) for name in names}
    views_leave_nothing_behind(notebook, "embedding_map.js", traits)


def test_a_page_loaded_again_shows_the_words_of_the_kernel(notebook, widget):
    widget.add("pear")
    notebook.wait_for_kernel("widget.shown[-1] == 'pear'")
    notebook.command("docmanager:save")
    notebook.go_to(notebook.name)
    again = EmbeddingMapWidget(notebook)
    assert again.shown() == [*SHOWN, "pear"]
    assert again.chosen() == "king"


def test_a_dead_kernel_changes_nothing(notebook, widget, oracle):
    notebook.shutdown_kernel()
    notebook.wait("() => !jupyterapp.shell.currentWidget.sessionContext.session?.kernel")
    widget.add("pear, king - man + woman, kng")
    assert widget.shown() == [*SHOWN, "pear", "king - man + woman"]
    oracle.shown = widget.shown()
    np.testing.assert_allclose(widget.positions(), oracle.place(), atol=1e-6)
    for name in ("pear", "apple", "king - man + woman"):
        widget.choose(name)
        assert widget.neighbours() == rounded(oracle.neighbours(name))
    widget.fit.click()
    oracle.fit()
    np.testing.assert_allclose(widget.positions(), oracle.place(), atol=1e-6)
    widget.undo.click()
    widget.undo.click()
    assert widget.shown() == SHOWN
    # ipywidgets itself mentions the message that it could not send.
    notebook.console_errors[:] = [e for e in notebook.console_errors if "Cannot send" not in e]


def test_the_picture_stands_in_where_there_is_no_kernel(lab):
    cells = lab.cells()
    assert all("image/png" in cell["outputs"][0]["data"] for cell in cells[1:])
    # As someone else receives it: outputs, no widget state.
    lab.open(nbformat.v4.new_notebook(cells=nbformat.from_dict(cells)), keep_outputs=True)
    picture = lab.page.locator(".jp-OutputArea-output img").first
    picture.wait_for()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 300
    assert lab.page.locator(WIDGET).count() == 0


def test_the_page_complained_of_nothing_of_ours(lab):
    assert [error for error in lab.console_errors if "blob:" in error or "llmlab" in error] == []
    assert lab.left_machine == []
