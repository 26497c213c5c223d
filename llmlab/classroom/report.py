"""Who has attempted and passed what: hand-ins are read, and nothing in them is run.

What `check` said last stands in a notebook's stored outputs, so that is what is known: a learner
who knows how can write ``passed`` there by hand. Whoever needs grades to rely on uses nbgrader.
"""

from __future__ import annotations

import ast
import csv
import io
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import nbformat

from llmlab.exercises.exercise import Exercise
from llmlab.exercises.shelf import NOTEBOOKS, exercise_ids, exercises, find

# From worst to best: of several hand-ins of one learner the best state counts.
STATES = {
    "absent": ("·", "the notebook, or the exercise in it, was not handed in"),
    "blank": ("○", "not attempted"),
    "not run": ("?", "written, but not run"),
    "not yet": ("✗", "attempted, not passed yet"),
    "passed": ("✓", "passed"),
}
_DAMAGED = "is no notebook, or a damaged one"
_LARGEST = 50 * 10**6  # bytes of a notebook
_RANKS = {state: rank for rank, state in enumerate(STATES)}
_SAID = re.compile(r"[✓✗○] (\S+): (passed|not yet|not attempted yet)(?:\n|$)")  # a card's title
_MOODLE = re.compile(r"_\d+_assignsubmission_file_?")  # what Moodle adds to a learner's name
_COPY = re.compile(r"^copy of | ?\(\d+\)$|[-_ ](copy|kopie|copia|copie)\d*$", re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """What is known of each learner, and which files say nothing."""

    states: dict[str, dict[str, str]]  # learner -> exercise id -> a key of `STATES`
    _: KW_ONLY
    unread: list[str] = field(default_factory=list)  # a sentence each

    def ids(self) -> list[str]:
        """List the exercises of those notebooks that somebody has handed in, in reading order."""
        known = {id for states in self.states.values() for id in states}
        modules = {id.partition(".")[0] for id in known}
        return [id for id in exercise_ids() if id.partition(".")[0] in modules]

    def state(self, learner: str, id: str) -> str:
        """Return the state of one exercise, a key of `STATES`."""
        return self.states[learner].get(id, "absent")

    def n_passed(self, learner: str, ids: Iterable[str] | None = None) -> int:
        """Count the exercises that a learner has passed."""
        chosen = self.ids() if ids is None else ids
        return sum(self.state(learner, id) == "passed" for id in chosen)

    def __str__(self) -> str:
        ids = self.ids()
        modules = list(dict.fromkeys(id.partition(".")[0] for id in ids))
        tables = [_table(self, module) for module in modules]
        if ids:
            tables.append("  ".join(f"{sign} {words}" for sign, words in _legend(self)))
        if len(modules) > 1:
            tables.insert(0, _overview(self, modules))
        return "\n\n".join([*tables, *(["\n".join(self.unread)] if self.unread else [])])

    def csv(self) -> str:
        """Write the report as CSV: a row for each learner, a column for each exercise."""
        ids, page = self.ids(), io.StringIO()
        table = csv.writer(page, lineterminator="\n")
        table.writerow(["learner", "passed", "of", *ids])
        for learner in self.states:
            states = [self.state(learner, id) for id in ids]
            table.writerow([_harmless(learner), self.n_passed(learner), len(ids), *states])
        return page.getvalue()


def read_folder(folder: Path) -> Report:
    """Read every notebook below a folder, and say what its learner has attempted and passed.

    A learner's notebooks stand in a folder of their own, whose name is the learner's, or side by
    side with everybody's, each with the learner's name before or after the notebook's:
    ``ada/02_tokens.ipynb``, ``ada_02_tokens.ipynb``. Folders named as a notebook do not matter,
    nor what Moodle adds to a name. Of several copies the best counts.
    Raises `NotADirectoryError`, and `FileNotFoundError` if no notebook is there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder; name the one that holds the hand-ins")
    paths = [path for path in sorted(folder.rglob("*")) if _counts(path.relative_to(folder))]
    notebooks = [path for path in paths if path.suffix.lower() == ".ipynb"]
    if not notebooks:
        raise FileNotFoundError(f"there is no notebook (.ipynb) in {folder}, nor in its folders")
    states: dict[str, dict[str, str]] = {}
    unread: list[str] = []
    for path in notebooks:
        place = path.relative_to(folder)
        try:
            found = read_notebook(path)
        except ValueError as error:
            unread.append(_printable(f"{place}: {error}"))
            continue
        learner = _learner(place) or _printable(folder.resolve().name)
        known = states.setdefault(learner, {})
        for id, state in found.items():
            known[id] = max(known.get(id, "absent"), state, key=_RANKS.__getitem__)
    unread += _odd_folders(folder, notebooks)
    return Report(dict(sorted(states.items(), key=lambda item: item[0].casefold())), unread=unread)


def _odd_folders(folder: Path, notebooks: Sequence[Path]) -> Iterator[str]:
    """Say of a folder that should be one learner's what may be wrong with it."""
    places = [path.relative_to(folder) for path in notebooks]
    tops = {place.parts[0] for place in places if len(place.parts) > 1}
    for top in sorted(path for path in folder.iterdir() if path.is_dir()):
        if top.name not in tops and _counts(top.relative_to(folder)):
            yield _printable(f"{top.name}: holds no notebook (.ipynb)")
    for top in sorted(tops - set(NOTEBOOKS.values())):
        below = [place for place in places if place.parts[0] == top and len(place.parts) > 2]
        owners = {place.parts[1] for place in below} - set(NOTEBOOKS.values())
        if len({place.name for place in below}) < len(below) and len(owners) > 1:
            name = _printable(top)
            people = _printable(", ".join(sorted(owners)))
            yield f"{name}: was read as one learner; if {people} are learners, report on {name}"


def read_notebook(path: Path) -> dict[str, str]:
    """Return the state of each exercise in a notebook, by its id.

    Raises `ValueError` with a sentence if the file is no notebook or has no exercise of llmlab.
    """
    try:
        if not path.is_file() or path.is_symlink():
            raise ValueError("is no file, but a folder, a link or the like")
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"is larger than {_LARGEST // 10**6} MB; clear its outputs first")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(_DAMAGED) from error
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old forms of notebooks are read all the same
            notebook = nbformat.reads(text, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        cells = [(cell.source, cell.get("id", ""), cell.get("outputs", [])) for cell in code]
    except Exception as error:  # whatever was handed in under this name
        raise ValueError(_DAMAGED) from error
    states: dict[str, str] = {}
    for source, cell_id, outputs in cells:
        if not isinstance(source, str):
            continue
        for exercise in _answered_in(source, cell_id):
            state = _state(exercise, source, outputs)
            states[exercise.id] = max(
                states.get(exercise.id, "absent"), state, key=_RANKS.__getitem__
            )
    if not states:
        raise ValueError("holds no exercise of llmlab")
    return states


def _answered_in(source: str, cell_id: str) -> Iterator[Exercise]:
    """Find the exercises that a cell calls `check` for, or is the place of, without its `check`."""
    ids = re.findall(r"""check\(\s*["']([\w.]+)["']""", source)
    for id in exercise_ids():
        exercise = find(id)
        its_own = cell_id in exercise.cells and f"def {exercise.name}(" in source
        if id in ids or its_own:
            yield exercise


def _state(exercise: Exercise, source: str, outputs: list) -> str:
    if _is_stub(exercise, source):
        return "blank"
    titles = filter(None, (_SAID.match(_text(output)) for output in outputs))
    said = [title[2] for title in titles if title[1] == exercise.id]
    if not said or said[-1] in _RANKS:
        return said[-1] if said else "not run"
    # "Not attempted yet" was said of what stood here before, if there is an answer by now.
    return "not run" if f"def {exercise.name}" in source else "blank"


def _text(output: object) -> str:
    try:
        text = output["data"]["text/plain"]
    except (KeyError, TypeError):
        return ""
    return text if isinstance(text, str) else ""


def _is_stub(exercise: Exercise, source: str) -> bool:
    """Whether a cell is the stub still, apart from comments and spaces."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the learner's code does oddly
            blank, given = ast.parse(list(exercise.cells.values())[1]), ast.parse(source)
            return ast.dump(given) == ast.dump(blank)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _counts(place: Path) -> bool:
    """Whether a file was handed in, and is not what Jupyter or a system keeps beside it."""
    return not any(part.startswith((".", "__MACOSX")) for part in place.parts)


def _learner(place: Path) -> str:
    """Find out whose notebook it is from where it stands; nothing if that does not tell."""
    folders = [part for part in place.parts[:-1] if part not in NOTEBOOKS.values()]
    if folders:
        return _printable(_MOODLE.sub("", folders[0])).strip()
    name = _bare(_MOODLE.sub(" ", _printable(place.stem)))
    for stem in NOTEBOOKS.values():
        before, found, after = name.partition(stem)
        if found:
            return _bare(" ".join(filter(None, (before.strip("-_ "), after.strip("-_ ")))))
    return name


def _bare(name: str) -> str:
    """Drop what a browser or a file manager adds to the name of a copy."""
    while (shorter := _COPY.sub("", name).strip()) != name:
        name = shorter
    return "" if name.casefold() == "copy of" else name


def _printable(name: str) -> str:
    """Replace what would move the cursor of a terminal, or is half a character."""
    name = unicodedata.normalize("NFC", name)  # systems differ in how they store an umlaut
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


def _table(report: Report, module: str) -> str:
    """Write the table of one notebook: a row for each learner, then how many passed."""
    there = exercises(module)
    names = [exercise.id.partition(".")[2] for exercise in there]
    learners = list(report.states)
    width = max(len("passed by"), *map(len, learners))
    columns = [max(3, len(name)) for name in names]
    head = "  ".join(f"{name:<{column}}" for name, column in zip(names, columns, strict=True))
    lines = [NOTEBOOKS[module], f"  {'':<{width}}  {head}".rstrip()]
    for learner in learners:
        signs = [STATES[report.state(learner, exercise.id)][0] for exercise in there]
        row = "  ".join(f"{sign:<{column}}" for sign, column in zip(signs, columns, strict=True))
        lines.append(f"  {learner:<{width}}  {row}".rstrip())
    shares = [
        f"{sum(report.state(learner, e.id) == 'passed' for learner in learners)}/{len(learners)}"
        for e in there
    ]
    row = "  ".join(f"{share:<{column}}" for share, column in zip(shares, columns, strict=True))
    return "\n".join([*lines, f"  {'passed by':<{width}}  {row}".rstrip()])


def _overview(report: Report, modules: list[str]) -> str:
    """Write how many exercises of each notebook each learner has passed."""
    width = max(len("passed"), *map(len, report.states))
    numbers = [NOTEBOOKS[module].partition("_")[0] for module in modules]
    lines = [f"{'passed':<{width}}  " + "  ".join(f"{number:<4}" for number in numbers) + "  all"]
    ids = report.ids()
    for learner in report.states:
        shares = []
        for module in modules:
            own = [exercise.id for exercise in exercises(module)]
            shares.append(f"{report.n_passed(learner, own)}/{len(own)}")
        row = "  ".join(f"{share:<4}" for share in shares)
        lines.append(f"{learner:<{width}}  {row}  {report.n_passed(learner)}/{len(ids)}")
    return "\n".join(lines)


def _legend(report: Report) -> list[tuple[str, str]]:
    met = {report.state(learner, id) for learner in report.states for id in report.ids()}
    return [STATES[state] for state in reversed(STATES) if state in met]


def _harmless(name: str) -> str:
    """Keep a spreadsheet from taking a learner's name for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name
