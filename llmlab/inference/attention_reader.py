"""Read a text and show what every attention head did: what an attention explorer asks for.

L layer, H heads, T query position, S key position, V vocabulary
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmlab.inference.ablate import ablate, checked_heads
from llmlab.inference.heads import head_statistics, induction_scores
from llmlab.inference.parts import attention_parts
from llmlab.inference.predict import checked_ids
from llmlab.inference.reader import model_state
from llmlab.inference.trace import PartRecord, trace
from llmlab.model import GPT, load_pretrained
from llmlab.text import BPETokenizer
from llmlab.text.inputs import whole_number

# what readings may take that are kept for being asked again: nine of SmolLM2 at 80 tokens
_KEPT_BYTES = 64_000_000


@dataclass(frozen=True, eq=False)
class AttentionPart:
    """The attention of one stack of layers for one text.

    `queries` and `keys` are readable tokens; `statistics` has an (L, H) array for each name that
    means something here: "entropy" (bits), "previous token", "first token", "induction" (0 to 1).
    """

    name: str
    queries: tuple[str, ...]
    keys: tuple[str, ...]
    weights_LHTS: np.ndarray
    causal: bool
    statistics: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class AttentionReading:
    """What a model did with a text: the attention of each part, and the tokens it expects next.

    `next_tokens` are the ten most likely with their probabilities; `probabilities` has those of
    all V tokens and `vocabulary` their names. The arrays are float32 and not to be written to.
    """

    parts: tuple[AttentionPart, ...]
    next_tokens: tuple[tuple[str, float], ...]
    probabilities: np.ndarray | None
    vocabulary: Sequence[str] | None


class AttentionReader:
    """Read texts with a model and show all its attention: ``reader("The cat")``.

    The model is a `GPT`, with its own tokenizer; models of other shapes need a reader of their own.
    Without arguments it loads SmolLM2 (`load_pretrained`). A reading may come from memory if the
    same text was read before; a model that was trained or changed since is asked again. Several
    threads may ask at once. Texts of more than `longest` tokens are refused: SmolLM2's weights for
    512 take 0.3 GB, for twice as many four times that.
    """

    def __init__(
        self,
        model: GPT | None = None,
        tokenizer: BPETokenizer | None = None,
        *,
        longest: int = 512,
    ):
        if model is None and tokenizer is None:
            model, tokenizer = load_pretrained()
        if not isinstance(model, GPT):
            raise TypeError(
                f"model={type(model).__name__} is no GPT; give a model and its tokenizer, such as "
                "both that load_pretrained() returns, or nothing"
            )
        if tokenizer is None:
            raise ValueError("the tokenizer is missing; give the model's own as well")
        self.model = model
        self.tokenizer = tokenizer
        self.longest = whole_number(longest, "longest", least=1)
        self._vocabulary: tuple[str, ...] | None = None
        self._readings: OrderedDict[tuple, AttentionReading] = OrderedDict()
        self._induction: np.ndarray | None = None
        self._state: list[object] = []
        self._lock = threading.Lock()

    @torch.inference_mode()
    def __call__(self, text: str, *, off: Iterable[tuple[int, int]] = ()) -> AttentionReading:
        """Read a text, with the (layer, head) pairs of `off` switched off.

        Their own patterns are still there, but nothing they find is passed on. Raises
        ``ValueError`` for an empty text, one longer than the context or than `longest`, characters
        without a token and heads that are not there.
        """
        ids = self.tokenizer.encode(text)
        if not ids:
            raise ValueError("the text is empty; type at least one character")
        ids = checked_ids(ids, self.model, self.tokenizer)
        if len(ids) > self.longest:
            raise ValueError(
                f"the text has {len(ids):,} tokens and at most {self.longest:,} are shown; "
                "shorten it"
            )
        off = tuple(sorted(set(checked_heads(off))))
        with self._lock:
            self._forget_if_changed()
            reading = self._readings.pop((text, off), None)
            if reading is None:
                reading = self._read(ids, off)
            self._readings[text, off] = reading
            self._forget_the_oldest()
            return reading

    def _forget_if_changed(self) -> None:
        layers = (layer for part in attention_parts(self.model).values() for layer in part.layers)
        state = [*model_state(self.model), *(layer.attend for layer in layers)]
        if state != self._state:
            self._readings.clear()
            self._induction, self._state = None, state

    def _forget_the_oldest(self) -> None:
        """Keep the last reading, and of those before it as many as do not take much memory."""
        sizes = [sum(p.weights_LHTS.nbytes for p in r.parts) for r in self._readings.values()]
        while len(sizes) > 1 and sum(sizes) > _KEPT_BYTES:
            self._readings.popitem(last=False)
            del sizes[0]

    def _read(self, ids: list[int], off: tuple[tuple[int, int], ...]) -> AttentionReading:
        ids_1T = torch.tensor([ids], device=self.model.device)
        with trace(self.model) as record, ablate(self.model, heads=off):
            # the scores of the last position are enough, so the head has little to do
            hidden_1TC = self.model.hidden_states(ids_1T)
            logits_V = self.model.head(hidden_1TC[:, -1:])[0, 0]
        probabilities_V = logits_V.float().softmax(dim=-1)
        best = probabilities_V.topk(min(10, len(probabilities_V)))
        vocabulary = self._names()
        tokens = tuple(self.tokenizer.token(token_id) for token_id in ids)
        return AttentionReading(
            parts=tuple(self._part(record.part(name), tokens) for name in record.parts),
            next_tokens=tuple(
                (vocabulary[token_id], probability)
                for token_id, probability in zip(
                    best.indices.tolist(), best.values.tolist(), strict=True
                )
            ),
            probabilities=_frozen(probabilities_V),
            vocabulary=vocabulary,
        )

    def _part(self, part: PartRecord, tokens: tuple[str, ...]) -> AttentionPart:
        weights_LHTS = part.weights_LHTS.float()
        statistics = {
            name: _frozen(value_LH)
            for name, value_LH in head_statistics(weights_LHTS, causal=part.causal).items()
            if not value_LH.isnan().any()
        }
        induction_LH = self._induction_scores()
        if induction_LH is not None:
            statistics["induction"] = induction_LH
        return AttentionPart(
            name="self-attention",
            queries=tokens,
            keys=tokens,
            weights_LHTS=_frozen(weights_LHTS),
            causal=part.causal,
            statistics=statistics,
        )

    def _induction_scores(self) -> np.ndarray | None:
        """Measure them once for a model as it is, on the same random tokens each time."""
        config = self.model.config
        n_tokens = min(25, config.context // 2, config.vocab_size)
        if self._induction is None and n_tokens > 1:
            generator = torch.Generator().manual_seed(0)
            self._induction = _frozen(
                induction_scores(self.model, n_tokens=n_tokens, n_texts=2, generator=generator)
            )
        return self._induction

    def _names(self) -> tuple[str, ...]:
        """Name every token the model can score; it may have more than its tokenizer."""
        if self._vocabulary is None:
            n_tokens = self.model.config.vocab_size
            names = self.tokenizer.vocabulary[:n_tokens]
            names += [f"<{token_id}>" for token_id in range(len(names), n_tokens)]
            self._vocabulary = tuple(names)
        return self._vocabulary


def _frozen(tensor: Tensor) -> np.ndarray:
    """Give the numbers to several readers, none of whom may change them."""
    array = tensor.float().cpu().numpy()
    array.flags.writeable = False
    return array
