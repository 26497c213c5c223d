"""The ninth notebook as a learner meets it: every cell runs, and tokens coloured by their loss."""

import pytest

from .series import (
    all_solved,
    every_cell_ran,
    every_solution_passed,
    notebook_page,
    nothing_left_the_machine,
    without_statements,
)
from .token_values_page import TokenValuesWidget

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STEM = "09_finetuning_to_follow_instructions"

# one instruction of each family
SMALLER = """
test_pairs = list({pair.family: pair for pair in data.test}.values())
held_pairs = list({pair.family: pair for pair in data.held_out}.values())
"""
FEWER = {  # what stands in a cell, and what takes less time
    "small-pretrain": ("200", "6"),
    "train": ("n_steps = 120", "n_steps = 3"),
    "compare-helper": ("30", "2"),
    "small-tune": ("steps=100", "steps=20"),
    "rate": ("steps=7", "steps=1"),
}


def quickly() -> dict[str, str]:
    """The cells for fewer questions and steps, without the statements about what they give.

    nbval runs all of it; here the widgets and the exercises matter.
    """
    sources = without_statements(STEM)
    for cell_id, (long, short) in FEWER.items():
        assert long in sources[cell_id]
        sources[cell_id] = sources[cell_id].replace(long, short).replace("warmup=", "warmup=0*")
    sources["sample"] += SMALLER
    return sources


@pytest.fixture(scope="module")
def notebook(chromium, server):
    answers = quickly() | all_solved("instructions")
    with notebook_page(chromium, server, STEM, answers) as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_every_solution_passes_where_it_stands(notebook):
    every_solution_passed(notebook, "instructions")


def test_the_mask_and_the_surprise_of_one_example(notebook):
    mask = TokenValuesWidget(notebook, 0)
    assert mask.names() == ["learned", "surprise now"]
    assert mask.written()[-4:] == ["", "✓", "✓", "✓"]
    both = TokenValuesWidget(notebook, 1)
    assert both.names() == ["learned", "before", "after"]
    both.radios.first.focus()
    both.keyboard.press("ArrowDown")
    assert both.chosen() == "before"
    before = both.written()
    both.keyboard.press("ArrowDown")
    assert both.chosen() == "after"
    assert both.written() != before


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(notebook, theme):
    notebook.theme(f"JupyterLab {theme}")
    widget = TokenValuesWidget(notebook, 1)
    widget.radios.last.check()
    notebook.screenshot(f"notebook_09_{theme.lower()}", widget.root)
    notebook.theme("JupyterLab Light")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
