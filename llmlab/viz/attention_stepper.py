"""AttentionStepper: the attention of one query, step by step, with real numbers.

Queries, keys, values and what each query may see are sent once; all arithmetic happens in the
browser (attention_stepper.js). Python hears which query, step and switches a person has chosen and
which scores they have written over, and can compute the same row: `weights` and `output`.
"""

# T query position, S key position, D width of queries and keys, W width of values

import io
import json
import math
import operator
import warnings
from collections.abc import Sequence
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from llmlab.viz.arrays import plain, strings
from llmlab.viz.next_token import readable

_MOST_TOKENS, _MOST_NUMBERS = 40, 64
_STEPS = ("q·k", "scaled", "masked", "weights", "output")


class AttentionStepper(anywidget.AnyWidget):
    """One query of one attention head in five steps: q·k, scale, mask, softmax, sum of the values.

    ``q`` (T, D), ``k`` (S, D) and ``v`` (S, W) are arrays or tensors, T and S up to 40, D and W up
    to 64. ``tokens`` name the queries, ``keys`` the keys (the tokens themselves if left out). A
    query sees no later key with ``causal``, and with ``mask`` (T, S) only where it is True.

    These follow what the person does and can be set at any time: ``query`` (0 to T-1; the last
    one, if left out), ``step`` (0 to 4), ``scaled`` and ``masked`` (on or off), and ``edits``, a
    list of (query, key, score) for every score q·k that is written over by hand.
    The formula: Vaswani et al. 2017, Attention Is All You Need, section 3.2.1.
    """

    _esm = Path(__file__).with_name("attention_stepper.js")

    # The browser holds the newest state; an echo could only bring back older ones.
    query = traitlets.Int().tag(sync=True, echo_update=False)
    step = traitlets.Int(0).tag(sync=True, echo_update=False)
    scaled = traitlets.Bool(True).tag(sync=True, echo_update=False)
    masked = traitlets.Bool(True).tag(sync=True, echo_update=False)
    edits = traitlets.List().tag(sync=True, echo_update=False)
    numbers = traitlets.Bytes(read_only=True).tag(sync=True)
    words = traitlets.Bytes(read_only=True).tag(sync=True)

    def __init__(
        self,
        q: np.ndarray,
        k: np.ndarray,
        v: np.ndarray,
        *,
        tokens: Sequence[str],
        keys: Sequence[str] | None = None,
        causal: bool = True,
        mask: np.ndarray | None = None,
        query: int | None = None,
    ):
        self._q_TD, self._k_SD, self._v_SW = _checked(q, k, v)
        shape = len(self._q_TD), len(self._k_SD)
        self._tokens = _checked_names(tokens, "tokens", shape[0], "queries")
        self._keys = self._tokens if keys is None else list(keys)
        self._keys = _checked_names(self._keys, "keys", shape[1], "keys")
        self._seen_TS = _seen(shape, causal=causal, mask=mask)
        self.set_trait("numbers", self._packed())
        # ASCII escapes carry even lone surrogates, which utf-8 itself cannot.
        words = {"tokens": self._tokens, "keys": self._keys, "causal": causal and mask is None}
        self.set_trait("words", json.dumps(words).encode("utf-8"))
        super().__init__(query=shape[0] - 1 if query is None else query)

    def weights(self) -> np.ndarray:
        """The attention weights (S,) of the present query, in the present state."""
        return self._row()["weights"]

    def output(self) -> np.ndarray:
        """The weighted sum of the values (W,) for the present query, in the present state."""
        return self._row()["output"]

    def _row(self) -> dict[str, np.ndarray]:
        """What every step makes of the present query, in float64."""
        score_S = self._k_SD.astype(float) @ self._q_TD[self.query].astype(float)
        for query, key, score in self.edits:
            if query == self.query:
                score_S[key] = score
        scaled_S = score_S / math.sqrt(self._q_TD.shape[1]) if self.scaled else score_S
        masked_S = scaled_S.copy()
        if self.masked:
            masked_S[~self._seen_TS[self.query]] = -np.inf
        with np.errstate(over="ignore", under="ignore"):  # exp(-inf) is the right weight
            power_S = np.exp(masked_S - masked_S.max())
            weight_S = power_S / power_S.sum()
        results = score_S, scaled_S, masked_S, weight_S, weight_S @ self._v_SW.astype(float)
        return dict(zip(_STEPS, results, strict=True))

    def _packed(self) -> bytes:
        """T, S, D, W as little-endian uint32; q, k, v as float32; a byte per cell that is seen."""
        shape = *self._seen_TS.shape, self._q_TD.shape[1], self._v_SW.shape[1]
        parts = self._q_TD, self._k_SD, self._v_SW, self._seen_TS.astype(np.uint8)
        return np.array(shape, "<u4").tobytes() + b"".join(part.tobytes() for part in parts)

    @traitlets.validate("query")
    def _validate_query(self, proposal) -> int:
        last = len(self._tokens) - 1
        if not 0 <= proposal.value <= last:
            raise ValueError(f"query={proposal.value} is no row; use 0 to {last}")
        return proposal.value

    @traitlets.validate("step")
    def _validate_step(self, proposal) -> int:
        if not 0 <= proposal.value <= 4:
            raise ValueError(f"step={proposal.value} is none of the five; use 0 to 4")
        return proposal.value

    @traitlets.validate("edits")
    def _validate_edits(self, proposal) -> list[list]:
        """One score a cell, the last one if there are several."""
        scores: dict[tuple[int, int], float] = {}
        for edit in proposal.value:
            try:
                query, key, score = edit
                place = operator.index(query), operator.index(key)
                score = float(score)
            except (TypeError, ValueError):
                raise ValueError(
                    f"edits holds {edit!r}; give (query, key, score), such as (2, 0, 1.5)"
                ) from None
            shape = self._seen_TS.shape
            if not (0 <= place[0] < shape[0] and 0 <= place[1] < shape[1]):
                raise ValueError(
                    f"edits holds {edit!r}, but there are {shape[0]} queries and {shape[1]} keys; "
                    "count both from 0"
                )
            if not math.isfinite(score):
                raise ValueError(f"edits holds {edit!r}; give a score that is a finite number")
            scores[place] = score
        return [[*place, score] for place, score in sorted(scores.items())]

    def __repr__(self) -> str:
        token = readable(self._tokens[self.query])
        switches = [name for name in ("scaled", "masked") if not getattr(self, name)]
        more = "".join(f", {name}=False" for name in switches)
        more += f", edits={len(self.edits)}" if self.edits else ""
        return (
            f"AttentionStepper({len(self._tokens)} queries, {len(self._keys)} keys, "
            f"query={self.query} {_shortened(token)!r}, step={self.step}{more})"
        )

    def _repr_mimebundle_(self, **kwargs):
        """The live view, and a picture for places without a kernel."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data["text/plain"] = repr(self)
        data["image/png"] = _picture(self)
        return data, metadata


def _checked(q, k, v) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three tables of little-endian float32 that fit together."""
    tables = []
    for name, given in {"q": q, "k": k, "v": v}.items():
        table = plain(given, name)
        if table.ndim != 2 or not table.size:
            raise ValueError(
                f"{name} has shape {table.shape}; give a table (positions, numbers) of one head"
            )
        if table.shape[0] > _MOST_TOKENS or table.shape[1] > _MOST_NUMBERS:
            raise ValueError(
                f"{name} has shape {table.shape}; steps can be followed for at most {_MOST_TOKENS} "
                f"positions of {_MOST_NUMBERS} numbers, so take a part of it"
            )
        with np.errstate(over="ignore"):
            table = table.astype("<f4")
        wrong = np.argwhere(~np.isfinite(table))
        if len(wrong):
            row, column = (int(place) for place in wrong[0])
            raise ValueError(
                f"{name}[{row}, {column}]={plain(given, name)[row, column]} cannot be computed "
                "with; every number must be finite and fit into 32 bits"
            )
        tables.append(table)
    q_TD, k_SD, v_SW = tables
    if q_TD.shape[1] != k_SD.shape[1]:
        raise ValueError(
            f"q holds {q_TD.shape[1]} numbers a position and k {k_SD.shape[1]}; they are "
            "multiplied one by one, so both need the same width"
        )
    if len(k_SD) != len(v_SW):
        raise ValueError(f"{len(k_SD)} keys and {len(v_SW)} values; give one value for each key")
    return q_TD, k_SD, v_SW


