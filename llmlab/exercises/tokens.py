"""The exercises of notebook 2: tokens."""

from __future__ import annotations

import string
from collections import Counter

import numpy as np

from llmlab.exercises.exercise import Exercise
from llmlab.text.bpe import merge

# --- the most frequent pair --------------------------------------------------------------------

most_frequent_pair = Exercise(
    "tokens.most_frequent_pair",
    prompt="""
**1. The most frequent pair.** Training BPE starts with a question: which two tokens stand next to
each other most often? The text has been cut into pieces, each a list of ids, and no pair goes
from one piece into the next. When two pairs are equally frequent, take the one with the lower ids
(the smaller tuple: `(1, 5)` before `(2, 0)`).

`[5, 5, 5]` holds the pair `(5, 5)` twice. For `[[7, 8, 7, 8], [8, 7]]` the answer is `(7, 8)`: it
occurs twice, as does `(8, 7)`, but it is lower.
""",
    stub='''
def my_most_frequent_pair(pieces):
    """Return the pair of ids that occurs most often inside the pieces."""
    return ...
''',
    hints=(
        "zip(piece, piece[1:]) gives the pairs of one piece. Count those of all pieces together.",
        "A Counter from the module collections counts what you give to its update method.",
        "min(counts, key=lambda pair: (-counts[pair], pair)): the highest count first, then the "
        "lower ids.",
    ),
    fixed=(
        ([[1, 2]],),
        ([[3, 4], [1, 2]],),
        ([[5, 5, 5], [5, 6, 5, 6]],),
        ([[7, 8, 7, 8], [8, 7]],),
        ([[1, 2], [3, 1], [2, 3], [1, 4], [4, 2], [4, 2]],),
        ([[9], [2, 1, 2, 1]],),
    ),
)


@most_frequent_pair.reference
def my_most_frequent_pair(pieces):
    counts = Counter()
    for piece in pieces:
        counts.update(zip(piece, piece[1:]))  # the last id starts no pair
    return min(counts, key=lambda pair: (-counts[pair], pair))


@most_frequent_pair.fresh
def random_pieces(rng: np.random.Generator, size: int):
    lengths = [2, *rng.integers(1, size + 3, size)]
    return ([[int(n) for n in rng.integers(0, 3, length)] for length in lengths],)


def _pairs(pieces):
    return Counter(pair for piece in pieces for pair in zip(piece, piece[1:]))


@most_frequent_pair.wrong(
    "When pairs are equally frequent, you take the one that comes first in the text; take the one "
    "with the lower ids."
)
def first_of_equals(pieces):
    return _pairs(pieces).most_common(1)[0][0]


@most_frequent_pair.wrong(
    "When pairs are equally frequent, you take the one with the higher ids; take the lower."
)
def highest_of_equals(pieces):
    counts = _pairs(pieces)
    return max(counts, key=lambda pair: (counts[pair], pair))


@most_frequent_pair.wrong(
    "You count pairs that go from one piece into the next; a pair has to stand inside one piece."
)
def across_pieces(pieces):
    counts = _pairs([[id for piece in pieces for id in piece]])
    return min(counts, key=lambda pair: (-counts[pair], pair))


@most_frequent_pair.wrong(
    "You return the pair together with its count; return the pair alone (and with equal counts, "
    "the one with the lower ids)."
)
def with_count(pieces):
    return _pairs(pieces).most_common(1)[0]


@most_frequent_pair.wrong("You return the pair together with its count; return the pair alone.")
def right_pair_with_count(pieces):
    counts = _pairs(pieces)
    return min(counts.items(), key=lambda item: (-item[1], item[0]))


@most_frequent_pair.wrong("You return how often the pair occurs; return the pair itself.")
def the_count(pieces):
    return max(_pairs(pieces).values())


@most_frequent_pair.wrong(
    "You cut each piece into pairs side by side (1st and 2nd, 3rd and 4th …) and miss those in "
    "between (2nd and 3rd …)."
)
def side_by_side(pieces):
    counts = Counter(pair for piece in pieces for pair in zip(piece[::2], piece[1::2]))
    return min(counts, key=lambda pair: (-counts[pair], pair))


@most_frequent_pair.wrong(
    "You return the two ids that are most frequent each for itself; count pairs of neighbours."
)
def single_ids(pieces):
    counts = Counter(id for piece in pieces for id in piece)
    return tuple(sorted(counts, key=lambda id: (-counts[id], id))[:2])


