"""LoRA: fine-tuning a model by a small addition to some of its matrices.

A matrix W (O, I) stays as it is, and B A is added to what it does, with A (R, I) and B (O, R) of a
small rank R: 2 x 8 x 576 numbers to learn in place of 576 x 576. B begins at zero, so the model
begins as it was. Afterwards the addition can be merged into W, or kept in a file of its own.
Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".

B batch, T position, I input width, O output width, R rank
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from llmlab.model import ops, tensor_files
from llmlab.model.layers import Linear

TARGETS = ("query", "value")
_FORMAT = "llmlab-lora-1"


class LoRALinear(Linear):
    """A matrix that is not trained, and beside it two thin ones that are."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float):
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        self.rank, self.alpha = rank, alpha
        self.A_RI = nn.Parameter(self.weight.new_empty(rank, self.in_features))
        self.B_OR = nn.Parameter(self.weight.new_zeros(self.out_features, rank))

    def forward(self, x_BTI: Tensor) -> Tensor:
        """Map (..., I) to (..., O): W x + b + (alpha / R) B A x."""
        added_BTO = ops.linear(ops.linear(x_BTI, self.A_RI), self.B_OR)
        return super().forward(x_BTI) + self.alpha / self.rank * added_BTO

    def extra_repr(self) -> str:
        """Name the sizes, in what PyTorch prints of a model."""
        return f"{super().extra_repr()}, rank={self.rank}, alpha={self.alpha:g}"

    def merged(self) -> Linear:
        """Give one plain layer that does the same."""
        weight_OI = self.weight + self.alpha / self.rank * (self.B_OR @ self.A_RI)
        return _plain(weight_OI.detach(), self.bias)

    def base(self) -> Linear:
        """Give the layer without the addition."""
        return _plain(self.weight.detach(), self.bias)


def add(
    model: nn.Module,
    rank: int = 8,
    targets: Sequence[str] = TARGETS,
    *,
    alpha: float | None = None,
    generator: torch.Generator | None = None,
) -> list[str]:
    """Put adapters beside the layers that `targets` name, and freeze everything else.

    A target is the end of a layer's name: "query" means the queries of all layers, and
    "blocks.29.attention.query" those of one; `linear_layers` lists the names. `alpha` scales the
    addition, by alpha / rank, and is twice the rank by default. A is drawn from `generator`
    between plus and minus 1 / sqrt(I), B is zero, so that the model's output stays as it is until
    it learns. Each layer gets R (I + O) parameters. The model is changed in place; returns the
    names of the adapted layers. Raises ``ValueError`` for a model that has adapters already, for
    unknown targets and for a rank larger than a matrix; the model is then as it was.
    """
    _check_plain(model)
    names = _chosen(model, targets)
    alpha = 2.0 * rank if alpha is None and _is_whole(rank) else alpha
    _check_numbers(model, names, rank, alpha)
    adapters = {}
    for name in names:
        adapters[name] = LoRALinear(model.get_submodule(name), rank, float(alpha))
        _draw(adapters[name].A_RI, generator)
    _adapt(model, adapters)
    return names


def merge(model: nn.Module) -> None:
    """Work every adapter into its matrix: plain layers again, which compute the same.

    The model is changed in place, and all its parameters can be trained again. Raises
    ``ValueError`` for a model without adapters.
    """
    _restore(model, {name: layer.merged() for name, layer in _present(model).items()})


def remove(model: nn.Module) -> None:
    """Take every adapter away: the model is what it was before `add`.

    All parameters can be trained again. Raises ``ValueError`` for a model without adapters.
    """
    _restore(model, {name: layer.base() for name, layer in _present(model).items()})


def adapters(model: nn.Module) -> dict[str, LoRALinear]:
    """List the adapted layers of a model by name; none for a model without."""
    return {name: part for name, part in model.named_modules() if isinstance(part, LoRALinear)}


def parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """Yield what the adapters of a model learn: A and B of each."""
    for layer in adapters(model).values():
        yield from (layer.A_RI, layer.B_OR)


def linear_layers(model: nn.Module) -> list[str]:
    """List the names of the layers that can have an adapter."""
    return [name for name, part in model.named_modules() if isinstance(part, Linear)]


