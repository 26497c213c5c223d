"""AttentionExplorer in JupyterLab, what a person sees, types and points at; and as a saved file."""

import json

import nbformat
import pytest

from .attention_explorer_page import EXPLORER, AttentionExplorerWidget
from .every_widget import faint_texts
from .lab import ARTEFACTS, notebook_of
from .lifetime import views_leave_nothing_behind

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"
SETUP = r'''
import time, zlib
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from llmlab.viz import AttentionExplorer

L, H = 6, 4
vocabulary = [" Paris", "</script><img src=x onerror=alert(1)>", "\n", "$x$", "\x00", "\ud800",
              *[f" word{i}" for i in range(40)]]
calls = []

def weights(rng, shape, causal):
    scores = rng.normal(size=shape).astype(np.float32) * 2
    if causal:
        scores[..., np.triu(np.ones(shape[2:], bool), 1)] = -np.inf
    w = np.exp(scores - scores.max(-1, keepdims=True))
    return w / w.sum(-1, keepdims=True)

def part(name, queries, keys, rng, causal):
    w = weights(rng, (L, H, len(queries), len(keys)), causal)
    statistics = {"entropy": -(w * np.log2(np.maximum(w, 1e-9))).sum(-1).mean(-1)}
    if causal:
        statistics["first token"] = w[..., 0].mean(-1)
    return SimpleNamespace(name=name, queries=queries, keys=keys, weights_LHTS=w, causal=causal,
                           statistics=statistics)

def read(text, *, off=()):
    """A cheap language model: the text seeds it, and heads that are off move its next token."""
    calls.append((text, tuple(off)))
    if text == "":
        raise ValueError("the text is empty; type at least one character")
    if "refuse" in text:
        raise ValueError("this text is refused; type another")
    if "crash" in text:
        raise KeyError("crash")
    while "wait" in text and not Path("go").exists():
        time.sleep(0.01)
    rng = np.random.default_rng(zlib.crc32(text.encode()))
    score = rng.normal(size=len(vocabulary))
    score[:6] += 3
    for layer, head in off:
        score = score + np.sin(np.arange(len(score)) * (layer + 2) + head)
    p = np.exp(score) / np.exp(score).sum()
    tokens = [" " * (i > 0) + word for i, word in enumerate(text.split(" "))]
    return SimpleNamespace(parts=[part("self-attention", tokens, tokens, rng, True)],
                           probabilities=p, vocabulary=vocabulary)

def translate(text, *, off=()):
    rng = np.random.default_rng(0)
    source, target = text.split(" "), ["ein", "Satz"]
    return SimpleNamespace(parts=[part("encoder", source, source, rng, False),
                                  part("decoder", target, target, rng, True),
                                  part("cross attention", target, source, rng, False)])
TEXT = "the animal did not cross the street"
explorer = AttentionExplorer(read, text=TEXT)
'''
TEXT = "the animal did not cross the street"


def small_notebook(*cells):
    sources = (SETUP, "explorer", "explorer", *cells)
    return notebook_of(*sources)


@pytest.fixture(scope="module")
def notebook(lab):
    lab.open(
        small_notebook("other = AttentionExplorer(translate, text='a short sentence')", "other")
    )
    lab.run_all()
    assert lab.errors() == []
    return lab


@pytest.fixture
def widget(notebook):
    go = notebook.server.root / "go"
    go.touch()  # whatever a test before left waiting
    # As it was at the start, and known to be so in the page as well.
    notebook.run_code(
        "explorer.compare = None; explorer.off = []; explorer.text = TEXT\n"
        "explorer.view = {'layer': 0, 'head': 0, 'scale': 'row'}; explorer.view = {}"
    )
    widget = AttentionExplorerWidget(notebook.page)
    widget.wait("(root, text) => root.querySelector('textarea').value === text", TEXT)
    widget.wait("(root) => root.dataset.layer === '0' && root.dataset.head === '0'")
    widget.settled()
    notebook.page.mouse.move(0, 0)
    go.unlink()
    yield widget
    go.touch()


def three_digits(number):
    return pytest.approx(float(number), rel=6e-3)


def number(notebook, expression):
    return float(notebook.evaluate(f"float({expression})"))