@most_frequent_pair.law
def is_a_pair(given, pieces):
    if not isinstance(given, list | tuple) or len(given) != 2:
        return "Return one pair: a tuple of two ids."
    if tuple(given) not in _pairs(pieces):
        return "The two ids that you return never follow each other, in this order, in a piece."
    return None


# --- a merge -----------------------------------------------------------------------------------

apply_merge = Exercise(
    "tokens.apply_merge",
    prompt="""
**2. A merge.** Replace every occurrence of a pair by one new id. Go from left to right; an id
that has been used up in one merge is not there for the next, so `[5, 5, 5]` with the pair `(5,
5)` and the new id 9 becomes `[9, 5]`. Leave the list that you are given as it is, and return a
new one.
""",
    stub='''
def my_apply_merge(ids, pair, new_id):
    """Return the ids with every occurrence of the pair replaced by new_id."""
    return ...
''',
    hints=(
        "Walk through the list with a place n that you move on yourself (a while loop): by two "
        "after a merge, by one otherwise.",
        "At place n the pair is there if tuple(ids[n : n + 2]) == pair.",
        "Start with merged = [] and n = 0, and append either new_id or ids[n] in each step.",
    ),
    fixed=(
        ([], (1, 2), 9),
        ([1], (1, 2), 9),
        ([1, 2], (1, 2), 9),
        ([2, 1], (1, 2), 9),
        ([1, 2, 3], (1, 2), 9),
        ([3, 1, 2], (1, 2), 9),
        ([5, 5, 5], (5, 5), 9),
        ([1, 2, 1, 2, 1], (1, 2), 9),
        ([1, 1, 2, 2], (1, 2), 9),
        ([5, 5, 5, 5, 1, 5, 5], (5, 5), 9),
    ),
)


@apply_merge.reference
def my_apply_merge(ids, pair, new_id):
    merged = []
    n = 0
    while n < len(ids):
        if tuple(ids[n : n + 2]) == tuple(pair):
            merged.append(new_id)
            n += 2
        else:
            merged.append(ids[n])
            n += 1
    return merged


@apply_merge.fresh
def random_ids(rng: np.random.Generator, size: int):
    ids = [int(n) for n in rng.integers(1, 3, 2 * size)]
    return ids, (int(rng.integers(1, 3)), int(rng.integers(1, 3))), 9


@apply_merge.wrong("You leave out the last id when no merge ends the list.")
def stops_one_short(ids, pair, new_id):
    merged, n = [], 0
    while n < len(ids) - 1:
        found = tuple(ids[n : n + 2]) == pair
        merged.append(new_id if found else ids[n])
        n += 2 if found else 1
    return merged


@apply_merge.wrong(
    "You move on by one after a merge, so the second half of the pair is still there; move on by "
    "two. (In a for loop, changing n has no effect; use while.)"
)
def keeps_the_right_half(ids, pair, new_id):
    return [new_id if tuple(ids[n : n + 2]) == pair else ids[n] for n in range(len(ids))]


@apply_merge.wrong("You replace the first occurrence only; replace every one.")
def first_only(ids, pair, new_id):
    for n in range(len(ids) - 1):
        if tuple(ids[n : n + 2]) == pair:
            return [*ids[:n], new_id, *ids[n + 2 :]]
    return list(ids)


@apply_merge.wrong(
    "You merge from right to left; it shows when the pair is twice the same id. Begin at the left."
)
def right_to_left(ids, pair, new_id):
    turned = my_apply_merge(ids[::-1], (pair[1], pair[0]), new_id)
    return turned[::-1]


@apply_merge.wrong(
    "You change the list that you are given; whoever called you still needs it. Build a new one."
)
def in_place(ids, pair, new_id):
    n = 0
    while n < len(ids) - 1:
        if (ids[n], ids[n + 1]) == pair:
            ids[n : n + 2] = [new_id]
        n += 1
    return ids


@apply_merge.wrong(
    "You never merge anything. Perhaps you compare a list with a tuple? Those are never equal: "
    "make both tuples."
)
def never(ids, pair, new_id):
    return list(ids)


@apply_merge.wrong("You merge the two ids in either order; the left one has to come first.")
def either_order(ids, pair, new_id):
    merged, n = [], 0
    while n < len(ids):
        found = sorted(ids[n : n + 2]) == sorted(pair)
        merged.append(new_id if found else ids[n])
        n += 2 if found else 1
    return merged


