"""Read the byte-level BPE tokenizer that lies in a Hugging Face model folder."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from llmlab.text.tokenizers import GPT2_PATTERN, SMOLLM_PATTERN, BPETokenizer, from_ids


def read_tokenizer(folder: str | Path) -> BPETokenizer | None:
    """Read the tokenizer of a model folder, or give None when the folder has none.

    Reads ``tokenizer.json``, else ``vocab.json`` with GPT-2's rule for cutting text. Raises
    ``ValueError`` for a tokenizer of another kind than byte-level BPE.
    """
    folder = Path(folder)
    if (folder / "tokenizer.json").exists():
        return _from_tokenizer_json(folder / "tokenizer.json")
    if (folder / "vocab.json").exists():
        return _from_vocab_json(folder / "vocab.json")
    for name in ("tokenizer.model", "spiece.model"):
        if (folder / name).exists():
            raise ValueError(
                f"cannot read the tokenizer {folder / name}: it is a SentencePiece tokenizer; "
                "llmlab reads plain byte-level BPE"
            )
    return None


def _from_vocab_json(path: Path) -> BPETokenizer:
    merges = path.with_name("merges.txt")
    try:
        ids = json.loads(path.read_text(encoding="utf-8"))
        if merges.exists():
            lines = merges.read_text(encoding="utf-8").splitlines()
            _check_merge_order([line for line in lines if not line.startswith("#version")], ids)
        special = [token for token in ids if token.startswith("<|") and token.endswith("|>")]
        return from_ids(ids, pattern=GPT2_PATTERN, special=special, name=path.parent.name)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"cannot read the tokenizer {path}: {error}") from error


def _from_tokenizer_json(path: Path) -> BPETokenizer:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model = content["model"]
        kind = model.get("type", "BPE")
        if kind != "BPE" or model.get("byte_fallback") or content.get("normalizer"):
            kind = "another kind of BPE" if kind == "BPE" else kind
            raise ValueError(f"it is a {kind} tokenizer; llmlab reads plain byte-level BPE")
        ids = dict(model["vocab"])
        _check_merge_order(model["merges"], ids)
        added = {}
        for entry in content.get("added_tokens", []):
            if not entry.get("special", True):
                raise ValueError(
                    f"it adds the token {entry['content']!r}, which is to be found in ordinary "
                    "text before any merging; llmlab does not do that"
                )
            added[entry["content"]] = entry["id"]
        pattern = _pattern(content.get("pre_tokenizer"))
        return from_ids(ids | added, pattern=pattern, special=added, name=path.parent.name)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"cannot read the tokenizer {path}: {error}") from error


def _check_merge_order(merges: list, ids: dict[str, int]) -> None:
    """Hold what tiktoken needs: merged tokens are numbered in the order of their merges."""
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in merges)
    order = [ids["".join(pair)] for pair in pairs]
    if any(later <= earlier for earlier, later in pairwise(order)):
        raise ValueError("its merges are not in the order of the ids, as llmlab needs them")


def _pattern(pre_tokenizer: dict | None) -> str:
    """Find the rule by which the text is cut before merging."""
    if pre_tokenizer is None:
        raise ValueError("it has no pre-tokenizer; llmlab reads byte-level BPE only")
    sequence = pre_tokenizer["type"] == "Sequence"
    steps = pre_tokenizer["pretokenizers"] if sequence else [pre_tokenizer]
    *before, last = steps
    if last["type"] != "ByteLevel" or last.get("add_prefix_space"):
        raise ValueError(f"its pre-tokenizer ends in {last['type']}, not in plain ByteLevel")
    if not before and last.get("use_regex", True):
        return GPT2_PATTERN
    if len(before) == 1 and before[0]["type"] == "Digits" and before[0]["individual_digits"]:
        return SMOLLM_PATTERN
    splits = len(before) == 1 and before[0]["type"] == "Split"
    if splits and before[0]["behavior"] == "Isolated" and not last.get("use_regex", True):
        return before[0]["pattern"]["Regex"]
    raise ValueError(f"its way of cutting text ({[step['type'] for step in steps]}) is unknown")
