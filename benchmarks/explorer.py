"""How quickly does AttentionExplorer draw, follow the pointer, and read what is typed?

All in JupyterLab and a headless Chromium on this machine. Heads and layers change by arrow key, and
the pointer crosses the map's cells, over random weights of SmolLM2's 30 layers of 9 heads at 20 and
at 512, there also coloured per row. Counted is the time in which the browser's main thread is busy
with it: from the event to the end of our script and of the page's style and layout, and from the
start of the next frame to the message that follows its painting, but not the wait for that frame. A
layer beyond 4 MB has to be fetched: both its thumbnail, drawn at once, and its own map, drawn when
it has come, are counted.

Keystrokes are typed on the real model, from the last event of a burst to the painted heads of all
layers, less the 150 ms that the widget waits for more of it. The first paint counts from the
moment at which a cell is run that makes and shows an explorer, with all the kernel does for it.
"""

import itertools

import numpy as np
from lab_cell import AttentionExplorerWidget, lab_with
from measure import Row

CHANGE_MS, HOVER_MS, KEYSTROKE_MS, FIRST_MS = 16, 8, 450, 500
PAUSE_MS = 150  # of attention_explorer.js
# tokens, and how the explorer colours
CASES = ((20, "fixed"), (512, "fixed"), (512, "row"))
PAINTS = 20

FAKE = """
from types import SimpleNamespace
import numpy as np
from llmlab.viz import AttentionExplorer

def read(text, *, off=()):
    T = len(text.split())
    scores = np.random.default_rng(T).normal(size=(30, 9, T, T)).astype(np.float32) * 2
    scores[..., np.triu(np.ones((T, T), bool), 1)] = -np.inf
    w = np.exp(scores)
    w /= w.sum(-1, keepdims=True)
    tokens = [f" token{{i}}" for i in range(T)]
    part = SimpleNamespace(
        name="self-attention", queries=tokens, keys=tokens, weights_LHTS=w, causal=True,
        statistics={{"entropy": np.random.default_rng(0).uniform(0, 4, (30, 9))}})
    return SimpleNamespace(parts=[part], probabilities=None, vocabulary=None)

explorer = AttentionExplorer(read, text="x " * {size})
explorer.view = {{**explorer.view, "scale": "{scale}"}}
explorer
"""
REAL = """
from llmlab.inference import AttentionReader
from llmlab.viz import AttentionExplorer

explorer = AttentionExplorer(AttentionReader(), text="The")
explorer
"""
SENTENCES = (
    "The animal did not cross the wide street because it was far too tired to walk any further",
    "When I was a child we lived in a small house near the sea and every day",
)

# Work from an event of the kind we count to the painted picture; one entry for every drawing.
STOPWATCH = """
(root) => {
    const after = new MessageChannel();
    let began = 0, start = 0, work = 0, frame = 0, pending = false;
    window.llmlabTimes = [];
    const begin = () => { began = start = performance.now(); };
    for (const name of ['keydown', 'pointermove']) root.addEventListener(name, begin, true);
    // What comes from the kernel is work from the moment its message, a layer, is here.
    const socket = jupyterapp.shell.currentWidget.sessionContext.session.kernel._ws;
    const receive = socket.onmessage;
    socket.onmessage = (event) => {
        if (event.data.byteLength > 1e6) start = performance.now();
        return receive.call(socket, event);
    };
    root.addEventListener('llmlab:drawn', ({ detail: { what, coarse } }) => {
        root.getBoundingClientRect();  // else style and layout might fall into the wait
        work = performance.now() - start;
        if (pending) return;
        pending = true;
        requestAnimationFrame(() => {
            frame = performance.now();
            after.port2.postMessage({ what, coarse });  // arrives when the frame is painted
        });
    });
    after.port1.onmessage = ({ data }) => {
        pending = false;
        const now = performance.now();
        window.llmlabTimes.push({ ...data, work: work + now - frame, wall: now - began });
    };
}
"""


def rows() -> list[Row]:
    """Measure once: 260 changes and 400 hovers in each case, 70 keystrokes, 20 first paints."""
    found = {case: measure_drawing(*case) for case in CASES}
    keystrokes, first = measure_keystrokes(), measure_first_paint()
    rows = []
    for what, limit, label in (
        ("head", CHANGE_MS, "another head or layer in AttentionExplorer"),
        ("hover", HOVER_MS, "a hover over its map or thumbnails"),
    ):
        for (size, scale), times in found.items():
            where = f"{size} tokens" + (" coloured per row" if scale == "row" else "")
            rows.append(_row(f"{label}, {where}", times[what], limit, digits=1))
    fetched = np.percentile(found[512, "fixed"]["fetched"], 95)
    rows.append(
        Row(
            what="from a key to a layer the kernel sends, 512 tokens, 95th percentile",
            measured=f"{fetched:.0f} ms",
        )
    )
    what = "from the last keystroke to all 270 heads of SmolLM2 on up to 20 tokens, after the wait"
    rows.append(_row(what, keystrokes, KEYSTROKE_MS))
    rows.append(_row("first paint of AttentionExplorer, 270 heads on 20 tokens", first, FIRST_MS))
    return rows