@apply_merge.wrong("You add the new id, but do not take the pair away.")
def adds_only(ids, pair, new_id):
    merged = []
    for n, id in enumerate(ids):
        merged.append(id)
        if n and (ids[n - 1], id) == pair:
            merged.append(new_id)
    return merged


# --- encoding ----------------------------------------------------------------------------------

encode = Exercise(
    "tokens.encode",
    prompt="""
**3. Encoding.** Turn a text into ids with merges that somebody has trained. Start with the bytes
of its UTF-8 form; then carry out the merges, in the order in which they were learned: merge
number 0 makes id 256, merge number 1 makes id 257, and so on. (Leave out the cutting into pieces
this time. You may use your function of exercise 2.)

With `merges = [(104, 105), (256, 33)]`, the text `"hi!"` has the bytes `[104, 105, 33]`, which
become `[256, 33]` and then `[257]`.
""",
    stub='''
def my_encode(text, merges):
    """Return the ids of a text; merges lists pairs of ids as they were learned."""
    return ...
''',
    hints=(
        'list(text.encode("utf-8")) gives the bytes of a text as numbers.',
        "for n, pair in enumerate(merges): merge number n makes id 256 + n.",
        "In the loop: ids = my_apply_merge(ids, pair, 256 + n), with your function of exercise 2.",
    ),
    fixed=(
        ("", [(104, 105)]),
        ("hi!", []),
        ("hi!", [(104, 105), (256, 33)]),
        ("é", [(195, 169)]),
        ("aaab", [(97, 98), (97, 97), (257, 256)]),
        ("abab", [(97, 98), (256, 256)]),
        ("abc", [(98, 99), (97, 98)]),
        ("ab", [(120, 121), (97, 98)]),
        ("abcbc", [(97, 98), (98, 99), (256, 257)]),
    ),
)


@encode.reference
def my_encode(text, merges):
    ids = list(text.encode("utf-8"))
    for number, (left, right) in enumerate(merges):
        merged = []
        n = 0
        while n < len(ids):
            if ids[n : n + 2] == [left, right]:
                merged.append(256 + number)
                n += 2
            else:
                merged.append(ids[n])
                n += 1
        ids = merged
    return ids


@encode.fresh
def random_text(rng: np.random.Generator, size: int):
    text = "".join(rng.choice(list("abé"), size + 2))
    known = list(text.encode("utf-8"))
    merges = []
    for n in range(size):
        pairs = sorted({*zip(known, known[1:])}) or [(97, 97)]
        pair = pairs[int(rng.integers(len(pairs)))]
        if rng.random() < 0.2:
            pair = (120, 121 + n)  # a merge that this text has no use for
        merges.append(pair)
        known = merge(known, pair, 256 + n)
    return text, merges


@encode.wrong(
    "You start with ord(character), the numbers of the characters; a character such as é has more "
    'than one byte. Start with text.encode("utf-8").'
)
def code_points(text, merges):
    ids = [ord(character) for character in text]
    for n, pair in enumerate(merges):
        ids = merge(ids, pair, 256 + n)
    return ids


@encode.wrong(
    "You carry out the merges in the opposite order; what was learned first is done first."
)
def backwards(text, merges):
    ids = list(text.encode("utf-8"))
    for n, pair in reversed([*enumerate(merges)]):
        ids = merge(ids, pair, 256 + n)
    return ids


@encode.wrong("You number the new ids from 0 on, which are bytes; merge number n makes id 256 + n.")
def numbered_from_zero(text, merges):
    ids = list(text.encode("utf-8"))
    for n, pair in enumerate(merges):
        ids = merge(ids, pair, n)
    return ids


@encode.wrong("You number the new ids from 257 on; merge number 0 makes id 256.")
def numbered_from_257(text, merges):
    ids = list(text.encode("utf-8"))
    for n, pair in enumerate(merges, start=1):
        ids = merge(ids, pair, 256 + n)
    return ids


@encode.wrong(
    "You return the bytes; the merges are still to be carried out. (my_apply_merge returns a new "
    "list: give it a name, ids = my_apply_merge(…).)"
)
def only_bytes(text, merges):
    return list(text.encode("utf-8"))


@encode.wrong(
    "You stop at the first merge that does not occur in the text; skip it and go on with the next."
)
def stops_at_a_miss(text, merges):
    ids = list(text.encode("utf-8"))
    for n, pair in enumerate(merges):
        merged = merge(ids, pair, 256 + n)
        if merged == ids:
            break
        ids = merged
    return ids


