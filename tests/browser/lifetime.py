"""What the views of a widget leave to each other, and behind, with a model that we hold."""

from .lab import REPOSITORY, LabPage

_VIEWS = """
async ([source, traits]) => {
    // Every widget of a notebook gets the module anew, so a module cannot count them.
    const widget = async () => {
        const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
        return (await import(url)).default();
    };
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
    const widgets = [await widget(), await widget()];
    const closes = widgets.map(({ initialize }) => initialize({ model }));
    const el = document.createElement('div');
    const cleanups = [widgets[0], ...widgets].map(({ render }) => render({ model, el }));
    const drawn = el.childElementCount;
    const names = [...el.children].flatMap((view) =>
        [...new Set([...view.querySelectorAll('*')].flatMap(({ id, name }) => [id, name]))]
            .filter(Boolean));
    const shared = names.length - new Set(names).size;
    cleanups.forEach((cleanup) => cleanup());
    closes.forEach((close) => close());
    return { drawn, shared, left: el.childElementCount, listeners: listeners.length };
}
"""


def views_leave_nothing_behind(lab: LabPage, module: str, traits: dict) -> None:
    """Open three views, of two widgets, of a module of ``llmlab/viz`` on these traits.

    They share no id and no name of a control; close them, and nothing is left.
    """
    source = (REPOSITORY / "llmlab" / "viz" / module).read_text("utf-8")
    sent = {
        name: {"bytes": list(value)} if isinstance(value, bytes) else {"value": value}
        for name, value in traits.items()
    }
    found = lab.page.evaluate(_VIEWS, [source, sent])
    assert found == {"drawn": 3, "shared": 0, "left": 0, "listeners": 0}