def test_all_heads_are_there_at_once_and_change_while_you_type(notebook, widget):
    before = widget.pixels(widget.overview), widget.pixels(widget.heatmap)
    widget.box.focus()
    widget.press("Control+End")
    widget.keyboard.type(" today")
    widget.settled()
    assert widget.pixels(widget.overview) != before[0]
    assert widget.pixels(widget.heatmap) != before[1]
    assert notebook.evaluate("explorer.text") == repr(f"{TEXT} today")
    # maps, means and the mean of all, each with 8 largest weights of rows; and small pictures
    sent = (6 * 4 + 6 + 1) * (64 + 8 * 4) + 6 * 4 * 64
    assert notebook.evaluate("len(explorer.a_bytes)") == str(sent)


def test_the_chosen_head_follows_mouse_keyboard_and_python(notebook, widget):
    widget.choose(3, 2)
    assert widget.title.inner_text() == "Layer 3, head 2"
    widget.press("ArrowDown", "ArrowLeft", "ArrowUp")
    assert widget.chosen() == (3, 1)
    widget.press("Home")
    assert widget.chosen() == (3, 0)
    widget.press("End")
    assert widget.chosen() == (3, -1)
    notebook.wait_for_kernel("explorer.view['layer'] == 3 and explorer.view['head'] == -1")
    notebook.run_code("explorer.select(5, 3)")
    widget.wait("(root) => root.dataset.layer === '5' && root.dataset.head === '3'")
    notebook.run_code("explorer.select(-1, -1)")
    widget.wait("(root) => root.dataset.layer === '-1'")


def test_choosing_a_head_needs_no_kernel(notebook, widget):
    notebook.kernel_messages.clear()
    before = widget.pixels(widget.heatmap)
    widget.choose(2, 1)
    assert widget.pixels(widget.heatmap) != before
    assert [m for m in notebook.kernel_messages if '"request"' in m] == []


def test_numbers_on_hover_are_the_exact_ones(notebook, widget):
    for layer, head, query, key in [(0, 0, 4, 1), (3, 2, 6, 0), (5, 3, 2, 2)]:
        widget.choose(layer, head)
        exact = number(notebook, f"explorer.weights({layer}, {head})[{query}, {key}]")
        assert widget.exact(query, key) == three_digits(exact)
    notebook.run_code("explorer.select(2, -1)")
    widget.wait("(root) => root.dataset.head === '-1'")
    mean = number(notebook, "explorer.weights(2, -1)[5, 3]")
    assert widget.exact(5, 3) == three_digits(mean)


def test_small_numbers_have_digits_too_and_no_pair_is_torn(notebook, widget):
    smallest = "np.unravel_index(np.where(W > 0, W, 1).argmin(), W.shape)"
    notebook.run_code(f"W = explorer.weights(0, 0); least = {smallest}")
    query, key = eval(notebook.evaluate("tuple(map(int, least))"))
    exact = number(notebook, "W[least]")
    assert exact < 1e-3
    assert widget.exact(query, key) == three_digits(exact)
    assert "e-" in widget.readout.inner_text()
    widget.root.evaluate("(root) => { root.style.width = '380px'; }")
    widget.wait("(root) => root.classList.contains('lm-narrow')")
    widget.exact(6, 0)
    inside = widget.readout.evaluate(
        """(readout) => {
            const box = readout.getBoundingClientRect();
            const pairs = [...readout.querySelectorAll('.lm-pair')];
            const whole = pairs.every((pair) => {
                const { height, right, bottom } = pair.getBoundingClientRect();
                return height < 30 && right <= box.right && bottom <= box.bottom;
            });
            return [pairs.length, readout.scrollHeight - readout.clientHeight, whole];
        }"""
    )
    widget.root.evaluate("(root) => { root.style.width = ''; }")
    assert inside == [5, 0, True]


def test_the_statistic_that_tints_the_heads_is_explained(widget):
    meaning = widget.root.locator(".lm-meaning")
    assert meaning.inner_text() == (
        "entropy: how spread out the weights are: 0 bits is one token only. A square’s background "
        "is this number, its dark marks are where the head looks."
    )
    widget.statistic.select_option("first token")
    assert "mean weight on the first token" in meaning.inner_text()


