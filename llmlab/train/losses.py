"""Losses: how surprised a model is by the tokens that really come next, in nats.

B batch, T position, N positions with a target, C width, V vocabulary
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmlab.model.gpt import GPT
from llmlab.model.translator import Translator
from llmlab.train.batches import IGNORE, Batch

Reduction = Literal["mean", "sum"]

# The logits of a whole batch are more numbers than a processor's cache holds, and asking the system
# for that much memory anew at each step takes longer than filling it. Processor time of loss and
# gradients of 2,048 positions, chunks of 512 against all at once, at a vocabulary of 4,096: 0.86 of
# it at width 384, 0.66 at width 128. On a GPU small pieces are slow to start, and memory is short.
_LARGE_VOCABULARY = 2_000
_CHUNK = {"cpu": 512}
_CHUNK_ELSEWHERE = 2048


def cross_entropy(
    logits_BTV: Tensor,
    targets_BT: Tensor,
    *,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Take the mean (or sum) of -log p(target) over all positions with a target.

    Positions whose target is `IGNORE` count for nothing. With `label_smoothing` e the right
    token is asked for 1 - e + e / V of the probability and every other for e / V, so that the
    model need not become ever more certain (Szegedy et al. 2016, section 7). Computed in float32
    at least. Raises ``ValueError`` for targets that do not fit, and for a mean over no targets.
    """
    _check(logits_BTV, targets_BT, logits_BTV.shape[-1], label_smoothing, reduction)
    logits_NV, targets_N = logits_BTV.flatten(0, -2), targets_BT.flatten()
    if logits_NV.dtype in (torch.float16, torch.bfloat16):
        logits_NV = logits_NV.float()
    total = F.cross_entropy(
        logits_NV,
        targets_N,
        ignore_index=IGNORE,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    return _reduced(total, targets_N, reduction)


def head_cross_entropy(
    hidden_BTC: Tensor,
    weight_VC: Tensor,
    targets_BT: Tensor,
    *,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    chunk: int | None = None,
) -> Tensor:
    """Compute `cross_entropy` of ``hidden_BTC @ weight_VC.T`` without ever holding all logits.

    The logits of `chunk` positions at a time (512 on a CPU, else 2,048) are computed, turned into
    a loss and into its gradients, and forgotten; positions without a target are left out. The
    result is that of the plain form up to rounding. Under autocast the matrix products run in its
    number format.
    It can be differentiated once. Raises ``ValueError`` as `cross_entropy` does.
    """
    _check(hidden_BTC, targets_BT, weight_VC.shape[0], label_smoothing, reduction)
    if weight_VC.dim() != 2 or weight_VC.shape[1] != hidden_BTC.shape[-1]:
        raise ValueError(
            f"weights of shape {tuple(weight_VC.shape)} do not fit vectors of width "
            f"{hidden_BTC.shape[-1]}; give one row of that width for each token"
        )
    if chunk is None:
        chunk = _CHUNK.get(hidden_BTC.device.type, _CHUNK_ELSEWHERE)
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise ValueError(f"chunk={chunk!r} must be a whole number of at least 1")
    hidden_NC, targets_N = _selected(hidden_BTC, targets_BT)
    total = _ChunkedCrossEntropy.apply(
        hidden_NC, weight_VC, targets_N, label_smoothing, chunk, torch.is_grad_enabled()
    )
    return _reduced(total, targets_N, reduction)


@dataclass(frozen=True)
class NextTokenLoss:
    """The loss of a model on a batch: the sum of `cross_entropy` over the batch's targets.

    Call it as ``loss(model, batch)``. For a model with `hidden_states` and `head`, such as GPT
    and Translator, the head runs only where there is a target, and for a large vocabulary piece
    by piece (`head_cross_entropy`); any other model is called as ``model(*batch.inputs)``. Inside
    ``torch.compile``, whose kernels read all logits at once with little cost, it takes them whole.
    """

    label_smoothing: float = 0.0

    def __post_init__(self):
        _check_smoothing(self.label_smoothing)

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """Give the loss as a sum in nats, to be divided by ``batch.n_targets``."""
        options = {"label_smoothing": self.label_smoothing, "reduction": "sum"}
        if not (hasattr(model, "hidden_states") and hasattr(model, "head")):
            return cross_entropy(model(*batch.inputs), batch.targets_BT, **options)
        hidden_BTC = model.hidden_states(*batch.inputs)
        if torch.compiler.is_compiling():
            return cross_entropy(model.head(hidden_BTC), batch.targets_BT, **options)
        weight_VC = _head_weight(model)
        if weight_VC is not None and weight_VC.shape[0] >= _LARGE_VOCABULARY:
            return head_cross_entropy(hidden_BTC, weight_VC, batch.targets_BT, **options)
        _check_targets(hidden_BTC, batch.targets_BT)
        hidden_NC, targets_N = _selected(hidden_BTC, batch.targets_BT)
        return cross_entropy(model.head(hidden_NC), targets_N, **options)


def _head_weight(model: nn.Module) -> Tensor | None:
    """Give the output matrix of a model whose head is nothing but a product with it."""
    if not isinstance(model, GPT | Translator) or type(model).head not in (
        GPT.head,
        Translator.head,
    ):
        return None
    return model.token_embedding.weight if model.config.tied else model.output.weight


def _selected(hidden_BTC: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Keep the positions with a target, in one row."""
    hidden_NC, targets_N = hidden_BTC.flatten(0, -2), targets_BT.flatten()
    kept_N = (targets_N != IGNORE).nonzero().squeeze(1)
    if len(kept_N) == len(targets_N):
        return hidden_NC, targets_N
    return hidden_NC.index_select(0, kept_N), targets_N.index_select(0, kept_N)


def _reduced(total: Tensor, targets_N: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "sum":
        return total
    n_targets = int((targets_N != IGNORE).sum())
    if n_targets == 0:
        raise ValueError(
            f"every target is IGNORE ({IGNORE}), so there is no mean; "
            "give at least one target, or use reduction='sum'"
        )
    return total / n_targets


def _check(
    scores: Tensor, targets_BT: Tensor, vocab_size: int, label_smoothing: float, reduction: str
) -> None:
    _check_smoothing(label_smoothing)
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction={reduction!r} is unknown; use 'mean' or 'sum'")
    _check_targets(scores, targets_BT)
    if targets_BT.device.type != "cpu" or torch.compiler.is_compiling():
        return  # on a GPU, looking at the targets would cost time
    outside_BT = (targets_BT >= vocab_size) | ((targets_BT < 0) & (targets_BT != IGNORE))
    if outside_BT.any():
        raise ValueError(
            f"target {int(targets_BT[outside_BT][0])} is outside the vocabulary of "
            f"{vocab_size:,}; targets go from 0 to {vocab_size - 1:,}, or are IGNORE ({IGNORE}) "
            "where nothing is learned"
        )


def _check_smoothing(label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f"label_smoothing={label_smoothing!r} is no share from 0 up to, but not, 1; try 0.1"
        )


def _check_targets(scores: Tensor, targets_BT: Tensor) -> None:
    if targets_BT.dtype != torch.int64 or scores.shape[:-1] != targets_BT.shape:
        raise ValueError(
            f"targets of shape {tuple(targets_BT.shape)} and type {targets_BT.dtype} do not fit "
            f"the model's {tuple(scores.shape)}; give an int64 for each of its "
            f"{tuple(scores.shape[:-1])} positions"
        )


def _scores(x_NC: Tensor, weight_VC: Tensor, out_NV: Tensor) -> Tensor:
    """Write x @ weight.T to `out`, on a CPU for a thousand tokens at a time.

    Matrix libraries rearrange such a matrix before they multiply by it; done in pieces that fit
    into a processor's cache, the product is half as quick again at a vocabulary of 50,000.
    """
    block = 1024 if x_NC.device.type == "cpu" else len(weight_VC)
    for start in range(0, len(weight_VC), block):
        part = slice(start, start + block)
        out_NV[:, part] = x_NC @ weight_VC[part].T
    return out_NV


def _loss_and_error(
    scores_NV: Tensor, target_N1: Tensor, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    """Give the summed loss, and in place of the scores its gradient: p less what is asked for."""
    asked_N = scores_NV.gather(1, target_N1).squeeze(1)
    if label_smoothing:
        asked_N = torch.lerp(asked_N, scores_NV.mean(dim=1), label_smoothing)
    highest_N = scores_NV.amax(dim=1)
    p_NV = torch.softmax(scores_NV, dim=1, out=scores_NV)
    # p = exp(score - log of the sum of all exp(score)), and the highest p is never 0
    log_sum_N = highest_N - p_NV.amax(dim=1).log()
    if label_smoothing:
        p_NV -= label_smoothing / p_NV.shape[1]
    p_NV.scatter_add_(1, target_N1, p_NV.new_full(target_N1.shape, label_smoothing - 1))
    return (log_sum_N - asked_N).sum(), p_NV


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The summed loss of N positions, whose gradients are computed along with it.

    As the loss is one number, its gradients are known in the forward pass, and the backward pass
    only multiplies them: the logits need not be kept or computed twice.
    """

    @staticmethod
    def forward(ctx, hidden_NC, weight_VC, targets_N, label_smoothing, chunk, differentiate):
        device = hidden_NC.device.type
        dtype = hidden_NC.dtype
        if torch.is_autocast_enabled(device) and dtype != torch.float64:
            dtype = torch.get_autocast_dtype(device)
        wants = [differentiate and wanted for wanted in ctx.needs_input_grad[:2]]
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        total = hidden_NC.new_zeros((), dtype=exact)
        hidden_grad_NC = torch.empty_like(hidden_NC) if wants[0] else None
        weight_grad_VC = weight_VC.new_zeros(weight_VC.shape, dtype=exact) if wants[1] else None
        # One piece of memory for the scores of every chunk: asking the system for it anew each
        # time takes a CPU longer than filling it.
        room_NV = hidden_NC.new_empty(min(chunk, len(targets_N)), len(weight_VC), dtype=exact)
        with torch.autocast(device, enabled=False):
            matrix_VC = weight_VC.to(dtype)
            for rows in range(0, len(targets_N), chunk):
                part = slice(rows, rows + chunk)
                x_NC, target_N1 = hidden_NC[part].to(dtype), targets_N[part].unsqueeze(1)
                scores_NV = _scores(x_NC, matrix_VC, room_NV[: len(x_NC)])
                loss, error_NV = _loss_and_error(scores_NV, target_N1, label_smoothing)
                total += loss
                error_NV = error_NV.to(dtype)
                if wants[0]:
                    hidden_grad_NC[part] = error_NV @ matrix_VC
                if wants[1] and dtype == exact:
                    weight_grad_VC.addmm_(error_NV.T, x_NC)
                elif wants[1]:
                    weight_grad_VC += error_NV.T @ x_NC
        if wants[1]:
            weight_grad_VC = weight_grad_VC.to(weight_VC.dtype)
        ctx.save_for_backward(hidden_grad_NC, weight_grad_VC)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        grads = [
            None if stored is None else stored * grad.to(stored.dtype)
            for stored in ctx.saved_tensors
        ]
        return *grads, None, None, None, None
