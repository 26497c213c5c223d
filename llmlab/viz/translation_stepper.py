"""TranslationStepper: a translation written token by token, beside where the decoder looks.

The browser asks, one request at a time, and the kernel answers in one state update:

    request {n, text}   ->   text, reading {n, error, tokens, candidates, …}, weights

The weights of all heads travel once, as float32 (L, H, T, S). Playing, stepping and the choice of
a head happen in the browser (translation_stepper.js).
"""

# L layers, H heads, T target step, S source position

import io
import itertools
import math
import threading
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from llmlab.viz.arrays import plain, strings
from llmlab.viz.attention_reading import check_index
from llmlab.viz.next_token import readable
from llmlab.viz.texts import shortened, well_formed

_MOST_TOKENS = 64
_SHOWN_CANDIDATES = 5
_LONGEST_MESSAGE = 1000
_SLACK = 1e-2  # what a softmax in half precision may miss its sum by
_PARTS = ("source_tokens", "target_tokens", "text", "weights_LHTS", "candidates")
_MARKS = {"<end>": "■ end", "<start>": "start", "<pad>": "pad"}


@dataclass(frozen=True)
class _Translation:
    """What `read` said of one sentence, checked."""

    sentence: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    translation: str
    weights_LHTS: np.ndarray
    candidates: tuple[tuple[tuple[str, float], ...], ...]

    def map_of(self, layer: int | None, head: int | None) -> np.ndarray:
        """One head's weights (T, S); the mean over a layer's heads, or over everything."""
        if layer is None:
            return self.weights_LHTS.mean(axis=(0, 1))
        if head is None:
            return self.weights_LHTS[layer].mean(axis=0)
        return self.weights_LHTS[layer, head]