def test_a_later_key_is_masked(widget):
    widget.heatmap.hover(position=widget.centre(widget.heatmap, 1, 5))
    assert "masked" in widget.readout.inner_text()


def test_hovering_one_view_marks_all(notebook, widget):
    over = [grid.locator("canvas").nth(1) for grid in (widget.heatmap, widget.lines)]
    read = "(canvas) => canvas.toDataURL()"
    before = [canvas.evaluate(read) for canvas in over]
    widget.heatmap.hover(position=widget.centre(widget.heatmap, 5, 2))
    assert all(canvas.evaluate(read) != old for canvas, old in zip(over, before, strict=True))
    widget.overview.hover(position=widget.centre(widget.overview, 4, 2))
    assert widget.caption.inner_text().startswith("Layer 4, head 2")


def test_a_head_is_switched_off_and_the_next_token_moves(notebook, widget):
    shares = widget.shares()
    widget.choose(2, 3)
    widget.button("Switch off").click()
    widget.settled()
    assert notebook.evaluate("explorer.off") == "((2, 3),)"
    assert all(" → " in row for row in widget.shares())
    _, before, after = (
        notebook.evaluate("tuple(explorer.next_tokens()[0])").strip("()").rsplit(", ", 2)
    )
    assert widget.shares()[0].endswith(f"{100 * float(before):.1f} % → {100 * float(after):.1f} %")
    widget.button("Switch on").click()
    widget.settled()
    assert widget.shares() == shares
    notebook.run_code("explorer.off = [(0, 0), (1, 1)]")
    widget.button("All on").wait_for()
    widget.button("All on").click()
    widget.settled()
    assert notebook.evaluate("explorer.off") == "()"


def test_two_sentences_and_their_difference(notebook, widget):
    widget.button("Compare").click()
    widget.settled()
    told = "Both texts are the same: change a word in the second."
    widget.wait("(root, told) => root.querySelector('.lm-note').textContent === told", told)
    assert "no change here" in widget.point_at(6, 1)
    widget.second.fill("the animal did not cross the road")
    widget.settled()
    assert widget.mode() == "difference"
    assert "street" in widget.note.inner_text()
    difference = number(
        notebook, "explorer.weights(0, 0, side='b')[6, 1] - explorer.weights(0, 0)[6, 1]"
    )
    assert widget.exact(6, 1) == three_digits(difference)
    widget.button("Second").click()
    second = number(notebook, "explorer.weights(0, 0, side='b')[6, 1]")
    assert widget.exact(6, 1) == three_digits(second)
    widget.button("End comparison").click()
    widget.settled()
    notebook.wait_for_kernel("explorer.compare is None")
    assert widget.mode() == "a"


def test_python_sets_texts_and_they_appear(notebook, widget):
    notebook.run_code("explorer.text = 'set in Python'; explorer.compare = 'set in kernel'")
    widget.second.wait_for()
    widget.wait("(root) => root.querySelectorAll('textarea')[1].value === 'set in kernel'")
    widget.settled()
    assert widget.box.input_value() == "set in Python"


def test_a_refused_text_shows_why_and_keeps_the_picture(notebook, widget):
    before = widget.pixels(widget.heatmap)
    for text, message in [
        ("please refuse", "this text is refused; type another"),
        ("crash", "KeyError: 'crash'"),
        ("", "the text is empty; type at least one character"),
    ]:
        widget.box.fill(text)
        widget.root.get_by_text(message).wait_for()
        assert widget.pixels(widget.heatmap) == before
    widget.fill("all is well again")
    assert widget.message.inner_text() == ""
    assert widget.pixels(widget.heatmap) != before


def test_only_the_newest_text_is_asked_for_while_the_kernel_is_slow(notebook, widget):
    widget.box.focus()
    widget.press("Control+End")
    widget.keyboard.type(" wait")
    widget.wait("(root) => root.querySelector('.lm-message').textContent !== ''")
    widget.keyboard.type(" for this")
    (notebook.server.root / "go").touch()
    widget.settled()
    asked = notebook.evaluate("[text.removeprefix(TEXT) for text, _ in calls[-2:]]")
    assert asked == repr([" wait", " wait for this"])


