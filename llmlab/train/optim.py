"""Optimisers: Muon for the matrices inside a model, AdamW for everything else.

N matrices of one shape, R rows, K columns
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from llmlab.device import fast_dtype
from llmlab.model import lora
from llmlab.train.distributed import own_part, put_together, shared_out_like

# How far one Newton-Schulz step bends the singular values: a s + b s^3 + c s^5 (Jordan et al. 2024)
_A, _B, _C = 3.4445, -4.7750, 2.0315

# Matrices of one shape are computed together, up to so many numbers: more would save no time, and
# the copies that are needed on the way would take as much memory as the model.
AT_ONCE = 2**26


def orthogonalise(matrices_NRK: Tensor, *, steps: int = 5) -> Tensor:
    """Move all singular values of each matrix to about 1; its directions stay.

    Each step computes a X + b (X X^T) X + c (X X^T)^2 X, with numbers chosen so that five steps
    bring every singular value above a hundredth of the matrix's norm to between 0.6 and 1.3. What
    is zero stays zero. Computed in bfloat16 on a GPU made for it and otherwise in float32, or in
    float64 if given that. Returns the shape and type of what it was given.
    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    """
    dtype = matrices_NRK.dtype
    if dtype != torch.float64:
        dtype = fast_dtype(matrices_NRK.device)
    tall = matrices_NRK.shape[-2] > matrices_NRK.shape[-1]
    x_NRK = (matrices_NRK.mT if tall else matrices_NRK).to(dtype)
    norm_N11 = torch.linalg.vector_norm(x_NRK, dim=(-2, -1), keepdim=True)
    x_NRK = x_NRK / norm_N11.clamp(min=1e-7)
    long = x_NRK.shape[-1] > 1.5 * x_NRK.shape[-2] and dtype != torch.bfloat16
    x_NRK = _bend_product(x_NRK, steps) if long else _bend(x_NRK, steps)
    return (x_NRK.mT if tall else x_NRK).to(matrices_NRK.dtype)


def _bend(x_NRK: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        squared_NRR = x_NRK @ x_NRK.mT
        bent_NRR = torch.baddbmm(squared_NRR, squared_NRR, squared_NRR, beta=_B, alpha=_C)
        x_NRK = torch.baddbmm(x_NRK, bent_NRR, x_NRK, beta=_A)
    return x_NRK


def _bend_product(x_NRK: Tensor, steps: int) -> Tensor:
    """Do the same on the small square X X^T, which saves time when X is long.

    X turns into M X at each step, for a symmetric M = a + b S + c S^2 made of S = X X^T alone, and
    S into M S M. So the Ms can be multiplied first and meet X once. That squares the numbers'
    range, which bfloat16 has not the digits for.
    """
    squared_NRR = x_NRK @ x_NRK.mT
    product_NRR = None
    for step in range(steps):
        bent_NRR = torch.baddbmm(squared_NRR, squared_NRR, squared_NRR, beta=_B, alpha=_C)
        bent_NRR.diagonal(dim1=-2, dim2=-1).add_(_A)
        product_NRR = bent_NRR if product_NRR is None else bent_NRR @ product_NRR
        if step < steps - 1:
            squared_NRR = bent_NRR @ squared_NRR @ bent_NRR
    return x_NRK if product_NRR is None else product_NRR @ x_NRK


class Muon(torch.optim.Optimizer):
    """Momentum whose every step is a matrix with nearly equal singular values.

    So a direction that few examples ask for is learned as fast as one that all ask for. Takes
    matrices only, and is meant for those inside the layers: use `optimizer_for`. Each step is the
    gradient mixed with its running mean (Nesterov's momentum), orthogonalised, times `lr`, and
    for a matrix with more rows than columns times the root of their ratio. `weight_decay` shrinks
    the weights by lr * weight_decay of themselves beforehand.
    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    Raises ``ValueError`` for parameters that are no matrices and settings that are no rates.
    """

    def __init__(
        self,
        params: Iterable,
        *,
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ):
        _check_rate("lr", lr)
        _check_rate("weight_decay", weight_decay)
        _check_share("momentum", momentum)
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def add_param_group(self, param_group: dict) -> None:
        """Take more matrices, with settings of their own; called once for each group."""
        super().add_param_group(param_group)
        for parameter in self.param_groups[-1]["params"]:
            if parameter.dim() != 2 or not parameter.is_floating_point():
                self.param_groups.pop()
                raise ValueError(
                    f"a parameter of shape {tuple(parameter.shape)} and type {parameter.dtype} is "
                    "no matrix of real numbers, and Muon takes nothing else; give it to AdamW, "
                    "as optimizer_for(model) does"
                )

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Move every matrix that has a gradient; those without one stay as they are.

        `closure`, which computes the loss anew, is called first, as in every optimiser of PyTorch.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike = defaultdict(list)  # matrices of one shape are computed together
            for parameter in group["params"]:
                if parameter.grad is not None:
                    kind = parameter.shape, parameter.dtype, parameter.device
                    alike[kind].append(parameter)
            for parameters in alike.values():
                at_once = max(1, AT_ONCE // parameters[0].numel())
                for first in range(0, len(parameters), at_once):
                    self._move(parameters[first : first + at_once], **group)
        return loss

    def _move(
        self, parameters: list[Tensor], *, lr: float, momentum: float, weight_decay: float, **_
    ) -> None:
        # of a matrix that is shared out among processes, each moves its own rows; only to
        # orthogonalise it all rows are needed
        own = [own_part(parameter) for parameter in parameters]
        gradients = [own_part(parameter.grad) for parameter in parameters]
        means = [own_part(self._mean(parameter)) for parameter in parameters]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, means, momentum)
        ahead_NRK = torch.stack(
            [put_together(rows, p) for rows, p in zip(ahead, parameters, strict=True)]
        )
        moves = [
            own_part(shared_out_like(move, p))
            for move, p in zip(orthogonalise(ahead_NRK), parameters, strict=True)
        ]
        if weight_decay:
            torch._foreach_mul_(own, 1 - lr * weight_decay)
        n_rows, n_columns = parameters[0].shape
        torch._foreach_add_(own, moves, alpha=-lr * max(1, n_rows / n_columns) ** 0.5)

    def _mean(self, parameter: Tensor) -> Tensor:
        """Give the running mean of a parameter's gradients, at first zero."""
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        return state["momentum"]


class JointOptimizer:
    """Several optimisers for the parts of one model, used as if they were one.

    `param_groups` are all their groups, in order, and can be changed in place; `state_dict` has
    the layout of a single PyTorch optimiser.
    """

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers

    def __repr__(self) -> str:
        return f"JointOptimizer({', '.join(map(repr, self.optimizers))})"

    @property
    def param_groups(self) -> list[dict]:
        """The groups of parameters with their settings."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    @property
    def state(self) -> dict[Tensor, dict]:
        """What is remembered of each parameter."""
        return {
            parameter: state
            for optimizer in self.optimizers
            for parameter, state in optimizer.state.items()
        }

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> dict:
        """Collect all there is to remember: states by the parameter's number, and the groups."""
        state, groups = {}, []
        for optimizer in self.optimizers:
            own = optimizer.state_dict()
            before = _count(groups)
            state |= {before + number: values for number, values in own["state"].items()}
            groups += [_renumber(group, before) for group in own["param_groups"]]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from what `state_dict` gave; the parameters must be the same, in the same order.

        Raises ``ValueError`` when they are not, and changes nothing then.
        """
        theirs = [len(group["params"]) for group in state_dict["param_groups"]]
        ours = [len(group["params"]) for group in self.param_groups]
        if theirs != ours:
            raise ValueError(
                f"the state is of groups of {theirs} parameters and this optimiser has groups of "
                f"{ours}; build it as it was built for the run that was saved"
            )
        everything = [p for group in self.param_groups for p in group["params"]]
        for number, values in state_dict["state"].items():
            _check_fits(number, values, everything[number])
        groups, before = iter(state_dict["param_groups"]), 0
        for optimizer in self.optimizers:
            own = [next(groups) for _ in optimizer.param_groups]
            numbers = range(before, before + _count(own))
            state = {
                n - before: state_dict["state"][n] for n in numbers if n in state_dict["state"]
            }
            own = [_renumber(group, -before) for group in own]
            optimizer.load_state_dict({"state": state, "param_groups": own})
            before = numbers.stop


def _check_fits(number: int, values: dict, parameter: Tensor) -> None:
    """Refuse a state of another shape, with which AdamW's fused step would crash."""
    for name, value in values.items():
        if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
            raise ValueError(
                f"{name} of parameter {number} has the shape {tuple(value.shape)} and the "
                f"parameter {tuple(parameter.shape)}; the state is that of another model"
            )


def _count(groups: list[dict]) -> int:
    return sum(len(group["params"]) for group in groups)


def _renumber(group: dict, by: int) -> dict:
    return group | {"params": [number + by for number in group["params"]]}


def optimizer_for(
    model: nn.Module,
    *,
    muon_lr: float = 0.014,
    adam_lr: float = 12e-3,
    momentum: float = 0.95,
    betas: tuple[float, float] = (0.9, 0.98),
    weight_decay: float = 0.0,
    kind: str = "muon",
) -> JointOptimizer | torch.optim.AdamW:
    """Choose how each parameter of a model is trained.

    Matrices inside the layers go to `Muon`, everything else (embeddings, positions, the output
    head, norms, biases, `lora` adapters) to AdamW (Loshchilov and Hutter 2019); with kind="adamw"
    all go there.
    The layers are what the model keeps in an ``nn.ModuleList``, as `GPT` and `Translator` do.
    Embeddings and vectors have no weight decay. Parameters with ``requires_grad=False`` are left
    out. Each group has its learning rate as "lr" and, for schedules, as "initial_lr". Raises
    ``ValueError`` for a model with nothing to train and for settings that are no rates.
    """
    if kind not in ("muon", "adamw"):
        raise ValueError(f"kind={kind!r} is no optimiser here; use 'muon' or 'adamw'")
    _check_rate("muon_lr", muon_lr)
    _check_rate("adam_lr", adam_lr)
    _check_rate("weight_decay", weight_decay)
    _check_share("momentum", momentum)
    for beta in betas:
        _check_share("betas", beta)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError(
            f"{type(model).__name__} has no parameter to train: all "
            f"{len(list(model.parameters()))} have requires_grad=False; "
            "switch some on with parameter.requires_grad_(True)"
        )
    embedded = {id(weight) for weight in _parameters_in(model, nn.Embedding)}
    matrices = [p for p in trained if p.dim() >= 2 and id(p) not in embedded]
    within = {id(weight) for weight in _parameters_in(model, nn.ModuleList)}
    # of two thin matrices only the product matters, so evening out each of them makes no sense
    within -= {id(weight) for weight in lora.parameters(model)}
    hidden = [p for p in matrices if p.dim() == 2 and id(p) in within and kind == "muon"]
    taken = {id(parameter) for parameter in hidden}
    decayed = [p for p in matrices if id(p) not in taken]
    taken |= {id(parameter) for parameter in decayed}
    plain = [p for p in trained if id(p) not in taken]

    optimizers = []
    if hidden:
        options = {"lr": muon_lr, "momentum": momentum, "weight_decay": weight_decay}
        optimizers.append(Muon(hidden, **options))
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if groups:
        fused = all(p.device.type in ("cpu", "cuda", "mps") for p in decayed + plain)
        optimizers.append(torch.optim.AdamW(groups, lr=adam_lr, betas=betas, fused=fused))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return JointOptimizer(*optimizers) if hidden else optimizers[0]


def _parameters_in(model: nn.Module, kind: type[nn.Module]) -> Iterator[nn.Parameter]:
    """List the parameters of all parts of one kind."""
    for module in model.modules():
        if isinstance(module, kind):
            yield from module.parameters()


def _check_rate(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}={value!r} is no rate; use a number of at least 0")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name}={value!r} keeps no share of the past; use at least 0, below 1")
