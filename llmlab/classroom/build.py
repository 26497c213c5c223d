"""Writing the editions of all notebooks into a new folder, whole or not at all."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat

from llmlab.classroom.course import CONFIG, sheet
from llmlab.classroom.editions import learner_edition, solved_edition
from llmlab.exercises.exercise import Exercise
from llmlab.exercises.shelf import NOTEBOOKS, exercises

AGAIN = "take the notebooks that came with this version of llmlab"

README = """# Notebooks for a class: {n}

| folder | for whom | what |
|---|---|---|
| `learner` | learners | the notebooks without outputs, every exercise blank |
| `solved` | the teacher | the notebooks with outputs, every exercise solved |
| `nbgrader` | the teacher | a course for nbgrader: a sheet of exercises for each notebook |

Hand out `learner`. To see who has passed what, collect the notebooks in one folder, one folder in
it for each learner, and run `llmlab class report FOLDER`: it reads them and runs nothing.

## Grading with nbgrader

nbgrader is an extra of llmlab: `pip install --editable ".[classroom]"` in llmlab's folder, or
`pip install nbgrader`. Each notebook is an assignment of its own. For `{first}`, in the folder
`nbgrader`:

```
nbgrader generate_assignment {first}
```

writes the sheet without its solutions and its hidden tests into `release`. Hand that out, and put
what comes back under `submitted`, as `submitted/NAME/{first}/{first}.ipynb`. Then

```
nbgrader autograde {first}
nbgrader export
```

write the marks into `grades.csv`. `nbgrader generate_feedback {first}` makes a page for each
learner under `feedback`. It shows the hidden tests: hand it out after the last hand-in.

- Grading runs the learners' code: do it in an account, or on a computer, where that can do no harm.
- If `autograde` ends with an error for NAME, that notebook could not be graded (a cell ended the
  kernel, or did not end), and `grades.csv` has 0 for it. Open it, mend or remove the cell, and run
  `nbgrader autograde {first} --student NAME --force`.
- These exercises are for learning: `solution(...)` shows every learner a solution, and code that
  sets out to cheat the tests can. Read what was handed in before a mark matters. Keep
  `nbgrader/source` to yourself; the inputs of its hidden tests were drawn for this folder alone.
"""


def build(
    notebooks: Sequence[Path], out: Path, *, seed: int | None = None
) -> Iterator[tuple[str, int]]:
    """Write all editions of `notebooks`, paths of the series, into the new folder `out`.

    Yields the name of each notebook and how many exercises it has, when it is done; the folder
    appears when all are. `seed` draws the inputs of the hidden tests; without one nobody can know
    them. Raises at once: `FileExistsError` if `out` is there and not empty, and `ValueError` for a
    notebook that is not one of this version's series. `OSError` says what to do on a full disk.
    """
    out = Path(out).absolute()
    if os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists and is not empty; name a folder that does not exist")
    modules = {stem: module for module, stem in NOTEBOOKS.items()}
    if unknown := [path.name for path in notebooks if path.stem not in modules]:
        raise ValueError(
            f"{', '.join(unknown)}: no notebook of the series; there are {', '.join(modules)}"
        )
    if not notebooks:
        raise ValueError("no notebook was named; name one or more")
    series = {path: (_read(path), exercises(modules[path.stem])) for path in notebooks}
    for path, (notebook, there) in series.items():
        _has_cells_of(path, notebook, there)
    rng = random.SystemRandom() if seed is None else random.Random(seed)
    return _build(series, out, rng)


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is no notebook, or a damaged one; {AGAIN}") from error


def _has_cells_of(path: Path, notebook: nbformat.NotebookNode, there: Sequence[Exercise]) -> None:
    wanted = [id for exercise in there for id in exercise.cells]
    found = {cell.get("id") for cell in notebook.cells}
    if missing := [id for id in wanted if id not in found]:
        raise ValueError(f"{path} has no cell {', '.join(missing)}; {AGAIN}")


def _build(
    series: dict[Path, tuple[nbformat.NotebookNode, Sequence[Exercise]]],
    out: Path,
    rng: random.Random,
) -> Iterator[tuple[str, int]]:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as work:
            partial = Path(work) / "out"
            partial.mkdir()  # for whom it may be read is not for TemporaryDirectory to say
            for path, (notebook, there) in series.items():
                _write_editions(path, notebook, there, partial, rng)
                yield path.stem, len(there)
            _write(partial / "nbgrader" / "nbgrader_config.py", CONFIG)
            first = next(iter(series)).stem
            _write(partial / "README.md", README.format(n=len(series), first=first))
            if out.exists():
                for part in partial.iterdir():
                    part.replace(out / part.name)
            else:
                partial.replace(out)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{out} could not be written ({error.strerror or error}); make room on the disk, or "
            "name a folder that you may write to",
        ) from error


def _write_editions(
    path: Path,
    notebook: nbformat.NotebookNode,
    there: Sequence[Exercise],
    out: Path,
    rng: random.Random,
) -> None:
    assignment = out / "nbgrader" / "source" / path.stem
    for folder, edition in {
        out / "learner": learner_edition(notebook, there),
        out / "solved": solved_edition(notebook, there),
        assignment: sheet(notebook, path.stem, there, rng),
    }.items():
        nbformat.validate(edition)
        _write(folder / path.name, nbformat.writes(edition) + "\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
