"""NextToken: bars of the most likely next tokens, which change while you type.

The browser asks, one request at a time, and the kernel answers with all logits of the text:

    request {n, text}   ->   text, answer {n, error}, logits   in one state update

Softmax, temperature and drawing happen in the browser (next_token.js).
"""

# V vocabulary

import io
import itertools
import json
import math
import threading
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import anywidget
import numpy as np
import traitlets

_MOST_BARS = 50
_LONGEST_MESSAGE = 1000
_UNSEEN = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "\\r"}
_BAR_COLOUR, _REST_COLOUR = "#0072B2", "#999999"


class NextToken(anywidget.AnyWidget):
    """A text box and the most likely next tokens; click a bar to append its token.

    ``predict(text)`` returns the logits, shape (V,), of the token that follows ``text``; a
    ``ValueError`` it raises is shown to the person who types. ``vocabulary`` holds the V tokens as
    people should read them. ``text``, ``temperature`` (0 to 2) and ``top``, the
    number of bars (1 to 50), can be set at any time.
    """

    _esm = Path(__file__).with_name("next_token.js")

    text = traitlets.Unicode().tag(sync=True)
    # The browser holds the newest text and temperature; an echo could only bring back older ones.
    temperature = traitlets.Float(1.0).tag(sync=True, echo_update=False)
    request = traitlets.Dict().tag(sync=True, echo_update=False)
    answer = traitlets.Dict().tag(sync=True)
    logits = traitlets.Bytes().tag(sync=True)
    vocabulary = traitlets.Bytes().tag(sync=True)
    top = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        predict: Callable[[str], np.ndarray],
        vocabulary: Sequence[str],
        *,
        text: str = "The capital of France is",
        temperature: float = 1.0,
        top: int = 10,
    ):
        if not callable(predict):
            raise TypeError(
                f"predict={predict!r} is not a function; "
                "pass one that takes a text and returns an array of logits"
            )
        self._predict = predict
        self._tokens = _checked_vocabulary(vocabulary)
        # Requests may arrive on a thread of their own while a cell runs on the main one.
        self._lock = threading.RLock()
        self._pushes = itertools.count(1)
        self._answered = _well_formed(text)
        logits_V, error = self._read(self._answered)
        super().__init__(
            text=self._answered,
            temperature=temperature,
            top=top,
            answer={"n": 0, "error": error},
            logits=b"" if logits_V is None else logits_V.tobytes(),
            # ASCII escapes carry even lone surrogates, which utf-8 itself cannot.
            vocabulary=json.dumps(self._tokens).encode("utf-8"),
        )

    def top_tokens(self) -> list[tuple[str, float]]:
        """The most likely next tokens and their probabilities at the present temperature.

        Raises ValueError when ``predict`` refused the present text.
        """
        with self._lock:
            error, logits_V = self.answer["error"], np.frombuffer(self.logits, "<f4")
        if error:
            raise ValueError(error)
        probability_V = probabilities(logits_V, temperature=self.temperature)
        ids = np.argsort(-logits_V, kind="stable")[: self.top]
        return [(self._tokens[i], float(probability_V[i])) for i in ids]

    @traitlets.validate("text")
    def _validate_text(self, proposal) -> str:
        return _well_formed(proposal.value)

    @traitlets.validate("temperature")
    def _validate_temperature(self, proposal) -> float:
        if not 0 <= proposal.value <= 2:
            raise ValueError(f"temperature={proposal.value} is not between 0 and 2; use 1 or 0.7")
        return proposal.value

    @traitlets.validate("top")
    def _validate_top(self, proposal) -> int:
        if not 1 <= proposal.value <= _MOST_BARS:
            raise ValueError(f"top={proposal.value} bars cannot be shown; use 1 to {_MOST_BARS}")
        return proposal.value

    @traitlets.observe("text")
    def _on_text(self, change) -> None:
        with self._lock:
            if change.new != self._answered:
                self._show(change.new, n=-next(self._pushes))

    @traitlets.observe("request")
    def _on_request(self, change) -> None:
        self._show(_well_formed(change.new["text"]), n=change.new["n"])

    def _show(self, text: str, *, n: int) -> None:
        """Predict and send; whatever goes wrong becomes a message, and the old bars stay."""
        with self._lock:
            try:
                logits_V, error = self._read(text)
            except KeyboardInterrupt:
                logits_V, error = None, "predict was interrupted; change the text to try again"
            except Exception as exception:
                logits_V, error = None, _message(f"{type(exception).__name__}: {exception}")
            self._answered = text
            with self.hold_sync():
                self.text = text
                self.answer = {"n": n, "error": error}
                if logits_V is not None:
                    self.logits = logits_V.tobytes()

    def _read(self, text: str) -> tuple[np.ndarray | None, str]:
        """Logits and no error, or no logits and what ``predict`` has to say about the text."""
        try:
            raw = self._predict(text)
        except ValueError as refusal:
            return None, _message(str(refusal) or "predict cannot continue this text")
        return _checked_logits(raw, text, len(self._tokens)), ""

    def __repr__(self) -> str:
        """The same on every machine: probabilities differ in their last digits."""
        return f"NextToken(text={_shortened(self.text)!r}, vocabulary={len(self._tokens):,} tokens)"

    def _repr_mimebundle_(self, **kwargs):
        """The live view, and a picture for places without a kernel."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data["text/plain"] = repr(self)
        if not self.answer["error"]:
            data["image/png"] = _picture(self.text, self.top_tokens())
        return data, metadata


def probabilities(logits_V: np.ndarray, *, temperature: float) -> np.ndarray:
    """softmax(logits / temperature); at 0 all mass is on the most likely token.

    >>> probabilities(np.log([1.0, 3.0]), temperature=1.0).round(2).tolist()
    [0.25, 0.75]
    >>> probabilities(np.array([2.0, 2.0]), temperature=0).tolist()
    [1.0, 0.0]
    """
    logits_V = np.asarray(logits_V, dtype=np.float64)
    if temperature == 0:
        one_hot_V = np.zeros_like(logits_V)
        one_hot_V[logits_V.argmax()] = 1.0
        return one_hot_V
    with np.errstate(over="ignore"):  # exp(-inf) is the right weight of what is out of reach
        weight_V = np.exp((logits_V - logits_V.max()) / temperature)
    return weight_V / weight_V.sum()


def readable(token: str) -> str:
    r"""The token with everything unseen written out.

    >>> readable(" Paris\n"), readable(""), readable("\x00")
    ('␣Paris⏎', '(empty)', '\\x00')
    """
    return "".join(map(_readable_character, token)) or "(empty)"


def _readable_character(character: str) -> str:
    if character in _UNSEEN:
        return _UNSEEN[character]
    if unicodedata.category(character)[0] not in "CZ":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _checked_vocabulary(vocabulary: Sequence[str]) -> list[str]:
    tokens = list(vocabulary)
    if not tokens:
        raise ValueError("vocabulary=[] has no tokens; give one string per logit of predict")
    for i, token in enumerate(tokens):
        if not isinstance(token, str):
            raise TypeError(
                f"vocabulary[{i}]={token!r} is not a string; "
                "give every token as people should read it"
            )
    return tokens


def _checked_logits(raw: object, text: str, size: int) -> np.ndarray:
    logits_V = np.asarray(raw)
    call = f"predict({_shortened(text)!r})"
    if logits_V.shape != (size,):
        raise ValueError(
            f"{call} returned shape {logits_V.shape}, but the vocabulary has {size:,} tokens; "
            f"return one logit per token, shape ({size},)"
        )
    with np.errstate(over="ignore"):
        logits_V = logits_V.astype("<f4")
    wrong = np.flatnonzero(~np.isfinite(logits_V))
    if wrong.size:
        raise ValueError(
            f"{call} returned {logits_V[wrong[0]]} as the logit of token {wrong[0]} "
            f"({wrong.size:,} such values), but every logit must be a finite 32-bit number; "
            "return the scores before softmax and log, and -1e9 for a token that is ruled out"
        )
    return logits_V


def _well_formed(text: str) -> str:
    """Half a surrogate pair cannot travel as utf-8; it becomes the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _message(text: str) -> str:
    text = _well_formed(text)
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"


