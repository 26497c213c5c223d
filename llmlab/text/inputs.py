"""What counts as a text, and as texts; everything else gets a sentence that says what to give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import index


def checked_text(text: str) -> str:
    """Give the text back; raises ``TypeError`` for what is no ``str``."""
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} is not text; give a str")
    return text


def utf8(text: str) -> bytes:
    """Give the UTF-8 bytes of a text.

    Raises ``TypeError`` for what is no ``str``, and ``ValueError`` for a lone surrogate, which is
    half a character and no text.
    """
    try:
        return checked_text(text).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"character {error.start} of the text is {text[error.start]!r}, a lone surrogate: "
            "half of a character, which no UTF-8 text can hold; drop it, for example with "
            "text.encode('utf-8', 'ignore').decode('utf-8')"
        ) from None


def each_text(texts: str | Iterable[str]) -> Iterator[str]:
    """Yield the texts; a single ``str`` is one text, not a row of characters.

    Raises ``TypeError`` for a dictionary, which would give its keys, and for what is no text.
    """
    if isinstance(texts, Mapping):
        raise TypeError(f"a {type(texts).__name__} is no list of texts; give its .values()")
    if not isinstance(texts, Iterable):
        raise TypeError(f"{type(texts).__name__} is not text; give a str or a list of them")
    for text in [texts] if isinstance(texts, str) else texts:
        yield checked_text(text)


def whole_number(value: int, name: str, *, least: int, most: int | None = None) -> int:
    """Give a whole number as ``int``; raises ``ValueError`` when it is none or out of bounds."""
    try:
        number = None if isinstance(value, bool) else index(value)
    except TypeError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        bounds = f"of at least {least:,}" if most is None else f"from {least:,} to {most:,}"
        raise ValueError(f"{name}={value!r} must be a whole number {bounds}")
    return number
