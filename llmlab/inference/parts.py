"""Find the attention layers of a model, stack by stack, and watch them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from torch import nn

from llmlab.model.layers import Attention, Observer


@dataclass(frozen=True, eq=False)
class Part:
    """The attention layers that stand one above the other, from the first to the last.

    `blocks` are the modules the layers sit in; None for one that sits in no module of its own.
    """

    name: str
    layers: tuple[Attention, ...]
    blocks: tuple[nn.Module | None, ...]

    @property
    def causal(self) -> bool:
        """Whether a position sees only what came before it."""
        return self.layers[0].causal


def attention_parts(model: nn.Module) -> dict[str, Part]:
    """Group a model's attention layers by their path, the numbers of the layers left out.

    A GPT has one part, "blocks.attention"; a model that translates has several, for example
    "encoder.attention". Raises ``TypeError`` for what is no module, ``ValueError`` for a model
    without `Attention`.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"{type(model).__name__} is no model; give a torch module such as "
            "load_pretrained()[0], which returns the model and its tokenizer"
        )
    found: dict[str, list[tuple[Attention, nn.Module | None]]] = {}
    for path, module in model.named_modules():
        if isinstance(module, Attention):
            name = ".".join(step for step in path.split(".") if not step.isdigit())
            found.setdefault(name or "attention", []).append((module, _block(model, path)))
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no attention layer; give a model made of "
            "llmlab.model.layers.Attention, such as a GPT"
        )
    return {name: Part(name, *zip(*pairs, strict=True)) for name, pairs in found.items()}


def _block(model: nn.Module, path: str) -> nn.Module | None:
    """Give the module that a layer is part of; a mere list of layers is none."""
    if not path:
        return None
    block = model.get_submodule(path.rpartition(".")[0])
    return None if isinstance(block, nn.ModuleList | nn.ModuleDict | nn.Sequential) else block


def named_part(parts: dict[str, Part], name: str | None, *, where: str) -> Part:
    """Pick a part by name, or the only one; `where` says in an error how to name it."""
    names = ", ".join(repr(part) for part in parts)
    if name is None:
        if len(parts) > 1:
            raise ValueError(f"the model has several parts; name one of {names}: {where}")
        (part,) = parts.values()
        return part
    if name not in parts:
        raise ValueError(f"the model has no part {name!r}; it has {names}")
    return parts[name]


_CHANGING = threading.Lock()  # two threads may watch the same model


def add_observer(layer: Attention, observer: Observer) -> None:
    """Have `observer` called at each run of a layer, after those that are there."""
    with _CHANGING:
        layer.observers = (*layer.observers, observer)


def remove_observer(layer: Attention, observer: Observer) -> None:
    """Take an observer off, if it is there; a layer without any is as it was made."""
    with _CHANGING:
        others = tuple(one for one in layer.observers if one != observer)
        if others:
            layer.observers = others
        else:
            vars(layer).pop("observers", None)
