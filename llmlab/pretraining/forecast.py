"""The plan that is shown before training starts: what a recipe takes, and whether it can fit."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from llmlab.device import fast_dtype, pick_device
from llmlab.pretraining import plan
from llmlab.pretraining.machine import measured_flops, memory_there_is
from llmlab.pretraining.recipe import PretrainingRecipe
from llmlab.train.distributed import n_processes, own_device

# What training reaches of the speed of large matrix products: docs/scaling.md has what was
# measured. Norms, activations and the optimiser's vectors take the rest of the time.
UTILISATION = 0.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What following a recipe takes in each of `size` processes; printed, it is readable.

    `flops` is the speed of matrix products in FLOPs a second, `room` the memory of a process in
    bytes, None where it is unknown.
    """

    recipe: PretrainingRecipe
    device: str
    size: int
    fsdp: bool
    half: bool
    flops: float
    room: int | None

    @property
    def rows(self) -> int:
        """How many pieces a process computes at once."""
        own = -(-self.recipe.training.batch_size // self.size)
        return min(own, self.recipe.training.micro_batch or own)

    @property
    def memory(self) -> plan.Memory:
        """What each process keeps."""
        return self._memory(self.rows, self.size, self.fsdp)

    def _memory(self, rows: int, size: int, fsdp: bool) -> plan.Memory:
        return plan.memory(
            self.recipe.model,
            rows * self.recipe.model.context,
            kind=self.recipe.optimizer.kind,
            n_processes=size,
            fsdp=fsdp,
            half=self.half,
            device=self.device,
        )

    @property
    def tokens(self) -> int:
        """How many tokens are learned from in all."""
        return self.recipe.training.steps * self.recipe.training.batch_size * self._context

    @property
    def _context(self) -> int:
        return self.recipe.model.context

    @property
    def step_flops(self) -> int:
        """How many FLOPs a step takes in each process."""
        own = self.recipe.training.batch_size * self._context // self.size
        return plan.step_flops(self.recipe.model, own, kind=self.recipe.optimizer.kind)

    @property
    def bytes_sent(self) -> int:
        """How many bytes each process sends in a step."""
        own = -(-self.recipe.training.batch_size // self.size)
        return plan.bytes_sent(
            self.recipe.model,
            self.size,
            fsdp=self.fsdp,
            kind=self.recipe.optimizer.kind,
            n_parts=-(-own // self.rows),
        )

    @property
    def seconds(self) -> float:
        """How long training takes at the usual share of the speed of matrix products."""
        return self.recipe.training.steps * self.step_flops / (UTILISATION * self.flops)

    def check(self) -> None:
        """Raise ``ValueError`` if it cannot fit into memory, with the numbers and a way out."""
        needed = self.memory
        if self.room is None or needed.total <= self.room:
            return
        raise ValueError(
            f"this plan needs {_gb(needed.total)} of memory in each process (weights "
            f"{_gb(needed.weights)}, gradients {_gb(needed.gradients)}, optimiser "
            f"{_gb(needed.optimizer)}, activations and logits "
            f"{_gb(needed.activations + needed.logits)}), and there are {_gb(self.room)}; "
            f"{self._way_out()}"
        )

    def _way_out(self) -> str:
        fitting = [r for r in range(1, self.rows) if self._fits(r, self.size, self.fsdp)]
        if fitting:
            return f"compute fewer rows at once: [training] micro_batch = {fitting[-1]}"
        sizes = [2**n for n in range(1, 13) if 2**n > (self.size if self.fsdp else 1)]
        enough = next((size for size in sizes if self._fits(1, size, True)), None)
        if enough:
            return f"share the model out: --fsdp with {enough} such processes, and micro_batch = 1"
        return "choose a smaller model or a shorter context"

    def _fits(self, rows: int, size: int, fsdp: bool) -> bool:
        return self._memory(rows, size, fsdp).total <= self.room

    def __str__(self) -> str:
        needed, config, training = self.memory, self.recipe.model, self.recipe.training
        n, optimal = config.n_parameters, plan.compute_optimal_tokens(config.n_parameters)
        parts = {
            "weights": needed.weights,
            "gradients": needed.gradients,
            "optimiser": needed.optimizer,
            "activations": needed.activations,
            "logits": needed.logits,
        }
        room = "" if self.room is None else f", of {_gb(self.room)}"
        lines = [
            f"model       {n:,} parameters, {plan.in_matrices(config):,} of them in the layers",
            f"data        {training.steps:,} steps x {training.batch_size:,} x {self._context:,} = "
            f"{self.tokens:,} tokens, {self.tokens / n:.1f} a parameter "
            f"(compute-optimal: {optimal / n:.0f})",
            f"arithmetic  {plan.flops_per_token(config) / 1e9:,.3g} GFLOPs a token, "
            f"{self.tokens * plan.flops_per_token(config):.2g} FLOPs in all",
            f"processes   {self.size} on {self.device}"
            + (", each with a part of the model" if self.fsdp else "")
            + (f"; each sends {_gb(self.bytes_sent)} a step" if self.size > 1 else ""),
            f"memory      {_gb(needed.total)} in each process{room}: "
            + ", ".join(f"{name} {_gb(size)}" for name, size in parts.items()),
            f"time        about {_duration(self.seconds)}, at {UTILISATION:.0%} of "
            f"{self.flops / 1e12:,.3g} TFLOP/s in each process",
        ]
        return "\n".join(lines)


def make_plan(
    recipe: PretrainingRecipe,
    *,
    device: str | torch.device | None = None,
    fsdp: bool = False,
    processes: int | None = None,
    flops: float | None = None,
    room: int | None = None,
) -> Plan:
    """Plan a recipe for this machine, or for another of which you say the speed and the memory.

    `processes` is how many torchrun has started, if left out; `flops` (a second, of one process)
    is measured, which takes a moment, and `room` (bytes of one process) asked for.
    """
    where = own_device(pick_device(device))
    return Plan(
        recipe=recipe,
        device=where.type,
        size=n_processes() if processes is None else processes,
        fsdp=fsdp,
        half=fast_dtype(where) != torch.float32,
        flops=measured_flops(where) if flops is None else flops,
        room=memory_there_is(where) if room is None else room,
    )


def _gb(n_bytes: float) -> str:
    """Write a size the way people read it."""
    size, unit = (n_bytes / 1e9, "GB") if n_bytes >= 1e9 else (n_bytes / 1e6, "MB")
    return f"{size:,.{1 if size < 100 else 0}f} {unit}"


def _duration(seconds: float) -> str:
    for unit, length in (
        ("years", 31_557_600),
        ("days", 86_400),
        ("hours", 3_600),
        ("minutes", 60),
    ):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} seconds"
