"""Translate a text and show how: where each head looked, and what else might have been written.

L layer, H heads, T target position, S source position, C width, V vocabulary
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import torch

from llmlab.inference.search import LENGTH_PENALTY, best_tokens
from llmlab.inference.trace import trace
from llmlab.inference.translation import (
    check_translator,
    evaluating,
    never_written,
    next_log_probabilities,
    search_targets,
    source_ids,
    text_ids,
)
from llmlab.model.translator import Translator
from llmlab.text import BPETokenizer
from llmlab.text.inputs import whole_number

_N_CANDIDATES = 5


@dataclass(frozen=True, eq=False)
class TranslationReading:
    """How a translation came about, step by step.

    `source_tokens` and `target_tokens` are readable; the latter end with the end token unless
    the translation was cut off, `text` has neither. Row t of `weights_LHTS` is where the decoder
    looked in the source while it chose target token t, and ``candidates[t]`` are the five tokens
    it found most probable then, with their probabilities. Row t of `decoder_LHTT` is where it
    looked in what stood there already, the start token first, then the target tokens before t.
    `encoder_LHSS` is where each source token looked among the others. The arrays are float32,
    each row sums to 1, and they are not to be written to.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    text: str
    weights_LHTS: np.ndarray
    candidates: tuple[tuple[tuple[str, float], ...], ...]
    encoder_LHSS: np.ndarray
    decoder_LHTT: np.ndarray


class TranslationReader:
    """Translate texts and show what the attention did: ``reader("Two dogs")``.

    The translation is that of `translate` with the same `n_beams`. Several threads may ask at
    once; one text is translated at a time.
    """

    def __init__(self, model: Translator, tokenizer: BPETokenizer, *, n_beams: int = 1):
        check_translator(model)
        self.model = model
        self.tokenizer = tokenizer
        self.n_beams = whole_number(n_beams, "n_beams", least=1)
        self._lock = threading.Lock()

    @torch.inference_mode()
    def __call__(self, text: str) -> TranslationReading:
        """Translate a text; raises ``ValueError`` for one that `translate` refuses."""
        source = source_ids(self.model, self.tokenizer, text)
        with self._lock, evaluating(self.model):
            return self._read(source)

    def _read(self, source: list[int]) -> TranslationReading:
        model, tokenizer = self.model, self.tokenizer
        [found] = search_targets(
            model, tokenizer, [source], None, n_beams=self.n_beams, length_penalty=LENGTH_PENALTY
        )
        # One run over the finished translation computes what the search did one by one.
        source_1S = torch.tensor([source], device=model.device)
        written_1T = torch.tensor([[model.config.start_id, *found.ids[:-1]]], device=model.device)
        with trace(model) as record:
            logits_TV = model(source_1S, written_1T)[0]
        return TranslationReading(
            source_tokens=tuple(map(tokenizer.token, source)),
            target_tokens=tuple(map(tokenizer.token, found.ids)),
            text=tokenizer.decode(text_ids(model, found)),
            weights_LHTS=_frozen(record.part("decoder.cross_attention").weights_LHTS),
            candidates=self._candidates(logits_TV),
            encoder_LHSS=_frozen(record.part("encoder.attention").weights_LHTS),
            decoder_LHTT=_frozen(record.part("decoder.attention").weights_LHTS),
        )

    def _candidates(self, logits_TV: torch.Tensor) -> tuple[tuple[tuple[str, float], ...], ...]:
        never = never_written(self.model, self.tokenizer)
        probabilities_TV = next_log_probabilities(logits_TV, never).exp()
        values_TK, ids_TK = best_tokens(probabilities_TV, _N_CANDIDATES)
        return tuple(
            tuple(
                (self.tokenizer.token(token_id), probability)
                for token_id, probability in zip(ids, probabilities, strict=True)
            )
            for ids, probabilities in zip(ids_TK.tolist(), values_TK.tolist(), strict=True)
        )


def _frozen(weights: torch.Tensor) -> np.ndarray:
    """Give the numbers to several readers, none of whom may change them."""
    array = weights.float().cpu().numpy()
    array.flags.writeable = False
    return array
