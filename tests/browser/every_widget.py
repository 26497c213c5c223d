"""What holds for every widget of a notebook, whichever it is: it moves, and it can be read."""

from playwright.sync_api import TimeoutError

from .lab import HANG_S, LabPage
from .series import cards

THEMES = ("Light", "Dark")
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3

# The view of an anywidget or of ipywidgets stands alone in a panel of its own.
VIEWS = ".jp-Notebook .jp-OutputArea-output.lm-Panel > .lm-Widget"
_VIEWS_SENT = "application/vnd.jupyter.widget-view+json"

# How a person moves a control of each kind; those that are no text box come first, since an arrow
# key shows most at once.
_KEYS = {
    "slider": "ArrowRight",
    "radio": "ArrowDown",
    "grid": "ArrowRight",
    "listbox": "ArrowRight",
    "option": "ArrowRight",
    "combobox": "ArrowDown",
    "checkbox": "Space",
    "spinbutton": "ArrowUp",
    "button": "Enter",
    "textbox": "a",
}
_BACK = {"ArrowRight": "ArrowLeft", "ArrowDown": "ArrowUp", "ArrowUp": "ArrowDown"}

_SEEN = """
const seen = (node) => {
    const { width, height } = node.getBoundingClientRect();
    return width > 1 && height > 1 && node.checkVisibility({ visibilityProperty: true });
};
"""

# Text, or a canvas with two colours.
_NOT_BLANK = (
    """(view) => {"""
    + _SEEN
    + """
    const texts = document.createTreeWalker(view, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const { data, parentElement } = texts.currentNode;
        if (data.trim() && parentElement.tagName !== 'STYLE' && seen(parentElement)) return true;
    }
    return [...view.querySelectorAll('canvas')].filter(seen).some((canvas) => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const pixels = new Uint32Array(data.buffer);
        return pixels.some((pixel) => pixel !== pixels[0]);
    });
}"""
)

# Focus the first control of the kind that comes first; answer what it is and which key moves it.
_FOCUS = (
    """([view, keys, back]) => {"""
    + _SEEN
    + """
    const TYPES = { range: 'slider', radio: 'radio', checkbox: 'checkbox', number: 'spinbutton' };
    const TAGS = { BUTTON: 'button', SELECT: 'combobox', TEXTAREA: 'textbox' };
    const kind = (node) => node.getAttribute('role')
        ?? (node.tagName === 'INPUT' ? TYPES[node.type] ?? 'textbox' : TAGS[node.tagName]);
    const controls = [...view.querySelectorAll('*')].filter((node) =>
        node.tabIndex >= 0 && kind(node) in keys && !node.disabled && node.ariaDisabled !== 'true'
        && !(node.type === 'radio' && !node.checked)
        && [node, ...node.querySelectorAll('*')].some(seen)); // a point may have a label only
    const order = Object.keys(keys);
    controls.sort((a, b) => order.indexOf(kind(a)) - order.indexOf(kind(b)));
    const control = controls[0];
    if (!control) return null;
    control.focus();
    const key = keys[kind(control)];
    const now = control.ariaValueNow ?? control.value;
    const end = control.ariaValueMax ?? control.max;
    const options = [...view.querySelectorAll('[role=option]')];
    const atEnd = (kind(control) === 'slider' && Number(now) >= Number(end))
        || (kind(control) === 'option' && control === options.at(-1));
    return { kind: kind(control), key: atEnd ? back[key] : key };
}"""
)

# All that a person sees or hears of a view, less what the browser changes by itself: the values of
# its controls and where the focus is.
_STATE = """
const state = (view) => {
    const parts = [view.innerText];
    for (const node of [view, ...view.querySelectorAll('*')]) {
        for (const { name, value } of node.attributes) {
            if (/^(aria|data)-/.test(name)) parts.push(`${name}=${value}`);
        }
        if (node.tagName === 'CANVAS') parts.push(node.toDataURL());
    }
    return parts.join('\\n');
};
"""
_REMEMBER = (
    """(view) => new Promise((done) => {"""
    + _STATE
    + """
    // Focus may have changed something already, which is drawn in the next frame.
    requestAnimationFrame(() => requestAnimationFrame(() => {
        window.llmlabBefore = state(view);
        done();
    }));
})"""
)
_MOVED = "(view) => {" + _STATE + "return state(view) !== window.llmlabBefore; }"

