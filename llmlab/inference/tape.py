"""What a trace writes down while a model runs, run after run and piece by piece.

L layer, B batch, H heads, T query position, S key position, D head width, C width
"""

from __future__ import annotations

import threading
import weakref
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmlab.inference.parts import Part, add_observer, remove_observer
from llmlab.model import ops
from llmlab.model.caches import LayerCache
from llmlab.model.layers import Attention

KINDS = ("weights", "queries", "keys", "values", "residual")


class Tape:
    """What the layers of one part computed in the last run."""

    def __init__(self, part: Part, kinds: tuple[str, ...]):
        self.part = part
        self.kinds = kinds
        self._numbers = {layer: number for number, layer in enumerate(part.layers)}
        self._pieces = [_Pieces() for _ in part.layers]
        self._last = _Pieces()  # of the residual stream that leaves the last block
        self._entering: dict[nn.Module | None, object] = {}
        self._ran: set[int] = set()  # the layers that took part in the last run
        self._stacked: dict[str, Tensor] = {}
        self._run: _Run | None = None
        self._thread: int | None = None

    def __deepcopy__(self, memo: dict) -> Tape:
        return self  # a copy made of the model inside the block is not the model that is watched

    def attach(self, handles: list) -> None:
        """Begin to watch what this thread computes."""
        self._thread = threading.get_ident()
        for layer in self.part.layers:
            add_observer(layer, self._observe)
        if "residual" not in self.kinds:
            return
        for block in dict.fromkeys(self.part.blocks):
            if block is not None:
                handles.append(block.register_forward_pre_hook(self._enter, with_kwargs=True))
        if self.part.blocks[-1] is not None:
            handles.append(self.part.blocks[-1].register_forward_hook(self._leave))

    def detach(self) -> None:
        """Stop watching, wherever `attach` may have been interrupted."""
        self._thread = None
        self._entering.clear()
        for layer in self.part.layers:
            remove_observer(layer, self._observe)

    def _enter(self, block: nn.Module, arguments: tuple, options: dict) -> None:
        if self._thread == threading.get_ident() and block in self.part.blocks:
            self._entering[block] = next(iter([*arguments, *options.values()]), None)

    @torch.no_grad()
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
        number = self._numbers.get(attention)
        if self._thread != threading.get_ident() or number is None:
            return
        self._stacked.clear()
        if number in self._ran:
            self._ran.clear()  # a layer runs once in a run, so this is a new one
        n_sharing = attention.n_heads // attention.n_kv_heads
        kept = {"queries": q_BHTD}
        if "weights" in self.kinds or "keys" in self.kinds:
            kept["keys"] = k_BHSD.repeat_interleave(n_sharing, dim=1)
        if "weights" in self.kinds:
            kept["weights"] = _weights(attention, q_BHTD, kept["keys"], mask_BTS)
        if "values" in self.kinds:
            kept["values"] = v_BHSD.repeat_interleave(n_sharing, dim=1)
        entering = self._entering.pop(self.part.blocks[number], None)
        if _is_stream(entering):
            kept["residual"] = entering
        self._run = _Run.of(q_BHTD.shape[2], cache, grows=not crossing)
        kept = {kind: tensor for kind, tensor in kept.items() if kind in self.kinds}
        self._pieces[number].add(self._run, kept)
        self._ran.add(number)

    @torch.no_grad()
    def _leave(self, block: nn.Module, arguments: tuple, leaving: Tensor) -> None:
        if self._thread != threading.get_ident() or block is not self.part.blocks[-1]:
            return
        n_layers = len(self.part.layers)
        if n_layers - 1 in self._ran and _is_stream(leaving):
            self._last.add(self._run, {"residual": leaving})
            self._ran.add(n_layers)

    def stacked(self, kind: str) -> Tensor:
        """Join the pieces of the last run, layer upon layer."""
        if kind not in self.kinds:
            keep = ", ".join(repr(one) for one in (*self.kinds, kind))
            raise ValueError(f"this trace did not keep the {kind}; use trace(model, keep=({keep}))")
        if not self._ran:
            raise ValueError(
                "no run of the model was recorded; run it inside the block: "
                "with trace(model) as record: model(ids)"
            )
        missing = [n for n in range(len(self.part.layers)) if n not in self._ran]
        if missing:
            raise ValueError(
                f"layer {missing[0]} of {self.part.name} had no part in the last run, which was "
                "interrupted or left it out; run the model again inside the block"
            )
        if kind == "residual":
            self._check_stream()
        if kind not in self._stacked:
            self._stacked[kind] = self._stack(kind)
        return self._stacked[kind]

    def _check_stream(self) -> None:
        if any("residual" not in pieces.kinds for pieces in self._pieces):
            raise ValueError(
                f"the layers of {self.part.name} are in no block that is given (B, T, C), so "
                "there is no residual stream to show; keep something else"
            )
        if len(self.part.layers) not in self._ran:
            raise ValueError(
                f"the last block of {self.part.name} did not come to its end in the last run; "
                "run the model again inside the block"
            )

    def _stack(self, kind: str) -> Tensor:
        layers = [*self._pieces, self._last] if kind == "residual" else self._pieces
        tensors = [pieces.joined(kind) for pieces in layers]
        shapes = {tuple(tensor.shape) for tensor in tensors}
        if len(shapes) > 1:
            raise ValueError(
                f"the {kind} of {self.part.name} differ in shape from layer to layer, "
                f"{sorted(shapes)}; trace the layers one by one"
            )
        stacked = torch.stack(tensors)
        for pieces, tensor in zip(layers, stacked, strict=True):
            pieces.hold(kind, tensor)
        return stacked

    def __str__(self) -> str:
        return f"{self.part.name}: {', '.join(self.kinds)} of {len(self.part.layers)} layers"


