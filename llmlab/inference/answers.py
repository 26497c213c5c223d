"""The likeliest answers to many prompts at once.

B prompts computed together, T position, V vocabulary
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from llmlab.inference.sample import check_prompt
from llmlab.model import GPT
from llmlab.model.caches import KVCache
from llmlab.text.inputs import whole_number


def greedy_answers(
    model: GPT,
    prompts: Iterable[Sequence[int]],
    *,
    max_new_tokens: int = 32,
    stop: int | Iterable[int] = (),
    batch_size: int = 32,
) -> Iterator[tuple[int, list[int]]]:
    """Continue many texts, always with the likeliest token; yield each as soon as it is done.

    Yields the place of a prompt in the list and its new ids, which end before a token of `stop`
    or after `max_new_tokens`. They are those of `generate` with temperature 0, up to rounding:
    where two tokens are equally likely, either may come.

    Prompts of similar length share a batch and begin at the same place, so nothing is padded: as
    long as one of them is still being read, its next token is taken from the prompt and not from
    the model. Answers that are done leave the batch. Raises ``ValueError`` at once for no
    prompts, an empty one, ids outside the vocabulary, and a prompt that with its answer would
    not fit into the context.
    """
    prompts = [list(map(int, prompt)) for prompt in prompts]
    max_new_tokens = whole_number(max_new_tokens, "max_new_tokens", least=1)
    batch_size = whole_number(batch_size, "batch_size", least=1)
    stop = {stop} if isinstance(stop, int) else set(map(int, stop))
    _check(model, prompts, max_new_tokens)
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    parts = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    return (
        found for part in parts for found in _answered(model, prompts, part, max_new_tokens, stop)
    )


def _check(model: GPT, prompts: list[list[int]], max_new_tokens: int) -> None:
    if not prompts:
        raise ValueError("there are no prompts; give at least one")
    for number, prompt in enumerate(prompts):
        try:
            check_prompt(model, prompt, max_new_tokens)
        except ValueError as error:
            raise ValueError(f"prompt {number}: {error}") from None


def _answered(
    model: GPT, prompts: list[list[int]], part: list[int], max_new_tokens: int, stop: set[int]
) -> Iterator[tuple[int, list[int]]]:
    """Answer the prompts of one batch, which come with the shortest first."""
    cache = model.new_cache()
    texts = {place: list(prompts[place]) for place in part}
    n_read = len(prompts[part[0]])
    ids_BT = torch.tensor([prompts[place][:n_read] for place in part], device=model.device)
    while part:
        best_B = _next(model, ids_BT, cache)
        n_read += 1
        done = []
        for row, (place, best) in enumerate(zip(part, best_B.tolist(), strict=True)):
            text, n_prompt = texts[place], len(prompts[place])
            if len(text) >= n_read:
                continue  # this token stands in the prompt
            if best not in stop:
                text.append(best)
            if best in stop or len(text) == n_prompt + max_new_tokens:
                done.append(row)
        for row in done:
            yield part[row], texts[part[row]][len(prompts[part[row]]) :]
        if done:
            rows = [row for row in range(len(part)) if row not in done]
            part = [part[row] for row in rows]
            if part:
                cache.select(torch.tensor(rows, device=model.device))
        ids_BT = torch.tensor([[texts[place][n_read - 1]] for place in part], device=model.device)


@torch.inference_mode()
def _next(model: GPT, ids_BT: Tensor, cache: KVCache) -> Tensor:
    """Read on, and give the likeliest next token of each text."""
    hidden_BTC = model.hidden_states(ids_BT, cache=cache)
    return model.head(hidden_BTC[:, -1]).argmax(dim=-1)