def test_hostile_tokens_stay_text(notebook, widget):
    for text in (
        HOSTILE.replace(" ", ""),
        "<!-- ]]> \u2028 $x$",
        "a\x00b \u202ec",
        "漢字 مرحبا 😀",
    ):
        widget.fill(text)
        widget.point_at(0, 0)
    assert any(row.startswith(HOSTILE.replace(" ", "␣")) for row in widget.shares())
    assert notebook.page.locator(f"{EXPLORER} img, {EXPLORER} script").count() == 0
    assert notebook.dialogs == []
    widget.box.evaluate(
        "(box) => { box.value = 'a\\ud800b'; box.dispatchEvent(new Event('input')); }"
    )
    widget.settled()
    assert notebook.evaluate("ascii(explorer.text)") == repr(ascii("a\ufffdb"))


def test_two_views_and_a_reload_show_the_same(notebook, widget):
    other = AttentionExplorerWidget(notebook.page, 1)
    widget.choose(4, 1)
    assert other.chosen() == (4, 1)
    other.fill("seen in both")
    assert widget.box.input_value() == "seen in both"
    assert widget.pixels(widget.heatmap) == other.pixels(other.heatmap)


def test_a_text_beyond_4_megabytes_comes_a_layer_at_a_time(notebook, widget):
    widget.fill(" ".join(f"w{i}" for i in range(450)))
    assert notebook.evaluate("explorer.a['parts'][0]['whole']") == "False"
    widget.choose(5, 2)
    widget.settled()
    assert notebook.evaluate("explorer.answer['kind'], explorer.answer['layer']") == "('layer', 5)"
    exact = number(notebook, "explorer.weights(5, 2)[440, 3]")
    assert widget.exact(440, 3) == three_digits(exact)


def test_a_model_with_several_kinds_of_attention(notebook):
    widget = AttentionExplorerWidget(notebook.page, 2)
    assert widget.part.locator("option").all_inner_texts() == [
        "encoder", "decoder", "cross attention",
    ]  # fmt: skip
    widget.part.select_option("cross attention")
    notebook.wait_for_kernel("other.view['part'] == 2")
    exact = number(notebook, "other.weights(0, 0, part=2)[1, 2]")
    assert widget.exact(1, 2) == three_digits(exact)
    assert not widget.button("Switch off").is_visible()
    assert widget.title.inner_text() == "Layer 0, head 0 (cross attention)"
    with notebook.page.expect_download() as download:
        widget.button("SVG").click()
    assert download.value.suggested_filename == "attention-cross-attention-layer0-head0.svg"
    drawn = download.value.path().read_text(encoding="utf-8")
    assert "<title>Layer 0, head 0 (cross attention)</title>" in drawn
    notebook.screenshot("attention_explorer_parts", widget.root)


def test_views_leave_nothing_behind(notebook):
    import base64

    code = "__import__('json').dumps([explorer.a, __import__('base64').b64encode(explorer.a_bytes).decode(), explorer.b, explorer.view])"  # noqa: E501
    a, data, b, view = json.loads(eval(notebook.evaluate(code)))
    traits = {
        "a": a, "a_bytes": base64.b64decode(data), "b": b, "b_bytes": b"", "view": view,
        "answer": {}, "payload": b"", "request": {}, "standalone": False,
    }  # fmt: skip
    views_leave_nothing_behind(notebook, "attention_explorer.js", traits)


def test_the_pictures_take_the_colours_of_the_theme(notebook, widget):
    differs = "(root, old) => root.querySelector('.lm-heatmap canvas').toDataURL() !== old"
    light = widget.pixels(widget.heatmap)
    notebook.theme("JupyterLab Dark")
    widget.wait(differs, light)
    dark = widget.pixels(widget.heatmap)
    notebook.theme("JupyterLab Light")
    widget.wait(differs, dark)
    widget.wait(
        "(root, old) => root.querySelector('.lm-heatmap canvas').toDataURL() === old", light
    )


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, widget, theme):
    notebook.theme(f"JupyterLab {theme}")
    widget.choose(3, 2)
    widget.point_at(5, 2)
    notebook.screenshot(f"attention_explorer_{theme.lower()}", widget.root)
    faint = faint_texts(notebook, widget.root)
    notebook.run_code("explorer.compare = 'the animal did not cross the road'")
    widget.second.wait_for()
    widget.settled()
    widget.button("Difference").click()
    notebook.screenshot(f"attention_explorer_{theme.lower()}_difference", widget.root)
    faint += faint_texts(notebook, widget.root)
    widget.root.evaluate("(root) => { root.style.width = '360px'; }")
    notebook.screenshot(f"attention_explorer_{theme.lower()}_360", widget.root)
    overflow = widget.root.evaluate("(root) => root.scrollWidth - root.clientWidth")
    widget.root.evaluate("(root) => { root.style.width = ''; }")
    assert overflow <= 0
    notebook.theme("JupyterLab Light")
    assert faint == []


