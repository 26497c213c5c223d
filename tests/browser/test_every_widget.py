"""The checks of all widgets see what they are made for: those below must not pass."""

import pytest

from .every_widget import THEMES, every_widget, every_widget_moves, faint_texts, moves
from .lab import notebook_of

pytestmark = pytest.mark.browser

SETUP = """
import anywidget, ipywidgets

def made(html):
    class Widget(anywidget.AnyWidget):
        _esm = "export default { render({ el }) { el.innerHTML = " + repr(html) + "; } };"
    return Widget()
"""
FAULTS = {
    "dead": ("<button>Go</button>", "dead does not change at Enter on its button"),
    "blank": ("<canvas></canvas><style>p { top: 0 }</style>", "blank is blank"),
    "idle": ("<p>Hello</p><button disabled>Go</button>", "idle has no control"),
    "hidden": ("<button style='visibility: hidden'>Go</button>", "hidden is blank"),
}
FAINT = "<p style='color: var(--jp-ui-font-color0); opacity: 0.43'>faint</p><p>plain</p>"


@pytest.fixture(scope="module")
def notebook(lab):
    cells = [f"made({html!r})" for html, _ in FAULTS.values()]
    lab.open(notebook_of(SETUP, "ipywidgets.IntSlider()", *cells))
    lab.run_all()
    assert lab.errors() == []
    return lab


@pytest.fixture
def views(notebook):
    return [view for _, view in every_widget(notebook)]


def test_a_slider_moves(notebook, views):
    moves(notebook, "slider", views[0])
    assert views[0].inner_text().strip() == "1"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_widget_at_fault_is_named(notebook, views, fault):
    view = views[1 + list(FAULTS).index(fault)]
    with pytest.raises(AssertionError, match=FAULTS[fault][1]):
        moves(notebook, fault, view, hang_s=0.5)


def test_a_widget_that_is_gone_is_missed(notebook):
    with pytest.raises(AssertionError):
        every_widget_moves(notebook, "widget-hslider")


@pytest.mark.parametrize("theme", THEMES)
def test_faint_text_is_found(notebook, views, theme):
    notebook.theme(f"JupyterLab {theme}")
    assert faint_texts(notebook, views[0]) == []
    views[-1].evaluate("(view, html) => { view.innerHTML = html; }", FAINT)
    ((contrast, text, *_),) = faint_texts(notebook, views[-1])
    assert text == "faint"
    assert 3 < contrast < 4.5
