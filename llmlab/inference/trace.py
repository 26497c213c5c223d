"""Watch a model's attention while it runs, without changing what it computes.

L layer, B batch, H heads, T query position, S key position, D head width, C width
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from llmlab.inference.parts import attention_parts, named_part
from llmlab.inference.tape import KINDS, Tape


@contextmanager
def trace(model: nn.Module, keep: Iterable[str] = ("weights",)) -> Iterator[Record]:
    """Keep what the attention layers of `model` compute inside a ``with`` block.

    ``with trace(model) as record: model(ids)``, and ``record.weights_LHTS`` has the attention
    weights of every layer and head. `keep` names what to keep: "weights", "queries", "keys",
    "values" (a row for each query head, after rotary positions, as attention sees them) and
    "residual" (what enters each block, and what leaves the last). Works for any module made of
    `Attention` layers; a model with several stacks of them has several `record.parts`.

    The output stays the same to the last bit. What is kept is detached and stays on the model's
    device; the weights take L * H * T * S * 4 bytes a text in float32: 283 MB for SmolLM2 at 512
    tokens. The record holds the last run; runs with the same KV cache count as one, and what was
    kept follows the rows that the cache selects. Only what the thread runs that entered the block
    is kept. A function of your own given as `attend` is asked a second time in each layer, with
    unit vectors as values, for the weights it really uses.
    Raises ``TypeError`` for what is no module and ``ValueError`` for a model without attention
    or an unknown name in `keep`.
    """
    kinds = _checked_kinds(keep)
    tapes = {name: Tape(part, kinds) for name, part in attention_parts(model).items()}
    handles = []
    try:
        for tape in tapes.values():
            tape.attach(handles)
        yield Record(tapes)
    finally:
        for tape in tapes.values():
            tape.detach()
        for handle in handles:
            handle.remove()


def _checked_kinds(keep: Iterable[str]) -> tuple[str, ...]:
    choices = ", ".join(repr(kind) for kind in KINDS)
    if not isinstance(keep, Iterable):
        raise TypeError(f"keep={keep!r} is no list of names; use some of {choices}")
    names = [keep] if isinstance(keep, str) else list(keep)
    for name in names:
        if name not in KINDS:
            raise ValueError(f"keep={name!r} is nothing a trace can keep; use some of {choices}")
    if not names:
        raise ValueError(f"keep is empty, so nothing would be kept; use some of {choices}")
    return tuple(kind for kind in KINDS if kind in names)


def _of_all(kind: str, meaning: str) -> property:
    return property(lambda record: record._get(kind), doc=meaning)


def _of_one(kind: str, axes: str, meaning: str) -> property:
    def get(record: _Kept) -> Tensor:
        kept = record._get(kind)
        if kept.shape[1] != 1:
            raise ValueError(
                f"the record holds {kept.shape[1]} texts; use record.{kind}_{axes[0]}B{axes[1:]}, "
                "with an axis for the texts, or run the model on one"
            )
        return kept[:, 0]

    return property(get, doc=meaning)


class _Kept:
    """What was kept, by name; those with the axis B are for several texts at once."""

    weights_LHTS = _of_one("weights", "LHTS", "How much each query takes from each key.")
    weights_LBHTS = _of_all("weights", "How much each query takes from each key, text by text.")
    queries_LHTD = _of_one("queries", "LHTD", "What each position looks for.")
    queries_LBHTD = _of_all("queries", "What each position looks for, text by text.")
    keys_LHSD = _of_one("keys", "LHSD", "What each position is found by.")
    keys_LBHSD = _of_all("keys", "What each position is found by, text by text.")
    values_LHSD = _of_one("values", "LHSD", "What each position hands over.")
    values_LBHSD = _of_all("values", "What each position hands over, text by text.")
    residual_LTC = _of_one("residual", "LTC", "What enters each block and leaves the last, L + 1.")
    residual_LBTC = _of_all("residual", "What enters each block and leaves the last, L + 1.")

    def _get(self, kind: str) -> Tensor:
        raise NotImplementedError


class Record(_Kept):
    """What a `trace` kept; its attributes are those of the model's only part."""

    def __init__(self, tapes: dict[str, Tape]):
        self._tapes = tapes

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the stacks of attention layers, as `part` takes them."""
        return tuple(self._tapes)

    def part(self, name: str) -> PartRecord:
        """Give what was kept of one stack; raises ``ValueError`` for an unknown name."""
        named_part({name: tape.part for name, tape in self._tapes.items()}, name, where="")
        return PartRecord(self._tapes[name])

    def _get(self, kind: str) -> Tensor:
        parts = {name: tape.part for name, tape in self._tapes.items()}
        where = f"record.part({next(iter(parts))!r})"
        return self._tapes[named_part(parts, None, where=where).name].stacked(kind)

    def __repr__(self) -> str:
        return f"Record({', '.join(map(str, self._tapes.values()))})"


class PartRecord(_Kept):
    """What a `trace` kept of one stack of attention layers."""

    def __init__(self, tape: Tape):
        self._tape = tape

    @property
    def name(self) -> str:
        """The path of the layers, their numbers left out."""
        return self._tape.part.name

    @property
    def causal(self) -> bool:
        """Whether a query sees only the keys up to its own position."""
        return self._tape.part.causal

    def _get(self, kind: str) -> Tensor:
        return self._tape.stacked(kind)

    def __repr__(self) -> str:
        return f"PartRecord({self._tape})"