def save(model: nn.Module, path: str | Path, *, notes: Mapping[str, str] | None = None) -> None:
    """Write the adapters of a model, and nothing else of it, to a file: whole or not at all.

    `notes` are texts that belong to them, such as the prompt they were trained with. Raises
    ``ValueError`` for a model without adapters or with numbers that are not finite, ``OSError``
    when the file cannot be written; what was at `path` is then as it was.
    """
    path = Path(path).expanduser().resolve()
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the path of a file, as spam.safetensors")
    layers = _present(model)
    first = next(iter(layers.values()))
    notes = dict(notes or {})
    if not _are_texts(notes):
        raise ValueError(f"notes={notes!r:.80} must be texts by name, as {{'system': 'Be kind.'}}")
    tensors = {}
    for name, layer in layers.items():
        tensors[f"{name}.A"] = layer.A_RI.detach().cpu().contiguous()
        tensors[f"{name}.B"] = layer.B_OR.detach().cpu().contiguous()
    broken = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise ValueError(
            f"the adapter {broken[0]} has numbers that are not finite, so nothing was written; "
            "train it again with a lower learning rate"
        )
    content = {
        "format": _FORMAT,
        "rank": first.rank,
        "alpha": first.alpha,
        "layers": list(layers),
        "base": _base(model),
        "notes": notes,
    }
    tensor_files.write(path, tensors, json.dumps(content), what="adapter")


def load(model: nn.Module, path: str | Path) -> dict[str, str]:
    """Put adapters from a file beside the layers of a model, as `add` does; returns their notes.

    The model must be of the sizes that they were trained on. Raises ``FileNotFoundError``, and
    ``ValueError`` for a file that is no adapter or one of another model; the model is then as it
    was.
    """
    path = Path(path).expanduser()
    content, tensors = _read(path)
    _check_plain(model)
    found, needed = _base(model), content["base"]
    if found != needed:
        differing = [key for key in needed if needed[key] != found.get(key)]
        key = differing[0] if differing else "class"
        raise ValueError(
            f"the adapter {path} belongs to a model with {key}={needed.get(key)!r}, and this one "
            f"has {key}={found.get(key)!r}; load it onto the model it was trained on"
        )
    layers = {}
    for name in content["layers"]:
        if name not in linear_layers(model):
            raise ValueError(f"the adapter {path} asks for a layer {name!r}, which is not here")
        base = model.get_submodule(name)
        a_RI, b_OR = _stored(path, tensors, name, base, content["rank"])
        layers[name] = LoRALinear(base, content["rank"], content["alpha"])
        with torch.no_grad():
            layers[name].A_RI.copy_(a_RI)
            layers[name].B_OR.copy_(b_OR)
    _adapt(model, layers)
    return content["notes"]


def notes(path: str | Path) -> dict[str, str]:
    """Read the notes of an adapter's file alone; raises as `load` does."""
    return _read(Path(path).expanduser())[0]["notes"]


# Changing a model ---------------------------------------------------------------------------------


def _adapt(model: nn.Module, layers: Mapping[str, LoRALinear]) -> None:
    model.requires_grad_(False)
    for name, layer in layers.items():
        layer.A_RI.requires_grad_(True)
        layer.B_OR.requires_grad_(True)
        _put(model, name, layer)


def _restore(model: nn.Module, layers: Mapping[str, Linear]) -> None:
    for name, layer in layers.items():
        _put(model, name, layer)
    model.requires_grad_(True)


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    whole, _, part = name.rpartition(".")
    layer.train(model.training)
    setattr(model.get_submodule(whole), part, layer)


def _plain(weight_OI: Tensor, bias_O: Tensor | None) -> Linear:
    """Make a layer of a matrix without copying it."""
    n_out, n_in = weight_OI.shape
    with torch.device("meta"):
        layer = Linear(n_in, n_out, bias=bias_O is not None)
    layer.weight = nn.Parameter(weight_OI)
    layer.bias = bias_O
    return layer


@torch.no_grad()
def _draw(matrix_RI: Tensor, generator: torch.Generator | None) -> None:
    """Draw A as Hu et al.'s own code does: He et al. 2015 with a slope of sqrt(5)."""
    bound = 1 / math.sqrt(matrix_RI.shape[1])
    drawn = torch.rand(matrix_RI.shape, generator=generator) * 2 * bound - bound
    matrix_RI.copy_(drawn)


# Checks -------------------------------------------------------------------------------------------


