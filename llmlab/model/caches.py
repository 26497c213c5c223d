"""What a model need not compute again: keys and values, kept from one call to the next.

B batch, T new position, S key position, C width, H heads, D head width
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class LayerCache:
    """Keys and values of every layer for a batch of texts, kept from one call to the next."""

    def __init__(self, n_layers: int):
        self.length = 0
        self.selections: list[Tensor] = []  # what `select` was given, for whoever keeps a record
        self._layers: list[tuple[Tensor, Tensor] | None] = [None] * n_layers

    def advance(self, n_new: int) -> None:
        """Count `n_new` positions as read, after all layers have run on them."""
        self.length += n_new

    def truncate(self, length: int) -> None:
        """Forget every position from `length` on."""
        if not 0 <= length <= self.length:
            raise ValueError(
                f"length={length} is not in the cache; use a number from 0 to {self.length}"
            )
        self.length = length

    def select(self, rows_B: Tensor) -> None:
        """Go on with these texts, in this order; one may be taken several times.

        Raises ``ValueError`` for what is no list of the rows there are.
        """
        stored = next((tensors for tensors in self._layers if tensors is not None), None)
        check_rows(rows_B, None if stored is None else stored[0].shape[0])
        self._layers = [
            None if tensors is None else tuple(self._selected(one, rows_B) for one in tensors)
            for tensors in self._layers
        ]
        self.selections.append(rows_B.clone())

    def _selected(self, stored_BHSD: Tensor, rows_B: Tensor) -> Tensor:
        return stored_BHSD.index_select(0, rows_B)


class KVCache(LayerCache):
    """The keys and values of every layer for the positions a model has already read.

    Hand the same cache to each call of the model and give only the new tokens: they attend to
    everything in the cache as if the whole text had been given again.
    """

    def __init__(self, n_layers: int, capacity: int):
        super().__init__(n_layers)
        self.capacity = capacity

    def extend(self, layer: int, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        """Add the new positions of one layer; return all its keys and values so far.

        The model calls `advance` once when every layer has been extended. Raises ``ValueError``
        for another number of texts than the cache holds.
        """
        end = self.length + k_BHTD.shape[2]
        stored = self._layers[layer]
        if stored is not None and stored[0].shape[0] != k_BHTD.shape[0]:
            if self.length:
                raise ValueError(
                    f"the cache holds {stored[0].shape[0]} texts and the next tokens of "
                    f"{k_BHTD.shape[0]} were given; give one row a text, or use a new cache"
                )
            stored = None
        if stored is None or end > stored[0].shape[2]:
            stored = self._layers[layer] = self._grow(stored, k_BHTD, end)
        keys_BHSD, values_BHSD = stored
        keys_BHSD[:, :, self.length : end] = k_BHTD
        values_BHSD[:, :, self.length : end] = v_BHTD
        return keys_BHSD[:, :, :end], values_BHSD[:, :, :end]

    def _grow(self, stored: tuple[Tensor, Tensor] | None, like: Tensor, needed: int):
        """Make room for twice the positions needed, so that growing stays rare."""
        n_batch, n_heads, _, head_width = like.shape
        size = min(max(2 * needed, 64), self.capacity)
        room = tuple(like.new_empty(n_batch, n_heads, size, head_width) for _ in range(2))
        if stored is not None:
            for new, old in zip(room, stored, strict=True):
                new[:, :, : self.length] = old[:, :, : self.length]
        return room

    def check_room(self, n_new: int) -> None:
        """Raise ``ValueError`` when `n_new` more positions do not fit."""
        if self.length + n_new > self.capacity:
            raise ValueError(
                f"{self.length} tokens in the cache and {n_new} new ones exceed the context of "
                f"{self.capacity}; give at most {self.capacity - self.length} new tokens, "
                "or start a new cache"
            )

    def _selected(self, stored_BHSD: Tensor, rows_B: Tensor) -> Tensor:
        """Copy the positions in use, and leave the room behind them as it comes."""
        n_rows, filled = len(rows_B), slice(0, self.length)
        room_BHSD = stored_BHSD.new_empty(n_rows, *stored_BHSD.shape[1:])
        room_BHSD[:, :, filled] = stored_BHSD[:, :, filled].index_select(0, rows_B)
        return room_BHSD


class MemoryCache(LayerCache):
    """Keys and values of a memory, which stays as it is: each layer computes them once.

    Its length is how many positions have asked the memory so far.
    """

    def once(
        self,
        layer: int,
        memory_BSC: Tensor,
        compute: Callable[[Tensor], tuple[Tensor, Tensor]],
    ) -> tuple[Tensor, Tensor]:
        """Give the keys and values of a layer, computed when they are first asked for.

        Raises ``ValueError`` for a memory of another shape than theirs.
        """
        if self._layers[layer] is None or self.length == 0:
            self._layers[layer] = compute(memory_BSC)
        stored = self._layers[layer]
        n_texts, n_positions = stored[0].shape[0], stored[0].shape[2]
        if memory_BSC.shape[:2] != (n_texts, n_positions):
            raise ValueError(
                f"the cache holds a memory of shape {(n_texts, n_positions)}, (texts, tokens), "
                f"and one of {tuple(memory_BSC.shape[:2])} was given; give the memory it began "
                "with, after the same select(rows), or use a new cache"
            )
        return stored


class DecoderCache:
    """What a decoder need not compute again: its own keys and values, and the memory's."""

    def __init__(self, n_layers: int, capacity: int):
        self.target = KVCache(n_layers, capacity)
        self.source = MemoryCache(n_layers)

    @property
    def length(self) -> int:
        """How many target tokens have been read."""
        return self.target.length

    def check_room(self, n_new: int) -> None:
        """Raise ``ValueError`` when `n_new` more target tokens do not fit."""
        self.target.check_room(n_new)

    def advance(self, n_new: int) -> None:
        """Count `n_new` target tokens as read, after all layers have run on them."""
        self.target.advance(n_new)
        self.source.advance(n_new)

    def truncate(self, length: int) -> None:
        """Forget every target token from `length` on."""
        self.target.truncate(length)
        self.source.truncate(length)

    def select(self, rows_B: Tensor) -> None:
        """Go on with these texts, in this order; one may be taken several times.

        Give the decoder the memory of the same rows from now on, `Memory.select(rows_B)`.
        Raises ``ValueError`` for what is no list of the rows there are.
        """
        self.target.select(rows_B)
        self.source.select(rows_B)


def check_rows(rows_B: Tensor, n_rows: int | None) -> None:
    """Raise ``ValueError`` for what is no list of rows; on a GPU their range is not checked."""
    whole = isinstance(rows_B, Tensor) and rows_B.dtype in (torch.int64, torch.int32)
    if not whole or rows_B.dim() != 1 or not len(rows_B):
        given = tuple(rows_B.shape) if isinstance(rows_B, Tensor) else type(rows_B).__name__
        kind = f"{rows_B.dtype} of shape " if isinstance(rows_B, Tensor) else ""
        raise ValueError(
            f"{kind}{given} is no list of rows; give their numbers, e.g. torch.tensor([0, 0, 2])"
        )
    if n_rows is None or rows_B.device.type != "cpu":
        return
    low, high = (int(extreme) for extreme in rows_B.aminmax())
    if low < 0 or high >= n_rows:
        raise ValueError(
            f"there is no row {low if low < 0 else high}; rows go from 0 to {n_rows - 1}"
        )
