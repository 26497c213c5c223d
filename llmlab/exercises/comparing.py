"""Where an answer differs from what is expected, in words; and how values are written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from numbers import Integral, Real
from typing import Any

import numpy as np

RELATIVE, ABSOLUTE = 1e-4, 1e-6  # how far apart two numbers may be: single precision and some room
_LONGEST = 300  # characters of one written value
_SHORT = 40  # characters up to which two values are shown whole, not only where they differ


def difference(expected: Any, given: Any) -> str | None:
    """Say in words how a result differs from the expected one, or ``None`` if it does not.

    Numbers may differ by rounding; a list and a tuple, or an array and a tensor of the same
    numbers, count as equal.

    >>> difference([1, 2], [1, 3])
    'at place 1, 3 is given and 2 expected'
    >>> difference(0.5, 0.5000001)
    """
    try:
        if given is None and expected is not None:
            return "your function returns None; is a return missing?"
        found = _difference(expected, given)
        if found and _holds(given, ...) and not _holds(expected, ...):
            return "there is still a ... in your answer"
        return found
    except Exception as error:  # the learner's own types may do anything when they are compared
        return f"the result cannot be compared: {type(error).__name__}"


def _difference(expected: Any, given: Any) -> str | None:
    if given is None and expected is not None:
        return f"there is a None in your answer, and {write(expected)} is expected"
    expected, given = _plain(expected), _plain(given)
    if isinstance(expected, str):
        return _of_texts(expected, given)
    if isinstance(expected, bool | np.bool_):
        same = isinstance(given, bool | np.bool_) and given == expected
        return None if same else f"{expected} is expected"
    if isinstance(expected, Real):
        return _of_numbers(expected, given)
    if isinstance(expected, np.ndarray):
        return _of_arrays(expected, given)
    if isinstance(expected, Mapping):
        return _of_mappings(expected, given)
    if isinstance(expected, Set):
        return _of_sets(expected, given)
    if isinstance(expected, Sequence) and not isinstance(expected, bytes):
        return _of_sequences(expected, given)
    return None if bool(expected == given) else "the result is another one"


def _holds(value: Any, left: Any) -> bool:
    """Whether a value is `left`, a None or the ``...`` of a stub, or has it anywhere inside."""
    items = list(value.values()) if isinstance(value, Mapping) else value
    return value is left or (
        isinstance(items, list | tuple) and any(_holds(item, left) for item in items)
    )


def _plain(value: Any) -> Any:
    """Tensors become arrays, and arrays and tensors of a single number become that number."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _kind(value: Any) -> str:
    names = {"ndarray": "an array", "int": "a whole number", "float": "a number", "str": "a text"}
    name = type(value).__name__
    if isinstance(value, np.generic):
        return "a number"
    return names.get(name, f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}")


def _of_texts(expected: str, given: Any) -> str | None:
    if not isinstance(given, str):
        return f"a text is expected, and {_kind(given)} is given"
    if given == expected:
        return None
    if max(len(expected), len(given)) <= _SHORT:
        return f"{write(given)} is given and {write(expected)} expected"
    pairs = zip(expected, given, strict=False)
    at = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(given)))
    return f"the texts differ from character {at} on"


def _of_numbers(expected: Real, given: Any) -> str | None:
    if isinstance(given, bool | np.bool_) or not isinstance(given, Real):
        if isinstance(given, np.ndarray):
            return f"one number is expected, and an array of shape {given.shape} is given"
        return f"a number is expected, and {_kind(given)} is given"
    if given != given and expected == expected:  # nan is the one number unequal to itself
        return "the result is nan, not a number: was there a division by zero, or the log of one?"
    return None if _close(expected, given) else f"{write(expected)} is expected"


