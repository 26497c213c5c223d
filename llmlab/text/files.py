"""The JSON files of the tokenizers: written whole or not at all, and told apart by their format."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

Tokenizer = TypeVar("Tokenizer")

BPE_FORMAT = "llmlab-bpe-1"
WORDS_FORMAT = "llmlab-words-1"
_CLASSES = {BPE_FORMAT: "BPETokenizer", WORDS_FORMAT: "WordTokenizer"}


def write_tokenizer_file(path: str | Path, content: dict) -> None:
    """Write a tokenizer's fields, its format among them, as JSON that people can read.

    Raises ``OSError`` that says what to do; what was at `path` is then as it was.
    """
    path = Path(path)
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=0)
        unfinished.replace(path)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} could not be written ({error.strerror or error}); what was there is as it "
            "was. Make room on the disk, or give a path in a folder that you may write to",
        ) from error
    finally:
        with contextlib.suppress(OSError):  # moved, or never begun
            unfinished.unlink()


def read_tokenizer_file(
    path: str | Path, expected: str, make: Callable[[dict], Tokenizer]
) -> Tokenizer:
    """Make a tokenizer of the fields in a file; raises ``ValueError`` for any other file."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        found = content["format"]
        if found == expected:
            return make(content)
        if found not in _CLASSES:
            raise ValueError(f"its format is {found!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a tokenizer saved by llmlab ({error}); save it again with "
            "tokenizer.save(path)"
        ) from error
    raise ValueError(f"{path} holds a {_CLASSES[found]}; read it with {_CLASSES[found]}.load(path)")
