"""Translate texts with a Translator: read each text once, then write its translation.

B text, S source position, N running hypothesis, T target position, V vocabulary
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from llmlab.inference.predict import checked_ids
from llmlab.inference.search import LENGTH_PENALTY, Hypothesis, beam_search, checked_settings
from llmlab.model.translator import Translator
from llmlab.text import BPETokenizer
from llmlab.text.inputs import each_text, whole_number

_PATIENCE = 2  # seconds before a progress bar shows by itself


def translate(
    model: Translator,
    tokenizer: BPETokenizer,
    texts: str | Iterable[str],
    *,
    n_beams: int = 1,
    length_penalty: float = LENGTH_PENALTY,
    max_new_tokens: int | None = None,
    batch_size: int = 64,
    progress: bool | None = None,
) -> str | list[str]:
    """Translate a text, or a list of texts into a list in the same order.

    ``n_beams=1`` takes the most probable token each time; more beams are slower and find more
    probable translations (`beam_search`, `length_penalty` too). A translation that has not ended
    after `max_new_tokens` is returned as it is; None allows 10 tokens more than twice the text's,
    up to the context. `batch_size` texts of about the same length are translated at once; with
    whom a text shares its batch makes no difference beyond rounding. The model is used as in
    ``model.eval()`` and left as it was. Bytes that are no complete character show as U+FFFD.
    `progress` shows a bar on stderr; None does so for what takes longer than two seconds.

    Raises ``ValueError`` for a text that is empty or white space, longer than the context, or no
    text at all (a lone surrogate), naming which; for settings that make no sense; and for a model
    whose scores are no numbers. ``TypeError`` for what is no model or no text.
    """
    check_translator(model)
    if max_new_tokens is not None:
        most = model.config.context - 1  # the start token takes a place
        max_new_tokens = whole_number(max_new_tokens, "max_new_tokens", least=1, most=most)
    n_beams, length_penalty = checked_settings(n_beams, length_penalty)
    batch_size = whole_number(batch_size, "batch_size", least=1)
    sources = _sources(model, tokenizer, texts)
    targets: list[list[int]] = [[] for _ in sources]
    with evaluating(model), _progress_bar(len(sources), progress) as bar:
        for numbers in _batches(sources, batch_size, mixed=model.config.pad_id is not None):
            batch = [sources[number] for number in numbers]
            found = search_targets(
                model,
                tokenizer,
                batch,
                max_new_tokens,
                n_beams=n_beams,
                length_penalty=length_penalty,
            )
            for number, hypothesis in zip(numbers, found, strict=True):
                targets[number] = text_ids(model, hypothesis)
            bar.update(len(batch))
    translations = [tokenizer.decode(ids) for ids in targets]
    return translations[0] if isinstance(texts, str) else translations


def check_translator(model: object) -> None:
    """Refuse what cannot translate; raises ``TypeError``."""
    if not isinstance(model, Translator):
        raise TypeError(
            f"model={type(model).__name__} is no Translator; give one and the tokenizer it was "
            "trained with"
        )


def source_ids(model: Translator, tokenizer: BPETokenizer, text: str) -> list[int]:
    """Turn a text into the ids the encoder reads; raises ``ValueError`` as `translate` does."""
    ids = tokenizer.encode(text)
    if not text.strip():
        seen = "is only white space" if text else "is empty"
        raise ValueError(f"the text {seen}; give something to translate")
    return checked_ids(ids, model, tokenizer)


def _sources(
    model: Translator, tokenizer: BPETokenizer, texts: str | Iterable[str]
) -> list[list[int]]:
    sources = []
    for number, text in enumerate(each_text(texts)):
        try:
            sources.append(source_ids(model, tokenizer, text))
        except ValueError as error:
            if isinstance(texts, str):
                raise
            shown = text if len(text) <= 40 else text[:40] + "…"
            raise ValueError(f"texts[{number}], {shown!r}: {error}") from None
    return sources


def _batches(sources: list[list[int]], batch_size: int, *, mixed: bool) -> Iterator[list[int]]:
    """Yield the numbers of texts to translate together, long texts first.

    Short and long ones in one batch would be much padding. Unless `mixed`, a model that cannot
    tell padding from text gets none: all texts of a batch are of one length.
    """
    order = sorted(range(len(sources)), key=lambda number: -len(sources[number]))
    start = 0
    while start < len(order):
        batch = order[start : start + batch_size]
        if not mixed:
            length = len(sources[batch[0]])
            batch = [number for number in batch if len(sources[number]) == length]
        yield batch
        start += len(batch)


@torch.inference_mode()
def search_targets(
    model: Translator,
    tokenizer: BPETokenizer,
    sources: list[list[int]],
    max_new_tokens: int | None,
    *,
    n_beams: int,
    length_penalty: float,
) -> list[Hypothesis]:
    """Find the best translation of each text, all at once; sources and results are ids."""
    config = model.config
    if max_new_tokens is None:
        limits = [min(2 * len(ids) + 10, config.context - 1) for ids in sources]
    else:
        limits = [max_new_tokens] * len(sources)
    longest = max(map(len, sources))
    padded = [ids + [config.pad_id] * (longest - len(ids)) for ids in sources]
    scores = _Scores(model, tokenizer, torch.tensor(padded, device=model.device))
    found = beam_search(
        scores,
        start_id=config.start_id,
        end_id=config.end_id,
        max_new_tokens=limits,
        n_beams=n_beams,
        length_penalty=length_penalty,
        n_texts=len(sources),
        n_best=1,
    )
    return [best for [best] in found]


class _Scores:
    """The scores of the next target tokens: each step runs the decoder on one position only."""

    def __init__(self, model: Translator, tokenizer: BPETokenizer, source_BS: Tensor):
        self._model = model
        self._memory = model.encode(source_BS)
        self._cache = model.new_cache()
        self._n_rows = len(source_BS)
        self._never = never_written(model, tokenizer)

    def __call__(self, ids_NT: Tensor, parents_N: Tensor) -> Tensor:
        if not torch.equal(parents_N, torch.arange(self._n_rows)):
            rows_N = parents_N.to(self._model.device)
            self._memory = self._memory.select(rows_N)
            self._cache.select(rows_N)
            self._n_rows = len(parents_N)
        last_N1 = ids_NT[:, -1:].to(self._model.device)
        logits_NV = self._model.decode(last_N1, self._memory, cache=self._cache)[:, -1]
        return next_log_probabilities(logits_NV, self._never)


def never_written(model: Translator, tokenizer: BPETokenizer) -> Tensor:
    """List the ids that stand for no text, all special tokens but the end among them."""
    config = model.config
    ids = {config.pad_id, config.start_id, *tokenizer.special_tokens.values()}
    ids.update(range(tokenizer.vocab_size, config.vocab_size))
    ids -= {None, config.end_id}
    return torch.tensor([i for i in sorted(ids) if i < config.vocab_size], device=model.device)


def next_log_probabilities(logits_NV: Tensor, never: Tensor) -> Tensor:
    """Turn the scores of tokens into log-probabilities, in which `never` have none."""
    if logits_NV.dtype.itemsize < 4:
        logits_NV = logits_NV.float()
    return logits_NV.index_fill(-1, never, -torch.inf).log_softmax(dim=-1)


def text_ids(model: Translator, hypothesis: Hypothesis) -> list[int]:
    """Give the ids that are text: those before the end token."""
    return [token_id for token_id in hypothesis.ids if token_id != model.config.end_id]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Use a model as in ``model.eval()`` for a while: without dropout."""
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        yield
    finally:
        for module in training:
            module.training = True


def _progress_bar(n_texts: int, progress: bool | None):
    from tqdm import tqdm

    return tqdm(
        total=n_texts,
        desc="translating",
        unit=" texts",
        disable=progress is False,
        delay=0 if progress else _PATIENCE,
    )
