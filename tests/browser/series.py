"""A notebook of the series in JupyterLab: opened, some of its exercises answered, and run."""

import ast
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import nbformat

from llmlab.exercises.exercise import Exercise
from llmlab.exercises.shelf import exercises

from .lab import REPOSITORY, LabPage


@contextmanager
def notebook_page(
    chromium, server, stem: str, answers: Mapping[str, str] | None = None
) -> Iterator[LabPage]:
    """Run a notebook from top to bottom; `answers` holds other sources for some of its cells."""
    notebook = nbformat.read(REPOSITORY / "notebooks" / f"{stem}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = (answers or {}).get(cell.id, cell.source)
    page = LabPage(chromium, server)
    page.open(notebook)
    page.run_all()
    yield page
    page.close()


def without_statements(stem: str) -> dict[str, str]:
    """The sources of a notebook's code cells by id, less what they assert of their results.

    For a test that changes how much a cell does; nbval runs the cells as they are.
    """
    notebook = nbformat.read(REPOSITORY / "notebooks" / f"{stem}.ipynb", as_version=4)
    sources = {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}
    for cell_id, source in sources.items():
        kept = [node for node in ast.parse(source).body if not isinstance(node, ast.Assert)]
        sources[cell_id] = "\n".join(map(ast.unparse, kept)) + "\n"
    return sources


def solved(exercise: Exercise) -> dict[str, str]:
    """The exercise's code cell, with the solution in place of the stub."""
    cell_id = list(exercise.cells)[1]
    return {cell_id: f'{exercise.solution}\n\n\ncheck("{exercise.id}", {exercise.name})'}


def all_solved(module: str) -> dict[str, str]:
    """`solved` for all exercises of a module."""
    answers = {}
    for exercise in exercises(module):
        answers |= solved(exercise)
    return answers


def every_solution_passed(notebook: LabPage, module: str) -> None:
    """The cards of `check` say so, one for each exercise of a module."""
    cards = notebook.page.locator(".jp-RenderedHTMLCommon > [role=status]")
    titles = [text.split("\n")[0] for text in cards.all_inner_texts()]
    assert titles == [f"✓ {exercise.id}: passed" for exercise in exercises(module)]


def every_cell_ran(notebook: LabPage) -> None:
    """Each cell was run once, in order, and none failed."""
    counts = notebook.execution_counts()
    assert counts == list(range(1, len(counts) + 1))
    assert notebook.errors() == []


def nothing_left_the_machine(notebook: LabPage) -> None:
    """No request went out, and no dialog came up."""
    assert notebook.left_machine == []
    assert notebook.dialogs == []