def test_a_cell_that_runs_again_makes_a_new_one(notebook, widget):
    notebook.run_code("explorer.text = 'again'")
    notebook.command("notebook:run-all-cells")
    notebook.wait_for_kernel("explorer.text == TEXT")
    fresh = AttentionExplorerWidget(notebook.page)
    fresh.wait("(root, text) => root.querySelector('textarea').value === text", TEXT)
    fresh.settled()
    assert notebook.page.locator(EXPLORER).count() == 3


def test_the_live_view_wins_while_there_is_a_kernel_and_the_picture_without(notebook, widget):
    assert notebook.page.locator(".jp-OutputArea-output img").count() == 0
    cells = notebook.cells()
    assert "image/png" in cells[1]["outputs"][0]["data"]
    # As someone else receives it: outputs, no widget state.
    saved = nbformat.v4.new_notebook(cells=nbformat.from_dict(cells))
    notebook.open(saved, keep_outputs=True)
    picture = notebook.page.locator(".jp-OutputArea-output img").first
    picture.wait_for()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 300
    assert notebook.page.locator(EXPLORER).count() == 0


def test_the_page_complained_of_nothing_of_ours(lab):
    assert [error for error in lab.console_errors if "blob:" in error or "llmlab" in error] == []


# --- the saved file, without kernel and network ---


class SavedPage:
    """A saved explorer opened from disk; every request and complaint is kept."""

    def __init__(self, browser, path, **options):
        self.requests, self.complaints, self.dialogs = [], [], []
        self.context = browser.new_context(viewport={"width": 1200, "height": 1000}, **options)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(1), dialog.dismiss()))
        self.page.goto(path.as_uri())
        self.widget = AttentionExplorerWidget(self.page)

    def close(self, path) -> None:
        self.context.close()
        # Pictures made of the page's own data are no requests to anyone.
        left = [url for url in self.requests if not url.startswith(("data:", "blob:"))]
        assert left == [path.as_uri()]
        assert self.complaints == []
        assert self.dialogs == []


def saved_explorer(tmp_path, text=TEXT, **options):
    names = {}
    exec(SETUP, names)
    explorer = names["AttentionExplorer"](names["read"], text=text, **options)
    path = tmp_path / "attention.html"
    explorer.save(path)
    return explorer, path


def test_a_saved_file_stays_interactive(chromium, tmp_path):
    road = "the animal did not cross the road"
    explorer, path = saved_explorer(tmp_path, compare=road)
    saved = SavedPage(chromium, path)
    widget = saved.widget
    assert saved.page.evaluate("document.documentElement.lang") == "en"
    assert saved.page.title() == f"Attention in “{TEXT}” and “{road}”"
    assert not widget.box.is_editable()
    widget.button("First").click()
    before = widget.pixels(widget.heatmap)
    widget.choose(4, 3)
    assert widget.pixels(widget.heatmap) != before
    assert widget.exact(5, 2) == three_digits(explorer.weights(4, 3)[5, 2])
    widget.overview.focus()
    widget.press("ArrowUp")
    assert widget.chosen() == (3, 3)
    widget.button("Difference").click()
    b, a = (explorer.weights(3, 3, side=side)[6, 4] for side in "ba")
    assert widget.exact(6, 4) == three_digits(b - a)
    before = widget.pixels(widget.overview)
    widget.statistic.select_option("first token")
    assert widget.pixels(widget.overview) != before
    widget.button("Per row").click()
    for kind, start in [("PNG", b"\x89PNG"), ("SVG", b"<svg")]:
        with saved.page.expect_download() as download:
            widget.button(kind).click()
        assert start in download.value.path().read_bytes()[:200]
    assert not widget.button("HTML").is_visible()
    assert not widget.button("Switch off").is_visible()
    saved.close(path)


