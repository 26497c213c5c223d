"""Running a learner's function: whatever it does, the caller gets an outcome in limited time."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import linecache
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llmlab.exercises.comparing import difference

_LONGEST_PRINTED = 1000  # characters kept of what an answer prints
_GRACE = 2.0  # seconds for a loop to end after it was told to
_LOOK = 0.02  # seconds between two looks at a thread


class _Stopped(BaseException):
    """Raised inside a function that has run too long; no ``except Exception`` catches it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one call did: its value, or what it raised and where; or that it did not end."""

    value: Any = None
    error: BaseException | None = None
    line: str = ""  # the line of the learner's code that raised
    printed: str = ""
    changed: str = ""  # the argument that the function changed, which was not its own
    stopped: bool = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """The outcomes of all calls up to the first that did not end in time."""

    outcomes: list[Outcome]
    abandoned: bool = False  # it could not even be stopped, and goes on in the background
    interrupted: bool = False  # by the person, with Ctrl-C or the stop button


def run(
    function: Callable[..., Any],
    inputs: Sequence[tuple],
    *,
    seconds: float,
    names: Sequence[str] = (),
) -> Run:
    """Call a function on copies of each input, in a thread that is stopped after `seconds`.

    `names` are those of the arguments, to say which one was changed. Exceptions become outcomes;
    a thread in a long call outside Python cannot be stopped and is left behind (`Run.abandoned`).
    """
    outcomes: list[Outcome] = []
    pages = [_Page() for _ in inputs]

    def work() -> None:
        with contextlib.suppress(_Stopped), contextlib.suppress(_Stopped):
            for arguments, page in zip(inputs, pages, strict=True):
                with contextlib.redirect_stdout(page):
                    outcome = _call(function, arguments, names, page)
                outcomes.append(outcome)

    with _own_output(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        interrupted = False
        try:
            _wait(thread, seconds)
        except KeyboardInterrupt:
            interrupted = True
        ended = _stop(thread)
    finished = list(outcomes)
    if len(finished) < len(inputs) and not interrupted:
        finished.append(Outcome(stopped=True, printed=str(pages[len(finished)])))
    return Run(outcomes=finished, abandoned=not ended, interrupted=interrupted)


def _call(function: Callable[..., Any], arguments: tuple, names: Sequence[str], page: _Page):
    own = copy.deepcopy(arguments)
    try:
        value = function(*own)
    except _Stopped:
        raise
    except BaseException as error:  # a learner may call exit()
        return Outcome(error=error, line=_line(function, error), printed=str(page))
    changed = [
        name
        for name, before, after in zip(names, arguments, own, strict=False)
        if is_changed(before, after)
    ]
    return Outcome(value=value, printed=str(page), changed=changed[0] if changed else "")


def is_changed(before: Any, after: Any) -> bool:
    """Whether a copy that was given away differs from the original; objects are not compared."""
    if type(before).__eq__ is object.__eq__:
        return False
    return difference(before, after) is not None


def _line(function: Callable[..., Any], error: BaseException) -> str:
    """Find the innermost line of the file that the learner's function stands in."""
    code = getattr(function, "__code__", None)
    frames = [
        (frame.f_code.co_filename, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
    ]
    own = [place for place in frames if code is not None and place[0] == code.co_filename]
    return linecache.getline(*own[-1]).strip() if own else ""


def _wait(thread: threading.Thread, seconds: float) -> None:
    """Join in short steps, so that Ctrl-C gets through on Windows too."""
    until = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < until:
        thread.join(_LOOK)


def _stop(thread: threading.Thread) -> bool:
    """Raise `_Stopped` in a thread until it ends; return whether it did."""
    until = time.monotonic() + _GRACE
    while thread.is_alive() and time.monotonic() < until:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(_Stopped)
        )
        thread.join(_LOOK)
    return not thread.is_alive()


@contextlib.contextmanager
def _own_output() -> Iterator[None]:
    """Give the standard output back, even if a thread that took it never ends."""
    before = sys.stdout
    try:
        yield
    finally:
        sys.stdout = before


class _Page:
    """A file that keeps the beginning of what is printed to it."""

    def __init__(self):
        self._text = ""

    def write(self, text: str) -> int:
        room = _LONGEST_PRINTED - len(self._text)
        if room > 0:
            self._text += text[:room] + ("…" if len(text) > room else "")
        return len(text)

    def flush(self) -> None:
        """Everything is there already."""

    def __str__(self) -> str:
        return self._text
