"""Predict the next token again and again for a text that changes a little each time."""

from __future__ import annotations

import numpy as np

from llmlab.inference.reader import Reader
from llmlab.model import GPT
from llmlab.text import BPETokenizer


class NextTokenPredictor:
    """Score every token as the one that follows a text: ``predictor(text)`` is an array, (V,).

    Made for a text box: what the new text has in common with the last one is not computed again.
    An empty text is read as the beginning of a document. Raises ``ValueError`` for a text
    longer than the context and for characters the model has no token for.
    """

    def __init__(self, model: GPT, tokenizer: BPETokenizer):
        self.model = model
        self.tokenizer = tokenizer
        self._reader = Reader(model)

    def __call__(self, text: str) -> np.ndarray:
        """Return the scores (logits) as float32."""
        return self._reader.last_logits(self._encode(text)).float().cpu().numpy()

    def _encode(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text)
        if not ids:
            begin = self.tokenizer.special_tokens.get("<|endoftext|>")
            if begin is None:
                raise ValueError("the text is empty; type at least one character")
            return [begin]
        return checked_ids(ids, self.model, self.tokenizer)


def checked_ids(ids: list[int], model: GPT, tokenizer: BPETokenizer) -> list[int]:
    """Give back the ids of a text that the model can read.

    Raises ``ValueError`` for a text longer than the context and for characters the model has no
    token for.
    """
    if len(ids) > model.config.context:
        raise ValueError(
            f"the text has {len(ids):,} tokens and the model reads at most "
            f"{model.config.context:,}; shorten it"
        )
    if ids and max(ids) >= model.config.vocab_size:
        place = next(n for n, i in enumerate(ids) if i >= model.config.vocab_size)
        readable = tokenizer.decode_bytes(ids[place : place + 1])
        raise ValueError(
            f"the model has no token for the byte 0x{readable.hex()} (token {place + 1} of "
            "the text); remove that character"
        )
    return ids
