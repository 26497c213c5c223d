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
    chromium,
    server,
    stem: str,
    answers: Mapping[str, str] | None = None,
    *,
    more: Mapping[str, str] | None = None,
    statements: bool = True,
) -> Iterator[LabPage]:
    """Run a notebook from top to bottom, less the cells that take long; see `quicker`."""
    notebook = read_notebook(stem)
    quicker(notebook, answers or {}, more=more or {}, statements=statements)
    page = LabPage(chromium, server, height=1400)  # the tallest widget stands in it whole
    page.open(notebook)
    page.run_all()
    yield page
    page.close()


def read_notebook(stem: str) -> nbformat.NotebookNode:
    """A notebook of the series as it is stored."""
    return nbformat.read(REPOSITORY / "notebooks" / f"{stem}.ipynb", as_version=4)


def quicker(
    notebook: nbformat.NotebookNode,
    answers: Mapping[str, str],
    *,
    more: Mapping[str, str],
    statements: bool = True,
) -> None:
    """Change a notebook so that it runs in less time; nbval has run it as it is.

    By id, `answers` holds other sources for exercise cells and for cells tagged `long`; a `long`
    cell without one is left out. All others stay as they are, but for the statements that they
    assert if `statements` is false, since smaller runs give other results. `more` holds cells to
    put behind some of them.
    """
    code = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
    left_out = {cell_id for cell_id, cell in code.items() if is_long(cell)} - set(answers)
    if unknown := {*answers, *more} - (set(code) - left_out):
        raise ValueError(f"no code cells of this notebook that run: {sorted(unknown)}")
    for cell_id in answers:
        if not (is_long(code[cell_id]) or is_exercise(code[cell_id])):
            raise ValueError(f"{cell_id!r} is no exercise and not tagged long: it runs as it is")
    cells = []
    for cell in notebook.cells:
        if cell.id in answers:
            cell.source = answers[cell.id]
        elif cell.id in left_out:
            continue
        elif cell.cell_type == "code" and not statements:
            cell.source = without_statements(cell.source)
        cells.append(cell)
        if cell.id in more:
            cells.append(nbformat.v4.new_code_cell(more[cell.id]))
    notebook.cells = cells


def is_long(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell takes long, or only shows what one that does gave."""
    return "long" in cell.metadata.get("tags", [])


def is_exercise(cell: nbformat.NotebookNode) -> bool:
    return cell.id.startswith("exercise-")


def without_statements(source: str) -> str:
    """The source of a cell less the lines of what it asserts of its results."""
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            lines[node.lineno - 1 : node.end_lineno] = [None] * (node.end_lineno - node.lineno + 1)
            if node.col_offset:  # a block must not be empty
                lines[node.lineno - 1] = " " * node.col_offset + "pass"
    return "\n".join(line for line in lines if line is not None).rstrip()


def shorter(stem: str, cell_id: str, *changes: tuple[str, str]) -> dict[str, str]:
    """A long cell with other numbers, and without statements, as an answer for `notebook_page`."""
    (source,) = [cell.source for cell in read_notebook(stem).cells if cell.id == cell_id]
    source = without_statements(source)
    for long, short in changes:
        assert long in source
        source = source.replace(long, short)
    return {cell_id: source}


def solved(exercise: Exercise) -> dict[str, str]:
    """The exercise's code cell, with the solution in place of the stub."""
    cell_id = list(exercise.cells)[1]
    return {cell_id: f"{exercise.solution}\n\n\n{exercise.call}"}


def all_solved(module: str) -> dict[str, str]:
    """`solved` for all exercises of a module."""
    answers = {}
    for exercise in exercises(module):
        answers |= solved(exercise)
    return answers


def cards(notebook: LabPage):
    """What `check` has said, a card for each exercise."""
    return notebook.page.locator(".jp-RenderedHTMLCommon > [role=status]")


def every_solution_passed(notebook: LabPage, module: str) -> None:
    """The cards of `check` say so, one for each exercise of a module."""
    titles = [text.split("\n")[0] for text in cards(notebook).all_inner_texts()]
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
