"""The same GPT in llmlab and in other libraries, and one step of training for each of them.

All sides get the same sizes, no dropout, one AdamW with one fused step, and the mean
cross-entropy of the next token. `GPTModel` of llms-from-scratch alone has a head of its own, which
it cannot tie to the embedding; its `GPTModelFast` uses PyTorch's fused attention.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmlab.model import GPT, GPTConfig
from llmlab.train import Batch, NextTokenLoss

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]

# Where `make bench` puts packages that would bring far more along than they need here.
PEERS = Path(sys.prefix) / "peers"
OURS, HUGGING_FACE = "llmlab", "transformers"
SCRATCH, SCRATCH_FAST = "llms-from-scratch", "llms-from-scratch, fast"


def available() -> list[str]:
    """List the sides that can be measured here."""
    if PEERS.is_dir() and str(PEERS) not in sys.path:
        sys.path.append(str(PEERS))
    scratch = [SCRATCH, SCRATCH_FAST] if find_spec("llms_from_scratch") else []
    return [OURS, HUGGING_FACE, *scratch]


def build(side: str, config: GPTConfig) -> tuple[nn.Module, Loss]:
    """Make a side's model and a function that gives its loss on (model, ids, targets)."""
    if side not in available():
        raise ValueError(f"there is no side {side!r} here; there are {', '.join(available())}")
    if side == OURS:
        return GPT(config), _our_loss
    if side == HUGGING_FACE:
        return _gpt2(config), lambda model, ids_BT, targets_BT: _mean(
            model(ids_BT).logits, targets_BT
        )
    from llms_from_scratch import ch04

    kind = ch04.GPTModel if side == SCRATCH else ch04.GPTModelFast
    sizes = {
        "vocab_size": config.vocab_size,
        "context_length": config.context,
        "emb_dim": config.width,
        "n_heads": config.n_heads,
        "n_layers": config.n_layers,
        "drop_rate": 0.0,
        "qkv_bias": True,
    }
    return kind(sizes), lambda model, ids, targets: _mean(model(ids), targets)


def _gpt2(config: GPTConfig) -> nn.Module:
    import transformers

    theirs = transformers.GPT2Config(
        vocab_size=config.vocab_size,
        n_positions=config.context,
        n_embd=config.width,
        n_layer=config.n_layers,
        n_head=config.n_heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="sdpa",
    )
    return transformers.GPT2LMHeadModel(theirs)


def _our_loss(model: nn.Module, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
    batch = Batch((ids_BT,), targets_BT, targets_BT.numel(), ids_BT.numel())
    return NextTokenLoss()(model, batch) / batch.n_targets


def _mean(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    return F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())


class Trainer:
    """One side, ready to train on random tokens; `step` is what is measured.

    `dtype` is the format of the matrix products, by autocast; `compiled` runs the loss with
    everything in it through `torch.compile`.
    """

    def __init__(
        self,
        side: str,
        config: GPTConfig,
        *,
        batch_size: int,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
    ):
        torch.manual_seed(0)
        model, loss = build(side, config)
        self.model = model.to(device).train()
        self.loss = torch.compile(loss) if compiled else loss
        self.device, self.dtype = torch.device(device), dtype
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-4, fused=True)
        shape = (batch_size, config.context + 1)
        self.ids_BT = torch.randint(config.vocab_size, shape).to(device)

    def step(self) -> Tensor:
        """Take one step: forward, loss, backward, update; returns the loss."""
        mixed = self.dtype != torch.float32
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=mixed):
            loss = self.loss(self.model, self.ids_BT[:, :-1], self.ids_BT[:, 1:])
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()


def step_flops(config: GPTConfig, *, batch_size: int) -> int:
    """Count the floating-point operations that one step asks of the matrix products.

    Two for each weight that a token is multiplied by, the head among them, and two for each number
    that a query and a value meet in the past that they may see; the backward pass takes twice as
    many as the forward pass (Chowdhery et al. 2022, "PaLM", appendix B, but counting only the half
    of attention that is not masked). GPT-2's family only: two matrices in the feed-forward part.
    """
    attention = 4 * config.width**2
    feed_forward = 2 * config.width * config.hidden_width
    matrices = config.n_layers * (attention + feed_forward) + config.width * config.vocab_size
    seen = config.n_layers * 2 * config.width * (config.context + 1) / 2
    return round(3 * 2 * (matrices + seen) * batch_size * config.context)