# Texts and what they stand on, as [contrast, text, colour, ground].
_CONTRASTS = (
    """(view) => {"""
    + _SEEN
    + """
    const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgba = (colour) => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
        return [red, green, blue, alpha / 255];
    };
    const over = ([r, g, b, a], ground) =>
        [...[r, g, b].map((value, i) => a * value + (1 - a) * ground[i]), 1];
    const ground = (node) => {
        const layers = [];
        for (; node; node = node.parentElement) {
            layers.push(rgba(getComputedStyle(node).backgroundColor));
            if (layers.at(-1)[3] === 1) break;
        }
        return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
    };
    const luminance = (colour) => {
        const [red, green, blue] = colour.slice(0, 3).map((value) =>
            value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const contrast = (one, other) => {
        const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
    };
    const opacity = (node) => {
        let result = 1;
        for (; view.contains(node); node = node.parentElement) {
            result *= getComputedStyle(node).opacity;
        }
        return result;
    };
    const own = (node) => [...node.childNodes].filter((child) => child.nodeType === 3)
        .map((child) => child.data.trim()).join(' ').trim();
    const written = (node) => /^(text|number|textarea|select-one)$/.test(node.type) ? node.value
        : ['STYLE', 'OPTION'].includes(node.tagName) ? '' : own(node);
    return [view, ...view.querySelectorAll('*')].filter((node) => written(node) && seen(node))
        .map((node) => {
            const style = getComputedStyle(node);
            const colour = rgba(node instanceof SVGElement ? style.fill : style.color);
            if (colour[3] === 0) return null; // meant not to be seen
            colour[3] *= opacity(node);
            const below = ground(node);
            const above = over(colour, below);
            const [ink, paper] = [above, below].map((colour) => colour.map(Math.round).join());
            return [contrast(above, below), written(node).slice(0, 40), ink, paper];
        }).filter(Boolean);
}"""
)


def every_widget(notebook: LabPage) -> list[tuple[str, object]]:
    """Name and view of every widget in the page; all that the kernel has sent are there."""
    views = notebook.page.locator(VIEWS).all()
    sent = [
        output
        for cell in notebook.cells()
        for output in cell.get("outputs", [])
        if _VIEWS_SENT in output.get("data", {})
    ]
    assert len(views) == len(sent)
    names = [
        view.evaluate(
            """(view) => view.querySelector('[class^=llmlab-]')?.classList[0]
                ?? [...view.classList].at(-1)"""
        )
        for view in views
    ]
    return [(name.removeprefix("llmlab-"), view) for name, view in zip(names, views, strict=True)]


def every_widget_moves(notebook: LabPage, *names: str) -> None:
    """These widgets are in the page, none is blank, and each changes when a key is pressed."""
    widgets = every_widget(notebook)
    assert [name for name, _ in widgets] == list(names)
    for place, (name, view) in enumerate(widgets, start=1):
        moves(notebook, f"widget {place}, {name},", view)


def moves(notebook: LabPage, which: str, view, hang_s: float = HANG_S) -> None:
    """A view, called `which` in what fails, shows something and changes when a key is pressed."""
    handle = view.element_handle()
    view.scroll_into_view_if_needed()
    assert view.is_visible(), f"{which} is not to be seen"
    assert view.evaluate(_NOT_BLANK), f"{which} is blank"
    control = notebook.page.evaluate(_FOCUS, [handle, _KEYS, _BACK])
    assert control, f"{which} has no control that can be reached by keyboard"
    view.evaluate(_REMEMBER)
    notebook.page.keyboard.press(control["key"])
    try:
        notebook.wait(_MOVED, handle, hang_s=hang_s)
    except TimeoutError:
        message = f"{which} does not change at {control['key']} on its {control['kind']}"
        raise AssertionError(message) from None


def every_widget_can_be_read(notebook: LabPage, stem: str, theme: str) -> None:
    """Every text of a widget, or of an exercise's card, stands out from its ground.

    Pictures of the top, of each widget and of the first card are kept.
    """
    notebook.theme(f"JupyterLab {theme}")
    notebook.page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer').scrollTo(0, 0)")
    prefix = f"{stem}_{theme.lower()}"
    notebook.screenshot(f"{prefix}_top")
    faint = {}
    for place, (name, view) in enumerate(every_widget(notebook), start=1):
        faint[f"widget {place}, {name}"] = faint_texts(notebook, view)
        notebook.screenshot(f"{prefix}_{place}_{name}", view)
    notebook.screenshot(f"{prefix}_card", cards(notebook).first)
    for place, card in enumerate(cards(notebook).all(), start=1):
        faint[f"card {place}"] = faint_texts(notebook, card)
    notebook.theme("JupyterLab Light")
    assert {which: texts for which, texts in faint.items() if texts} == {}


def faint_texts(notebook: LabPage, view) -> list[list]:
    """Contrast, text, colour and ground of each text of a view that has too little contrast."""
    notebook.wait(  # on its way, or out of date while the kernel works, it may be faint
        "(view) => view.getAnimations({ subtree: true }).length === 0"
        """ && !view.querySelector('[data-settled="false"]')""",
        view.element_handle(),
    )
    found = view.evaluate(_CONTRASTS)
    assert found, "no text at all"
    return [each for each in found if each[0] < LEAST_CONTRAST]
