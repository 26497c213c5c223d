"""Several processes that train one model together, as torchrun starts them.

Each process has all of the model (PyTorch's DistributedDataParallel), or a part of every tensor
(its fully_shard, called FSDP2), and learns from rows of its own of every batch. What they learn
is what one process would have learned from the whole batch, up to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor, nn

from llmlab.train.batches import Batch


@dataclass(frozen=True)
class Team:
    """The processes that train one model, of which this is number `rank` out of `size`.

    A single process is a team of its own, in which nothing needs to be sent. All members must
    call the methods that send something, in the same order.
    """

    rank: int = 0
    size: int = 1

    def own_parts(self, batch: Batch, most: int | None = None) -> list[Batch]:
        """Give the rows of a batch that are this process's to compute, at most `most` at once.

        The members' rows do not overlap and together are the batch. All members get equally many
        parts, so that nobody waits for a message that is not sent; where there are too few rows,
        a part has one row with nothing to learn.
        """
        n_rows = len(batch.targets_BT)
        largest = -(-n_rows // self.size)
        n_parts = -(-largest // min(most or largest, largest))
        first, end = (n_rows * rank // self.size for rank in (self.rank, self.rank + 1))
        if (first, end, n_parts) == (0, n_rows, 1):
            return [batch]
        cuts = [first + (end - first) * part // n_parts for part in range(n_parts + 1)]
        return [batch.rows(start, stop) for start, stop in pairwise(cuts)]

    def total(self, value: Tensor) -> Tensor:
        """Add up the members' values; all get the same sum."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def any(self, flag: bool, device: torch.device) -> bool:
        """Tell whether any member says yes, so that all do the same."""
        return flag if self.size == 1 else bool(self.total(torch.tensor(int(flag), device=device)))

    def shard(self, model: nn.Module) -> None:
        """Leave each member a part of every tensor of a model; its layers are put together in use.

        Make the optimiser afterwards. The layers are the model's ``blocks``, as those of `GPT`.
        Source: Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277.
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        mesh = init_device_mesh(next(model.parameters()).device.type, (self.size,))
        for block in model.blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        register_fsdp_forward_method(model, "hidden_states")

    def reducing(self, objective: nn.Module) -> nn.Module:
        """Give a module whose backward pass leaves the mean of the members' gradients.

        Source: Li et al. 2020, "PyTorch Distributed", arXiv:2006.15704.
        """
        if self.size == 1 or any(map(is_shard, objective.parameters())):
            return objective
        return nn.parallel.DistributedDataParallel(objective, gradient_as_bucket_view=True)

    @staticmethod
    def waiting(objective: nn.Module, last: bool) -> AbstractContextManager:
        """Keep gradients to oneself until the last part of a step, to send them once."""
        if last or not isinstance(objective, nn.parallel.DistributedDataParallel):
            return nullcontext()
        return objective.no_sync()


@contextmanager
def joined_team(device: torch.device) -> Iterator[Team]:
    """Join the processes that torchrun has started along with this one, until the block ends.

    They talk by NCCL between GPUs and by gloo between CPUs. A process that has joined already
    stays in its team, and without torchrun it is a team alone. Raises ``ValueError`` for a device
    on which several processes cannot train.
    """
    if dist.is_available() and dist.is_initialized():
        yield Team(dist.get_rank(), dist.get_world_size())
        return
    size = n_processes()
    if size == 1:
        yield Team()
        return
    if device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"{size} processes cannot train together on {device.type!r}; use one process, or "
            "device='cpu'"
        )
    store, rank, size = next(dist.rendezvous("env://"))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        # torchrun keeps the store when it starts dead workers anew, and with it the addresses of
        # the dead, for which the new ones would wait; it counts restarts for each machine alone
        store = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield Team(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def n_processes() -> int:
    """Tell how many processes torchrun has started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_rank() -> int:
    """Tell which of the processes that torchrun has started this one is, counted from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Whether this process is the first of its team, or alone."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def own_device(device: torch.device) -> torch.device:
    """Give each process of this machine a GPU of its own, counted as torchrun does."""
    if device.type != "cuda" or n_processes() == 1:
        return device
    own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(own)
    return own


# A tensor of which each process has some rows ----------------------------------------------------


def is_shard(tensor: Tensor) -> bool:
    """Whether a tensor is shared out among processes."""
    # a process group comes first, and loading DTensor takes time that nobody else should spend
    return hasattr(tensor, "device_mesh")


def class_of(model: nn.Module) -> type[nn.Module]:
    """Give the class of a model, which is another one once it has been shared out."""
    kind = type(model)
    if any(map(is_shard, model.parameters())):
        return next(base for base in kind.__bases__ if base.__module__.startswith("llmlab."))
    return kind


def whole(tensor: Tensor) -> Tensor:
    """Put a tensor together from the processes' parts; all must call it."""
    return tensor.full_tensor() if is_shard(tensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """Give this process's rows of a tensor, in the same memory."""
    return tensor.to_local() if is_shard(tensor) else tensor


def put_together(rows: Tensor, like: Tensor) -> Tensor:
    """Put together what each process has computed from its `own_part` of a tensor `like`."""
    if not is_shard(like):
        return rows
    from torch.distributed.tensor import DTensor

    options = {"run_check": False, "shape": like.shape, "stride": like.stride()}
    return DTensor.from_local(rows, like.device_mesh, like.placements, **options).full_tensor()


def shared_out_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Share out a tensor, which all processes have whole, as another one is; sends nothing."""
    if not is_shard(other):
        return tensor
    from torch.distributed.tensor import DTensor, Replicate

    mesh = other.device_mesh
    copies = DTensor.from_local(tensor, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return copies.redistribute(placements=other.placements)
