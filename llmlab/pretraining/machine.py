"""What a machine can do: its memory and its speed, asked for or measured."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from llmlab.device import fast_dtype


def memory_there_is(device: torch.device) -> int | None:
    """Tell how many bytes a process may use on a device; None where the system does not say.

    On a GPU what is free, on a CPU all there is, or what a container may use, shared out among
    the processes that torchrun has started on this machine.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no such question
        return None
    limit = _container_limit()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return (whole if limit is None else min(whole, limit)) // here


def _container_limit() -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return None


def measured_flops(device: torch.device, *, seconds: float = 0.5) -> float:
    """Measure how many FLOPs a second a device does in products of large square matrices.

    In the number format that training uses there. The best of several, because whatever else
    runs can only make it slower.
    """
    n = 4096 if device.type == "cuda" else 384
    a = torch.rand(n, n, device=device, dtype=fast_dtype(device))
    best, count, end = float("inf"), 0, time.perf_counter() + seconds
    while count < 10 or time.perf_counter() < end:
        count += 1
        _wait(device)
        began = time.perf_counter()
        a @ a
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * n**3 / best


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
