"""Switch attention heads off, to see what they are good for.

B batch, T position, S key position, H heads, D head width, I the heads' outputs side by side,
N positions of all texts
"""

from __future__ import annotations

import inspect
import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from llmlab.inference.parts import Part, add_observer, attention_parts, named_part, remove_observer
from llmlab.model.caches import LayerCache
from llmlab.model.layers import Attention
from llmlab.model.translator import Translator

Reference = Tensor | Iterable | Mapping


@contextmanager
def ablate(
    model: nn.Module,
    heads: Iterable[tuple[int, int]],
    *,
    how: str = "zero",
    part: str | None = None,
    over: Reference | None = None,
) -> Iterator[None]:
    """Switch off some attention heads of `model` inside a ``with`` block.

    `heads` lists them as (layer, head), counted from 0. With ``how="zero"`` a head adds nothing,
    as if its columns of the output projection were 0. With ``how="mean"`` it says the same at
    every position: the mean of its output over the positions and texts of the reference `over`,
    which the model is run on when the block is entered. `over` is a batch of token ids, or a
    tuple or dictionary of the model's arguments. Without it the mean is taken over the same text
    up to each position, so that nothing is learned from what comes later. Padding does not count.

    `part` names the stack of layers where a model has several. Blocks may be nested, and combined
    with `trace` in either order; only runs of the thread that entered the block are changed.
    Raises ``ValueError`` for heads that are not there or named twice, and when the mean so far
    cannot be known, since earlier positions are in a KV cache; ``TypeError`` for other things
    than heads.
    """
    if how not in ("zero", "mean"):
        raise ValueError(f"how={how!r} is no way to switch a head off; use 'zero' or 'mean'")
    if over is not None and how != "mean":
        raise ValueError("over= is what a mean is taken over; leave it out, or use how='mean'")
    parts = attention_parts(model)
    chosen = named_part(parts, part, where=f"part={next(iter(parts))!r}")
    switches = [
        _Switch(chosen.layers[layer], numbers, how)
        for layer, numbers in _by_layer(heads, chosen).items()
    ]
    if over is not None and switches:
        _measure(model, switches, over)
    token = object()
    _active.tokens = (*active_ablations(), token)
    try:
        for switch in switches:
            switch.attach()
        yield
    finally:
        for switch in reversed(switches):
            switch.detach()
        _active.tokens = tuple(one for one in active_ablations() if one is not token)


_active = threading.local()


def active_ablations() -> tuple[object, ...]:
    """List what stands for the blocks this thread is in; keys and values outlive no such list."""
    return getattr(_active, "tokens", ())


def _by_layer(heads: Iterable[tuple[int, int]], part: Part) -> dict[int, list[int]]:
    """Sort the heads by layer, after checking that each is there and named once."""
    n_layers = len(part.layers)
    found: dict[int, list[int]] = {}
    for layer, head in checked_heads(heads):
        if not 0 <= layer < n_layers:
            raise ValueError(
                f"there is no layer {layer} in {part.name}; layers go from 0 to {n_layers - 1}"
            )
        n_heads = part.layers[layer].n_heads
        if not 0 <= head < n_heads:
            raise ValueError(
                f"there is no head {head} in layer {layer}; heads go from 0 to {n_heads - 1}"
            )
        if head in found.setdefault(layer, []):
            raise ValueError(f"head ({layer}, {head}) is named twice; name it once")
        found[layer].append(head)
    return found


