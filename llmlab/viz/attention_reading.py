"""What a function that reads a text with a model gave back, checked before anything is drawn."""

# L layers, H heads, T query position, S key position, V vocabulary

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from llmlab.viz.texts import well_formed

_SLACK = 1e-2  # what a softmax in half precision may miss its sum by


@dataclass(frozen=True)
class Part:
    """One kind of attention, such as "self-attention", with the weights of all its heads."""

    name: str
    queries: tuple[str, ...]
    keys: tuple[str, ...]
    weights_LHTS: np.ndarray
    causal: bool
    statistics: dict[str, np.ndarray]

    @property
    def layers(self) -> int:
        """L."""
        return self.weights_LHTS.shape[0]

    @property
    def heads(self) -> int:
        """H."""
        return self.weights_LHTS.shape[1]

    @cached_property
    def mean(self) -> np.ndarray:
        """The mean over all heads of all layers."""
        return self.weights_LHTS.mean(axis=(0, 1))

    def mean_of_layer(self, layer: int) -> np.ndarray:
        """The mean over the heads of one layer."""
        return self.weights_LHTS[layer].mean(axis=0)

    def map_of(self, layer: int, head: int) -> np.ndarray:
        """One head; head -1 is the mean over its layer, layer -1 the mean over everything.

        Raises ``ValueError`` for a layer or head that is not there.
        """
        self.check_place(layer, head)
        if layer == -1:
            return self.mean
        if head == -1:
            return self.mean_of_layer(layer)
        return self.weights_LHTS[layer, head]

    def check_place(self, layer: int, head: int) -> None:
        """Raise ``ValueError`` unless there is such a head, or such a mean."""
        check_index("layer", layer, self.layers, least=-1)
        check_index("head", head, self.heads, least=-1)
        if layer == -1 and head != -1:
            raise ValueError(
                f"layer=-1 is the mean over all layers and heads, it has no head {head}; "
                "use head=-1 with it"
            )


@dataclass(frozen=True)
class Reading:
    """All kinds of attention of one text, and the probabilities of the token that follows it."""

    parts: tuple[Part, ...]
    probability_V: np.ndarray | None
    vocabulary: Sequence[str] | None


