"""Generate text: turn the scores for the next token into a choice, again and again.

B batch, T position, V vocabulary
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from llmlab.inference.reader import Reader
from llmlab.model import GPT


def next_token_probabilities(
    logits_V: Tensor | np.ndarray,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """Turn the scores for the next token into the probabilities it is drawn with, (V,).

    `temperature` divides the scores: below 1 the likely become likelier, at 0 the best takes
    all (the first of equals). `top_k` keeps the k most likely tokens, `top_p` the fewest of
    those whose probabilities reach p together; of equals, smaller ids go first. What is kept is
    scaled to sum to 1. Raises ``ValueError`` for settings outside these meanings.
    Source: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration" (top-p).

    >>> scores = torch.tensor([3.0, 2.0, 1.0]).log()
    >>> next_token_probabilities(scores, top_k=2)
    tensor([0.6000, 0.4000, 0.0000])
    >>> next_token_probabilities(scores, top_p=0.5)
    tensor([1., 0., 0.])
    """
    _check_settings(temperature, top_k, top_p)
    logits_V = torch.as_tensor(logits_V)
    if logits_V.dim() != 1:
        raise ValueError(
            f"scores of shape {tuple(logits_V.shape)} are not one score a token, (V,); "
            "give those of one position, for example logits_BTV[0, -1]"
        )
    logits_V = logits_V.float()
    if not torch.isfinite(logits_V.max()):
        raise ValueError(
            f"the highest score is {float(logits_V.max())}, not a number to choose by; "
            "the model's weights are broken or training went wrong"
        )
    if temperature == 0:
        return torch.zeros_like(logits_V).index_fill(0, logits_V.argmax(), 1.0)
    # below 1e-30 float32 has no more room for the quotient, and nothing left to sharpen either
    scaled_V = (logits_V - logits_V.max()) / max(temperature, 1e-30)
    probabilities_V = scaled_V.softmax(dim=-1)
    if top_p == 1:
        top_p = None  # everything stays, however the sums are rounded
    if top_k is None and top_p is None:
        return probabilities_V
    sorted_V, order_V = probabilities_V.sort(descending=True, stable=True)
    if top_k is not None:
        sorted_V[top_k:] = 0
        sorted_V /= sorted_V.sum()
    if top_p is not None:
        before_V = sorted_V.cumsum(dim=-1) - sorted_V
        sorted_V[1:][before_V[1:] >= top_p] = 0
    return torch.zeros_like(sorted_V).index_copy(0, order_V, sorted_V / sorted_V.sum())


def _check_settings(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not 0 <= temperature < float("inf"):
        raise ValueError(
            f"temperature={temperature} is no temperature; use 0 for the most likely token, "
            "0.7 for careful, 1 for the model's own probabilities"
        )
    if top_k is not None and (not _is_whole(top_k) or top_k < 1):
        raise ValueError(f"top_k={top_k!r} is no number of tokens; use a whole number above 0")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p} is no share; use a number above 0 and up to 1")


def generate(
    model: GPT,
    ids: Iterable[int],
    *,
    max_new_tokens: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: int | Iterable[int] = (),
    generator: torch.Generator | None = None,
    reader: Reader | None = None,
) -> Iterator[int]:
    """Continue a text: yield one new token id after another, each as soon as it is chosen.

    Ends after `max_new_tokens` or after a token of `stop`, which is yielded too. Settings as in
    `next_token_probabilities`; the same `generator` seed gives the same text. A
    `reader` of this model that has read the beginning of `ids` before saves reading it again.
    Raises ``ValueError`` at once for settings that make no sense, an empty text, ids outside the
    vocabulary, or a text that with its continuation would not fit into the context.
    """
    ids = _token_ids("ids", ids)
    stop = set(_token_ids("stop", [stop] if _is_whole(stop) else stop))
    reader = Reader(model) if reader is None else reader
    if reader.model is not model:
        raise ValueError("the reader reads with another model; make one with Reader(model)")
    _check_settings(temperature, top_k, top_p)
    check_prompt(model, ids, max_new_tokens)
    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    return _generate(reader, ids, max_new_tokens, settings, stop, generator)


def _is_whole(value: object) -> bool:
    """Tell whole numbers, numpy's and those in a tensor included, from everything else."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def _token_ids(name: str, values: Iterable[int]) -> list[int]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(
            f"{name}={values!r} are not token ids; give whole numbers, for example those of "
            "tokenizer.encode(text)"
        )
    values = list(values)
    wrong = [value for value in values if not _is_whole(value)]
    if wrong:
        raise TypeError(f"{wrong[0]!r} in {name} is no token id; token ids are whole numbers")
    return [operator.index(value) for value in values]


def check_prompt(model: GPT, ids: list[int], max_new_tokens: int) -> None:
    """Raise ``ValueError`` for a text that the model cannot read and continue by so much."""
    config = model.config
    if not ids:
        raise ValueError("there is no text to continue; give at least one token id")
    wrong = [token_id for token_id in ids if not 0 <= token_id < config.vocab_size]
    if wrong:
        raise ValueError(
            f"token id {wrong[0]} is outside the vocabulary of {config.vocab_size:,}: the text "
            "has a character this model has no token for, or is another tokenizer's"
        )
    if not _is_whole(max_new_tokens) or max_new_tokens < 0:
        raise ValueError(f"max_new_tokens={max_new_tokens!r} is no number of tokens; use 0, 1, 2 …")
    if len(ids) + max_new_tokens > config.context:
        room = config.context - len(ids)
        way_out = f"use max_new_tokens={room}" if room > 0 else "shorten the text"
        raise ValueError(
            f"{len(ids)} tokens and max_new_tokens={max_new_tokens} exceed the context of "
            f"{config.context}; {way_out}"
        )


def _generate(
    reader: Reader,
    ids: list[int],
    max_new_tokens: int,
    settings: dict,
    stop: set[int],
    generator: torch.Generator | None,
) -> Iterator[int]:
    for _ in range(max_new_tokens):
        probabilities_V = next_token_probabilities(reader.last_logits(ids), **settings)
        token_id = choose(probabilities_V, generator=generator)
        yield token_id
        if token_id in stop:
            return
        ids = [*ids, token_id]


def choose(probabilities_V: Tensor, *, generator: torch.Generator | None = None) -> int:
    """Draw one token id; a probability of 1 needs no luck and uses up no random number."""
    best = int(probabilities_V.argmax())
    if float(probabilities_V[best]) == 1.0:
        return best
    if generator is not None and generator.device != probabilities_V.device:
        probabilities_V = probabilities_V.to(generator.device)
    return int(torch.multinomial(probabilities_V, 1, generator=generator))
