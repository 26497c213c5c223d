"""Optimisers: Muon for the matrices inside a model, AdamW for everything else.

N matrices of one shape, R rows, K columns
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

# How far one Newton-Schulz step bends the singular values: a s + b s^3 + c s^5 (Jordan et al. 2024)
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrices_NRK: Tensor, *, steps: int = 5) -> Tensor:
    """Move all singular values of each matrix to about 1; its directions stay.

    Each step computes a X + b (X X^T) X + c (X X^T)^2 X, whose numbers are chosen so that five
    steps bring every singular value above 0.01 of the norm to between 0.7 and 1.2. Computed in
    float32 on a CPU, where bfloat16 is slow, and in bfloat16 on a GPU.
    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    """
    dtype = torch.bfloat16 if matrices_NRK.device.type == "cuda" else torch.float32
    x_NRK = matrices_NRK.to(dtype)
    tall = x_NRK.shape[-2] > x_NRK.shape[-1]
    if tall:
        x_NRK = x_NRK.mT
    norm_N11 = torch.linalg.vector_norm(x_NRK, dim=(-2, -1), keepdim=True)
    x_NRK = x_NRK / norm_N11.clamp(min=1e-7)
    for _ in range(steps):
        squared_NRR = x_NRK @ x_NRK.mT
        bent_NRR = torch.baddbmm(squared_NRR, squared_NRR, squared_NRR, beta=_B, alpha=_C)
        x_NRK = torch.baddbmm(x_NRK, bent_NRR, x_NRK, beta=_A)
    return (x_NRK.mT if tall else x_NRK).to(matrices_NRK.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose every step is a matrix with equal singular values."""

    def __init__(self, params, *, lr=0.02, momentum=0.95, weight_decay=0.0, nesterov=True):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            shapes = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for shape, ps in shapes.items():
                grads = torch.stack([p.grad for p in ps])
                bufs = []
                for p in ps:
                    st = self.state[p]
                    if "momentum" not in st:
                        st["momentum"] = torch.zeros_like(p)
                    bufs.append(st["momentum"])
                torch._foreach_lerp_(bufs, list(grads.unbind()), 1 - group["momentum"])
                mixed = grads.lerp(torch.stack(bufs), group["momentum"])
                update = orthogonalise(mixed)
                scale = max(1, shape[0] / shape[1]) ** 0.5
                if group["weight_decay"]:
                    torch._foreach_mul_(ps, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(ps, list(update.unbind()), alpha=-group["lr"] * scale)