def _checked_names(tokens: Sequence[str], name: str, count: int, what: str) -> list[str]:
    tokens = strings(tokens, name)
    if len(tokens) != count:
        hint = " (with keys= if they are not the queries)" if name == "keys" else ""
        raise ValueError(f"{len(tokens)} {name} for {count} {what}; give one for each{hint}")
    return tokens


def _seen(shape: tuple[int, int], *, causal: bool, mask) -> np.ndarray:
    """True where a query may look; every query must see something."""
    if causal and shape[0] != shape[1]:
        raise ValueError(
            f"causal=True needs as many keys as queries, not {shape[0]} queries and {shape[1]} "
            "keys; give causal=False where queries look at another text"
        )
    seen_TS = np.tri(*shape, dtype=bool) if causal else np.ones(shape, dtype=bool)
    if mask is not None:
        mask = np.asarray(mask.detach().cpu() if hasattr(mask, "detach") else mask)
        if mask.dtype != bool or mask.shape != shape:
            raise ValueError(
                f"mask has shape {mask.shape} and holds {mask.dtype}; give booleans of shape "
                f"{shape}, True where a query may look"
            )
        seen_TS = seen_TS & mask
    blind = np.flatnonzero(~seen_TS.any(axis=1))
    if len(blind):
        raise ValueError(
            f"query {blind[0]} may look at no key, so its weights cannot add up to 1; "
            "let every row of mask be True somewhere"
        )
    return seen_TS


