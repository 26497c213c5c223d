"""Train byte-level BPE: the most frequent pair of neighbours becomes one token, again and again.

The corpus is cut into pieces once (words, mostly), and equal pieces are kept once, with their
number. A merge touches only the pieces that hold its pair; the counts of all other pairs stay as
they are. That makes it some hundred times faster than counting every pair again for each merge.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import regex

from llmlab.text.inputs import each_text, utf8, whole_number
from llmlab.text.tokenizers import GPT2_PATTERN, BPETokenizer, bytes_to_token

Pair = tuple[int, int]


def train_bpe(
    texts: str | Iterable[str],
    vocab_size: int,
    *,
    pattern: str = GPT2_PATTERN,
    special: Iterable[str] = (),
    name: str = "bpe",
    progress: bool = True,
) -> BPETokenizer:
    """Learn a byte-level BPE vocabulary of exactly `vocab_size` tokens from texts.

    Ids 0 to 255 are the bytes, then come the merges in the order in which they were learned, then
    the `special` tokens, which are never learned from. Every merge joins the pair of neighbours
    that occurs most often, with ``aaa`` holding the pair ``aa`` twice; of equally frequent pairs,
    the one with the lower ids. No token crosses the end of a piece that `pattern` cuts.

    Raises ``ValueError`` when `vocab_size` is below 256 and the special tokens, when the texts
    run out of pairs before it is reached, and for a lone surrogate, which is no text.

    Source: Sennrich et al. 2016, section 3.2; on bytes: Radford et al. 2019, section 2.2.
    """
    special = [special] if isinstance(special, str) else list(special)
    if not all(map(utf8, special)):
        raise ValueError("a special token cannot be empty; give a name such as '<|endoftext|>'")
    vocab_size = whole_number(vocab_size, "vocab_size", least=256 + len(special))
    n_merges = vocab_size - 256 - len(special)
    tokens = [bytes([byte]) for byte in range(256)]
    _tokenizer(tokens, special, pattern, name)  # refuses a bad pattern or name before the work
    pieces = count_pieces(texts, pattern)
    with _progress_bar(n_merges, progress) as bar:
        for left, right in learn_merges(pieces, n_merges):
            tokens.append(tokens[left] + tokens[right])
            if bytes_to_token(tokens[-1]) in special:
                raise ValueError(
                    f"{bytes_to_token(tokens[-1])!r} occurs in the texts so often that it is "
                    "learned as a token; give the special token another name"
                )
            bar.update()
    missing = 256 + n_merges - len(tokens)
    if missing:
        raise ValueError(
            f"vocab_size={vocab_size:,} needs {n_merges:,} merges, but after "
            f"{n_merges - missing:,} these texts have no pair left; give more text, or "
            f"vocab_size={vocab_size - missing}"
        )
    return _tokenizer(tokens, special, pattern, name)


def count_pieces(texts: str | Iterable[str], pattern: str = GPT2_PATTERN) -> Counter[bytes]:
    """Cut texts into pieces and count how often each occurs.

    `regex` cuts here and tiktoken when texts are encoded. They agree on every character but the
    newest, which only the one with the later Unicode tables knows as a letter.
    """
    cut = _compiled(pattern)
    pieces: Counter[str] = Counter()
    for text in each_text(texts):
        utf8(text)  # refuses what is no text
        found = Counter(match.group() for match in cut.finditer(text))
        if sum(len(piece) * number for piece, number in found.items()) != len(text):
            raise ValueError(
                f"the pattern finds no piece for {cut.sub('', text)[:1]!r}, which would be lost; "
                r"add what is missing to the pattern, for example |\s+|."
            )
        pieces.update(found)
    return Counter({piece.encode("utf-8"): number for piece, number in pieces.items()})


def learn_merges(pieces: Mapping[bytes, int], n_merges: int) -> Iterator[Pair]:
    """Yield the pairs to merge, best first, fewer than `n_merges` if no pair is left.

    Ids 0 to 255 are bytes; the pair that is yielded first becomes 256, the next one 257.
    """
    words = [list(piece) for piece in pieces]
    numbers = list(pieces.values())
    counts: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)  # pair -> places in `words`
    for place, (ids, number) in enumerate(zip(words, numbers, strict=True)):
        for pair in pairwise(ids):
            counts[pair] += number
            holders[pair].add(place)

    # Python's heap gives the smallest entry first: the highest count, then the lowest ids.
    # An entry is never changed, only passed over once it no longer tells the pair's count.
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    for new_id in range(256, 256 + n_merges):
        best = _pop_best(heap, counts)
        if best is None:
            return
        yield best
        changes: Counter[Pair] = Counter()
        for place in holders.pop(best):
            before, after = words[place], merge(words[place], best, new_id)
            words[place] = after
            for pair in pairwise(before):
                changes[pair] -= numbers[place]
            for pair in pairwise(after):
                changes[pair] += numbers[place]
                if new_id in pair:
                    holders[pair].add(place)
        for pair, change in changes.items():
            if change:
                counts[pair] += change
                heapq.heappush(heap, (-counts[pair], pair))


def merge(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """Replace a pair of neighbours by one id, from left to right.

    >>> merge([1, 1, 1, 2], (1, 1), 256)
    [256, 1, 2]
    """
    merged, place = [], 0
    while place < len(ids):
        found = ids[place] == pair[0] and tuple(ids[place : place + 2]) == pair
        merged.append(new_id if found else ids[place])
        place += 2 if found else 1
    return merged


def _pop_best(heap: list[tuple[int, Pair]], counts: Counter[Pair]) -> Pair | None:
    while heap:
        count, pair = heapq.heappop(heap)
        if -count == counts[pair] > 0:
            return pair
    return None


def _tokenizer(tokens: list[bytes], special: list[str], pattern: str, name: str) -> BPETokenizer:
    names = [*map(bytes_to_token, tokens), *special]
    return BPETokenizer(names, pattern=pattern, special=special, name=name)


def _compiled(pattern: str) -> regex.Pattern[str]:
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"pattern={pattern!r} is no regular expression: {error}") from None


def _progress_bar(n_merges: int, progress: bool):
    from tqdm import tqdm

    return tqdm(total=n_merges, desc="learning merges", unit=" merges", disable=not progress)
