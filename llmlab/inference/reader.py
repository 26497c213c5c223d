"""Read texts with a model, without reading again what has been read before.

T position, C width, V vocabulary
"""

from __future__ import annotations

import threading

import torch
from torch import Tensor, nn

from llmlab.inference.ablate import active_ablations
from llmlab.model import GPT


class Reader:
    """A model with a memory of the last text it read.

    What a new text has in common with the last one, from the beginning, is not computed again:
    the case of a text that grows by a token, changes at its end, or goes on as a conversation.
    """

    def __init__(self, model: GPT):
        self.model = model
        self._cache = model.new_cache()
        self._ids: list[int] = []  # what the cache holds
        self._state: list[object] = []  # of the model that computed it
        # a widget may ask from a thread of its own while a cell of the notebook asks as well
        self._lock = threading.Lock()

    @torch.inference_mode()
    def last_logits(self, ids: list[int]) -> Tensor:
        """Score every token as the one that follows the text `ids`: logits, (V,).

        Raises ``ValueError`` as `GPT.forward` does.
        """
        if not ids:
            raise ValueError("the text has no tokens; give at least one")
        with self._lock:
            self._forget_if_trained()
            # at least the last token is read again, since its scores are asked for
            kept = min(_common_length(ids, self._ids), len(ids) - 1)
            self._cache.truncate(kept)
            del self._ids[kept:]
            new_ids_1T = torch.tensor([ids[kept:]], device=self.model.device)
            hidden_1TC = self.model.hidden_states(new_ids_1T, cache=self._cache)
            self._ids = list(ids)
            return self.model.head(hidden_1TC[:, -1:])[0, 0]

    def _forget_if_trained(self) -> None:
        """Start anew when the model computes something else than at the last reading."""
        state = model_state(self.model)
        if state != self._state:
            self._cache, self._ids, self._state = self.model.new_cache(), [], state


def model_state(model: nn.Module) -> list[object]:
    """List what changes when weights are replaced or changed in place, or heads switched off."""
    return [
        *((id(weight), _version(weight)) for weight in model.parameters()),
        *active_ablations(),
    ]


def _version(weight: Tensor) -> int:
    """Count the changes PyTorch has seen; it counts none for tensors made for inference only."""
    return 0 if weight.is_inference() else weight._version


def _common_length(first: list[int], second: list[int]) -> int:
    """Count how many ids two lists have in common from the start."""
    if first[: len(second)] == second:  # the usual case, at the speed of C
        return len(second)
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place
    return min(len(first), len(second))
