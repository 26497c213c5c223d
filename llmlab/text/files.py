"""The JSON files of the tokenizers: written whole or not at all, and told apart by their format."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

FORMATS = {"llmlab-bpe-1": "BPETokenizer", "llmlab-words-1": "WordTokenizer"}


def write_tokenizer_file(path: str | Path, content: dict) -> None:
    """Write a tokenizer's fields, the format first, as JSON that people can read."""
    path = Path(path)
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=0)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def read_tokenizer_file(path: str | Path, expected: str) -> dict:
    """Read those fields again; raises ``ValueError`` for a file of another format."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    found = content["format"]
    if found != expected and found in FORMATS:
        raise ValueError(f"it holds a {FORMATS[found]}: read it with {FORMATS[found]}.load(path)")
    if found != expected:
        raise ValueError(f"its format is {found!r}")
    return content