# --- a picture for places without a kernel -------------------------------------------------------


def _shortened(text: str, longest: int = 12) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _short(number: float) -> str:
    return f"{number:.2f}" if abs(number) < 1e4 else f"{number:.0e}"


def _picture(stepper: AttentionStepper) -> bytes:
    """The row of the present query after each step, as a PNG."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    row = stepper._row()
    root = f"{math.sqrt(stepper._q_TD.shape[1]):.3g}" if stepper.scaled else "1 (scale off)"
    operations = {
        "q·k": "q·k",
        "scaled": f"divided by {root}",
        "masked": "masked" if stepper.masked else "mask off",
        "weights": "softmax: weights",
        "output": "sum of weight × value",
    }
    keys = [_shortened(readable(key), 9) for key in stepper._keys]
    across = max(len(keys), len(row["output"]))
    figure = Figure(
        figsize=(min(15.0, max(6.0, 2.2 + 0.55 * across)), 4.1), dpi=100, layout="constrained"
    )
    written = []
    for axes, (name, numbers) in zip(figure.subplots(len(_STEPS), 1), row.items(), strict=True):
        colours = colormaps["cividis" if name == "weights" else "RdBu_r"]
        farthest = float(np.abs(numbers[np.isfinite(numbers)]).max()) or 1.0
        share = numbers if name == "weights" else 0.5 + 0.5 * (numbers / farthest)
        for place, number in enumerate(numbers):
            masked = np.isneginf(number) or (
                name == "weights" and np.isneginf(row["masked"][place])
            )
            colour = "#e4e4e4" if masked else colours(share[place])
            style = {"ec": "#9a9a9a", "hatch": "////", "lw": 0} if masked else {"lw": 0}
            axes.add_patch(Rectangle((place, 0), 1, 1, fc=colour, **style))
            if len(numbers) <= 16:
                text = "−∞" if np.isneginf(number) else _short(number)
                ink = "black" if masked or np.mean(colour[:3]) > 0.5 else "white"
                axes.text(place + 0.5, 0.5, text, ha="center", va="center", fontsize=8, color=ink)
        axes.set_xlim(0, max(len(keys), len(numbers)))
        axes.set_yticks([0.5], [operations[name]])
        names = keys if name == _STEPS[0] else []
        upright = 90 if len(keys) > 12 else 0
        axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=upright, fontsize=8)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        written += axes.get_xticklabels()
    token = _shortened(readable(stepper._tokens[stepper.query]), 24)
    best = int(row["weights"].argmax())
    written.append(
        figure.suptitle(
            f"“{token}” looks most at “{keys[best]}”, with weight {row['weights'][best]:.2f}",
            x=0.01,
            ha="left",
            fontsize=11,
        )
    )
    # A token may hold dollar signs, which stand for themselves here.
    for text in written:
        text.set_parse_math(False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks are drawn as boxes
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
