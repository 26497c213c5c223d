"""A classifier at work: scores of many texts, and which words moved the score of one.

B batch, T position, C width, K class, N texts
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from llmlab.text.inputs import whole_number
from llmlab.train.classes import Texts, padded

_MOST_WORDS = 200


@torch.no_grad()
def class_probabilities(
    model: nn.Module,
    texts: Texts,
    *,
    pad_id: int = 0,
    batch_size: int = 32,
    progress: bool = False,
) -> Tensor:
    """Give the probability of each class for each text, (N, K), in the order of the texts.

    `texts` are lists of token ids, or what `kept_outputs` gave. Texts of similar length are read
    together; `progress` shows a bar. Raises ``ValueError`` for no texts and for an empty one.
    """
    found: dict[int, Tensor] = {}
    for places, inputs in _read(model, texts, pad_id, batch_size, progress):
        probabilities_BK = model(*inputs).float().softmax(dim=-1).cpu()
        found |= dict(zip(places, probabilities_BK, strict=True))
    return torch.stack([found[place] for place in range(len(found))])


@torch.no_grad()
def kept_outputs(
    model: nn.Module,
    texts: Texts,
    *,
    last_only: bool = False,
    pad_id: int = 0,
    batch_size: int = 32,
    progress: bool = False,
) -> list[Tensor]:
    """Run the frozen layers of a `Classifier` once and keep what they give: (T, C) for each text.

    With `last_only` the last token's vector alone is kept, (1, C), which is all that a classifier
    needs whose layers are all frozen. What is kept lies where the model is. Arguments and errors
    as in `class_probabilities`.
    """
    kept: dict[int, Tensor] = {}
    for places, (ids_BT, mask_BT) in _read(model, texts, pad_id, batch_size, progress):
        x_BTC = model.trunk_outputs(ids_BT, mask_BT)
        for place, x_TC, length in zip(places, x_BTC, mask_BT.sum(dim=1).tolist(), strict=True):
            first = length - 1 if last_only else 0
            kept[place] = x_TC[first:length].clone()
    return [kept[place] for place in range(len(kept))]


def leave_one_out(
    probability: Callable[[list[str]], Sequence[float]], text: str
) -> tuple[float, list[tuple[str, float]]]:
    """Say which words move a classifier: what it says of a text without each of them.

    ``probability(texts)`` returns a number from 0 to 1 for each text. Returns that of the text,
    and a list of its words with that of the text without them; a word has the spaces before it,
    so that all words together are the text. Words are what spaces separate. Raises ``ValueError``
    for a text without a word or with more than 200, and for numbers that are no probabilities.

    >>> leave_one_out(lambda texts: ["win" in text for text in texts], "you win now")
    (1.0, [('you', 1.0), (' win', 0.0), (' now', 1.0)])
    """
    words = re.findall(r"\s*\S+", text)
    if not words:
        raise ValueError("the text has no word; write something")
    if len(words) > _MOST_WORDS:
        raise ValueError(
            f"the text has {len(words):,} words, and the model would have to read it as many "
            f"times; use {_MOST_WORDS} at most"
        )
    words[-1] += text[len("".join(words)) :]  # spaces at the end
    shorter = ["".join(words[:n] + words[n + 1 :]).lstrip() for n in range(len(words))]
    given = np.asarray(probability([text, *shorter]), dtype=float)
    if given.shape != (len(words) + 1,):
        raise ValueError(
            f"probability gave numbers of shape {given.shape} for {len(words) + 1} texts; return "
            "one number for each"
        )
    if not ((given >= 0) & (given <= 1)).all():
        wrong = given[~((given >= 0) & (given <= 1))][0]
        raise ValueError(f"probability gave {wrong}, which is no number from 0 to 1")
    whole, *without = given.tolist()
    return whole, list(zip(words, without, strict=True))


def _read(
    model: nn.Module, texts: Texts, pad_id: int, batch_size: int, progress: bool
) -> Iterator[tuple[list[int], tuple[Tensor, Tensor]]]:
    """Go through all texts, the shortest first; give their places, and them with their mask."""
    batch_size = whole_number(batch_size, "batch_size", least=1)
    device = next(model.parameters()).device
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    if not order:
        raise ValueError("there are no texts; give at least one")
    with tqdm(total=len(order), unit=" texts", disable=not progress) as bar:
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            inputs, mask_BT = padded([texts[place] for place in places], pad_id=pad_id)
            yield places, (inputs.to(device), mask_BT.to(device))
            bar.update(len(places))
