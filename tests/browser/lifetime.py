"""What the views of a widget leave behind when they are closed, with a model that we hold."""

from .lab import REPOSITORY, LabPage

_TWO_VIEWS = """
async ([source, traits]) => {
    const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
    const { default: widget } = await import(url);
    const state = {};
    for (const [name, { bytes, value }] of Object.entries(traits)) {
        state[name] = bytes ? new DataView(new Uint8Array(bytes).buffer) : value;
    }
    const listeners = [];
    const model = {
        get: (name) => state[name], set: () => {}, save_changes: () => {},
        on: (...pair) => listeners.push(pair),
        off: (name, callback) => {
            const place = listeners.findIndex((l) => l[0] === name && l[1] === callback);
            listeners.splice(place, 1);
        },
    };
    const { initialize, render } = widget();
    const close = initialize({ model });
    const el = document.createElement('div');
    const cleanups = [render({ model, el }), render({ model, el })];
    const drawn = el.childElementCount;
    cleanups.forEach((cleanup) => cleanup());
    close();
    return { drawn, left: el.childElementCount, listeners: listeners.length };
}
"""


def views_leave_nothing_behind(lab: LabPage, module: str, traits: dict) -> None:
    """Open two views of a module of ``llmlab/viz`` on these traits, close them, and look."""
    source = (REPOSITORY / "llmlab" / "viz" / module).read_text("utf-8")
    sent = {
        name: {"bytes": list(value)} if isinstance(value, bytes) else {"value": value}
        for name, value in traits.items()
    }
    found = lab.page.evaluate(_TWO_VIEWS, [source, sent])
    assert found == {"drawn": 2, "left": 0, "listeners": 0}
