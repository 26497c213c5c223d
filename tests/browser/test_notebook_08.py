"""The eighth notebook as a learner meets it: every cell runs, and a box to type messages into."""

import pytest

from .leave_one_out_page import LeaveOneOutWidget
from .series import (
    all_solved,
    every_cell_ran,
    every_solution_passed,
    notebook_page,
    nothing_left_the_machine,
    without_statements,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STEM = "08_finetuning_to_classify"

SMALLER = """
for name, part in parts.items():
    spam = [m for m in part if m.label == "spam"]
    parts[name] = [*spam[:30], *(m for m in part if m.label == "ham")][:90]
    labels[name] = my_labels(parts[name])
"""


def quickly() -> dict[str, str]:
    """The cells for fewer messages and steps, without the statements about what they give.

    nbval runs all of it; here the widget and the exercises matter.
    """
    sources = without_statements(STEM)
    sources["split"] += SMALLER
    sources["small-pretrain"] = (
        sources["small-pretrain"].replace("150", "6").replace("warmup=10", "warmup=2")
    )
    sources["pads"] = sources["pads"].replace("p > 0.9", "p > 0")
    return sources


@pytest.fixture(scope="module")
def notebook(chromium, server):
    answers = quickly() | all_solved("classification")
    with notebook_page(chromium, server, STEM, answers) as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_every_solution_passes_where_it_stands(notebook):
    every_solution_passed(notebook, "classification")


def test_a_message_is_judged_while_you_type(notebook):
    widget = LeaveOneOutWidget(notebook)
    before = widget.verdict.inner_text()
    widget.fill("Ok, see you at home")
    assert widget.words.count() == 5
    assert widget.verdict.inner_text() != before
    assert notebook.evaluate("box.text") == repr("Ok, see you at home")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, theme):
    notebook.theme(f"JupyterLab {theme}")
    notebook.screenshot(f"notebook_08_{theme.lower()}", LeaveOneOutWidget(notebook).root)
    notebook.theme("JupyterLab Light")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
