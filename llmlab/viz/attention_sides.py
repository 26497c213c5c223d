"""The two texts of an attention explorer: what was asked for, and what came of it."""

# V vocabulary

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from llmlab.viz.attention_reading import Reading, checked_reading
from llmlab.viz.texts import shortened, well_formed

_MOST_NEXT = 10
_LONGEST_MESSAGE = 1000

Heads = tuple[tuple[int, int], ...]


class RefusedError(ValueError):
    """What the function that reads has to say to the person who types."""


@dataclass(frozen=True)
class Side:
    """The newest request for one of the two texts, and the last good reading."""

    text: str = ""
    off: Heads = ()
    error: str = ""
    shown_text: str = ""
    shown_off: Heads = ()
    reading: Reading | None = None
    next_tokens: tuple[tuple[str, float, float], ...] | None = None

    def refused(self, error: str) -> "Side":
        """The same with a message about the newest request."""
        return replace(self, error=message(error))


def read_side(read: Callable, text: str, off: Heads, *, longest: int) -> Side:
    """Read a text with the heads `off` switched off, and without, for the tokens that follow.

    Raises `RefusedError` for what `read` refuses by ``ValueError`` and for more than `longest`
    tokens, ``TypeError`` or ``ValueError`` for a reading that is none, and whatever `read` raises.
    """
    after = _called(read, text, off, longest)
    before = _called(read, text, (), longest) if off else after
    return Side(text, off, "", text, off, after, _next_tokens(before, after))


def described(side: Side, parts: list[dict], *, longest: int) -> dict:
    """What the browser learns of a side beside its request; `parts` as `packed` gives them."""
    tokens = side.next_tokens
    names = ("tokens", "before", "after")
    return {
        "shown_text": side.shown_text,
        "shown_off": as_lists(side.shown_off),
        "longest": longest,
        "parts": parts,
        "next": tokens and dict(zip(names, map(list, zip(*tokens, strict=True)), strict=True)),
    }


def as_lists(off: Heads) -> list[list[int]]:
    """The pairs as JSON has them."""
    return [list(pair) for pair in off]


def message(text: str) -> str:
    """A message that can travel, of a length that can be read."""
    return shortened(well_formed(text), _LONGEST_MESSAGE)


def _called(read: Callable, text: str, off: Heads, longest: int) -> Reading:
    try:
        raw = read(text, off=off)
    except ValueError as refusal:
        raise RefusedError(str(refusal) or "read cannot read this text") from refusal
    reading = checked_reading(raw, f"read({shortened(text)!r})")
    count = max(len(tokens) for part in reading.parts for tokens in (part.queries, part.keys))
    if count > longest:
        raise RefusedError(
            f"the text has {count:,} tokens and at most {longest:,} are shown; shorten it"
        )
    return reading


def _next_tokens(before: Reading, after: Reading) -> tuple[tuple[str, float, float], ...] | None:
    """The tokens that are most likely before or after, by how likely they were before."""
    if before.probability_V is None or after.probability_V is None:
        return None
    peak_V = np.maximum(before.probability_V, after.probability_V)
    ids = np.argsort(-peak_V, kind="stable")[:_MOST_NEXT]
    ids = ids[np.argsort(-before.probability_V[ids], kind="stable")]
    return tuple(
        (
            well_formed(after.vocabulary[i]),
            float(before.probability_V[i]),
            float(after.probability_V[i]),
        )
        for i in ids.tolist()
    )
