"""Translators that are trained already: those that come with llmlab, and your own."""

from __future__ import annotations

from pathlib import Path

import torch

from llmlab.model import Translator, ops
from llmlab.text import BPETokenizer
from llmlab.train import load_checkpoint

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
SHIPPED = {"es": WEIGHTS / "english-spanish.safetensors"}


def load_translator(
    language_or_path: str | Path = "es",
    *,
    device: str | torch.device | None = None,
    attend: ops.Attend = ops.attend_fused,
) -> tuple[Translator, BPETokenizer]:
    """Load a trained translator from English and its tokenizer, ready for `translate`.

    ``"es"`` is the one that comes with llmlab; its card, the ``.md`` beside the weights, says
    what it was trained on, for how long, and how good it is. A path is a file that
    ``llmlab train translator`` or `save_checkpoint` wrote. `device` defaults to a GPU where there
    is one. Raises ``FileNotFoundError`` for a language that does not come with llmlab or a file
    that is not there, ``ValueError`` for a file that holds no whole translator.
    """
    path = SHIPPED.get(language_or_path) if isinstance(language_or_path, str) else None
    path = Path(language_or_path).expanduser() if path is None else path
    if not path.is_file():
        raise FileNotFoundError(
            f"{str(language_or_path)!r} is no translator that comes with llmlab and no file; use "
            f"{' or '.join(map(repr, SHIPPED))}, or make one: "
            "`llmlab train translator --language de`, and give the path it says"
        )
    saved = load_checkpoint(path, device=device, attend=attend)
    if not isinstance(saved.model, Translator) or saved.tokenizer is None:
        kind = type(saved.model).__name__
        raise ValueError(
            f"{path} holds a {kind}{'' if saved.tokenizer else ' without a tokenizer'}; "
            "give a file with a Translator and its tokenizer"
        )
    return saved.model, saved.tokenizer
