"""Batches to learn from: pairs of texts, packed text, and texts with only some tokens marked.

B batch, S source position, T target position
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from llmlab.text.inputs import whole_number

# The target of a position from which nothing is learned: padding, or the user's part of a chat.
IGNORE = -100

# So many batches are sorted by length together. More would save little padding, and would put
# the same examples side by side in every epoch.
_POOL = 50


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step learns from: ``model(*inputs)`` gives a score for each of the targets.

    `targets_BT` holds token ids, and `IGNORE` where nothing is to be learned. `n_targets` counts
    the others, `n_tokens` the real tokens that the model reads, without padding; when left out,
    they are counted, and every position of the inputs counts as real.
    """

    inputs: tuple[Tensor, ...]
    targets_BT: Tensor
    n_targets: int | None = None
    n_tokens: int | None = None

    def __post_init__(self):
        # counted once, where the batch is made: on a GPU the question would wait for the answer
        if self.n_targets is None:
            object.__setattr__(self, "n_targets", int((self.targets_BT != IGNORE).sum()))
        if self.n_tokens is None:
            object.__setattr__(self, "n_tokens", sum(ids.numel() for ids in self.inputs))

    def to(self, device: str | torch.device) -> Batch:
        """Give the same batch on a device."""
        inputs = tuple(tensor.to(device) for tensor in self.inputs)
        return Batch(inputs, self.targets_BT.to(device), self.n_targets, self.n_tokens)

    def rows(self, start: int, stop: int) -> Batch:
        """Give some of the rows; of none, one row from which nothing is to be learned."""
        if start == stop:
            inputs = tuple(tensor[:1] for tensor in self.inputs)
            return Batch(inputs, torch.full_like(self.targets_BT[:1], IGNORE), 0, 0)
        inputs = tuple(tensor[start:stop] for tensor in self.inputs)
        return Batch(inputs, self.targets_BT[start:stop])


class Batches(Iterator[Batch]):
    """An endless row of batches, epoch after epoch, in an order that depends on the seed alone.

    `position` says how many batches have been given out; `seek` goes to any position at once, so
    that a run that was interrupted meets the batches it would have met. `fingerprint` tells the
    data and settings apart from any others.
    """

    def __init__(
        self,
        plan: Callable[[Shuffler], Sequence],
        make: Callable[..., Batch],
        *,
        n_per_epoch: int,
        seed: int,
        settings: tuple,
        arrays: tuple[np.ndarray, ...],
    ):
        self._plan, self._make = plan, make
        self._seed = whole_number(seed, "seed", least=0)
        self._settings, self._arrays = settings, arrays
        self.n_per_epoch = n_per_epoch
        self.position = 0
        self._planned: tuple[int, Sequence] = (-1, ())
        self._fingerprint: str | None = None

    @property
    def epoch(self) -> int:
        """Which epoch the next batch belongs to, counted from 0."""
        return self.position // self.n_per_epoch

    @property
    def fingerprint(self) -> str:
        """A short hash of the data and the settings, the same on every machine."""
        if self._fingerprint is None:
            digest = hashlib.sha256(repr((*self._settings, self._seed)).encode("utf-8"))
            for array in self._arrays:
                digest.update(f"{array.size}:".encode())
                digest.update(array.astype("<i8").tobytes())
            self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint

    def seek(self, position: int) -> None:
        """Go on as if `position` batches had been given out; costs nothing much."""
        self.position = whole_number(position, "position", least=0)

    def __next__(self) -> Batch:
        epoch, place = divmod(self.position, self.n_per_epoch)
        if self._planned[0] != epoch:
            self._planned = epoch, self._plan(Shuffler(self._seed, epoch))
        self.position += 1
        return self._make(self._planned[1][place])

    def __repr__(self) -> str:
        return f"<Batches {self.fingerprint}, {self.n_per_epoch:,} an epoch, at {self.position:,}>"


class Shuffler:
    """Random orders that depend on a seed and an epoch and on nothing else.

    They come from the raw numbers of PCG64, which NumPy promises never to change; its ready-made
    shuffles may differ between versions.
    """

    def __init__(self, seed: int, epoch: int):
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, epoch]))

    def order(self, n: int) -> np.ndarray:
        """Give the numbers from 0 to n - 1 in a random order."""
        return np.argsort(self._bits.random_raw(n), kind="stable")

    def whole(self, low: int, high: int) -> int:
        """Draw a number from `low` to `high`, both possible."""
        return low + int(self._bits.random_raw()) % (high - low + 1)