def checked_heads(heads: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Give (layer, head) pairs as plain numbers; raises errors for whatever else is given."""
    example = "give a list of pairs (layer, head), for example heads=[(3, 0), (3, 5)]"
    if isinstance(heads, str | Mapping) or not isinstance(heads, Iterable):
        raise TypeError(f"heads={heads!r} are no heads; {example}")
    pairs = []
    for pair in heads:
        if isinstance(pair, str) or not isinstance(pair, Iterable):
            raise TypeError(f"{pair!r} in heads is no pair; {example}")
        numbers = list(pair)
        if len(numbers) != 2:
            raise ValueError(f"{pair!r} in heads is no pair; {example}")
        pairs.append(tuple(_whole(number, pair, example) for number in numbers))
    return pairs


def _whole(number: object, pair: object, example: str) -> int:
    try:
        whole = None if isinstance(number, bool) else operator.index(number)
    except TypeError:
        whole = None
    if whole is None:
        raise TypeError(f"{number!r} in the head {pair!r} is no whole number; {example}")
    return whole


class _Switch:
    """Some heads of one layer; changes what they hand to the output projection."""

    def __init__(self, layer: Attention, heads: list[int], how: str):
        self.layer = layer
        self._how = how
        off_H = torch.zeros(layer.n_heads, dtype=torch.bool, device=layer.out.weight.device)
        off_H[heads] = True
        self._off_I = off_H.repeat_interleave(layer.head_width)
        self._mean_I: Tensor | None = None  # of the reference; without one, of the text so far
        self._real_BT: Tensor | None = None
        self._thread: int | None = None
        self._handle: RemovableHandle | None = None

    def attach(self, hook: Callable | None = None) -> None:
        """Begin to change what this thread computes."""
        self._thread = threading.get_ident()
        if self._how == "mean":
            add_observer(self.layer, self._observe)
        self._handle = self.layer.out.register_forward_pre_hook(hook or self._replace)

    def detach(self) -> None:
        """Let the heads speak again, wherever `attach` may have been interrupted."""
        self._thread = None
        self._real_BT = None
        remove_observer(self.layer, self._observe)
        if self._handle is not None:
            self._handle.remove()

    def __deepcopy__(self, memo: dict) -> _Switch:
        return self  # a copy made of the model inside the block is switched off with it

    def _observe(
        self,
        attention: Attention,
        q_BHTD: Tensor,
        k_BHSD: Tensor,
        v_BHSD: Tensor,
        *,
        mask_BTS: Tensor | None,
        cache: LayerCache | None,
        crossing: bool,
    ) -> None:
        if self._thread != threading.get_ident():
            return
        if self._mean_I is None and cache is not None and cache.length:
            raise ValueError(
                f"the mean over the text so far cannot be taken: {cache.length} of its tokens are "
                "in a KV cache; give how='mean' a reference, over=ids, run without a cache, or "
                "use how='zero'"
            )
        masked = mask_BTS is not None and not crossing  # a memory's mask is not the queries'
        self._real_BT = _real_positions(mask_BTS) if masked else None

    def _replace(self, out: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor] | None:
        if self._thread != threading.get_ident():
            return None
        (mixed_BTI,) = arguments
        if self._how == "zero":
            return (mixed_BTI.masked_fill(self._off_I, 0.0),)
        mean = self._mean_so_far(mixed_BTI) if self._mean_I is None else self._mean_I
        return (torch.where(self._off_I, mean.to(mixed_BTI.dtype), mixed_BTI),)

    def _mean_so_far(self, mixed_BTI: Tensor) -> Tensor:
        real_BT = self._real_BT
        if real_BT is None:
            real_BT = torch.ones(mixed_BTI.shape[:2], dtype=torch.bool, device=mixed_BTI.device)
        real_BT1 = real_BT.unsqueeze(-1)
        sum_BTI = (mixed_BTI.float() * real_BT1).cumsum(dim=1)
        return sum_BTI / real_BT1.cumsum(dim=1).clamp(min=1)

    @contextmanager
    def measuring(self, real_BT: Tensor | None = None) -> Iterator[None]:
        """Take the mean over what the model computes inside this block.

        `real_BT` tells text from padding where the layer's mask does not.
        """
        runs: list[tuple[Tensor, int]] = []

        def count(out: nn.Module, arguments: tuple[Tensor]) -> None:
            if self._thread == threading.get_ident():
                flat_NI = arguments[0].detach().double().flatten(0, 1)
                real = self._real_BT if real_BT is None else real_BT
                if real is not None:
                    flat_NI = flat_NI[real.flatten()]
                runs.append((flat_NI.sum(dim=0), len(flat_NI)))

        try:
            self.attach(count)
            yield
        finally:
            self.detach()
        if not runs:
            raise ValueError(
                "the run of the model over the reference did not pass all layers to switch off; "
                "give another reference"
            )
        self._mean_I = sum(total_I for total_I, _ in runs) / sum(number for _, number in runs)


def _real_positions(mask_BTS: Tensor) -> Tensor | None:
    """Tell the texts' positions from padding, at which no other position may look."""
    n_queries, n_keys = mask_BTS.shape[1:]
    if n_queries != n_keys or n_keys == 1:
        return None  # a mask over earlier positions too, out of a cache, says nothing of padding
    itself_TS = torch.eye(n_keys, dtype=torch.bool, device=mask_BTS.device)
    return (mask_BTS & ~itself_TS).any(dim=1)


@torch.no_grad()
def _measure(model: nn.Module, switches: list[_Switch], over: Reference) -> None:
    """Run the model on the reference and take every head's mean."""
    if isinstance(over, str):
        raise TypeError(f"over={over!r} is a text; give its ids, over=tokenizer.encode(...)")
    real = _real_targets(model, over)
    with ExitStack() as stack:
        for switch in switches:
            stack.enter_context(switch.measuring(real.get(switch.layer)))
        if isinstance(over, Mapping):
            model(**over)
        elif isinstance(over, tuple):
            model(*over)
        else:
            model(_batch(over).to(next(model.parameters()).device))


def _real_targets(model: nn.Module, over: Reference) -> dict[nn.Module, Tensor]:
    """Tell text from padding for layers whose queries are a padded text without a mask.

    Those are in the decoder of a `Translator`, where causality makes a mask needless.
    """
    if not isinstance(model, Translator):
        return {}
    call = inspect.signature(model.forward)
    try:
        given = call.bind(**over) if isinstance(over, Mapping) else call.bind(*over)
    except TypeError as error:
        raise ValueError(
            "a Translator reads a source and a target; give over=(source_BS, target_BT), both of "
            f"shape (texts, tokens) ({error})"
        ) from None
    if model.config.pad_id is None:
        return {}
    real_BT = given.arguments["target_BT"] != model.config.pad_id
    return dict.fromkeys(model.decoder.modules(), real_BT)


def _batch(ids: Tensor | Iterable) -> Tensor:
    """Give token ids of one text, or of several that are equally long, as a (B, T) tensor."""
    try:
        ids_BT = torch.as_tensor(ids)
    except (TypeError, ValueError, RuntimeError):
        ids_BT = torch.empty(0)
    if ids_BT.dim() == 1:
        ids_BT = ids_BT.unsqueeze(0)
    whole = not (ids_BT.is_floating_point() or ids_BT.is_complex() or ids_BT.dtype == torch.bool)
    if ids_BT.dim() != 2 or not ids_BT.numel() or not whole:
        raise ValueError(
            f"over={ids!r} are no token ids; give those of a text, over=tokenizer.encode(text), "
            "or of several equally long ones, (texts, tokens)"
        )
    return ids_BT
