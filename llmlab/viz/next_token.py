"""NextToken: bars of the most likely next tokens, which change while you type.

The kernel answers each text with all its logits (text_box.py). Softmax, temperature and drawing
happen in the browser (next_token.js).
"""

# V vocabulary

import io
import json
import math
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import traitlets

from llmlab.viz.text_box import TextBox
from llmlab.viz.texts import shortened

_MOST_BARS = 50
_UNSEEN = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "\\r"}
_BAR_COLOUR, _REST_COLOUR = "#0072B2", "#999999"


class NextToken(TextBox):
    """A text box and the most likely next tokens; click a bar to append its token.

    ``predict(text)`` returns the logits, shape (V,), of the token that follows ``text``; a
    ``ValueError`` it raises is shown to the person who types. ``vocabulary`` holds the V tokens as
    people should read them. ``text``, ``temperature`` (0 to 2) and ``top``, the
    number of bars (1 to 50), can be set at any time.
    """

    _esm = Path(__file__).with_name("next_token.js")

    _called = "predict"
    _refusal = "predict cannot continue this text"

    # The browser holds the newest temperature; an echo could only bring back an older one.
    temperature = traitlets.Float(1.0).tag(sync=True, echo_update=False)
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
        self._tokens = _checked_vocabulary(vocabulary)
        super().__init__(
            predict,
            text=text,
            temperature=temperature,
            top=top,
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

    def _state_of(self, returned: object, text: str) -> dict:
        return {"logits": _checked_logits(returned, text, len(self._tokens)).tobytes()}

    def __repr__(self) -> str:
        """The same on every machine: probabilities differ in their last digits."""
        return f"NextToken(text={shortened(self.text)!r}, vocabulary={len(self._tokens):,} tokens)"

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
    call = f"predict({shortened(text)!r})"
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


def _picture(text: str, top_tokens: list[tuple[str, float]]) -> bytes:
    """The bars as a PNG."""
    from matplotlib.figure import Figure

    percents = [100 * probability for _, probability in top_tokens]
    rest = max(0.0, 100 - math.fsum(percents))
    labels = [shortened(readable(token), 24) for token, _ in top_tokens] + ["all others"]
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
