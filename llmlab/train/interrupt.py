"""Ctrl-C as a wish to stop, instead of an error in the middle of things."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def one_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Take the first Ctrl-C as a wish, and give a function that tells whether there was one.

    The second one goes where it would have gone, which as a rule raises ``KeyboardInterrupt``.
    Only the main thread can ask for this; elsewhere, and where Ctrl-C is ignored, nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    wished = over = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal wished
        if not (wished or over):
            wished = True
        elif callable(before):
            before(number, frame)
        else:
            signal.default_int_handler(number, frame)

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or before in (None, signal.SIG_IGN):
        yield lambda: False
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: wished
    finally:
        # A generator that was forgotten may end late, in another thread, or with somebody else's
        # handler in place, which may even call this one: so it must step aside by itself, too.
        over = True
        still_main = threading.current_thread() is threading.main_thread()
        if still_main and signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, before)