@encode.wrong(
    "You number only the merges that occur in the text; merge number n makes id 256 + n whether "
    "the ones before it occurred or not."
)
def numbers_hits_only(text, merges):
    ids, hits = list(text.encode("utf-8")), 0
    for pair in merges:
        merged = merge(ids, pair, 256 + hits)
        hits += merged != ids
        ids = merged
    return ids


@encode.wrong("You carry out the first merge only; go on with the others.")
def first_merge_only(text, merges):
    ids = list(text.encode("utf-8"))
    return merge(ids, merges[0], 256) if merges else ids


@encode.wrong(
    "From left to right you take whatever merge fits first; go through the merges instead, and "
    "carry out each one everywhere before the next."
)
def left_to_right(text, merges):
    ids = list(text.encode("utf-8"))
    n = 0
    while n < len(ids) - 1:
        pair = (ids[n], ids[n + 1])
        if pair in merges:
            ids[n : n + 2] = [256 + merges.index(pair)]
            n = max(n - 1, 0)
        else:
            n += 1
    return ids


# --- a law -------------------------------------------------------------------------------------


class _Characters:
    """A tokenizer with one id for each character, which does what `change` does to the text."""

    def __init__(self, name, change=lambda text: text, known=None):
        self._name, self._change, self._known = name, change, known

    def encode(self, text):
        ids = [ord(character) for character in self._change(text)]
        return ids if self._known is None else [id if chr(id) in self._known else 0 for id in ids]

    def decode(self, ids):
        return "".join("?" if id == 0 else chr(id) for id in ids)

    def tokens(self, text):
        return [self.decode([id]) for id in self.encode(text)]

    def __repr__(self):
        return self._name


class _Bytes:
    """A tokenizer with one id for each byte, whose tokens may be parts of characters."""

    def encode(self, text):
        return list(text.encode("utf-8"))

    def decode(self, ids):
        return bytes(list(ids)).decode("utf-8", errors="replace")

    def tokens(self, text):
        return [self.decode([id]) for id in self.encode(text)]

    def __repr__(self):
        return "a tokenizer of bytes"


_GOOD = (_Characters("a tokenizer of characters"), _Bytes())
_LOSSY = (
    _Characters("a tokenizer that writes everything small", str.lower),
    _Characters("a tokenizer that knows small letters only", known=string.ascii_lowercase),
    _Characters("a tokenizer that drops spaces at the ends", str.strip),
    _Characters("a tokenizer that adds a full stop", "{}.".format),
    _Characters("a tokenizer that turns texts round", lambda text: text[::-1]),
)

round_trip = Exercise(
    "tokens.round_trip",
    prompt="""
**4. A law.** A *law* is something that has to hold for every input. Good tests state laws. The
most important one of a tokenizer is that nothing gets lost: encode a text, decode the ids, and
you have the text again. Complete the function that says whether this *round trip* works for one
text.

It will meet tokenizers that keep it and tokenizers that break it. Some of those keep weaker laws:
the length may stay the same, or the ids may be the same after a second round.
""",
    stub='''
def my_round_trip(tokenizer, text):
    """Return True if nothing of the text is lost on its way to ids and back."""
    return ...
''',
    hints=(
        "tokenizer.encode(text) gives ids, and tokenizer.decode(ids) a text. What should that be?",
        "Compare texts, not lengths and not ids.",
        "return tokenizer.decode(tokenizer.encode(text)) == text",
    ),
    fixed=(
        (_GOOD[0], ""),
        (_GOOD[0], "Hi"),
        (_GOOD[1], "é"),
        (_LOSSY[0], "hi"),
        (_LOSSY[0], "Hi"),
        (_LOSSY[1], "a!"),
        (_LOSSY[2], " hi"),
        (_LOSSY[2], "hi"),
        (_LOSSY[3], "hi"),
        (_LOSSY[4], "hi"),
    ),
)


@round_trip.reference
def my_round_trip(tokenizer, text):
    ids = tokenizer.encode(text)
    return tokenizer.decode(ids) == text


@round_trip.fresh
def random_tokenizer(rng: np.random.Generator, size: int):
    tokenizers = [*_GOOD, *_LOSSY]
    text = "".join(rng.choice(list("aB é!"), size))
    return tokenizers[int(rng.integers(len(tokenizers)))], text