def _close(expected: Any, given: Any) -> bool:
    if expected == given or (expected != expected and given != given):  # equal, or both nan
        return True
    if isinstance(expected, Integral) and isinstance(given, Integral):
        return False
    try:
        return math.isclose(expected, given, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    except OverflowError:  # a whole number too large to be a float
        return False


def _of_arrays(expected: np.ndarray, given: Any) -> str | None:
    if isinstance(given, list | tuple):
        try:
            given = np.asarray([_plain(item) for item in given])
        except (ValueError, TypeError):
            return "the rows of the result are not all of the same length"
    if not isinstance(given, np.ndarray):
        given = _kind(given)
        return f"an array of shape {expected.shape} is expected, and {given} is given"
    if given.shape != expected.shape:
        return f"the result has shape {given.shape}, and {expected.shape} is expected"
    if given.dtype.kind not in "biufc":
        return f"the result is an array of {given.dtype}, and one of numbers is expected"
    if np.isnan(given).any() and not np.isnan(expected).any():
        return "the result holds nan (not a number): was there a division by zero?"
    wrong = np.argwhere(~np.isclose(given, expected, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True))
    if not len(wrong):
        return None
    place = tuple(int(n) for n in wrong[0])
    at = place[0] if len(place) == 1 else place
    more = f" ({len(wrong):,} of {expected.size:,} numbers differ)" if len(wrong) > 1 else ""
    return (
        f"at place {at}, {write(given[place])} is given and {write(expected[place])} expected{more}"
    )


def _of_mappings(expected: Mapping, given: Any) -> str | None:
    if not isinstance(given, Mapping):
        return f"a dictionary is expected, and {_kind(given)} is given"
    for key in expected:
        if key not in given:
            return f"the key {write(key)} is missing"
    for key in given:
        if key not in expected:
            return f"the key {write(key)} should not be there"
    for key, value in expected.items():
        if found := _difference(value, given[key]):
            return f"under the key {write(key)}: {found}"
    return None


def _of_sets(expected: Set, given: Any) -> str | None:
    if not isinstance(given, Set):
        return f"a set is expected, and {_kind(given)} is given"
    for missing in expected - given:
        return f"{write(missing)} is missing"
    for extra in given - expected:
        return f"{write(extra)} should not be there"
    return None


def _of_sequences(expected: Sequence, given: Any) -> str | None:
    if isinstance(given, np.ndarray):
        given = list(given)
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        return f"a {type(expected).__name__} is expected, and {_kind(given)} is given"
    for place, (one, other) in enumerate(zip(expected, given, strict=False)):
        if found := _difference(one, other):
            return _at(place, one, other, found)
    if len(given) != len(expected):
        items = "item is" if len(given) == 1 else "items are"
        return f"{len(given)} {items} given, and {len(expected)} expected"
    return None


def _at(place: int, expected: Any, given: Any, found: str) -> str:
    """Say what differs at one place of a list: both items, or, if they are long, where in them."""
    one, other = write(expected), write(given)
    is_long = max(len(one), len(other)) > _SHORT or one == other
    has_parts = isinstance(_plain(expected), Sequence | Mapping | Set | np.ndarray)
    if (is_long and has_parts) or (_holds(given, None) and not _holds(expected, None)):
        return f"at place {place}: {found}"
    return f"at place {place}, {other} is given and {one} expected"


def write(value: Any) -> str:
    """Write a value for a person: numbers to 4 digits, arrays and tensors as lists, none too long.

    >>> write(1 / 3), write(np.array([[1.0, 0.25]])), write("a" * 400)[-3:]
    ('0.3333', '[[1, 0.25]]', 'aa…')
    """
    try:
        text = _written(value)
    except Exception:  # a learner's object whose repr fails
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _written(value: Any) -> str:
    value = _plain(value)
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.size <= 200 else [*value.ravel()[:200].tolist(), ...]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str | bytes):
        return repr(value[: _LONGEST + 1])
    if isinstance(value, list):
        return f"[{_joined(map(_written, value))}]"
    if type(value) is tuple:
        return f"({_joined(map(_written, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        pairs = (f"{_written(key)}: {_written(item)}" for key, item in value.items())
        return f"{{{_joined(pairs)}}}"
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    # an address in memory says nothing, and is another one every time
    return "..." if value is ... else re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(value))


def _joined(parts: Iterator[str]) -> str:
    """Join parts with commas, no more of them than can be shown."""
    taken: list[str] = []
    length = 0
    for part in parts:
        taken.append(part)
        length += len(part) + 2
        if length > _LONGEST:
            break
    return ", ".join(taken)
