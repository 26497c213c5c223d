"""The training loop: a generator that learns from one batch after another and tells how it goes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llmlab.device import fast_dtype
from llmlab.text.inputs import whole_number
from llmlab.train.batches import Batch
from llmlab.train.distributed import Team, whole
from llmlab.train.interrupt import one_ctrl_c
from llmlab.train.losses import NextTokenLoss
from llmlab.train.optim import JointOptimizer, optimizer_for

Loss = Callable[[nn.Module, Batch], Tensor]


class TrainingError(RuntimeError):
    """Training cannot go on: a loss or a gradient is no longer a number."""


@dataclass(frozen=True)
class Step:
    """What one step of training did.

    `number` counts the steps done, so the first is 1; `steps` is the number of the last one, None
    when training by minutes; `progress` is the share of the whole that is done. `loss` is the
    mean over the step's targets, in nats, before the step; `gradient_norm` is taken before
    clipping; `learning_rate` is that of the optimiser's first group. `elapsed` are seconds spent
    in steps since training began or was taken up again, without what the loop's body does in
    between; `tokens_per_second` counts this step's tokens, without padding.
    """

    number: int
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float
    elapsed: float
    steps: int | None
    progress: float


def train(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    optimizer: torch.optim.Optimizer | JointOptimizer | None = None,
    schedule: Callable[[float], float] | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    loss: Loss | None = None,
    start: int = 0,
    clip: float | None = 1.0,
    accumulate: int = 1,
    micro_batch: int | None = None,
    team: Team | None = None,
    dtype: torch.dtype | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Step]:
    """Train a model in place, one `Step` at a time, as long as somebody asks for the next.

    >>> for step in train(model, batches, steps=500):  # doctest: +SKIP
    ...     print(step.number, step.loss)

    Say how long: until step number `steps`, counted from the very beginning, of which `start` are
    already done; or for so many `minutes` of training from now on, and then a `schedule` that has
    steps runs by the time. The schedule scales each group's "initial_lr", and the rates are set
    back at the end; without one they stay as they are. `optimizer` is `optimizer_for(model)` if
    left out.

    `loss(model, batch)` gives the sum over the batch's targets; it is `NextTokenLoss()` if left
    out. With `accumulate`, so many batches make one step, exactly as if they were one large
    batch; with `micro_batch`, at most so many rows of a batch are computed at once, which takes
    less memory and changes nothing else. The processes of a `team` each compute rows of their own
    of every batch, and all see the same `Step`.
    Gradients longer than `clip` are shortened to it; None leaves them. `dtype` is the number
    format of the matrix products, as a rule bfloat16 on a GPU made for it and else float32. The
    model is in training mode during a step, and between two in the mode it had.

    Ctrl-C lets the step finish and ends the loop without an error, like a last step; pressed
    again it raises ``KeyboardInterrupt`` at once. A loss or gradient that is not a number raises
    `TrainingError`, which names the step, before it can spoil the weights. Raises ``ValueError``
    for arguments that do not fit, for a model with nothing to train, for batches that end too
    early, and for a step without targets.
    """
    if (steps is None) == (minutes is None):
        raise ValueError(f"steps={steps} and minutes={minutes}: say how long, by one of the two")
    start = whole_number(start, "start", least=0)
    if steps is not None:
        steps = whole_number(steps, "steps", least=1)
        if start > steps:
            raise ValueError(
                f"start={start} lies beyond steps={steps}, which counts from the very beginning; "
                f"for {steps} more steps use steps={start + steps}"
            )
    elif not 0 < minutes < math.inf:
        raise ValueError(f"minutes={minutes!r} is no time to train; use a number above 0")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip={clip!r} is no length; use a number above 0, or None not to clip")
    if dtype not in (None, torch.float32, torch.bfloat16):
        raise ValueError(f"dtype={dtype} does not train well; use torch.bfloat16 or torch.float32")
    if micro_batch is not None:
        micro_batch = whole_number(micro_batch, "micro_batch", least=1)
    team = Team() if team is None else team
    if minutes is not None and team.size > 1:
        raise ValueError(
            f"minutes={minutes} would end at another step in each of {team.size} processes; "
            "use steps="
        )
    _check_schedule(schedule, steps)
    try:
        batches = iter(batches)
    except TypeError:
        raise TypeError(
            f"a {type(batches).__name__} is no series of batches; give pair_batches(...), "
            "packed_batches(...), or a list such as [batch]"
        ) from None
    optimizer = optimizer_for(model) if optimizer is None else optimizer
    _check_belongs(optimizer, model)
    run = _Run(
        model,
        batches,
        optimizer,
        objective=team.reducing(_Objective(model, NextTokenLoss() if loss is None else loss)),
        clip=clip,
        accumulate=whole_number(accumulate, "accumulate", least=1),
        micro_batch=micro_batch,
        team=team,
        dtype=dtype,
    )
    return _steps(run, schedule, start, steps, minutes, clock)


def _steps(
    run: _Run,
    schedule: Callable[[float], float] | None,
    start: int,
    steps: int | None,
    minutes: float | None,
    clock: Callable[[], float],
) -> Iterator[Step]:
    elapsed, number = 0.0, start

    def progress() -> float:
        return number / steps if minutes is None else min(elapsed / (60 * minutes), 1.0)

    with one_ctrl_c() as pressed, _rates(run.optimizer, schedule) as set_rates:
        while progress() < 1 and not run.any(pressed()):
            began = clock()
            length = getattr(schedule, "steps", None)
            set_rates(number if minutes is None or length is None else progress() * length)
            loss, norm, n_tokens = run.step(number + 1, steps)
            seconds = clock() - began
            elapsed, number = elapsed + seconds, number + 1
            yield Step(
                number=number,
                loss=loss,
                learning_rate=float(run.optimizer.param_groups[0]["lr"]),
                gradient_norm=norm,
                tokens_per_second=n_tokens / seconds if seconds > 0 else 0.0,
                elapsed=elapsed,
                steps=steps,
                progress=progress(),
            )


@dataclass(eq=False)
class _Run:
    """All that a step needs."""

    model: nn.Module
    batches: Iterator[Batch]
    optimizer: torch.optim.Optimizer | JointOptimizer
    objective: nn.Module
    clip: float | None
    accumulate: int
    micro_batch: int | None
    team: Team
    dtype: torch.dtype | None

    def step(self, number: int, steps: int | None) -> tuple[float, float, int]:
        """Learn from the next batches; give the mean loss, the gradient's norm, and the tokens."""
        batches = self._next_batches(number, steps)
        n_targets = sum(batch.n_targets for batch in batches)
        if n_targets == 0:
            raise ValueError(
                f"step {number} has nothing to learn: no target in its {len(batches)} batch(es); "
                "leave such batches out"
            )
        parameters = list(self.model.parameters())
        _forget_gradients(parameters)
        with _training(self.model), torch.enable_grad():
            loss = self._backward(batches, n_targets)
            learned = [parameter for parameter in parameters if parameter.grad is not None]
            norm = whole(torch.nn.utils.get_total_norm([parameter.grad for parameter in learned]))
            length = norm.item()
            if not (math.isfinite(loss) and math.isfinite(length)):
                _forget_gradients(parameters)
                raise TrainingError(_not_finite(number, loss, length))
            if self.clip is not None:
                torch.nn.utils.clip_grads_with_norm_(learned, self.clip, norm)
            self.optimizer.step()
        return loss, length, sum(batch.n_tokens for batch in batches)

    def _backward(self, batches: list[Batch], n_targets: int) -> float:
        """Compute the gradients of the mean loss over all targets, of all processes; give it."""
        parts = [part for b in batches for part in self.team.own_parts(b, self.micro_batch)]
        if self.team.size == 1:
            parts = [part for part in parts if part.n_targets]
        total = torch.zeros((), device=self.device)
        for number, part in enumerate(parts, start=1):
            with self.team.waiting(self.objective, last=number == len(parts)):
                with self._autocast():
                    share = self.objective(part.to(self.device)) / n_targets
                (share * self.team.size).backward()  # a team's gradients come as their mean
                total = total + share.detach()
        return self.team.total(total).item()

    @property
    def device(self) -> torch.device:
        """Where the computing is done."""
        return next(self.model.parameters()).device

    def any(self, flag: bool) -> bool:
        """Whether any process of the team says yes."""
        return self.team.any(flag, self.device)

    def _next_batches(self, number: int, steps: int | None) -> list[Batch]:
        taken = []
        while len(taken) < self.accumulate:
            batch = next(self.batches, None)
            if batch is None:
                missing = f"step {number} needs {self.accumulate - len(taken)} more"
                if steps is not None:
                    n_missing = (steps - number + 1) * self.accumulate - len(taken)
                    missing = f"{n_missing} are missing for steps={steps}"
                raise ValueError(
                    f"the batches ended during step {number}: {missing}; give as many as needed, "
                    "or an endless series such as pair_batches(...) or itertools.cycle(list)"
                )
            taken.append(batch)
        return taken

    def _autocast(self) -> AbstractContextManager:
        dtype = fast_dtype(self.device) if self.dtype is None else self.dtype
        if dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=dtype)


