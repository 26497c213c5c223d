"""A source course for nbgrader: for each notebook a sheet with its exercises.

A sheet holds the exercises alone, so that grading a hand-in takes seconds; the notebook with its
text, its pictures and its trainings is for learning. For each exercise it has the prompt, a cell to
solve it in, a test on the exercise's fixed inputs, and a hidden test on random inputs of its own.

The metadata are those of nbgrader's cell schema, version 3
(https://nbgrader.readthedocs.io/en/stable/contributor_guide/metadata.html).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import nbformat

from llmlab.exercises.exercise import Exercise

POINTS = 2  # for each exercise; half of them for the hidden test, if there is one
BLANK = "# Your code comes here, in place of the dots."

CONFIG = f'''"""Settings of this course; nbgrader reads them when it is started in this folder."""

import os

from llmlab.classroom.nbgrader_steps import SANITIZE_STEPS

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "llmlab"

# What stands in a hand-out in place of a solution: the stub below it is what a learner fills in.
c.ClearSolutions.code_stub = {{"python": "{BLANK}"}}

# A test that somebody has deleted comes back, and one that was edited is put right.
c.Autograde.sanitize_preprocessors = SANITIZE_STEPS
c.RestoreTests.add_missing_cells = True

# Files that were handed in beside a notebook are not to be imported in place of llmlab.
os.environ["PYTHONSAFEPATH"] = "1"
c.Execute.extra_arguments = [
    "--HistoryManager.hist_file=:memory:",
    "--InteractiveShellApp.ignore_cwd=True",
]

# The seconds that a cell may take when a hand-in is graded. A loop in a function is stopped by the
# test itself after a few seconds; this is for one that stands outside of functions, or that never
# comes back to Python. Only notebook 1, whose exercises ask a real language model, needs more than
# a minute, and then only on a slow computer.
c.Execute.timeout = 300
'''

INTRODUCTION = """# Exercises of notebook {title}

This sheet goes with the notebook `{stem}.ipynb`; what an exercise speaks of, it explains.

- Write your code in place of the dots, and run the cell: `check` says at once whether it is right,
  and if not, what is wrong. `hint` gives a hint, for example `hint("{id}")`.
- The tests below each exercise cannot be edited. They count{more}.
- Before you hand in: *Kernel*, *Restart Kernel and Run All Cells*, then save."""

SETUP = """import math
from collections import Counter

import numpy as np
import torch

from llmlab.exercises import check, hint, solution"""

TEST = """from llmlab.exercises import grade

_mark = grade("{id}", {name})
assert _mark, _mark"""

HIDDEN_TEST = """# More tests of {name}, on inputs that are not shown.
### BEGIN HIDDEN TESTS
from llmlab.exercises import grade

_mark = grade("{id}", {name}, seed={seed})
assert _mark, _mark
### END HIDDEN TESTS"""


def sheet(
    notebook: nbformat.NotebookNode, stem: str, exercises: Sequence[Exercise], rng: random.Random
) -> nbformat.NotebookNode:
    """Return the sheet with the exercises of one notebook; `rng` draws the hidden tests' seeds."""
    title = notebook.cells[0].source.splitlines()[0].removeprefix("# ")
    hidden = any(exercise.draw for exercise in exercises)
    more = ", and so do some that you do not see" if hidden else ""
    opening = INTRODUCTION.format(title=title, stem=stem, id=exercises[0].id, more=more)
    cells = [
        _cell("markdown", opening, "introduction", locked=True),
        _cell("code", SETUP, "setup", locked=True),
    ]
    for exercise in exercises:
        cells += _exercise_cells(exercise, rng)
    return nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )


def _exercise_cells(exercise: Exercise, rng: random.Random) -> list[nbformat.NotebookNode]:
    prompt_id, cell_id = exercise.cells
    names = {"id": exercise.id, "name": exercise.name}
    hidden = exercise.draw is not None
    cells = [
        _cell("markdown", exercise.cells[prompt_id], prompt_id, locked=True),
        _cell("code", with_solution(exercise), cell_id, solution=True),
        _cell(
            "code",
            TEST.format(**names),
            f"{cell_id}-test",
            points=POINTS / 2 if hidden else POINTS,
        ),
    ]
    if hidden:
        source = HIDDEN_TEST.format(**names, seed=rng.randrange(2**31))
        cells.append(_cell("code", source, f"{cell_id}-hidden", points=POINTS / 2))
    return cells


def with_solution(exercise: Exercise) -> str:
    """Return the source of the cell to solve it in, with the solution in a region of its own.

    The stub stands below the solution, where it is never reached. nbgrader takes the region out of
    what it hands out, which leaves the stub.
    """
    head, blank = exercise.stub_parts
    lines = [
        head,
        "    ### BEGIN SOLUTION",
        exercise.solution_body,
        "    ### END SOLUTION",
        blank,
    ]
    return "\n".join(lines) + f"\n\n\n{exercise.call}"


def _cell(
    kind: str,
    source: str,
    id: str,
    *,
    locked: bool = False,
    solution: bool = False,
    points: float | None = None,
) -> nbformat.NotebookNode:
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    graded = points is not None
    about = {
        "schema_version": 3,
        "grade_id": id,
        "cell_type": kind,
        "grade": graded,
        "locked": locked or graded,
        "solution": solution,
        "task": False,
    }
    if graded:
        about["points"] = points
    return make(source, id=id, metadata={"nbgrader": about})