@round_trip.wrong(
    "You compare a first round with a second one. A tokenizer that writes everything small passes "
    "that: the loss happened in the first. Compare with the text you began with."
)
def ids_again(tokenizer, text):
    ids = tokenizer.encode(text)
    return tokenizer.encode(tokenizer.decode(ids)) == ids


@round_trip.wrong("You compare lengths only; another text may be just as long.")
def same_length(tokenizer, text):
    return len(tokenizer.decode(tokenizer.encode(text))) == len(text)


@round_trip.wrong(
    "You join the tokens. A token may be a part of a character, which cannot be shown alone; "
    "decode all ids together."
)
def joined_tokens(tokenizer, text):
    return "".join(tokenizer.tokens(text)) == text


@round_trip.wrong("You compare which characters there are; their order counts, too.")
def same_characters(tokenizer, text):
    return sorted(tokenizer.decode(tokenizer.encode(text))) == sorted(text)


@round_trip.wrong("You say True to everything; compare the decoded text with the text.")
def always(tokenizer, text):
    return True


@round_trip.wrong(
    "You compare in small letters, so that capital letters may get lost; compare the texts as "
    "they are."
)
def ignores_case(tokenizer, text):
    return tokenizer.decode(tokenizer.encode(text)).lower() == text.lower()


@round_trip.wrong("You return the decoded text; return whether it equals the text, True or False.")
def the_text(tokenizer, text):
    return tokenizer.decode(tokenizer.encode(text))


# --- tokens per word ---------------------------------------------------------------------------

tokens_per_word = Exercise(
    "tokens.tokens_per_word",
    prompt="""
**5. Tokens per word.** How many tokens does a tokenizer need for a word of a text, on average?
Count as words what white space (spaces, line breaks) separates; a text without words has 0. Use
your function to find a language (with spaces between its words) or a subject for which GPT-2
needs more than 4 tokens a word.
""",
    stub='''
def my_tokens_per_word(tokenizer, text):
    """Return the number of tokens divided by the number of words."""
    return ...
''',
    hints=(
        "len(tokenizer.encode(text)) is the number of tokens.",
        "text.split() cuts a text at white space of every kind and length.",
        "Return 0.0 if text.split() is empty, otherwise divide.",
    ),
    fixed=(
        (_GOOD[0], ""),
        (_GOOD[0], " "),
        (_GOOD[0], "a"),
        (_GOOD[0], "to be"),
        (_GOOD[0], "a\nb"),
        (_GOOD[0], "a  b "),
        (_GOOD[1], "é"),
    ),
)


@tokens_per_word.reference
def my_tokens_per_word(tokenizer, text):
    words = text.split()
    if not words:
        return 0.0
    return len(tokenizer.encode(text)) / len(words)


@tokens_per_word.fresh
def random_words(rng: np.random.Generator, size: int):
    letters = rng.choice(list("ab é\n"), 3 * size)
    return _GOOD[int(rng.integers(2))], "".join(letters)


@tokens_per_word.wrong("You return words per token; turn the fraction over.")
def turned_over(tokenizer, text):
    n_tokens = len(tokenizer.encode(text))
    return len(text.split()) / n_tokens if n_tokens else 0.0


@tokens_per_word.wrong(
    "You cut at single spaces: text.split(' ') misses line breaks and finds empty words between "
    "two spaces. Use text.split()."
)
def single_spaces(tokenizer, text):
    return len(tokenizer.encode(text)) / len(text.split(" ")) if text.split() else 0.0


@tokens_per_word.wrong(
    "You divide by the number of characters; divide by the number of words, text.split()."
)
def per_character(tokenizer, text):
    return len(tokenizer.encode(text)) / len(text) if text.split() else 0.0


@tokens_per_word.wrong("A text without words makes you divide by zero; return 0 for it.")
def no_words(tokenizer, text):
    return len(tokenizer.encode(text)) / len(text.split())


@tokens_per_word.wrong("You count the characters of the text; count its tokens.")
def characters_per_word(tokenizer, text):
    return len(text) / len(text.split()) if text.split() else 0.0


@tokens_per_word.wrong(
    "You encode each word by itself, which loses the spaces between them; encode the whole text."
)
def word_by_word(tokenizer, text):
    words = text.split()
    return sum(len(tokenizer.encode(word)) for word in words) / len(words) if words else 0.0
