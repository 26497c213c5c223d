"""Which device to compute on, and in which number format; decided on call, never at import."""

from __future__ import annotations

import torch


def pick_device(prefer: str | torch.device | None = None) -> torch.device:
    """Choose where to compute: what you ask for, else a CUDA GPU, else an Apple GPU, else the CPU.

    Raises ``ValueError`` when the device you ask for is unknown or not in this machine.
    """
    if prefer is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(prefer)
    except RuntimeError:
        raise ValueError(
            f"device={prefer!r} is not a device name; use 'cpu', 'cuda', 'cuda:1' or 'mps'"
        ) from None
    missing = _why_missing(device)
    if missing:
        raise ValueError(
            f"device={str(device)!r} is not in this machine ({missing}); "
            "use device='cpu', or leave device out to take the best there is"
        )
    return device


def _why_missing(device: torch.device) -> str:
    """Say why `device` cannot be used, or give an empty string when it can."""
    if device.type == "cuda":
        if not torch.cuda.is_available():
            return "torch finds no CUDA GPU"
        if (device.index or 0) >= torch.cuda.device_count():
            return f"torch finds {torch.cuda.device_count()} CUDA GPU(s), counted from 0"
    if device.type == "mps" and not torch.backends.mps.is_available():
        return "torch finds no Apple GPU"
    if device.type not in ("cpu", "cuda", "mps", "meta"):
        return "llmlab knows 'cpu', 'cuda' and 'mps'"
    return ""


def fast_dtype(device: torch.device) -> torch.dtype:
    """Choose the number format to train in: bfloat16 on a GPU built for it, else float32."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32
