"""Classifier: a GPT whose output head is replaced by one that sorts whole texts into classes.

B batch, T position, C width, K class
"""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor, nn

from llmlab.model import ops
from llmlab.model.gpt import GPT
from llmlab.model.layers import build_norm
from llmlab.text.inputs import whole_number


class Classifier(nn.Module):
    """The first layers of a GPT, with a new head that reads the last real token of each text.

    `n_layers` says how many of the model's blocks are used (all of them if left out), `n_frozen`
    how many of those, counted from the bottom, stay as they are: all if left out, so that only
    the new norm and head learn, and with 0 the embeddings learn as well. What is frozen shares
    its memory with the model, what learns is a copy: the model itself never changes.
    Raises ``ValueError`` for fewer than two classes, and for layers that the model has not.
    Source: Radford et al. 2018 ("Improving Language Understanding by Generative Pre-Training"),
    section 3.2.
    """

    def __init__(
        self,
        model: GPT,
        n_classes: int,
        *,
        n_layers: int | None = None,
        n_frozen: int | None = None,
    ):
        super().__init__()
        n_layers = model.config.n_layers if n_layers is None else n_layers
        n_frozen = n_layers if n_frozen is None else n_frozen
        n_classes = whole_number(n_classes, "n_classes", least=2)
        n_layers = whole_number(n_layers, "n_layers", least=1, most=model.config.n_layers)
        self.n_frozen = n_frozen = whole_number(n_frozen, "n_frozen", least=0, most=n_layers)
        self.trunk = _first_layers(model, n_layers, n_frozen)
        weight = model.token_embedding.weight
        place = {"device": weight.device, "dtype": weight.dtype}
        self.trunk.final_norm = build_norm(model.config).to(**place)
        self.head = nn.Linear(model.config.width, n_classes, **place)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def forward(self, texts: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Score each class for each text: logits, (B, K).

        `texts` are token ids, (B, T), or what `trunk_outputs` gave for them, (B, T, C). `mask_BT`
        is True for real tokens and False for padding, on either side. Raises ``ValueError`` for a
        text without a real token, and as `GPT` does.
        """
        x_BTC = texts if texts.is_floating_point() else self.trunk_outputs(texts, mask_BT)
        if mask_BT is None:
            mask_BT = torch.ones(x_BTC.shape[:2], dtype=torch.bool, device=x_BTC.device)
        _check_vectors(x_BTC, mask_BT, self.trunk.config.width)
        options = self.trunk.block_options(x_BTC, mask_BT=mask_BT)
        for block in self.trunk.blocks[self.n_frozen :]:
            x_BTC = block(x_BTC, **options)
        return self.head(self.trunk.final_norm(ops.last_real(x_BTC, mask_BT)))

    def trunk_outputs(self, ids_BT: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Run the frozen layers only: the vectors that enter the others, (B, T, C).

        They are the same at every step of training. So run them once, keep them, and train on
        them: ``classifier(kept_BTC, mask_BT)``. Where nothing is frozen, they are the embeddings.
        """
        x_BTC = self.trunk.embed(ids_BT, mask_BT=mask_BT)
        options = self.trunk.block_options(x_BTC, mask_BT=mask_BT)
        for block in self.trunk.blocks[: self.n_frozen]:
            x_BTC = block(x_BTC, **options)
        return x_BTC


def _first_layers(model: GPT, n_layers: int, n_frozen: int) -> GPT:
    """Make a GPT of a model's first blocks: frozen ones share memory with it, others are copies."""
    frozen = [*model.blocks[:n_frozen].parameters()]
    if n_frozen:
        frozen += model.token_embedding.parameters()
        if model.position_embedding is not None:
            frozen += model.position_embedding.parameters()
    # a copy takes what it finds in the memo as copied already
    memo = {id(weight): nn.Parameter(weight.detach(), requires_grad=False) for weight in frozen}
    held = {id(weight) for weight in memo.values()}
    with torch.device("meta"):
        short = GPT(dataclasses.replace(model.config, n_layers=n_layers, tied=True))
    short.token_embedding = copy.deepcopy(model.token_embedding, memo)
    short.position_embedding = copy.deepcopy(model.position_embedding, memo)
    short.blocks = copy.deepcopy(model.blocks[:n_layers], memo)
    for weight in short.parameters():
        if id(weight) not in held:
            weight.requires_grad_(True)
    return short


def _check_vectors(x_BTC: Tensor, mask_BT: Tensor, width: int) -> None:
    if x_BTC.dim() != 3 or x_BTC.shape[-1] != width:
        raise ValueError(
            f"kept outputs have the shape {tuple(x_BTC.shape)}; give token ids, (texts, tokens), "
            f"or what trunk_outputs gave for them, (texts, tokens, {width})"
        )
    if mask_BT.shape != x_BTC.shape[:2] or mask_BT.dtype != torch.bool:
        raise ValueError(
            f"the mask is {mask_BT.dtype} of shape {tuple(mask_BT.shape)}; give booleans of shape "
            f"{tuple(x_BTC.shape[:2])}, True for real tokens"
        )
    # on a GPU, looking at the mask would cost time
    if mask_BT.device.type == "cpu" and not mask_BT.any(dim=1).all():
        empty = int((~mask_BT.any(dim=1)).nonzero()[0])
        raise ValueError(
            f"text {empty} has no real token, so there is none to read; leave it out, or end "
            "every text with a token of its own"
        )