class _Texts:
    """Many texts of ids in one array, of which any rows are quickly made into a batch."""

    def __init__(self, texts: Sequence[Sequence[int]], what: str):
        texts = [_listed(text, what, number) for number, text in enumerate(texts)]
        self.lengths = np.fromiter(map(len, texts), np.int64, count=len(texts))
        self.starts = np.cumsum(self.lengths) - self.lengths
        # looking at the kinds first is quick; the wrong one is looked for only when there is one
        kinds = set(map(type, chain.from_iterable(texts)))
        if any(issubclass(kind, bool) or not _whole_kind(kind) for kind in kinds):
            _refuse_first(texts, what, lambda ids: not all(map(_is_whole, ids)))
        try:
            total = int(self.lengths.sum())
            self.ids = np.fromiter(chain.from_iterable(texts), np.int64, count=total)
        except OverflowError:
            _refuse_first(texts, what, lambda ids: any(not 0 <= n < 2**63 for n in ids))
        if self.ids.size and self.ids.min() < 0:
            _refuse_first(texts, what, lambda ids: min(ids, default=0) < 0)

    def padded(self, rows: np.ndarray, fill: int, *, skip: int = 0) -> np.ndarray:
        """Give some texts, less their first `skip` ids, as a matrix filled up on the right."""
        return pad(self.ids, self.starts[rows] + skip, self.lengths[rows] - skip, fill)


def pad(ids: np.ndarray, starts: np.ndarray, lengths: np.ndarray, fill: int) -> np.ndarray:
    """Copy pieces of a long array into the rows of a matrix, filled up on the right."""
    matrix = np.full((len(lengths), int(lengths.max(initial=0))), fill, dtype=np.int64)
    ends = np.cumsum(lengths)
    within = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    matrix[np.arange(matrix.shape[1]) < lengths[:, None]] = ids[np.repeat(starts, lengths) + within]
    return matrix


def _listed(text: Sequence[int], what: str, number: int) -> Sequence[int]:
    if hasattr(text, "tolist"):  # a tensor or an array: its elements are slow to take one by one
        text = text.tolist()
    if isinstance(text, str | bytes) or not isinstance(text, Sequence):
        raise ValueError(
            f"{what} {number} is {text!r:.40}, a {type(text).__name__}, not a list of token ids; "
            "encode it first: tokenizer.encode(text)"
        )
    return text


def _whole_kind(kind: type) -> bool:
    return issubclass(kind, int | np.integer)


def _is_whole(value: object) -> bool:
    return _whole_kind(type(value)) and not isinstance(value, bool)


def _refuse_first(texts: list, what: str, is_wrong: Callable[[Sequence], bool]):
    number = next(place for place, ids in enumerate(texts) if is_wrong(ids))
    wrong = next(value for value in texts[number] if is_wrong([value]))
    raise ValueError(
        f"{what} {number} holds {wrong!r:.40}, which is no token id; "
        "ids are whole numbers from 0 up: encode texts with tokenizer.encode(text)"
    )


def _some(examples: Iterable, what: str) -> list:
    if isinstance(examples, str | bytes | Mapping) or not isinstance(examples, Iterable):
        raise ValueError(f"{type(examples).__name__} is not a list of {what}; give a list")
    examples = list(examples)
    if not examples:
        raise ValueError(f"there are no {what}; give at least one")
    return examples


def _halves(examples: list, what: str, names: str) -> tuple[tuple, tuple]:
    for number, example in enumerate(examples):
        if isinstance(example, str) or not hasattr(example, "__len__") or len(example) != 2:
            raise ValueError(f"{what} {number} is {example!r:.60}; give two things: {names}")
    return tuple(zip(*examples, strict=True))


def _refuse_where(wrong: np.ndarray, message: str) -> None:
    """Raise ``ValueError`` with the number of the first example for which `wrong` is true."""
    if wrong.any():
        raise ValueError(message.format(int(np.argmax(wrong))))


def by_length(lengths: tuple[np.ndarray, ...], batch_size: int) -> Callable[[Shuffler], list]:
    """Make a plan of an epoch in which examples of similar length share a batch.

    All examples are shuffled and taken in pools of 50 batches; each pool is sorted by `lengths`,
    the first being the most important, and cut; then the batches are shuffled.
    """

    def plan(shuffler: Shuffler) -> list[np.ndarray]:
        order = shuffler.order(len(lengths[0]))
        batches = []
        for start in range(0, len(order), _POOL * batch_size):
            pool = order[start : start + _POOL * batch_size]
            pool = pool[np.lexsort([length[pool] for length in reversed(lengths)])]
            batches += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
        return [batches[place] for place in shuffler.order(len(batches))]

    return plan