def check_index(name: str, value: object, size: int, *, least: int = 0) -> None:
    """Raise ``ValueError`` unless `value` is a whole number from `least` to `size` - 1."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not least <= value < size:
        mean = "; -1 is the mean" if least == -1 else ""
        raise ValueError(f"{name}={value!r} is not there; use 0 to {size - 1}{mean}")


def checked_reading(raw: object, call: str) -> Reading:
    """Take over what `read` returned; `call` is how it was called, for messages.

    Raises ``TypeError`` and ``ValueError`` for what cannot be drawn: parts that are missing,
    shapes that do not agree with the tokens, weights that are no probabilities.
    """
    try:
        parts = tuple(raw.parts)
    except (AttributeError, TypeError):
        raise TypeError(
            f"{call} returned {_named(raw)} without parts; return an AttentionReading, "
            "whose parts hold tokens and weights"
        ) from None
    if not parts:
        raise ValueError(f"{call} returned a reading whose parts=() is empty; give at least one")
    checked = tuple(_checked_part(part, f"{call}.parts[{i}]") for i, part in enumerate(parts))
    probability_V, vocabulary = _checked_probabilities(raw, call)
    return Reading(checked, probability_V, vocabulary)


def _checked_part(raw: object, where: str) -> Part:
    missing = [
        name
        for name in ("name", "queries", "keys", "weights_LHTS", "causal", "statistics")
        if not hasattr(raw, name)
    ]
    if missing:
        raise TypeError(f"{where} is {_named(raw)} without {missing[0]}; return AttentionParts")
    if not isinstance(raw.name, str) or not raw.name:
        raise TypeError(f'{where}.name={raw.name!r} is no name; use "self-attention"')
    queries, keys = (_checked_tokens(raw, side, where) for side in ("queries", "keys"))
    weights_LHTS = _checked_weights(raw.weights_LHTS, queries, keys, f"{where}.weights_LHTS")
    if raw.causal:
        _check_mask(weights_LHTS, f"{where}.weights_LHTS")
    statistics = {
        well_formed(name): _checked_statistic(
            values, weights_LHTS.shape[:2], f"{where}.statistics[{name!r}]"
        )
        for name, values in dict(raw.statistics).items()
    }
    return Part(well_formed(raw.name), queries, keys, weights_LHTS, bool(raw.causal), statistics)


def _checked_tokens(raw: object, side: str, where: str) -> tuple[str, ...]:
    tokens = getattr(raw, side)
    if isinstance(tokens, str):
        raise TypeError(f"{where}.{side} is one string; give a list of tokens")
    for i, token in enumerate(tokens):
        if not isinstance(token, str):
            raise TypeError(
                f"{where}.{side}[{i}]={token!r} is not a string; "
                "give every token as people should read it"
            )
    if not len(tokens):
        raise ValueError(f"{where}.{side} is empty; give at least one token")
    return tuple(map(well_formed, tokens))


def _numbers(raw: object, where: str) -> np.ndarray:
    try:
        return np.ascontiguousarray(np.asarray(raw), dtype="<f4")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{where} is {_named(raw)} and no array of numbers; give a numpy array"
        ) from error


def _checked_weights(raw: object, queries: tuple, keys: tuple, where: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        weights_LHTS = _numbers(raw, where)
    right = weights_LHTS.ndim == 4 and weights_LHTS.shape[2:] == (len(queries), len(keys))
    if not right or not weights_LHTS.size:
        raise ValueError(
            f"{where} has shape {weights_LHTS.shape}, but there are {len(queries)} queries and "
            f"{len(keys)} keys; give (layers, heads, {len(queries)}, {len(keys)})"
        )
    lowest, highest = weights_LHTS.min(), weights_LHTS.max()
    if not (lowest >= -_SLACK and highest <= 1 + _SLACK):  # not a number fails both
        wrong_LHTS = ~((weights_LHTS >= -_SLACK) & (weights_LHTS <= 1 + _SLACK))
        _refuse_weight(weights_LHTS, wrong_LHTS, "a weight lies from 0 to 1", where)
    sum_LHT = weights_LHTS.sum(axis=-1)
    wrong_LHT = np.abs(sum_LHT - 1) > _SLACK
    if wrong_LHT.any():
        place = _place(wrong_LHT)
        raise ValueError(
            f"{where}[{', '.join(map(str, place))}] sums to {sum_LHT[place]:.4g}, but the weights "
            "of a query sum to 1; return them after the softmax over the keys"
        )
    return weights_LHTS


def _check_mask(weights_LHTS: np.ndarray, where: str) -> None:
    T, S = weights_LHTS.shape[2:]
    if T != S:
        raise ValueError(
            f"{where} has {T} queries and {S} keys, but causal attention reads its own tokens; "
            "give as many of both, or causal=False"
        )
    later_TS = np.triu(np.ones((T, S), bool), 1)
    for layer, weights_HTS in enumerate(weights_LHTS):  # a layer at a time, to save memory
        if weights_HTS[:, later_TS].any():
            wrong_HTS = (weights_HTS != 0) & later_TS
            place = (layer, *_place(wrong_HTS))
            raise ValueError(
                f"{where}[{', '.join(map(str, place))}]={weights_LHTS[place]:.4g} is weight on a "
                "later token, but causal=True; mask before the softmax, or give causal=False"
            )


def _checked_statistic(raw: object, shape: tuple[int, int], where: str) -> np.ndarray:
    values_LH = _numbers(raw, where)
    if values_LH.shape != shape:
        raise ValueError(
            f"{where} has shape {values_LH.shape}; give one number per layer and head, {shape}"
        )
    if not np.isfinite(values_LH).all():
        place = _place(~np.isfinite(values_LH))
        raise ValueError(
            f"{where}[{place[0]}, {place[1]}]={values_LH[place]} cannot be drawn; "
            "leave out a statistic that means nothing for this text"
        )
    return values_LH


def _checked_probabilities(raw: object, call: str):
    values, vocabulary = (getattr(raw, name, None) for name in ("probabilities", "vocabulary"))
    if values is None or vocabulary is None:
        return None, None
    probability_V = _numbers(values, f"{call}.probabilities")
    if probability_V.shape != (len(vocabulary),):
        raise ValueError(
            f"{call}.probabilities has shape {probability_V.shape}, but the vocabulary has "
            f"{len(vocabulary):,} tokens; return one probability per token"
        )
    total = probability_V.sum(dtype=np.float64)
    if not (probability_V.min() >= 0 and abs(total - 1) <= _SLACK):
        raise ValueError(
            f"{call}.probabilities sum to {total:.4g}, the smallest is {probability_V.min():.4g}; "
            "return the softmax of the last logits"
        )
    return probability_V, vocabulary


def _refuse_weight(weights_LHTS: np.ndarray, wrong_LHTS: np.ndarray, rule: str, where: str):
    place = _place(wrong_LHTS)
    raise ValueError(
        f"{where}[{', '.join(map(str, place))}]={weights_LHTS[place]:.4g} "
        f"({wrong_LHTS.sum():,} such values), but {rule}; return them after the softmax"
    )


def _place(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def _named(raw: object) -> str:
    return f"a {type(raw).__name__}"
