"""How long does training BPE take, and how much quicker is it than counting every pair again?

All in one thread: the plain version of the tests (every pair counted again before each merge) and
the trainer of the `tokenizers` library, written in Rust, on the same texts and as many merges.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from measure import Row, best_seconds, seconds

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from text.plain_bpe import merged_bytes, plain_merges
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from llmlab.data import shakespeare
from llmlab.text import train_bpe

VOCAB_SIZE = 4_096
LIMIT_S = 25
SMALL_SIZE = 1_024  # for which the plain version needs about a minute
SMALL_TEXT = 200_000
TIMES_FASTER = 50


def rows() -> list[Row]:
    """Time each several times, the shortest counts, but the plain version once."""
    plays = list(shakespeare().values())
    small = ["".join(plays)[:SMALL_TEXT]]
    whole, library = float("inf"), float("inf")
    for _ in range(3):  # in turns, so that a busy moment hits both
        whole = min(whole, seconds(lambda: train_bpe(plays, VOCAB_SIZE, progress=False)))
        library = min(library, seconds(lambda: _train_with_library(plays, VOCAB_SIZE)))
    ours = best_seconds(lambda: train_bpe(small, SMALL_SIZE, progress=False), repeats=5)
    merges = []
    plain = seconds(lambda: merges.extend(plain_merges(small, SMALL_SIZE - 256)))
    tokens = train_bpe(small, SMALL_SIZE, progress=False).token_bytes
    assert tokens[256:] == merged_bytes(merges), "the two versions learned different merges"
    return [
        Row(
            what=f"training BPE, {VOCAB_SIZE:,} tokens, 5 MB of Shakespeare, one thread",
            measured=f"{whole:.1f} s (`tokenizers`, written in Rust: {library:.1f} s)",
            target=f"<= {LIMIT_S} s",
            met=whole <= LIMIT_S,
        ),
        Row(
            what=f"the same, {SMALL_SIZE:,} tokens, 200 kB, against counting all pairs again",
            measured=f"{plain / ours:.0f} times ({ours:.2f} against {plain:.1f} s)",
            target=f">= {TIMES_FASTER} times",
            met=plain / ours >= TIMES_FASTER,
        ),
    ]


def _train_with_library(texts: list[str], vocab_size: int) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)


if __name__ == "__main__":
    print(*(row.markdown() for row in rows()), sep="\n")