def _is_stream(value: object) -> bool:
    """Tell (B, T, C) vectors from whatever else a module may be given or return."""
    return isinstance(value, Tensor) and value.dim() == 3 and value.is_floating_point()


def _weights(
    attention: Attention, q_BHTD: Tensor, k_BHSD: Tensor, mask_BTS: Tensor | None
) -> Tensor:
    """Compute the weights again as the layer does, which never shows them to anybody."""
    if attention.attend in (ops.attend, ops.attend_fused):
        return ops.attention_weights(q_BHTD, k_BHSD, causal=attention.causal, mask_BTS=mask_BTS)
    # With unit vectors as values, the mixed values are the weights, whatever the function does.
    n_keys = k_BHSD.shape[2]
    units_BHSS = torch.eye(n_keys, dtype=q_BHTD.dtype, device=q_BHTD.device)
    units_BHSS = units_BHSS.expand(*q_BHTD.shape[:2], n_keys, n_keys)
    name = getattr(attention.attend, "__name__", attention.attend)
    way_out = "write it as ops.attend is written, or keep something else than the weights"
    try:
        weights_BHTS = attention.attend(
            q_BHTD.clone(), k_BHSD.clone(), units_BHSS, causal=attention.causal, mask_BTS=mask_BTS
        )
    except Exception as error:
        raise ValueError(
            f"attend={name!r} could not be asked for its weights, with values of {n_keys} numbers: "
            f"{type(error).__name__}: {error}; {way_out}"
        ) from error
    shape = (*q_BHTD.shape[:3], n_keys)
    if not isinstance(weights_BHTS, Tensor) or weights_BHTS.shape != shape:
        given = getattr(weights_BHTS, "shape", type(weights_BHTS).__name__)
        raise ValueError(
            f"attend={name!r} returned {given} for values of {n_keys} numbers, not "
            f"{shape}; {way_out}"
        )
    return weights_BHTS


class _Run(NamedTuple):
    """Which positions a layer is given; with a cache, it has those before them already.

    `grows` says that every position adds a key and a value, as in self-attention; those of
    cross-attention are all there from the start. `n_selections` counts how often the cache's rows
    were put in another order.
    """

    start: int
    length: int
    grows: bool
    cache: weakref.ref[LayerCache] | None
    n_selections: int

    @classmethod
    def of(cls, n_new: int, cache: LayerCache | None, *, grows: bool) -> _Run:
        if cache is None:
            return cls(0, n_new, grows, None, 0)
        return cls(cache.length, n_new, grows, weakref.ref(cache), len(cache.selections))


class _Pieces:
    """What one layer computed for a text that it may have been given bit by bit, with a cache.

    The keys and values of the first piece are all there were by then, of the others the new ones;
    those of a memory stand in the first piece only.
    """

    def __init__(self):
        self._pieces: list[tuple[_Run, dict[str, Tensor]]] = []

    @property
    def kinds(self) -> set[str]:
        """What can be joined."""
        return set(self._pieces[0][1]) if self._pieces else set()

    def add(self, run: _Run, kept: dict[str, Tensor]) -> None:
        """Add what was computed for new positions, or begin anew if they continue nothing."""
        self._follow(run)
        self._cut(run)
        if self._pieces:
            new = [kind for kind in kept if kind in ("keys", "values")]
            kept = kept | {
                kind: kept[kind][:, :, run.start if run.grows else kept[kind].shape[2] :]
                for kind in new
            }
        # the cache will write over its tensors, and a function of the learner's may do so too
        self._pieces.append((run, {kind: x.detach().clone() for kind, x in kept.items()}))

    def _follow(self, new: _Run) -> None:
        """Put the texts in the order that the cache's were put in since the last run."""
        if not self._pieces or new.cache is None or new.cache != self._pieces[-1][0].cache:
            return
        before = self._pieces[-1][0].n_selections
        for rows_B in new.cache().selections[before : new.n_selections]:
            self._pieces = [
                (run, {kind: x.index_select(0, rows_B) for kind, x in kept.items()})
                for run, kept in self._pieces
            ]

    def _cut(self, new: _Run) -> None:
        """Drop what `new` does not continue; a cache may have been cut since the last run."""
        if self._pieces:
            last, _ = self._pieces[-1]
            if new.cache != last.cache or new.start > last.start + last.length:
                self._pieces.clear()
        while self._pieces and self._pieces[-1][0].start >= new.start:
            self._pieces.pop()
        if self._pieces:
            run, kept = self._pieces[-1]
            length = new.start - run.start
            if length < run.length:
                n_keys = length if len(self._pieces) > 1 else new.start
                size = {"keys": n_keys, "values": n_keys}
                kept = {
                    kind: x.narrow(1 if kind == "residual" else 2, 0, size.get(kind, length))
                    if run.grows or kind not in size
                    else x
                    for kind, x in kept.items()
                }
                self._pieces[-1] = run._replace(length=length), kept

    def joined(self, kind: str) -> Tensor:
        """Put the pieces together along the text."""
        tensors = [kept[kind] for _, kept in self._pieces]
        if kind == "weights":  # keys that were not there yet have weight 0
            n_keys = tensors[-1].shape[-1]
            tensors = [F.pad(x, (0, n_keys - x.shape[-1])) for x in tensors]
        return torch.cat(tensors, dim=1 if kind == "residual" else 2)

    def hold(self, kind: str, joined: Tensor) -> None:
        """Keep a part of a larger tensor in place of the same numbers, if they are in one piece."""
        if len(self._pieces) == 1:
            self._pieces[0][1][kind] = joined