def test_a_saved_file_can_reach_nobody(chromium, tmp_path):
    _, path = saved_explorer(tmp_path)
    saved = SavedPage(chromium, path)
    refused = saved.page.evaluate(
        """async () => {
            const tries = {
                fetch: () => fetch('http://127.0.0.1:9/'),
                socket: () => new Promise((done, fail) => {
                    const socket = new WebSocket('ws://127.0.0.1:9/');
                    socket.onerror = fail;
                    socket.onopen = done;
                }),
                image: () => new Promise((done, fail) => {
                    const image = new Image();
                    [image.onload, image.onerror] = [done, fail];
                    image.src = 'http://127.0.0.1:9/x.png';
                }),
                script: () => new Promise((done, fail) => {
                    const script = document.createElement('script');
                    script.textContent = 'window.ran = true';
                    document.body.append(script);
                    window.ran ? done() : fail();
                }),
                module: () => import('data:text/javascript,1'),
                worker: () => new Promise((done, fail) => {
                    const worker = new Worker(URL.createObjectURL(new Blob(['postMessage(1)'])));
                    worker.onmessage = done;
                    worker.onerror = fail;
                }),
            };
            const broken = new Set();
            document.addEventListener('securitypolicyviolation', (event) =>
                broken.add(event.effectiveDirective));
            const results = {};
            for (const [name, attempt] of Object.entries(tries)) {
                results[name] = await attempt().then(() => 'went', () => 'refused');
            }
            const wanted = ['connect-src', 'img-src', 'script-src-elem', 'worker-src'];
            // The events come a little later.
            for (let n = 0; n < 200 && !wanted.every((name) => broken.has(name)); n++) {
                await new Promise((done) => setTimeout(done, 50));
            }
            return [results, [...broken].sort()];
        }"""
    )
    assert set(refused[0].values()) == {"refused"}, refused
    # It was the page's policy, and not the closed port, that refused.
    assert {"connect-src", "img-src", "script-src-elem", "worker-src"} <= set(refused[1])
    saved.context.close()


def test_hostile_tokens_stay_text_in_a_saved_file(chromium, tmp_path):
    text = (
        "</script><img/src=x\u00a0onerror=alert(1)> <!-- ]]> \u2028 a\x00b \ud800 $x$ &lt; </title>"
    )
    explorer, path = saved_explorer(tmp_path, text=text)
    saved = SavedPage(chromium, path)
    widget = saved.widget
    assert saved.page.locator("img").count() == 0
    assert saved.page.locator("script").count() == 2
    assert widget.box.input_value() == explorer.text
    assert "</script><img/src=x" in widget.point_at(3, 0)
    assert any(row.startswith(HOSTILE.replace(" ", "␣")) for row in widget.shares())
    saved.close(path)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_a_saved_file(chromium, tmp_path, scheme):
    _, path = saved_explorer(tmp_path, layer=3, head=2)
    saved = SavedPage(chromium, path, color_scheme=scheme)
    saved.widget.point_at(5, 2)
    ARTEFACTS.mkdir(exist_ok=True)
    saved.page.screenshot(path=ARTEFACTS / f"attention_explorer_saved_{scheme}.png")
    ink, paper = saved.page.evaluate(
        """() => {
            const grey = (colour) => colour.match(/\\d+/g).slice(0, 3).map(Number)
                .reduce((sum, part) => sum + part) / 765;
            const style = getComputedStyle(document.body);
            const own = getComputedStyle(document.querySelector('.lm-title'));
            return [grey(own.color), grey(style.backgroundColor)];
        }"""
    )
    assert (ink < 0.3 and paper > 0.9) if scheme == "light" else (ink > 0.8 and paper < 0.2)
    saved.close(path)


def test_without_scripts_a_saved_file_shows_its_picture(chromium, tmp_path):
    _, path = saved_explorer(tmp_path)
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    picture = page.get_by_role("img")
    assert picture.get_attribute("alt").startswith("Attention weights of layer 0, head 0")
    assert picture.bounding_box()["width"] > 300
    context.close()
