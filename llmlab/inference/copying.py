"""Has a model made this up, or has it read it before?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from llmlab.text.inputs import checked_text, each_text


class CommonRun(NamedTuple):
    """A stretch of text that also stands elsewhere: where it begins, in which text, and where."""

    text: str
    start: int
    source: str | int
    place: int


def longest_common_run(
    text: str, corpus: str | Iterable[str] | Mapping[str, str]
) -> CommonRun | None:
    """Find the longest stretch of `text` that stands in a corpus, letter by letter.

    `corpus` is a text, a list of texts or a mapping of titles to texts; the `source` of the
    answer is the title, or the number in the list. Of equally long ones it gives the first, and
    None where not a single character is shared.

    >>> longest_common_run("he is to be or to go", ["to be, or not to be", "it is to begin"])
    CommonRun(text=' is to be', start=2, source=1, place=2)
    """
    checked_text(text)
    texts = corpus if isinstance(corpus, Mapping) else dict(enumerate(each_text(corpus)))
    best = None
    for source, known in texts.items():
        length = 0 if best is None else len(best.text)
        for start in range(len(text)):
            # only what is longer than the best so far is of interest
            while start + length < len(text):
                place = known.find(text[start : start + length + 1])
                if place < 0:
                    break
                length += 1
                best = CommonRun(text[start : start + length], start, source, place)
    return best