def pair_batches(
    pairs: Iterable[tuple[Sequence[int], Sequence[int]]],
    *,
    batch_size: int,
    pad_id: int,
    start_id: int,
    end_id: int,
    seed: int = 0,
) -> Batches:
    """Make batches of (source, target) pairs of ids; every pair comes once an epoch.

    The inputs are ``source_BS`` and ``start_id`` + target, the targets are target + ``end_id``:
    at each position the decoder has read the target so far and learns its next token. Short texts
    are filled up on the right with `pad_id`, of which nothing is learned; pairs of similar length
    share a batch, so there is little of it. The last batch of an epoch's cut may be smaller.

    Raises ``ValueError`` for no pairs, an empty text, and ids that are none or are `pad_id`.
    """
    batch_size = whole_number(batch_size, "batch_size", least=1)
    pad_id = whole_number(pad_id, "pad_id", least=0)
    start_id = whole_number(start_id, "start_id", least=0)
    end_id = whole_number(end_id, "end_id", least=0)
    halves = _halves(_some(pairs, "pairs"), "pair", "the ids of the source and of the target")
    sources, targets = (
        _Texts(halves[0], "the source of pair"),
        _Texts(halves[1], "the target of pair"),
    )
    for texts, side in ((sources, "source"), (targets, "target")):
        _refuse_where(texts.lengths == 0, f"the {side} of pair {{}} is empty; leave this pair out")
        padded = np.add.reduceat(texts.ids == pad_id, texts.starts) > 0
        _refuse_where(
            padded,
            f"the {side} of pair {{}} holds pad_id={pad_id}, which the model takes for padding; "
            "give an id that no text has",
        )

    def make(rows: np.ndarray) -> Batch:
        lengths = targets.lengths[rows]
        learned_BT = _with_one_more(targets.padded(rows, IGNORE), IGNORE)
        learned_BT[np.arange(len(rows)), lengths] = end_id
        read_BT = np.empty_like(learned_BT)
        read_BT[:, 0] = start_id
        read_BT[:, 1:] = targets.padded(rows, pad_id)
        n_targets = int(lengths.sum()) + len(rows)
        n_tokens = int(sources.lengths[rows].sum()) + n_targets
        inputs = torch.from_numpy(sources.padded(rows, pad_id)), torch.from_numpy(read_BT)
        return Batch(inputs, torch.from_numpy(learned_BT), n_targets, n_tokens)

    n = len(sources.lengths)
    return Batches(
        by_length((targets.lengths, sources.lengths), batch_size),
        make,
        n_per_epoch=-(-n // batch_size),
        seed=seed,
        settings=("pairs", batch_size, pad_id, start_id, end_id),
        arrays=(sources.lengths, sources.ids, targets.lengths, targets.ids),
    )


def _with_one_more(matrix: np.ndarray, fill: int) -> np.ndarray:
    return np.pad(matrix, ((0, 0), (0, 1)), constant_values=fill)


def packed_batches(
    ids: Sequence[int] | Sequence[Sequence[int]],
    *,
    context: int,
    batch_size: int,
    seed: int = 0,
) -> Batches:
    """Cut a long text into pieces of `context` tokens; each token learns to tell the next.

    `ids` is one text, or a list of texts, which are joined as they are (end each with the
    tokenizer's mark for it). The input is ``ids_BT``, the targets are the same moved by one.
    Every token but the very first, which nothing precedes, is a target exactly once an epoch.
    Each epoch cuts at other places; the short pieces at the two ends are filled up on the right.

    Raises ``ValueError`` for a text of fewer than `context` + 1 tokens.
    """
    context = whole_number(context, "context", least=1)
    batch_size = whole_number(batch_size, "batch_size", least=1)
    given = ids.tolist() if hasattr(ids, "tolist") else ids
    given = _some(given, "token ids")
    one = not isinstance(given[0], Sequence) and not hasattr(given[0], "tolist")
    one = one or isinstance(given[0], np.integer)
    tokens = _Texts([given] if one else given, "text").ids
    n_learned = len(tokens) - 1
    if n_learned < context:
        raise ValueError(
            f"the text has {len(tokens):,} tokens, and one piece needs context={context} and one "
            f"more to tell; give a longer text or use context={max(n_learned, 1)}"
        )
    firsts, n_pieces = _first_pieces(n_learned, context)

    def plan(shuffler: Shuffler) -> list[tuple[np.ndarray, np.ndarray]]:
        first = shuffler.whole(*firsts)
        starts = np.concatenate(([0], np.arange(first, n_learned, context)))
        lengths = np.diff(np.append(starts, n_learned))
        order = shuffler.order(n_pieces)
        rows = [order[at : at + batch_size] for at in range(0, n_pieces, batch_size)]
        return [(starts[row], lengths[row]) for row in rows]

    def make(pieces: tuple[np.ndarray, np.ndarray]) -> Batch:
        starts, lengths = pieces
        n = int(lengths.sum())
        read_BT = torch.from_numpy(pad(tokens, starts, lengths, 0))
        return Batch((read_BT,), torch.from_numpy(pad(tokens, starts + 1, lengths, IGNORE)), n, n)

    return Batches(
        plan,
        make,
        n_per_epoch=-(-n_pieces // batch_size),
        seed=seed,
        settings=("packed", context, batch_size),
        arrays=(tokens,),
    )


def _first_pieces(n_learned: int, context: int) -> tuple[tuple[int, int], int]:
    """Choose how long the first piece may be, so that every epoch has equally many pieces.

    The other pieces have `context` tokens but the last. With q full pieces and r tokens over, a
    first piece of at least r makes q + 1 pieces, a shorter one q + 2; the wider choice is taken.
    """
    full, over = divmod(n_learned, context)
    if context == 1:
        return (1, 1), full
    if 2 * over > context:
        return (1, over - 1), full + 2
    return (max(over, 1), context - 1), full + 1


def masked_batches(
    examples: Iterable[tuple[Sequence[int], Sequence[bool]]],
    *,
    batch_size: int,
    pad_id: int,
    seed: int = 0,
) -> Batches:
    """Make batches of texts of which only the marked tokens are learned: a loss mask.

    An example is (ids, learn), with ``learn[i]`` true where ``ids[i]`` is a token the model shall
    learn to write, such as the answer in a chat; the others it only reads. The input is
    ``ids_BT``, filled up on the right with `pad_id`, which a causal model never looks at.

    Raises ``ValueError`` for no examples, marks that do not fit the ids, an example without a
    mark, and one whose first token is marked, which nothing precedes.
    """
    batch_size = whole_number(batch_size, "batch_size", least=1)
    pad_id = whole_number(pad_id, "pad_id", least=0)
    halves = _halves(_some(examples, "examples"), "example", "the ids and which of them to learn")
    texts = _Texts(halves[0], "example")
    marks = _marks(halves[1], texts)
    learned = np.where(marks, texts.ids, IGNORE)
    _refuse_where(
        np.add.reduceat(marks, texts.starts) == 0,
        "example {} has no token to learn; mark at least one, or leave the example out",
    )
    _refuse_where(
        marks[texts.starts],
        "the first token of example {} is marked, but nothing precedes it from which the model "
        "could tell it; begin the text with a start token",
    )

    def make(rows: np.ndarray) -> Batch:
        starts, lengths = texts.starts[rows], texts.lengths[rows] - 1
        read_BT = torch.from_numpy(pad(texts.ids, starts, lengths, pad_id))
        learned_BT = torch.from_numpy(pad(learned, starts + 1, lengths, IGNORE))
        return Batch((read_BT,), learned_BT, n_tokens=int(lengths.sum()))

    return Batches(
        by_length((texts.lengths,), batch_size),
        make,
        n_per_epoch=-(-len(texts.lengths) // batch_size),
        seed=seed,
        settings=("masked", batch_size, pad_id),
        arrays=(texts.lengths, texts.ids, marks),
    )


def _marks(learn: tuple, texts: _Texts) -> np.ndarray:
    learn = [_listed(marks, "the marks of example", number) for number, marks in enumerate(learn)]
    lengths = np.fromiter(map(len, learn), np.int64, count=len(learn))
    _refuse_where(texts.lengths == 0, "example {} is empty; leave it out")
    _refuse_where(
        lengths != texts.lengths,
        "the marks of example {} are not as many as its ids; give one True or False for each id",
    )
    if not set(map(type, chain.from_iterable(learn))) <= {bool, np.bool_}:
        wrong = (not all(isinstance(mark, bool | np.bool_) for mark in marks) for marks in learn)
        number = next(place for place, is_wrong in enumerate(wrong) if is_wrong)
        raise ValueError(
            f"the marks of example {number} are not all True or False; give one for each id"
        )
    return np.fromiter(chain.from_iterable(learn), np.bool_, count=int(lengths.sum()))
