r"""Cut text into tokens as byte-level BPE does after any number of its merges.

BPE applies merges in the order of their ranks: at every step, of all neighbours that together are
a token, the pair of lowest rank is joined. A run that knows only the first k merges therefore does
the same as the full run up to the first step of a rank above k, and stops there. So one full run
tells, for every boundary between two bytes, from how many merges on it is gone; the tokens after
any k follow by reading these numbers. The browser half (token_strip.js) computes the same.

Source: Sennrich et al. 2016, algorithm 1; on bytes: Radford et al. 2019, section 2.2.
"""

import heapq
import itertools
import re
from collections.abc import Mapping, Sequence

import regex

NEVER = 2**32 - 1

_CATEGORIES = re.compile(r"C[cfnos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?")
_SHORTHANDS = {
    "s": r"\p{White_Space}",
    "S": r"\P{White_Space}",
    "d": r"\p{Nd}",
    "D": r"\P{Nd}",
    "n": r"\n",
    "r": r"\r",
    "t": r"\t",
    "f": r"\f",
    "v": r"\v",
}
_START, _END = r"(?<![\x00-\u{10ffff}])", r"(?![\x00-\u{10ffff}])"


class Cutter:
    """Cuts texts into tokens of ``vocabulary``, the bytes of every token in the order of the ids.

    Empty bytes stand for special tokens, which no text produces. The tokens of two and more bytes
    are the merges, in the order of their ids; bytes without a token get ids from
    ``len(vocabulary)`` up. ``pattern`` says how a text is cut before any merging; see
    `javascript_pattern` for what it may hold.
    """

    def __init__(self, vocabulary: Sequence[bytes], *, pattern: str):
        self.vocabulary = _checked_vocabulary(vocabulary)
        self.rule = javascript_pattern(pattern)
        self._split = regex.compile(_for_python(self.rule)).finditer
        self.ids = {token: number for number, token in enumerate(self.vocabulary) if token}
        missing = (bytes([byte]) for byte in range(256) if bytes([byte]) not in self.ids)
        self.ids.update(zip(missing, itertools.count(len(self.vocabulary)), strict=False))
        merged = (token for token in self.vocabulary if len(token) > 1)
        self.merge_of = {token: number for number, token in enumerate(merged, start=1)}
        self._longest = max(map(len, self.merge_of), default=0)

    @property
    def merges(self) -> int:
        """How many merges the vocabulary holds."""
        return len(self.merge_of)

    def tokens(self, text: str, *, merges: int) -> list[tuple[int, bytes]]:
        """Id and bytes of every token of the text after the first ``merges`` merges."""
        known: dict[str, list[bytes]] = {}
        found = []
        for piece in self.split(text):
            if piece not in known:
                known[piece] = self._parts(piece.encode("utf-8"), merges)
            found += [(self.ids[part], part) for part in known[piece]]
        return found

    def split(self, text: str) -> list[str]:
        """Cut a text into the pieces whose ends no token crosses; what no rule matches stays."""
        pieces, end = [], 0
        for match in self._split(text):
            pieces += [text[end : match.start()], match.group()]
            end = match.end()
        return [piece for piece in [*pieces, text[end:]] if piece]

    def _parts(self, piece: bytes, merges: int) -> list[bytes]:
        gone = removals(piece, self.merge_of, longest=self._longest)
        cuts = [place for place in range(1, len(piece)) if gone[place] > merges]
        return [piece[a:b] for a, b in itertools.pairwise([0, *cuts, len(piece)])]


def removals(piece: bytes, merge_of: Mapping[bytes, int], *, longest: int) -> list[int]:
    """For every place in a piece, the number of merges from which on no token starts there.

    ``merge_of`` numbers the merged tokens from 1; none has more than ``longest`` bytes. A place
    that always starts a token has `NEVER`.

    >>> removals(b"abcd", {b"ab": 1, b"cd": 2, b"abcd": 3}, longest=4) == [NEVER, 1, 3, 2]
    True
    """
    gone = [NEVER] * len(piece)
    end = list(range(1, len(piece) + 1))  # of the part that starts here
    before = list(range(-1, len(piece) - 1))  # where the part before starts
    pair = [0] * len(piece)  # the merge that joins the part that starts here with the next
    heap: list[tuple[int, int]] = []

    def look(start: int) -> None:
        middle = end[start]
        stop = end[middle] if middle < len(piece) else start
        joins = start < stop <= start + longest
        pair[start] = merge_of.get(piece[start:stop], 0) if joins else 0
        if pair[start]:
            heapq.heappush(heap, (pair[start], start))

    for start in range(len(piece)):
        look(start)
    reached = 0
    while heap:
        merge, start = heapq.heappop(heap)
        if pair[start] != merge:
            continue  # one of the two has meanwhile joined another
        # In a vocabulary that BPE made, ranks only rise; in any other, one waits for the highest.
        reached = max(reached, merge)
        middle = end[start]
        gone[middle], pair[middle] = reached, 0
        end[start] = end[middle]
        if end[start] < len(piece):
            before[end[start]] = start
        look(start)
        if before[start] >= 0:
            look(before[start])
    # A piece that is a token is taken whole, as tiktoken does, even if no merges lead there.
    whole = merge_of.get(piece, NEVER)
    return [gone[0], *(min(number, whole) for number in gone[1:])] if piece else []


