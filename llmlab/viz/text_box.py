"""What a widget with a text box does in the kernel: ask a function about each new text.

The browser asks, one request at a time; text, answer and all that was found arrive in one update:

    request {n, text}   ->   text, answer {n, error}, and the widget's own traits
"""

import itertools
import threading
from collections.abc import Callable

import anywidget
import traitlets

from llmlab.viz.texts import shortened, well_formed

_LONGEST_MESSAGE = 1000


class TextBox(anywidget.AnyWidget):
    """A text, what a function says of it, and a message where it says nothing.

    A subclass names the function, says how it turns down a text without a reason, and checks what
    the function returned in ``_state_of``. A ``ValueError`` that the function raises is shown to
    the person who types; all else that goes wrong is shown with its name, and what was there
    before stays.
    """

    _called = "read"
    _refusal = "read cannot judge this text"

    text = traitlets.Unicode().tag(sync=True)
    # The browser holds the newest text; an echo could only bring back an older one.
    request = traitlets.Dict().tag(sync=True, echo_update=False)
    answer = traitlets.Dict().tag(sync=True)

    def __init__(self, ask: Callable[[str], object], *, text: str, **traits):
        self._ask = ask
        # Requests may arrive on a thread of their own while a cell runs on the main one.
        self._lock = threading.RLock()
        self._pushes = itertools.count(1)
        self._answered = well_formed(text)
        found, error = self._found(self._answered)
        super().__init__(text=self._answered, answer={"n": 0, "error": error}, **found, **traits)

    def _state_of(self, returned: object, text: str) -> dict:
        """The traits that show what the function returned; raises for what it may not return."""
        raise NotImplementedError

    @traitlets.validate("text")
    def _validate_text(self, proposal) -> str:
        return well_formed(proposal.value)

    @traitlets.observe("text")
    def _on_text(self, change) -> None:
        with self._lock:
            if change.new != self._answered:
                self._show(change.new, n=-next(self._pushes))

    @traitlets.observe("request")
    def _on_request(self, change) -> None:
        self._show(well_formed(change.new["text"]), n=change.new["n"])

    def _show(self, text: str, *, n: int) -> None:
        """Ask and send; whatever goes wrong becomes a message, and what was there stays."""
        with self._lock:
            try:
                found, error = self._found(text)
            except KeyboardInterrupt:
                error = f"{self._called} was interrupted; change the text to try again"
                found = {}
            except Exception as exception:
                found, error = {}, _message(f"{type(exception).__name__}: {exception}")
            self._answered = text
            with self.hold_sync():
                self.text = text
                self.answer = {"n": n, "error": error}
                for name, value in found.items():
                    setattr(self, name, value)

    def _found(self, text: str) -> tuple[dict, str]:
        """Traits and no error, or none and what the function has to say about the text."""
        try:
            returned = self._ask(text)
        except ValueError as refusal:
            return {}, _message(str(refusal) or self._refusal)
        return self._state_of(returned, text), ""


def _message(text: str) -> str:
    return shortened(well_formed(text), _LONGEST_MESSAGE)
