"""Numbers as NumPy arrays, wherever they come from, and the tokens they belong to."""

from collections.abc import Sequence

import numpy as np


def plain(table, name: str) -> np.ndarray:
    """The numbers of a list, an array, or a tensor of any kind and place, as float64.

    Raises ``ValueError`` or ``TypeError``, with `name` in it, when that is no array of numbers.
    """
    if hasattr(table, "detach"):
        table = table.detach().cpu().double()
    try:
        return np.asarray(table, dtype=float)
    except (TypeError, ValueError) as reason:
        raise type(reason)(f"{name} is no table of numbers ({reason}); give an array") from None


def strings(tokens: Sequence[str], name: str) -> list[str]:
    """The tokens as a list; raises ``TypeError``, with `name` in it, for anything but strings."""
    if isinstance(tokens, str):
        raise TypeError(f"{name}={tokens!r} is one text; give the list of its tokens")
    tokens = list(tokens)
    for i, token in enumerate(tokens):
        if not isinstance(token, str):
            raise TypeError(f"{name}[{i}]={token!r} is not a string; give tokens as people read")
    return tokens
