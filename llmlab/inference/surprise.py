"""How well a model tells real texts: surprise per token, perplexity, bits per byte.

B windows computed together, T position in a window, V vocabulary
"""

from __future__ import annotations

import lzma
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from llmlab.model import GPT
from llmlab.text import BPETokenizer
from llmlab.text.inputs import each_text, utf8, whole_number
from llmlab.train import IGNORE

# Logits of about 16 million numbers at a time: 64 MB, whatever the vocabulary.
_LOGITS_AT_ONCE = 2**24


class Counting(Protocol):
    """A model that tells the surprises itself, as `NgramModel` does."""

    def surprises(self, ids: Sequence[int]) -> np.ndarray:
        """Give -ln p of each token after those before it, in nats, (N,)."""
        ...


def token_surprises(
    model: GPT | Counting,
    ids: Sequence[int],
    *,
    stride: int | None = None,
    batch_size: int | None = None,
) -> np.ndarray:
    """Give -ln p of every token but the first, which nothing precedes, in nats, (N - 1,).

    A text longer than the context is read in windows, each of which begins `stride` tokens after
    the one before (half the context if left out). A token is counted once, in the first window
    that holds it, so beyond the first window it follows at least context - stride others: the
    smaller the stride, the more a model may look back on, and the longer it takes.
    `batch_size` windows are computed together, by default as many as fit well into memory.

    Raises ``ValueError`` for fewer than two ids, ids outside the vocabulary, and a stride outside
    1 to the context.
    """
    if len(ids) < 2:
        raise ValueError(
            f"{len(ids)} token id(s) have no token that follows another; give at least two"
        )
    if not isinstance(model, GPT):
        return np.asarray(model.surprises(ids), dtype=np.float64)[1:]
    context = model.config.context
    stride = max(context // 2, 1) if stride is None else stride
    stride = whole_number(stride, "stride", least=1, most=context)
    if batch_size is None:
        batch_size = max(1, _LOGITS_AT_ONCE // (context * model.config.vocab_size))
    batch_size = whole_number(batch_size, "batch_size", least=1)
    row = torch.as_tensor(ids, dtype=torch.int64)
    low, high = int(row.min()), int(row.max())
    if low < 0 or high >= model.config.vocab_size:
        raise ValueError(
            f"token id {low if low < 0 else high} is outside the vocabulary of "
            f"{model.config.vocab_size:,}; encode the text with this model's own tokenizer"
        )
    was_training = model.training
    model.eval()
    try:
        windows = _windows(row, context, stride)
        found = [_told(model, some) for some in iter(lambda: list(islice(windows, batch_size)), [])]
    finally:
        model.train(was_training)
    return np.concatenate(found)


def _windows(ids: Tensor, context: int, stride: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut a text into what is read and what is to be told, IGNORE where it has been told before."""
    told = 0  # so many targets have been counted
    for start in range(0, len(ids) - 1, stride):
        read, targets = ids[start : start + context], ids[start + 1 : start + context + 1].clone()
        targets[: told - start] = IGNORE
        told = start + len(targets)
        yield read[: len(targets)], targets
        if told == len(ids) - 1:
            return


@torch.inference_mode()
def _told(model: GPT, windows: list[tuple[Tensor, Tensor]]) -> np.ndarray:
    """Compute a few windows together; give the surprises of their targets in a row."""
    pad = torch.nn.utils.rnn.pad_sequence
    read_BT = pad([read for read, _ in windows], batch_first=True).to(model.device)
    targets_BT = pad([t for _, t in windows], batch_first=True, padding_value=IGNORE)
    targets_N = targets_BT.flatten().to(model.device)
    kept_N = (targets_N != IGNORE).nonzero().squeeze(1)
    hidden_NC = model.hidden_states(read_BT).flatten(0, 1).index_select(0, kept_N)
    logits_NV = model.head(hidden_NC).float()
    surprises_N = F.cross_entropy(logits_NV, targets_N.index_select(0, kept_N), reduction="none")
    return surprises_N.cpu().double().numpy()  # some GPUs have no float64


def _measure(
    model: GPT | Counting,
    tokenizer: BPETokenizer,
    texts: str | Iterable[str],
    start_id: int | None,
    options: dict,
) -> tuple[float, int, int]:
    """Add up the surprise of texts, in nats; count their tokens and their bytes."""
    nats, n_tokens, n_bytes = 0.0, 0, 0
    for text in each_text(texts):
        ids = tokenizer.encode(text)
        if tokenizer.decode(ids) != text:
            raise ValueError(
                f"{text[:40]!r} … does not come back from this tokenizer as it was, so a model "
                "need not tell all of it; use a tokenizer that loses nothing, such as train_bpe's"
            )
        if not ids:
            continue
        n_tokens += len(ids)
        n_bytes += len(utf8(text))
        if start_id is None:
            nats += math.log(tokenizer.vocab_size)
        if start_id is not None or len(ids) > 1:
            begun = ids if start_id is None else [start_id, *ids]
            nats += float(token_surprises(model, begun, **options).sum())
    if not n_bytes:
        raise ValueError("there is no text to measure; give at least one that is not empty")
    return nats, n_tokens, n_bytes


def bits_per_byte(
    model: GPT | Counting,
    tokenizer: BPETokenizer,
    texts: str | Iterable[str],
    *,
    start_id: int | None = None,
    stride: int | None = None,
    batch_size: int | None = None,
) -> float:
    """Measure the surprise at texts, in bits for each byte of their UTF-8.

    It is the sum over all tokens of -log2 p, divided by the number of bytes: so many bits would
    each byte take in a file that a program unpacks with the help of the model. As the bytes are
    the same for everybody, models with different tokens can be compared, and with file
    compressors too (`compressed_bits_per_byte`). Lower is better; 8 knows nothing.

    The first token of each text is told after `start_id`, as a rule the mark that ended each text
    in the training; without one it counts as drawn from the whole vocabulary. `stride` and
    `batch_size` are those of `token_surprises`. `model` is a `GPT`, or has a method `surprises`
    as `NgramModel` does. Raises ``ValueError`` for no text, and for a tokenizer that does not
    give the text back as it was.
    """
    options = {"stride": stride, "batch_size": batch_size}
    nats, _, n_bytes = _measure(model, tokenizer, texts, start_id, options)
    return nats / math.log(2) / n_bytes


def perplexity(
    model: GPT | Counting,
    tokenizer: BPETokenizer,
    texts: str | Iterable[str],
    *,
    start_id: int | None = None,
    stride: int | None = None,
    batch_size: int | None = None,
) -> float:
    """Measure among how many equally likely tokens a model seems to choose, on average.

    It is e to the power of the mean surprise per token in nats. Compare it between models with
    the same tokens only; for others there is `bits_per_byte`, whose arguments it takes.
    """
    options = {"stride": stride, "batch_size": batch_size}
    nats, n_tokens, _ = _measure(model, tokenizer, texts, start_id, options)
    return math.exp(nats / n_tokens)


def compressed_bits_per_byte(
    texts: str | Iterable[str], *, given: str | Iterable[str] = ()
) -> float:
    """Measure how many bits a file compressor needs for each byte of texts.

    The compressor is that of ``xz --extreme``, with a memory that holds everything. With `given`,
    it may look back on those texts as well, as a model has learned from them: counted is only by
    how much the packed file grows when `texts` follow. Raises ``ValueError`` for no text.
    """
    before = "".join(each_text(given)).encode("utf-8")
    content = "".join(each_text(texts)).encode("utf-8")
    if not content:
        raise ValueError("there is no text to measure; give at least one that is not empty")
    size = max(len(before) + len(content), 4096)  # the least that the format allows
    options = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": size}

    def packed(content: bytes) -> int:
        return len(lzma.compress(content, format=lzma.FORMAT_XZ, filters=[options]))

    grown = packed(before + content) - (packed(before) if before else 0)
    return 8 * grown / len(content)
