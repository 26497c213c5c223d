"""Writing the editions of all notebooks into a new folder, whole or not at all."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat

from llmlab.classroom.course import CONFIG, sheet
from llmlab.classroom.editions import learner_edition, solved_edition
from llmlab.exercises.shelf import NOTEBOOKS, exercises

README = """# {n} notebooks for a class

| folder | for whom | what |
|---|---|---|
| `learner` | learners | the notebooks without outputs, every exercise blank |
| `solved` | the teacher | the notebooks with outputs, every exercise solved |
| `nbgrader` | the teacher | a course for nbgrader: a sheet of exercises for each notebook |

Hand out `learner`. To see who has passed what, collect the notebooks in one folder, one folder in
it for each learner, and run `llmlab class report FOLDER`: it reads them and runs nothing.

## Grading with nbgrader

nbgrader comes with `pip install 'llmlab[classroom]'`, or `pip install nbgrader`. In the folder
`nbgrader`:

```
nbgrader generate_assignment {first}
```

writes the sheet without its solutions and without its hidden tests to `release/{first}`. Hand that
out, put what comes back under `submitted`, as `submitted/NAME/{first}/{first}.ipynb`, and run

```
nbgrader autograde {first}
nbgrader generate_feedback {first}
nbgrader export
```

The last writes `grades.csv`. Grading runs the learners' code: do it in an account, or on a
computer, where that can do no harm. Keep `nbgrader/source` to yourself: it holds the solutions, and
the hidden tests, whose inputs were drawn for this folder alone.
"""


def build(
    notebooks: Sequence[Path], out: Path, *, seed: int | None = None
) -> Iterator[tuple[str, int]]:
    """Write all editions of `notebooks`, paths of the series, into the new folder `out`.

    Yields the name of each notebook and how many exercises it has, when it is done; the folder
    appears when all are. `seed` draws the inputs of the hidden tests; without one nobody can know
    them. Raises at once: `FileExistsError` if `out` is there and not empty, and `ValueError` for a
    notebook that is not one of the series.
    """
    out = Path(out).absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists and is not empty; name a folder that does not exist")
    modules = {stem: module for module, stem in NOTEBOOKS.items()}
    if unknown := [path.name for path in notebooks if path.stem not in modules]:
        raise ValueError(
            f"{', '.join(unknown)}: no notebook of the series; there are {', '.join(modules)}"
        )
    rng = random.SystemRandom() if seed is None else random.Random(seed)
    return _build(notebooks, out, modules, rng)


def _build(
    notebooks: Sequence[Path], out: Path, modules: dict[str, str], rng: random.Random
) -> Iterator[tuple[str, int]]:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for path in notebooks:
            there = exercises(modules[path.stem])
            _write_editions(path, there, partial, rng)
            yield path.stem, len(there)
        _write(partial / "nbgrader" / "nbgrader_config.py", CONFIG)
        readme = README.format(n=len(notebooks), first=notebooks[0].stem)
        _write(partial / "README.md", readme)
        partial.chmod(0o755)  # mkdtemp keeps others out
        if out.exists():
            out.rmdir()
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_editions(path: Path, there: Sequence, out: Path, rng: random.Random) -> None:
    notebook = nbformat.read(path, as_version=4)
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