def _chosen(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """List the layers whose names end in one of the targets."""
    if isinstance(targets, str) or not all(isinstance(target, str) for target in targets):
        raise ValueError(f"targets={targets!r} must be a list of names, as ['query', 'value']")
    if not targets:
        raise ValueError("targets=() chooses no layer; give for example ['query', 'value']")
    names = linear_layers(model)
    for target in targets:
        if not any(_ends_in(name, target) for name in names):
            there = sorted({name.rpartition(".")[2] for name in names})
            raise ValueError(
                f"targets: no layer is called {target!r}; there are {', '.join(there)}, and "
                "lora.linear_layers(model) lists their full names"
            )
    return [name for name in names if any(_ends_in(name, target) for target in targets)]


def _ends_in(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _check_numbers(model: nn.Module, names: list[str], rank: object, alpha: object) -> None:
    smallest = min(min(model.get_submodule(name).weight.shape) for name in names)
    if not _is_whole(rank) or not 1 <= rank <= smallest:
        raise ValueError(
            f"rank={rank!r} must be a whole number from 1 to {smallest}, the smaller side of the "
            "smallest matrix; 4 to 16 is usual"
        )
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < math.inf:
        raise ValueError(f"alpha={alpha!r} must be a number above 0; twice the rank is usual")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_plain(model: nn.Module) -> None:
    if adapters(model):
        raise ValueError(
            "this model has adapters already; lora.merge(model) works them in, "
            "lora.remove(model) takes them away"
        )


def _present(model: nn.Module) -> dict[str, LoRALinear]:
    layers = adapters(model)
    if not layers:
        raise ValueError("this model has no adapters; lora.add(model) puts some in")
    return layers


# The file -----------------------------------------------------------------------------------------


def _base(model: nn.Module) -> dict[str, object]:
    """Describe the model that adapters belong to: its class and its config."""
    config = getattr(model, "config", None)
    if config is None:
        raise ValueError(f"{type(model).__name__} has no config; give a GPT or a Translator")
    described = {"class": type(config).__name__, **asdict(config)}
    return json.loads(json.dumps(described))  # as a file gives it back


def _read(path: Path) -> tuple[dict, dict[str, Tensor]]:
    text, tensors = tensor_files.read(path, what="adapter", writer="lora.save")
    try:
        content = json.loads(text)
        found = content["format"]
        if found == _FORMAT:
            _check_content(content)
            return content, tensors
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is no adapter, or is damaged ({error}); save it again") from error
    raise ValueError(
        f"{path} has the format {found!r:.40}, and an adapter of this llmlab {_FORMAT!r}; "
        "give a file that lora.save wrote"
    )


def _check_content(content: dict) -> None:
    """Refuse a description whose values are not of the kinds that `save` writes."""
    rank, alpha, layers = content["rank"], content["alpha"], content["layers"]
    sound = {
        "rank": _is_whole(rank) and rank >= 1,
        "alpha": isinstance(alpha, float) and 0 < alpha < math.inf,
        "layers": isinstance(layers, list) and 0 < len(layers) == len(set(layers)),
        "base": isinstance(content["base"], dict) and bool(content["base"]),
        "notes": isinstance(content["notes"], dict) and _are_texts(content["notes"]),
    }
    for key, is_sound in sound.items():
        if not is_sound:
            raise ValueError(f"its {key} is {content[key]!r:.80}")


def _are_texts(notes: Mapping[object, object]) -> bool:
    return all(isinstance(text, str) for pair in notes.items() for text in pair)


def _stored(
    path: Path, tensors: dict[str, Tensor], name: str, base: nn.Linear, rank: int
) -> list[Tensor]:
    """Give A and B of one layer, as they stand in a file, if they fit the layer."""
    shapes = {"A": (rank, base.in_features), "B": (base.out_features, rank)}
    for part, shape in shapes.items():
        tensor = tensors.get(f"{name}.{part}")
        found = None if tensor is None else tuple(tensor.shape)
        if found != shape:
            raise ValueError(
                f"{name}.{part} has the shape {found} in {path} and not {shape}; the file is "
                "damaged, save it again"
            )
        if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
            raise ValueError(
                f"{name}.{part} in {path} has numbers that are not finite or no real numbers; the "
                "file is damaged, save it again"
            )
    return [tensors[f"{name}.{part}"] for part in shapes]