class TranslationStepper(anywidget.AnyWidget):
    """A sentence is translated one token at a time, beside the grid of cross-attention.

    ``read(text)`` returns an `llmlab.inference.TranslationReading`, or anything of that shape:
    ``source_tokens`` (S) and ``target_tokens`` (T), up to 64 of each; ``text``, the translation;
    ``weights_LHTS``, where row t is where the decoder looks while it chooses target token t; and
    ``candidates``, for every t the likeliest (token, probability) pairs. A ``ValueError`` it raises
    is shown to the person who types. ``examples`` are sentences on buttons.

    ``text``, ``step`` (1 to T), ``layer`` and ``head`` follow what the person does and can be set
    at any time. Layers and heads count from 0, as in `AttentionExplorer`. None is the mean:
    ``layer=None`` over all heads of all layers, ``head=None`` over the heads of the layer.
    """

    _esm = Path(__file__).with_name("translation_stepper.js")

    text = traitlets.Unicode().tag(sync=True)
    # The browser holds the newest state; an echo could only bring back older ones.
    request = traitlets.Dict().tag(sync=True, echo_update=False)
    step = traitlets.Int(1).tag(sync=True, echo_update=False)
    layer = traitlets.Int(None, allow_none=True).tag(sync=True, echo_update=False)
    head = traitlets.Int(None, allow_none=True).tag(sync=True, echo_update=False)
    reading = traitlets.Dict().tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)
    examples = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(
        self,
        read: Callable,
        *,
        text: str = "This is an example.",
        layer: int | None = None,
        head: int | None = None,
        examples: Sequence[str] = (),
    ):
        if not callable(read):
            raise TypeError(
                f"read={read!r} is not a function; pass a TranslationReader, or a function that "
                "takes a text and returns a TranslationReading"
            )
        if not isinstance(text, str):
            raise TypeError(f"text={text!r} is not a string; give the sentence to translate")
        self._read = read
        # Requests may arrive on a thread of their own while a cell runs on the main one.
        self._lock = threading.RLock()
        self._pushes = itertools.count(1)
        self._answered = well_formed(text)
        self._shown = _translated(read, self._answered)
        super().__init__(
            text=self._answered,
            layer=layer,
            head=head,
            examples=[well_formed(sentence) for sentence in strings(examples, "examples")],
            **self._state(n=0),
        )

    @property
    def translation(self) -> str:
        """The translation that is shown."""
        return self._shown.translation

    def attention(self) -> np.ndarray:
        """The weights that are shown, float32 (T, S): the chosen head's, or the chosen mean."""
        with self._lock:
            return self._shown.map_of(self.layer, self.head).copy()

    @traitlets.validate("text")
    def _validate_text(self, proposal) -> str:
        return well_formed(proposal.value)

    @traitlets.validate("step")
    def _validate_step(self, proposal) -> int:
        last = len(self._shown.target)
        if not 1 <= proposal.value <= last:
            raise ValueError(f"step={proposal.value} is not there; use 1 to {last}")
        return proposal.value

    @traitlets.validate("layer", "head")
    def _validate_place(self, proposal) -> int | None:
        if proposal.value is not None:
            name = proposal.trait.name
            size = self._shown.weights_LHTS.shape[("layer", "head").index(name)]
            check_index(name, proposal.value, size)
            if name == "head" and self.layer is None:
                raise ValueError(
                    f"head={proposal.value} of which layer? set layer first, or leave head out"
                )
        return proposal.value

    def set_state(self, sync_data: dict) -> None:
        """Take the browser's state; a step of the sentence before may come after the next one."""
        if "step" in sync_data:
            last = len(self._shown.target)
            sync_data = {**sync_data, "step": min(max(1, sync_data["step"]), last)}
        super().set_state(sync_data)

    @traitlets.observe("layer")
    def _on_layer(self, change) -> None:
        if change.new is None:
            self.head = None

    @traitlets.observe("text")
    def _on_text(self, change) -> None:
        with self._lock:
            if change.new != self._answered:
                self._show(change.new, n=-next(self._pushes))

    @traitlets.observe("request")
    def _on_request(self, change) -> None:
        self._show(well_formed(change.new["text"]), n=change.new["n"])

    def _show(self, text: str, *, n: int) -> None:
        """Translate and send; whatever goes wrong becomes a message, and the old picture stays."""
        with self._lock:
            self._answered, error = text, ""
            try:
                shown = _translated(self._read, text)
            except KeyboardInterrupt:
                error = "read was interrupted; press Translate to try again"
            except _RefusedError as refusal:
                error = str(refusal)
            except Exception as exception:
                error = f"{type(exception).__name__}: {exception}"
            with self.hold_sync():
                self.text = text
                if error:
                    error = shortened(well_formed(error), _LONGEST_MESSAGE)
                    self.reading = {**self.reading, "n": n, "error": error}
                    return
                self._shown = shown
                L, H = shown.weights_LHTS.shape[:2]
                self.step = 1
                if self.layer is not None and self.layer >= L:
                    self.layer = None
                if self.head is not None and self.head >= H:
                    self.head = None
                for name, value in self._state(n).items():
                    setattr(self, name, value)

    def _state(self, n: int) -> dict:
        """The traits that carry the translation which is shown."""
        shown = self._shown
        L, H = shown.weights_LHTS.shape[:2]
        reading = {
            "n": n,
            "error": "",
            "sentence": shown.sentence,
            "source": list(shown.source),
            "target": list(shown.target),
            "translation": shown.translation,
            "layers": L,
            "heads": H,
            "candidates": [[list(pair) for pair in best] for best in shown.candidates],
        }
        return {"reading": reading, "weights": shown.weights_LHTS.tobytes()}

    def __repr__(self) -> str:
        """The same on every machine: what a trained model answers may differ in a word."""
        place = "".join(
            f", {name}={getattr(self, name)}"
            for name in ("layer", "head")
            if getattr(self, name) is not None
        )
        return f"TranslationStepper(text={shortened(self._shown.sentence)!r}{place})"

    def _repr_mimebundle_(self, **kwargs):
        """The live view, and a picture for places without a kernel."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data["text/plain"] = repr(self)
        with self._lock:
            data["image/png"] = _picture(self._shown, self.layer, self.head)
        return data, metadata


# --- what `read` gave back ------------------------------------------------------------------------


class _RefusedError(ValueError):
    """What `read` has to say to the person who types."""


def _translated(read: Callable, text: str) -> _Translation:
    try:
        raw = read(text)
    except ValueError as refusal:
        raise _RefusedError(str(refusal) or "read cannot translate this sentence") from refusal
    call = f"read({shortened(text)!r})"
    for name in _PARTS:
        if not hasattr(raw, name):
            raise TypeError(
                f"{call} returned a {type(raw).__name__} without {name}; return a "
                f"TranslationReading, or anything with {', '.join(_PARTS)}"
            )
    if not isinstance(raw.text, str):
        raise TypeError(f"{call}.text={raw.text!r} is not a string; give the translation")
    source, target = (
        _checked_tokens(getattr(raw, name), f"{call}.{name}")
        for name in ("source_tokens", "target_tokens")
    )
    if max(len(source), len(target)) > _MOST_TOKENS:
        raise _RefusedError(
            f"the sentence has {len(source)} tokens and its translation {len(target)}; at most "
            f"{_MOST_TOKENS} of each can be followed, so shorten it"
        )
    return _Translation(
        sentence=text,
        source=source,
        target=target,
        translation=well_formed(raw.text),
        weights_LHTS=_checked_weights(raw.weights_LHTS, target, source, f"{call}.weights_LHTS"),
        candidates=_checked_candidates(raw.candidates, target, f"{call}.candidates"),
    )


def _checked_tokens(raw: object, where: str) -> tuple[str, ...]:
    tokens = strings(raw, where)
    if not tokens:
        raise ValueError(f"{where} is empty; give at least one token, such as <end>")
    return tuple(map(well_formed, tokens))


def _checked_weights(raw: object, target: tuple, source: tuple, where: str) -> np.ndarray:
    weights_LHTS = plain(raw, where)
    T, S = len(target), len(source)
    if weights_LHTS.ndim != 4 or weights_LHTS.shape[2:] != (T, S) or not weights_LHTS.size:
        raise ValueError(
            f"{where} has shape {weights_LHTS.shape}, but there are {T} target and {S} source "
            f"tokens; give (layers, heads, {T}, {S})"
        )
    wrong_LHTS = ~((weights_LHTS >= -_SLACK) & (weights_LHTS <= 1 + _SLACK))  # or not a number
    if wrong_LHTS.any():
        place = tuple(int(i) for i in np.argwhere(wrong_LHTS)[0])
        raise ValueError(
            f"{where}[{', '.join(map(str, place))}]={weights_LHTS[place]:.4g}, but a weight lies "
            "from 0 to 1; return them after the softmax"
        )
    sum_LHT = weights_LHTS.sum(axis=-1)
    wrong_LHT = np.abs(sum_LHT - 1) > _SLACK
    if wrong_LHT.any():
        place = tuple(int(i) for i in np.argwhere(wrong_LHT)[0])
        raise ValueError(
            f"{where}[{', '.join(map(str, place))}] sums to {sum_LHT[place]:.4g}, but the weights "
            "of a step sum to 1; return them after the softmax over the source tokens"
        )
    return np.ascontiguousarray(weights_LHTS.clip(0, 1), dtype="<f4")


def _checked_candidates(raw: object, target: tuple, where: str) -> tuple:
    steps = _listed(raw, where)
    if len(steps) != len(target):
        raise ValueError(
            f"{where} holds {len(steps)} steps for {len(target)} target tokens; give for each of "
            "them a list of (token, probability)"
        )
    return tuple(_checked_step(step, f"{where}[{t}]") for t, step in enumerate(steps))


def _checked_step(raw: object, where: str) -> tuple[tuple[str, float], ...]:
    pairs = []
    for i, pair in enumerate(_listed(raw, where)):
        try:
            token, probability = pair
            probability = float(probability)
        except (TypeError, ValueError):
            token = probability = None
        if not isinstance(token, str):
            raise TypeError(
                f'{where}[{i}]={pair!r} is no candidate; give (token, probability): (" es", 0.9)'
            )
        if not 0 <= probability <= 1 + _SLACK:  # not a number fails, too
            raise ValueError(
                f"{where}[{i}] has probability {probability:.4g}, but it lies from 0 to 1; "
                "return the softmax of the logits"
            )
        pairs.append((well_formed(token), min(1.0, probability)))
    total = math.fsum(probability for _, probability in pairs)
    if total > 1 + _SLACK:
        raise ValueError(
            f"{where} sums to {total:.4g}, but probabilities sum to at most 1; "
            "return the softmax of the logits"
        )
    return tuple(pairs[:_SHOWN_CANDIDATES])


def _listed(raw: object, where: str) -> list:
    try:
        return list(raw)
    except TypeError:
        raise TypeError(f"{where}={raw!r} is no list; give (token, probability) pairs") from None


# --- a picture for places without a kernel --------------------------------------------------------


def _label(token: str, longest: int = 14) -> str:
    label = _MARKS.get(token) or readable(token)
    return label if len(label) <= longest else f"{label[: longest - 1]}…"


def _sentence(text: str, longest: int = 60) -> str:
    text = readable(text).replace("␣", " ") if text else ""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _title(
    shown: _Translation, map_TS: np.ndarray, layer: int | None, head: int | None
) -> list[str]:
    """What was translated, and the strongest look of a token that is a word or a part of one."""
    words = [t for t, token in enumerate(shown.target) if any(map(str.isalnum, token))]
    rows = [t for t in words if shown.target[t] not in _MARKS] or list(range(len(shown.target)))
    row, column = np.unravel_index(map_TS[rows].argmax(), (len(rows), map_TS.shape[1]))
    row = rows[row]
    place = "mean of all layers and heads"
    if layer is not None:
        place = f"layer {layer}, " + ("mean of its heads" if head is None else f"head {head}")
    sentence, translation = map(_sentence, (shown.sentence, shown.translation))
    break_ = "\n" if len(sentence) + len(translation) > 60 else " "
    return [
        *f"“{sentence}”{break_}becomes “{translation}”".split("\n"),
        f"“{_label(shown.target[row]).lstrip('␣')}” looks at "
        f"“{_label(shown.source[column]).lstrip('␣')}” with "
        f"{100 * map_TS[row, column]:.0f} % ({place})",
    ]


def _widest(labels: list[str], size: float) -> float:
    """About how many inches the longest label takes."""
    cells = max(
        len(label) + sum(unicodedata.east_asian_width(c) in "WF" for c in label) for label in labels
    )
    return 0.15 + 0.0087 * cells * size


def _picture(shown: _Translation, layer: int | None, head: int | None) -> bytes:
    """The finished grid as a PNG."""
    from matplotlib.figure import Figure

    map_TS = shown.map_of(layer, head)
    T, S = map_TS.shape
    columns, rows = [_label(token) for token in shown.source], [_label(t) for t in shown.target]
    size = 9 if max(T, S) <= 32 else 7
    cell = max(0.14, min(0.42, 7.5 / max(T, S)))
    title = _title(shown, map_TS, layer, head)
    # Places in inches: labels and cells keep their sizes whatever the sentence.
    left, top = 0.4 + _widest(rows, size), 0.45 + 0.18 * len(title) + _widest(columns, size)
    width = max(6.4, left + cell * S + 1.3, 0.15 + _widest(title, 10.5))
    height = top + max(1.2, cell * T) + 0.2
    figure = Figure(figsize=(width, height), dpi=100)
    axes = figure.add_axes(
        (left / width, (height - top - cell * T) / height, cell * S / width, cell * T / height),
        frameon=False,
    )
    peak = max(0.1, math.ceil(10 * float(map_TS.max()) - 1e-6) / 10)
    image = axes.pcolormesh(map_TS, cmap="Blues", vmin=0, vmax=peak, ec="#d8d8d8", lw=0.5)
    axes.invert_yaxis()
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(np.arange(S) + 0.5, columns, rotation=90, fontsize=size)
    axes.set_yticks(np.arange(T) + 0.5, rows, fontsize=size)
    axes.tick_params(length=0)
    axes.set(xlabel="source token", ylabel="target token")
    if max(T, S) <= 20:
        for t, s in np.argwhere(map_TS >= 0.1):
            ink = "white" if map_TS[t, s] > 0.6 * peak else "black"
            percent = f"{100 * map_TS[t, s]:.0f}"
            axes.text(s + 0.5, t + 0.5, percent, ha="center", va="center", fontsize=8, color=ink)
    tall = min(2.4, max(1.2, cell * T))
    bar = figure.add_axes(
        ((left + cell * S + 0.2) / width, 1 - (top + tall) / height, 0.14 / width, tall / height)
    )
    figure.colorbar(image, cax=bar, label="attention", format=lambda x, _: f"{100 * x:.0f} %")
    heading = figure.text(0.1 / width, 1 - 0.1 / height, "\n".join(title), va="top", fontsize=10.5)
    # A token may hold dollar signs, which stand for themselves here.
    for written in (heading, *axes.get_xticklabels(), *axes.get_yticklabels()):
        written.set_parse_math(False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks are drawn as boxes
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
