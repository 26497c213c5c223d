"""How well a GPU is used when it pretrains GPT-2, against transformers on the same GPU.

GPT-2 with 124 million parameters and a context of 1,024 tokens in bfloat16, both sides through
`torch.compile` with the same optimiser (`sides.py`), in turns within one process. The share of the
GPU is what the matrix products of a step ask for, counted by `step_flops`, over what the same GPU
delivered in the best of a few large products in this run. Without a GPU there is nothing to
measure.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from measure import Row
from sides import HUGGING_FACE, OURS, Trainer, step_flops

from llmlab.model import GPTConfig
from llmlab.model.published import PUBLISHED

SHARE = 0.5
BETTER_THAN = 1.2


@dataclass(frozen=True)
class Setting:
    """What is measured, on what device."""

    device: str = "cuda"
    config: GPTConfig = PUBLISHED["GPT-2 small"]
    batch_size: int = 16
    dtype: torch.dtype = torch.bfloat16
    steps: int = 10  # in a turn
    rounds: int = 5
    square: int = 8_192  # the size of the matrices that tell what the device can multiply


def rows(setting: Setting | None = None) -> list[Row]:
    """Measure on the GPU, or say that there is none."""
    if setting is None:
        if not torch.cuda.is_available():
            return [Row(what="pretraining GPT-2 124M on a GPU", measured="no GPU here")]
        setting = Setting()
    options = {"device": setting.device, "dtype": setting.dtype, "compiled": True}
    trainers = {
        side: Trainer(side, setting.config, batch_size=setting.batch_size, **options)
        for side in (OURS, HUGGING_FACE)
    }
    for trainer in trainers.values():
        _seconds_a_step(trainer, setting, steps=3)  # compiles
    times: dict[str, list[float]] = {side: [] for side in trainers}
    peaks = []
    for _ in range(setting.rounds):
        for side, trainer in trainers.items():
            times[side].append(_seconds_a_step(trainer, setting, steps=setting.steps))
        peaks.append(_matmul_flops(setting))
    return _report(setting, *(statistics.median(times[side]) for side in trainers), max(peaks))


def _seconds_a_step(trainer: Trainer, setting: Setting, *, steps: int) -> float:
    _wait(setting.device)
    began = time.perf_counter()
    for _ in range(steps):
        trainer.step()
    _wait(setting.device)
    return (time.perf_counter() - began) / steps


def _matmul_flops(setting: Setting, repeats: int = 10) -> float:
    """Give the FLOP/s of a large matrix product, the best of three times `repeats`."""
    shape = (setting.square, setting.square)
    left, right = (torch.randn(shape, device=setting.device, dtype=setting.dtype) for _ in "lr")
    best = float("inf")
    for _ in range(4):  # the first warms up
        _wait(setting.device)
        began = time.perf_counter()
        for _ in range(repeats):
            left @ right
        _wait(setting.device)
        best = min(best, time.perf_counter() - began)
    return 2 * setting.square**3 * repeats / best


def _wait(device: str) -> None:
    """Let the device finish: it works on after a call has returned."""
    if device == "cuda":
        torch.cuda.synchronize()


def _report(setting: Setting, ours: float, theirs: float, peak: float) -> list[Row]:
    tokens = setting.batch_size * setting.config.context
    speed = step_flops(setting.config, batch_size=setting.batch_size) / ours
    where = torch.cuda.get_device_name() if setting.device == "cuda" else "the CPU"
    return [
        Row(
            what=f"pretraining GPT-2 124M on {where}, {setting.batch_size} texts of "
            f"{setting.config.context:,} tokens, {str(setting.dtype).removeprefix('torch.')}, "
            "compiled, as a share of what it multiplies",
            measured=f"{100 * speed / peak:.0f} % "
            f"({speed / 1e12:.3g} of {peak / 1e12:.3g} TFLOP/s)",
            target=f">= {100 * SHARE:.0f} %",
            met=speed >= SHARE * peak,
        ),
        Row(
            what="the same, against transformers compiled alike",
            measured=f"{theirs / ours:.2f} times ({tokens / ours:,.0f} against "
            f"{tokens / theirs:,.0f} tokens/s)",
            target=f">= {BETTER_THAN} times",
            met=theirs >= BETTER_THAN * ours,
        ),
    ]


if __name__ == "__main__":
    print(*(row.markdown() for row in rows()), sep="\n")