def _shortened(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _picture(text: str, top_tokens: list[tuple[str, float]]) -> bytes:
    """The bars as a PNG."""
    from matplotlib.figure import Figure

    percents = [100 * probability for _, probability in top_tokens]
    rest = max(0.0, 100 - math.fsum(percents))
    labels = [_shortened(readable(token), 24) for token, _ in top_tokens] + ["all others"]
    rows = np.arange(len(labels))
    figure = Figure(figsize=(6.4, 0.8 + 0.27 * len(labels)), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    colours = [_BAR_COLOUR] * len(percents) + [_REST_COLOUR]
    bars = axes.barh(rows, [*percents, rest], color=colours)
    axes.bar_label(bars, fmt="%.1f %%", padding=3)
    axes.set_yticks(rows, labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xlabel("probability (%)")
    axes.set_ylabel("next token")
    axes.spines[["top", "right"]].set_visible(False)
    ending = readable(text).replace("␣", " ") if text else "nothing"
    ending = ending if len(ending) <= 40 else f"…{ending[-40:]}"
    title = axes.set_title(f"After “{ending}”: “{labels[0]}” with {percents[0]:.0f} %", wrap=True)
    # A token may hold dollar signs, which stand for themselves here.
    for written in (title, *axes.get_yticklabels()):
        written.set_parse_math(False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks are drawn as boxes
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
