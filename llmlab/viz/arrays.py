"""Numbers as NumPy arrays, wherever they come from."""

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
