"""The learner's and the solved edition of a notebook."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import nbformat

from llmlab.exercises import check
from llmlab.exercises.exercise import Exercise


def learner_edition(
    notebook: nbformat.NotebookNode, exercises: Sequence[Exercise]
) -> nbformat.NotebookNode:
    """Return a copy with blank stubs, and as if no cell had ever been run."""
    edition = copy.deepcopy(notebook)
    cells = _cells_of(exercises)
    for cell in edition.cells:
        cell.source = cells.get(cell.id, cell.source)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return edition


def solved_edition(
    notebook: nbformat.NotebookNode, exercises: Sequence[Exercise]
) -> nbformat.NotebookNode:
    """Return a copy with every exercise solved and checked; other cells keep their outputs.

    Raises `ValueError` if a solution does not pass its own check.
    """
    edition = copy.deepcopy(notebook)
    places = {cell.id: cell for cell in edition.cells}
    for exercise in exercises:
        cell = places[list(exercise.cells)[1]]
        cell.source = f"{exercise.solved}\n\n\n{exercise.call}"
        cell.outputs = [_checked(exercise, cell.execution_count)]
    return edition


def _cells_of(exercises: Sequence[Exercise]) -> dict[str, str]:
    return {id: source for exercise in exercises for id, source in exercise.cells.items()}


def _checked(exercise: Exercise, execution_count: int | None) -> nbformat.NotebookNode:
    """Check the solution, and return the card as the output that a notebook stores."""
    card = check(exercise.id, exercise.answer)
    if not card:
        raise ValueError(f"the solution does not pass:\n{card!r}")
    return nbformat.v4.new_output(
        "execute_result",
        data={"text/plain": repr(card), "text/html": card._repr_html_()},
        execution_count=execution_count,
    )