class _Objective(nn.Module):
    """A model and its loss as one module: PyTorch's engines for many processes want a forward."""

    def __init__(self, model: nn.Module, loss: Loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch) -> Tensor:
        return _checked(self.loss(self.model, batch))


def _forget_gradients(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None


def _checked(loss: Tensor) -> Tensor:
    """Refuse what a learner's own loss may return by mistake."""
    if not isinstance(loss, Tensor) or loss.dim():
        given = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(
            f"the loss gave {given}, not a single number; return the sum over all targets, "
            "as a tensor: losses.sum()"
        )
    if not loss.requires_grad:
        raise ValueError(
            "the loss does not depend on any parameter that is trained; compute it from the "
            "model's output, without .item(), .detach() or torch.no_grad()"
        )
    return loss


def _not_finite(number: int, loss: float, norm: float) -> str:
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
    return (
        f"step {number}: {what}; the weights are as they were before this step. Try a lower "
        "learning rate (half of it), a longer warm-up, or clip=1.0, and start from a checkpoint "
        "before the loss began to rise"
    )


def _check_schedule(schedule: Callable[[float], float] | None, steps: int | None) -> None:
    length = getattr(schedule, "steps", None)
    if steps is None or length is None or length >= steps or schedule(length) > 0:
        return
    raise ValueError(
        f"the schedule comes to a learning rate of 0 after its {length} steps, and training goes "
        f"on to steps={steps}; make the schedule for {steps} steps, or give it a final above 0"
    )


def _check_belongs(optimizer: torch.optim.Optimizer | JointOptimizer, model: nn.Module) -> None:
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not trainable & moved:
        raise ValueError(
            f"the optimiser moves no trainable parameter of this {type(model).__name__}; "
            "make it for this very model: optimizer_for(model)"
        )


@contextmanager
def _training(model: nn.Module) -> Iterator[None]:
    """Put a model into training mode, and each of its parts back into the mode it had."""
    at_rest = [module for module in model.modules() if not module.training]
    if at_rest:
        model.train()
    try:
        yield
    finally:
        for module in at_rest:
            module.training = False


@contextmanager
def _rates(
    optimizer: torch.optim.Optimizer | JointOptimizer, schedule: Callable[[float], float] | None
) -> Iterator[Callable[[float], None]]:
    """Give a function that sets the learning rates for a step, and set them back at the end."""
    if schedule is None:
        yield lambda step: None
        return
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])

    def set_rates(step: float) -> None:
        factor = schedule(step)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    try:
        yield set_rates
    finally:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