def _row(what: str, times: list[float], limit: float, *, digits: int = 0) -> Row:
    p95, median = np.percentile(times, 95), np.median(times)
    return Row(
        what=f"{what}, 95th percentile",
        measured=f"{p95:.{digits}f} ms (median {median:.{digits}f} ms, {len(times)} times)",
        target=f"<= {limit} ms",
        met=bool(p95 <= limit),
    )


def measure_drawing(size: int, scale: str) -> dict[str, list[float]]:
    """Milliseconds of work of every change of head or layer ("head") and every hover ("hover")."""
    with lab_with(FAKE.format(size=size, scale=scale)) as lab:
        widget = AttentionExplorerWidget(lab.page)
        widget.settled()
        widget.root.evaluate(STOPWATCH)
        widget.overview.focus()
        walk = (["ArrowRight"] * 9 + ["ArrowDown"] + ["ArrowLeft"] * 9 + ["ArrowDown"]) * 12
        for key in walk + ["ArrowUp"] * 20:
            _one_more(widget, lambda key=key: widget.press(key))
            widget.settled()
        heads = [time for time in _times(widget) if time["what"] == "head"]
        widget.root.evaluate("() => { window.llmlabTimes.length = 0; }")
        rng = np.random.default_rng(0)
        for grid, rows, columns in ((widget.heatmap, size, size), (widget.overview, 30, 9)):
            grid.scroll_into_view_if_needed()
            frame, last = grid.bounding_box(), None
            for _ in range(200):
                place = (int(rng.integers(rows)), int(rng.integers(columns)))
                if place == last:
                    continue
                last = place
                at = widget.centre(grid, *place)
                x, y = frame["x"] + at["x"], frame["y"] + at["y"]
                _one_more(widget, lambda x=x, y=y: widget.page.mouse.move(x, y))
        hovers = [time for time in _times(widget) if time["what"] == "hover"]
    for before, after in itertools.pairwise(heads):
        after["fetched"] = before["coarse"] and not after["coarse"]
    return {
        "head": [time["work"] for time in heads],
        "hover": [time["work"] for time in hovers],
        "fetched": [time["wall"] for time in heads[1:] if time["fetched"]],
    }


def _times(widget) -> list[dict]:
    return widget.root.evaluate("() => window.llmlabTimes")


def _one_more(widget, act) -> None:
    """Do something that is drawn, and wait until it is painted."""
    count = widget.root.evaluate("() => window.llmlabTimes.length")
    act()
    widget.wait("(root, count) => window.llmlabTimes.length > count", count)


# From the last input event to the painted reading of the text that it made.
KEYS = """
(root) => {
    window.llmlabTimes = [];
    let typed = 0, text = '';
    root.addEventListener('input', (event) => {
        [typed, text] = [performance.now(), event.target.value];
    }, true);
    root.addEventListener('llmlab:drawn', ({ detail }) => {
        if (detail.what !== 'reading' || detail.text !== text || !typed) return;
        const start = typed;
        typed = 0;
        // The frame after the one that holds the new picture: it is on screen by then.
        requestAnimationFrame(() => requestAnimationFrame(
            () => window.llmlabTimes.push(performance.now() - start)));
    });
}
"""


def measure_keystrokes() -> list[float]:
    """Milliseconds from a key to the new pattern, without the widget's own wait."""
    with lab_with(REAL) as lab:
        widget = AttentionExplorerWidget(lab.page)
        widget.settled()
        widget.root.evaluate(KEYS)
        for sentence in SENTENCES:
            widget.fill("Well")
            widget.box.focus()
            widget.press("Control+End")
            for word in sentence.split(" "):
                for keys in (f" {word[:-1]}", word[-1]):  # a burst of keys, and one alone
                    _one_more(widget, lambda keys=keys: widget.keyboard.type(keys))
        times = widget.root.evaluate("() => window.llmlabTimes")
    return [time - PAUSE_MS for time in times]


def measure_first_paint() -> list[float]:
    """Milliseconds from running a cell that makes an explorer to its first picture."""
    with lab_with(FAKE.format(size=20, scale="fixed")) as lab:
        AttentionExplorerWidget(lab.page).settled()
        return lab.page.evaluate(
            """async (repeats) => {
                const times = [];
                for (let i = 0; i < repeats; i++) {
                    const drawn = new Promise((done) => document.addEventListener(
                        'llmlab:drawn',
                        () => requestAnimationFrame(() => requestAnimationFrame(
                            () => done(performance.now()))),
                        { once: true }));
                    const start = performance.now();
                    jupyterapp.commands.execute('notebook:run-all-cells');
                    times.push((await drawn) - start);
                    await new Promise((done) => setTimeout(done, 500));
                }
                return times;
            }""",
            PAINTS,
        )


if __name__ == "__main__":
    print(*(row.markdown() for row in rows()), sep="\n")
