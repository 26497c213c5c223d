"""Clean a text before it is cut into words: one way to write what reads the same."""

from __future__ import annotations

import unicodedata

import regex

from llmlab.text.inputs import checked_text

# What takes no room and means nothing in running text: control characters and lone surrogates,
# soft hyphens, zero-width spaces and joiners of words, byte order marks, marks of direction.
# The two joiners U+200C and U+200D stay: Persian and Hindi words and emoji families need them.
_INVISIBLE = regex.compile(
    r"[[\p{Cc}\p{Cs}]--\s--[\x1c-\x1f]]"
    r"|[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]",
    regex.VERSION1,
)
_WHITE_SPACE = regex.compile(r"[\s\x1c-\x1f]+")
_STRAIGHT = str.maketrans("‘’‚‛“”„‟", "''''" + '""""')


def clean(text: str, *, lower: bool = False) -> str:
    """Write a text in its plainest form; cleaning it once more changes nothing.

    Invisible characters go (NUL and other controls, soft hyphens, byte order marks, halves of
    characters), curly quotes become straight ones, each run of white space becomes one space,
    none is left at either end, and with ``lower=True`` all letters become small.

    Letters are composed (Unicode NFC): an é of two code points becomes the é of one, so that both
    are one word. The stronger form NFKC is not used, as it changes what is said: it turns x²
    into x2 and ½ into 1⁄2.

    >>> clean("  It’s\\u00a0a  “small”\\nworld\\x00 ")
    'It\\'s a "small" world'
    """
    text = _INVISIBLE.sub("", checked_text(text))
    # NFC may write a sign as another one (U+037E as a semicolon), so it comes first, and lower
    # case may take letters apart, so it comes last as well.
    text = unicodedata.normalize("NFC", text).translate(_STRAIGHT)
    if lower:
        text = unicodedata.normalize("NFC", text.lower())
    return _WHITE_SPACE.sub(" ", text).strip(" ")
