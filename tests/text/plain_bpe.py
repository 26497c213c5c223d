"""Byte-level BPE as its definition says it: count every pair again before each merge.

The oracle of `train_bpe`, in its tests and in the benchmark.
"""

from itertools import pairwise

import regex

from llmlab.text.tokenizers import GPT2_PATTERN


def plain_merges(texts, n_merges, pattern=GPT2_PATTERN):
    """Give the pairs of ids that are merged, in their order; fewer when no pair is left."""
    pieces = [list(piece.encode()) for text in texts for piece in regex.findall(pattern, text)]
    merges = []
    for new_id in range(256, 256 + n_merges):
        counts = {}
        for piece in pieces:
            for pair in pairwise(piece):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        pieces = [replaced(piece, best, new_id) for piece in pieces]
        merges.append(best)
    return merges


def replaced(piece, pair, new_id):
    after = []
    for token_id in piece:
        # a new id is never part of the pair, so what it swallowed cannot be merged once more
        if after and (after[-1], token_id) == pair:
            after[-1] = new_id
        else:
            after.append(token_id)
    return after


def merged_bytes(merges):
    """Give the bytes of every token that these merges make, from id 256 up."""
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return tokens[256:]


def encode_by_hand(text, merges, pattern=GPT2_PATTERN):
    """Apply the merges to a text, one after another."""
    pieces = [list(piece.encode()) for piece in regex.findall(pattern, text)]
    for place, pair in enumerate(merges):
        pieces = [replaced(piece, pair, 256 + place) for piece in pieces]
    return [token_id for piece in pieces for token_id in piece]