def javascript_pattern(pattern: str) -> str:
    r"""Write a rule for cutting text, in the syntax of tiktoken, for a JavaScript ``u`` regex.

    It may hold characters, classes, groups, look-ahead, the general categories of Unicode such as
    ``\p{L}``, ``\s \S \d \D``, and greedy, lazy and possessive repetition. Raises ``ValueError``
    for anything else, because browsers would read it differently or not at all.

    >>> javascript_pattern(r"\s|a+")
    '\\p{White_Space}|a+'
    """
    try:
        rule = _Translation(pattern).result
        regex.compile(_for_python(rule))
        return rule
    except (ValueError, regex.error) as error:
        raise ValueError(
            f"pattern={pattern!r} cannot be used in a browser: {error}; use one such as "
            "tokenizer.pattern of GPT-2's or SmolLM2's tokenizer"
        ) from None


class _Translation:
    """Reads a pattern once from left to right."""

    def __init__(self, pattern: str):
        if not isinstance(pattern, str) or not pattern:
            raise ValueError("it is no text" if pattern != "" else "it is empty")
        self._rest = pattern
        self._captures = 0
        self.result = self._alternatives()
        if self._rest:
            raise ValueError("it closes a group that it does not open")

    def _take(self, expression: str) -> str | None:
        match = re.match(expression, self._rest, re.DOTALL)
        if match is None:
            return None
        self._rest = self._rest[match.end() :]
        return match.group()

    def _alternatives(self) -> str:
        written = ""
        while self._rest and not self._rest.startswith(")"):
            written += "|" if self._take(r"\|") else self._repeated()
        return written

    def _repeated(self) -> str:
        here = self._captures
        atom, repeatable = self._atom()
        count = self._take(r"[*+?]|\{\d+(?:,\d*)?\}")
        if count is None:
            return atom
        if not repeatable:
            raise ValueError(f"{atom!r} cannot be repeated")
        if self._take(r"\+"):
            # JavaScript has no possessive repetition, but a look-ahead never tries again.
            self._captures += 1
            if self._captures != here + 1:
                raise ValueError("possessive repetitions lie in one another")
            return rf"(?:(?=({atom}{count}))\{self._captures})"
        return atom + count + (self._take(r"\?") or "")

    def _atom(self) -> tuple[str, bool]:
        """Return a thing that may be repeated, or one that may not."""
        if opening := self._take(r"\((?:\?[:=!])?"):
            if self._rest.startswith("?"):
                raise ValueError(f"the group (?{self._rest[1:3]} is unknown")
            inner = self._alternatives()
            if not self._take(r"\)"):
                raise ValueError("a group is not closed")
            opening = "(?:" if opening == "(" else opening
            return f"{opening}{inner})", opening == "(?:"
        if negation := self._take(r"\[\^?"):
            return self._members(negation), True
        if self._take(r"\^"):
            return _START, False
        if self._take(r"\$"):
            return _END, False
        if self._take(r"\."):
            return r"[^\n]", True
        if self._take(r"[*+?{}\]]"):
            raise ValueError("a sign of repetition or a bracket stands where it has no meaning")
        return self._character(), True

    def _members(self, opening: str) -> str:
        written = opening
        while not self._take(r"\]"):
            if not self._rest:
                raise ValueError("a class [ is not closed")
            if self._take(r"\[|&&|--|~~"):
                raise ValueError("a class lies in another or is computed with")
            low = self._character()
            written += low
            if self._take(r"-(?!\])"):
                high = self._character()
                if low.startswith((r"\p", r"\P")) or high.startswith((r"\p", r"\P")):
                    raise ValueError(f"{low}-{high} is no range of characters")
                written += f"-{high}"
        if written == opening:
            raise ValueError("a class is empty")
        return f"{written}]"

    def _character(self) -> str:
        if category := self._take(r"\\[pP]\{[^}]*\}|\\[pP][A-Z]"):
            name = category[2:].strip("{}")
            if name != "White_Space" and not _CATEGORIES.fullmatch(name):
                raise ValueError(f"{category} is no general category of Unicode")
            return f"{category[:2]}{{{name}}}"
        character = self._take(r"\\.|.")
        if character == "\\":
            raise ValueError("it ends in a single backslash")
        if len(character) == 1:
            return _literal(character)
        if character[1] in _SHORTHANDS:
            return _SHORTHANDS[character[1]]
        if character[1].isalnum():
            raise ValueError(f"{character} is unknown here")
        return _literal(character[1])


def _literal(character: str) -> str:
    """Punctuation by its number, so that it means nothing else anywhere."""
    if character.isascii() and not character.isalnum():
        return f"\\x{ord(character):02x}"
    return character


def _for_python(rule: str) -> str:
    return rule.replace(r"\u{10ffff}", r"\U0010ffff")


def _checked_vocabulary(vocabulary: Sequence[bytes]) -> list[bytes]:
    tokens = list(vocabulary)
    if not tokens:
        raise ValueError("vocabulary=[] has no tokens; give the bytes of every token")
    for i, token in enumerate(tokens):
        if not isinstance(token, bytes):
            raise TypeError(
                f"vocabulary[{i}]={token!r} is not bytes; give the bytes of every token, b'' for "
                "special ones, as tokenizer.token_bytes does"
            )
    first: dict[bytes, int] = {}
    for i, token in enumerate(tokens):
        if token and first.setdefault(token, i) != i:
            raise ValueError(
                f"vocabulary[{i}]={token!r} is there already with id {first[token]}; "
                "keep each token once, b'' for special ones"
            )
    return tokens
