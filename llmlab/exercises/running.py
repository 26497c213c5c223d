"""Running a learner's function: what it does or raises becomes an outcome, in limited time."""

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
from types import CoroutineType, FunctionType
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
    """The outcomes of all calls up to the first that did not end in time; else as in `Ended`."""

    outcomes: list[Outcome]
    abandoned: bool = False
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a piece of work ended: with a value, with an error, or not in time."""

    value: Any = None
    error: BaseException | None = None
    in_time: bool = False
    abandoned: bool = False  # it could not even be stopped, and goes on in the background
    interrupted: bool = False  # by the person, with Ctrl-C or the stop button


_inside = threading.local()


def is_inside() -> bool:
    """Whether the caller runs in a thread that `within` has started."""
    return getattr(_inside, "here", False)


def within(seconds: float, work: Callable[[threading.Event], Any]) -> Ended:
    """Do a piece of work in a thread of its own, which is stopped after `seconds`.

    `work` is given an event, which is set when nobody waits any more. Whatever it raises is caught.
    A thread that is busy outside Python, asleep for example, cannot be stopped: it is left behind.
    Only a call that keeps the interpreter to itself (``10**10**9``, ``sum(count())``) holds up the
    caller, too: nothing else in the process can run then.
    """
    given_up, leaving = threading.Event(), threading.Event()
    ended: dict[str, Any] = {}

    def target() -> None:
        _inside.here = True
        try:
            ended["value"] = work(given_up)
            ended["in_time"] = True
        except _Stopped:
            leaving.set()  # at once: freeing its memory may take long, and no second one must hit
        except BaseException as error:  # a learner's code may call exit()
            ended.update(error=error, in_time=True)
        finally:
            leaving.set()

    thread = threading.Thread(target=target, daemon=True)
    interrupted = False
    with _own_output(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            thread.start()
            _wait(thread, seconds)
        except KeyboardInterrupt:
            interrupted = True
        given_up.set()
        try:
            _stop(thread, leaving)
        except KeyboardInterrupt:
            interrupted = True
    return Ended(**ended, abandoned=thread.is_alive(), interrupted=interrupted)


def run(
    function: Callable[..., Any],
    inputs: Sequence[tuple],
    *,
    seconds: float,
    names: Sequence[str] = (),
) -> Run:
    """Call a function on copies of each input, for at most `seconds` altogether.

    `names` are those of the arguments, to say which one was changed. Exceptions become outcomes.
    """
    outcomes: list[Outcome] = []
    pages = [_Page() for _ in inputs]

    def work(given_up: threading.Event) -> None:
        for arguments, page in zip(inputs, pages, strict=True):
            if given_up.is_set():  # a long call has come back after all
                return
            with contextlib.redirect_stdout(page), contextlib.redirect_stderr(page):
                outcome = _call(function, arguments, names, page)
            outcomes.append(outcome)

    ended = within(seconds, work)
    finished = list(outcomes)
    if ended.error is not None:  # what the answer left behind raised when it was looked at
        finished.append(Outcome(error=ended.error))
    elif len(finished) < len(inputs) and not ended.interrupted:
        finished.append(Outcome(stopped=True, printed=str(pages[len(finished)])))
    return Run(outcomes=finished, abandoned=ended.abandoned, interrupted=ended.interrupted)


def _call(function: Callable[..., Any], arguments: tuple, names: Sequence[str], page: _Page):
    own = copy.deepcopy(arguments)
    try:
        value = function(*own)
    except _Stopped:
        raise
    except BaseException as error:  # a learner may call exit()
        return Outcome(error=error, line=_line(function, error), printed=str(page))
    if type(value) is CoroutineType:
        value.close()  # or Python complains later that nobody awaited it
    changed = [
        name
        for name, before, after in zip(names, arguments, own, strict=False)
        if is_changed(before, after)
    ]
    with contextlib.suppress(Exception):  # a generator has no copy
        value = copy.deepcopy(value)  # the answer may go on changing what it returned
    return Outcome(value=value, printed=str(page), changed=changed[0] if changed else "")


def is_changed(before: Any, after: Any) -> bool:
    """Whether a copy that was given away differs from the original; objects are not compared."""
    if type(before).__eq__ is object.__eq__:
        return False
    return difference(before, after) is not None


def _line(function: Callable[..., Any], error: BaseException) -> str:
    """Find the innermost line of the file that the learner's function stands in."""
    code = function.__code__ if type(function) is FunctionType else None
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


def _stop(thread: threading.Thread, leaving: threading.Event) -> None:
    """Raise `_Stopped` in a thread until it takes its leave, or for as long as we have patience."""
    until = time.monotonic() + _GRACE
    while thread.is_alive() and time.monotonic() < until:
        if not leaving.is_set():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(_Stopped)
            )
        thread.join(_LOOK)


@contextlib.contextmanager
def _own_output() -> Iterator[None]:
    """Give the output streams back, even if a thread that took them never ends."""
    before = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


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
