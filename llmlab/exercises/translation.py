"""The exercises of notebook 5: translation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from llmlab.exercises.exercise import Exercise


def _ids(rng: np.random.Generator, n: int, *, first: int = 3, n_tokens: int = 12) -> list[int]:
    """Draw ids of ordinary tokens; those below `first` are kept for special ones."""
    return [int(id) for id in rng.integers(first, n_tokens, n)]


def _is_pair(given: Any) -> bool:
    return isinstance(given, list | tuple) and len(given) == 2


# --- shift by one ------------------------------------------------------------------------------

shift = Exercise(
    "translation.shift",
    prompt="""
**1. Shift by one.** In training, the decoder reads the right translation and has to say, at each
position, which token comes next. This is **teacher forcing**: whatever the decoder would have
said itself, the next thing it reads is the right token. From the ids of a translation, make two
lists:

- what the decoder **reads**: `start_id` first, then the translation;
- what it must **answer**: the translation, then `end_id`.

Both are one longer than the translation, and they line up: when the decoder has read the first
list up to place *i*, its answer stands at place *i* of the second. Leave the list `target` as it
is.

With the start id 1 and the end id 2, the translation `[7, 8, 9]` gives `([1, 7, 8, 9], [7, 8, 9,
2])`. Having read 1, the decoder must answer 7; having read 1, 7, 8 and 9, it must answer 2: the
translation is over.
""",
    stub='''
def my_shift(target, start_id, end_id):
    """Return what the decoder reads and what it must answer, two lists of ids."""
    reads = ...
    answers = ...
    return reads, answers
''',
    hints=(
        "Write the whole sequence on paper, start and end included. What can be read, if something "
        "must follow? What can be an answer, if something must come before?",
        "The decoder reads everything but the end, and answers everything but the start.",
        "A + between two lists puts them one after the other: [start_id] + target. An id alone is "
        "no list, hence the square brackets.",
    ),
    fixed=(
        ([7], 1, 2),
        ([7, 8], 1, 2),
        ([], 1, 2),
        ([5, 6, 7, 8], 0, 9),
        ([4, 4, 4], 3, 2),
    ),
)


@shift.reference
def my_shift(target, start_id, end_id):
    reads = [start_id] + target
    answers = target + [end_id]
    return reads, answers


@shift.fresh
def a_target(rng, size):
    start_id, end_id = (int(id) for id in rng.permutation(3)[:2])
    return _ids(rng, int(rng.integers(0, 2 + size))), start_id, end_id


@shift.wrong(
    "Both lists are the translation with its end: nothing is shifted. At each place the decoder "
    "reads the very token that it must answer, and learns nothing but to copy it. Put the start "
    "before what it reads, and keep the end out of it."
)
def both_with_the_end(target, start_id, end_id):
    return target + [end_id], target + [end_id]


@shift.wrong(
    "Both lists are the translation itself: nothing is shifted, so the decoder reads the very "
    "token that it must answer. What it reads begins with the start; what it answers ends with the "
    "end."
)
def both_as_they_are(target, start_id, end_id):
    return target, target


@shift.wrong(
    "Both lists hold everything, start and end: nothing is shifted, so the decoder reads the very "
    "token that it must answer. It need not read the end (nothing follows), and never answers the "
    "start."
)
def both_with_everything(target, start_id, end_id):
    whole = [start_id] + target + [end_id]
    return whole, whole


@shift.wrong(
    "The two lists have changed places, so the shift goes the wrong way: the decoder reads a token "
    "and has to answer the one before it. It reads the list with the start, and answers the one "
    "with the end."
)
def the_wrong_way(target, start_id, end_id):
    return target + [end_id], [start_id] + target


@shift.wrong(
    "The end is missing from your answers, and the last token from what is read. A decoder that "
    "never had to answer the end does not know when to stop. Both lists are one longer than the "
    "translation."
)
def without_the_end(target, start_id, end_id):
    return ([start_id] + target)[: len(target)], target


@shift.wrong(
    "Your answers are one shorter than what is read: the end is missing. After the last token the "
    "decoder must answer something, too: that the translation is over."
)
def no_answer_at_the_end(target, start_id, end_id):
    return [start_id] + target, target


@shift.wrong(
    "What is read holds the end, too, and is one longer than the answers. After the end nothing "
    "follows, so there is nothing to answer: leave it out of what is read."
)
def the_end_is_read(target, start_id, end_id):
    return [start_id] + target + [end_id], target + [end_id]


@shift.wrong(
    "The start stands in your answers. The decoder is given the start and never has to write it: "
    "its first answer is the first token of the translation."
)
def the_start_is_an_answer(target, start_id, end_id):
    return [start_id] + target, [start_id] + target + [end_id]


@shift.wrong(
    "The start is missing. Without it the decoder has read nothing when it must answer the first "
    "token, so your lists never ask for that one. Put the start before what is read."
)
def without_the_start(target, start_id, end_id):
    return target, target[1:] + [end_id]


@shift.wrong(
    "The start is missing from what is read, so each token stands beside itself. Put the start "
    "before it: that moves everything by one place."
)
def nothing_before_the_first(target, start_id, end_id):
    return target, target + [end_id]


@shift.wrong(
    "You shift by two: having read the start, your decoder must answer the second token of the "
    "translation, and nobody asks for the first."
)
def by_two(target, start_id, end_id):
    return [start_id] + target, target[1:] + [end_id]


@shift.wrong(
    "Start and end have changed roles: you read the end id first and answer the start id last."
)
def start_for_end(target, start_id, end_id):
    return [end_id] + target, target + [start_id]


@shift.wrong(
    "The lists are right, but you insert the start and append the end in target itself, which "
    "belongs to whoever called you. Make new lists: + between two lists does that."
)
def into_the_target(target, start_id, end_id):
    target.insert(0, start_id)
    target.append(end_id)
    return target[:-1], target[1:]


@shift.wrong(
    "There is a list inside your lists: [start_id, target] has two items, of which the second is "
    "the whole translation. Put two lists one after the other with +."
)
def a_list_inside(target, start_id, end_id):
    return [start_id, target], [target, end_id]


@shift.wrong(
    "You return pairs of what is read and what is answered. The pairs are right; but return two "
    "lists, one with everything that is read, one with all answers."
)
def as_pairs(target, start_id, end_id):
    return list(zip([start_id] + target, target + [end_id]))


@shift.law
def two_lists(given, target, start_id, end_id):
    if not _is_pair(given) or not all(isinstance(part, list | tuple) for part in given):
        return "Return two lists of ids, what is read and what is answered: return reads, answers."
    return None


@shift.law
def no_answer_is_read_with_its_question(given, target, start_id, end_id):
    reads, answers = map(list, given)
    if len(reads) != len(answers):
        return (
            f"Your list of what is read has the length {len(reads)}, that of the answers "
            f"{len(answers)}. For each token that the decoder reads there is one answer."
        )
    if reads[:1] != [start_id]:
        return f"The first that the decoder reads has to be the start id, here {start_id}."
    if answers[-1:] != [end_id]:
        return f"The last answer has to be the end id, here {end_id}."
    return None


# --- the padding mask --------------------------------------------------------------------------

padding_mask = Exercise(
    "translation.padding_mask",
    prompt="""
**2. The padding mask.** Several source sentences are computed at once, as a batch of B. They have
different lengths, and a tensor needs rows of the same length, so the shorter ones are filled up
with **padding**. In cross-attention the T tokens of the target are the queries and the S tokens of
the source the keys: no query may look at padding. Return two tensors:

- `source` of shape (B, S): the ids of each sentence, filled up *on the right* with `pad_id` to
  the length S of the longest one;
- `visible` of shape (B, T, S), booleans: `True` at `visible[b, t, s]` if query *t* of text *b*
  may look at key *s*, which is so if key *s* is a real token. T is given as `n_queries`.

`sentences` is a list of lists of ids; none of them is empty, and `pad_id` never stands in them.
Leave them as they are.

With the sentences `[[5, 6, 7], [8]]`, the pad id 0 and 2 queries, `source` is `[[5, 6, 7], [8, 0,
0]]`. `visible` is `[[True, True, True], [True, True, True]]` for the first text and `[[True,
False, False], [True, False, False]]` for the second: the same row for each of its queries.
""",
    stub='''
def my_padding_mask(sentences, pad_id, n_queries):
    """Return the padded ids (B, S) and what each query may see (B, T, S)."""
    source = ...
    visible = ...
    return source, visible
''',
    hints=(
        "How long is the longest sentence? How many times pad_id does each of the others need?",
        "[pad_id] * 3 is a list of three. Once source is a tensor, source != pad_id says of each "
        "place whether it is real: shape (B, S).",
        "(source != pad_id)[:, None, :] has an axis of length 1 in the middle: shape (B, 1, S). "
        ".expand(-1, n_queries, -1) repeats it for each query, and -1 means: leave as it is.",
    ),
    fixed=(
        ([[5, 6], [7]], 0, 1),
        ([[5, 6, 7], [8]], 0, 2),
        ([[7], [5, 6]], 0, 2),
        ([[0, 4], [3]], 9, 2),
        ([[5, 6, 7], [3, 4, 8]], 0, 3),
        ([[4], [5, 3, 6, 4], [7, 8]], 2, 3),
    ),
)


@padding_mask.reference
def my_padding_mask(sentences, pad_id, n_queries):
    longest = max(len(ids) for ids in sentences)
    source = torch.tensor([ids + [pad_id] * (longest - len(ids)) for ids in sentences])
    visible = (source != pad_id)[:, None, :].expand(-1, n_queries, -1)
    return source, visible


@padding_mask.fresh
def sentences_to_pad(rng, size):
    pad_id = int(rng.choice([0, 2, 19]))
    n_sentences, n_queries = (int(n) for n in rng.integers(1, 3 + size // 2, 2))
    lengths = rng.integers(1, 2 + size, n_sentences)
    sentences = [_ids(rng, n, first=0, n_tokens=19) for n in lengths]
    return [[id if id != pad_id else 5 for id in ids] for ids in sentences], pad_id, n_queries


def _filled(sentences, pad_id, *, left=False):
    longest = max(len(ids) for ids in sentences)
    fills = [[pad_id] * (longest - len(ids)) for ids in sentences]
    rows = [f + ids if left else ids + f for ids, f in zip(sentences, fills)]
    return torch.tensor(rows)


def _for_all_queries(real, n_queries):
    return real[:, None, :].expand(-1, n_queries, -1)


@padding_mask.wrong(
    "Your mask is the wrong way round: True at the padding, False at the real tokens. True means "
    "that a query may look there."
)
def inverted(sentences, pad_id, n_queries):
    source = _filled(sentences, pad_id)
    return source, _for_all_queries(source == pad_id, n_queries)


@padding_mask.wrong(
    "You put the padding on the left. Here it goes on the right, behind the sentence, so that the "
    "first token of each text stands at place 0."
)
def on_the_left(sentences, pad_id, n_queries):
    source = _filled(sentences, pad_id, left=True)
    return source, _for_all_queries(source != pad_id, n_queries)


@padding_mask.wrong(
    "You hide rows instead of columns: in your mask the second axis belongs to the source. A row "
    "is a query, a token of the target; what has to be hidden are keys, which are the last axis."
)
def rows_for_columns(sentences, pad_id, n_queries):
    source = _filled(sentences, pad_id)
    return source, (source != pad_id)[:, :, None].expand(-1, -1, n_queries)


@padding_mask.wrong(
    "You fill up with 0. Here the padding has the id pad_id, which is not always 0, and 0 may be a "
    "real token."
)
def filled_with_zeros(sentences, pad_id, n_queries):
    source = _filled(sentences, 0)
    return source, _for_all_queries(source != 0, n_queries)


@padding_mask.wrong(
    "You hide the id 0, whatever pad_id is. Compare the ids with pad_id: 0 may be a real token."
)
def zero_is_hidden(sentences, pad_id, n_queries):
    source = _filled(sentences, pad_id)
    return source, _for_all_queries(source != 0, n_queries)


@padding_mask.wrong(
    "Your mask says of each source token whether it is real: shape (B, S). Each of the T queries "
    "needs that row: bring it to the shape (B, T, S)."
)
def without_queries(sentences, pad_id, n_queries):
    source = _filled(sentences, pad_id)
    return source, source != pad_id


@padding_mask.wrong(
    "Your mask has a single row for each text, of shape (B, 1, S). PyTorch would repeat it by "
    "itself where it is needed; here, repeat it for each of the n_queries queries, to the shape "
    "(B, T, S)."
)
def one_row_for_all(sentences, pad_id, n_queries):
    source = _filled(sentences, pad_id)
    return source, (source != pad_id)[:, None, :]


@padding_mask.wrong(
    "You have made a causal mask as well: your later keys are hidden. In cross-attention the whole "
    "source is there from the beginning, and only its padding is hidden."
)
def causal_too(sentences, pad_id, n_queries):
    source, visible = my_padding_mask(sentences, pad_id, n_queries)
    return source, visible & torch.ones(visible.shape[1:], dtype=torch.bool).tril()


@padding_mask.wrong(
    "Everything is visible in your mask, the padding too. Make it False where source is pad_id."
)
def nothing_hidden(sentences, pad_id, n_queries):
    source = _filled(sentences, pad_id)
    return source, _for_all_queries(torch.ones(source.shape, dtype=torch.bool), n_queries)


@padding_mask.wrong(
    "You cut the sentences to the length of the shortest, and so lose their ends. Keep every token "
    "and fill up the shorter ones."
)
def cut_to_the_shortest(sentences, pad_id, n_queries):
    shortest = min(len(ids) for ids in sentences)
    source = torch.tensor([ids[:shortest] for ids in sentences])
    return source, _for_all_queries(source != pad_id, n_queries)


@padding_mask.wrong(
    "You make a tensor of the sentences as they are. That raises an error as soon as they have "
    "different lengths: fill up the shorter ones first."
)
def not_filled(sentences, pad_id, n_queries):
    source = torch.tensor(sentences)
    return source, _for_all_queries(source != pad_id, n_queries)


@padding_mask.wrong(
    "Your tensors are right, but you append the padding to the lists that you are given (append, "
    "extend and += do that). They belong to whoever called you: make new lists."
)
def into_the_sentences(sentences, pad_id, n_queries):
    longest = max(len(ids) for ids in sentences)
    for ids in sentences:
        ids += [pad_id] * (longest - len(ids))
    source = torch.tensor(sentences)
    return source, _for_all_queries(source != pad_id, n_queries)


@padding_mask.wrong(
    "Your mask holds 0 and -inf, to be added to the scores. That is a way to do it, but here it "
    "has to be booleans: True where a query may look."
)
def to_be_added(sentences, pad_id, n_queries):
    source, visible = my_padding_mask(sentences, pad_id, n_queries)
    return source, torch.zeros(visible.shape).masked_fill(~visible, -torch.inf)


@padding_mask.wrong(
    "Your two results have changed places: return the ids first, and then the mask."
)
def mask_first(sentences, pad_id, n_queries):
    source, visible = my_padding_mask(sentences, pad_id, n_queries)
    return visible, source


@padding_mask.law
def ids_and_mask(given, sentences, pad_id, n_queries):
    if not _is_pair(given):
        return "Return two things, the ids and the mask: return source, visible."
    shape = (len(sentences), max(map(len, sentences)))
    if np.shape(given[0]) != shape:
        return f"source has a row for each text, as long as the longest: shape (B, S) = {shape}."
    shape = (shape[0], n_queries, shape[1])
    if np.shape(given[1]) != shape:
        return (
            "visible has a table for each text, with a row for each query and a column for each "
            f"key: shape (B, T, S) = {shape}."
        )
    return None


@padding_mask.law
def sees_what_is_real(given, sentences, pad_id, n_queries):
    source, visible = (np.asarray(part) for part in given)
    for text, ids in enumerate(sentences):
        for place, id in enumerate(source[text]):
            wanted = ids[place] if place < len(ids) else pad_id
            if id != wanted:
                return f"At place {place} of text {text}, source has {id} in place of {wanted}."
    for text, query, key in np.ndindex(*visible.shape):
        is_real = key < len(sentences[text])
        if bool(visible[text, query, key]) != is_real:
            seen = "may not look at key {}, a real token" if is_real else "looks at key {}, padding"
            return f"In text {text}, query {query} {seen.format(key)}."
    return None


# --- one step of greedy decoding ---------------------------------------------------------------


class ToyModel:
    """Scores drawn by chance, always the same for the same source and the same target so far.

    It is called like a Translator: ids (B, S) and (B, T) in, scores (B, T, V) out. In each row
    of scores no two are equal.
    """

    def __init__(self, n_tokens: int, seed: int):
        self.n_tokens = n_tokens
        self.seed = seed

    def __call__(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Score every token that could follow each position of the target."""
        self._check("source", source)
        self._check("target", target)
        if len(source) != len(target):
            raise ValueError(
                f"source has {len(source)} rows and target {len(target)}; each needs one a text"
            )
        return torch.stack([self._scores(s, t) for s, t in zip(source.tolist(), target.tolist())])

    def _check(self, name: str, ids: Any) -> None:
        if not isinstance(ids, torch.Tensor):
            raise TypeError(
                f"{name} is a {type(ids).__name__}, and the model reads tensors of ids with a row "
                "for each text; use torch.tensor"
            )
        if ids.ndim != 2:
            raise ValueError(
                f"{name} has the shape {tuple(ids.shape)}, and the model reads tensors with two "
                "axes, texts and tokens; put the ids into one more pair of square brackets"
            )
        if ids.shape[1] == 0:
            raise ValueError(f"{name} is empty: the model needs at least one token to read")
        if ids.is_floating_point() or ids.min() < 0 or ids.max() >= self.n_tokens:
            raise ValueError(
                f"{name} holds {ids.tolist()}, and ids are whole numbers from 0 to "
                f"{self.n_tokens - 1}"
            )

    def _scores(self, source: list[int], target: list[int]) -> torch.Tensor:
        """Make a row for each position of the target, which knows the target up to there."""
        rows = []
        for t in range(len(target)):
            known = [self.seed, len(source), *source, *target[: t + 1]]
            rng = np.random.default_rng(known)
            scores = rng.permutation(self.n_tokens) / 2 + rng.normal()  # no row like another
            rows.append(torch.from_numpy(scores.round(2)))
        return torch.stack(rows)

    def __repr__(self) -> str:
        return f"a toy model with {self.n_tokens} tokens"


greedy_step = Exercise(
    "translation.greedy_step",
    prompt="""
**3. One step of greedy decoding.** A translation is written one token at a time. Given are the
ids of the source sentence and those that have been written so far: at first none. Return the id
of the token to write next: the one with the highest score. Always taking the best token is called
**greedy**.

The decoder reads `start_id` and then all that has been written. `model(source, target)` takes two
tensors of ids, of shape (1, S) and (1, T) (a batch of one text), and returns the scores, of shape
(1, T, V): for each of the T tokens that the decoder reads, a row with a score for each of the V
tokens that could come *after* it. `source` and `written` are plain lists of ids. Leave them as
they are.

The start id is 1 and `[4]` has been written, so the decoder reads 1, 4. Say the scores are
`[[[0, 1, 2, 0, 5, 3], [1, 0, 7, 2, 4, 3]]]`. The first row is about the token after 1; that one is
written already. The last row is about the token after 4. Its highest score, 7, stands at place 2:
return 2.

(`check` comes with toy models, whose scores are drawn by chance. With a trained one your function
works just as well, as long as it is on the CPU.)
""",
    stub='''
def my_greedy_step(model, source, written, start_id):
    """Return the id of the best token to write after those in written."""
    return ...
''',
    hints=(
        "First make the two tensors. torch.tensor([source]) has the shape (1, S): the additional "
        "brackets are the batch of one text. What does the decoder read?",
        "The target is torch.tensor([[start_id] + written]). With scores = model(source, target), "
        "which row of scores[0] is about the token that is not written yet?",
        "The last row: scores[0, -1]. Its method argmax gives the place of the highest number, and "
        "the place is the id.",
    ),
    fixed=(
        (ToyModel(6, 3), [5, 3], [], 1),
        (ToyModel(6, 3), [5, 3], [4], 1),
        (ToyModel(6, 5), [3, 4, 5], [5, 3], 1),
        (ToyModel(8, 7), [6], [7, 3, 3], 0),
        (ToyModel(8, 8), [4, 5, 6, 7], [6, 4], 2),
    ),
)


@greedy_step.reference
def my_greedy_step(model, source, written, start_id):
    target = [start_id] + written
    scores = model(torch.tensor([source]), torch.tensor([target]))
    return int(scores[0, -1].argmax())  # the last row is about the token to come


@greedy_step.fresh
def a_half_written_translation(rng, size):
    n_tokens = 6 + size
    source = _ids(rng, int(rng.integers(1, 2 + size)), n_tokens=n_tokens)
    written = _ids(rng, int(rng.integers(0, 1 + size)), n_tokens=n_tokens)
    return ToyModel(n_tokens, int(rng.integers(10**6))), source, written, int(rng.integers(3))


def _scores(model, source, target):
    return model(torch.tensor([source]), torch.tensor([target]))


@greedy_step.wrong(
    "Your decoder does not read the start. It was trained with the start before everything else, "
    "and at the very beginning it would have nothing to read at all. Put start_id before written."
)
def start_forgotten(model, source, written, start_id):
    return int(_scores(model, source, written)[0, -1].argmax())


@greedy_step.wrong(
    "You put the start behind what is written. It says that a translation begins, so it comes "
    "first: start_id, then written."
)
def start_at_the_end(model, source, written, start_id):
    return int(_scores(model, source, written + [start_id])[0, -1].argmax())


@greedy_step.wrong(
    "You look at the first row of the scores: it is about the first token of the translation, "
    "which you would write again and again. The last row is about the token to come."
)
def first_row(model, source, written, start_id):
    return int(_scores(model, source, [start_id] + written)[0, 0].argmax())


@greedy_step.wrong(
    "You look one row too early, at the one about the last token that is written already. The "
    "decoder reads the start as well, so there is one row more than there are tokens in written."
)
def one_row_early(model, source, written, start_id):
    return int(_scores(model, source, [start_id] + written)[0, len(written) - 1].argmax())


@greedy_step.wrong(
    "You take the highest of all scores. argmax without a row counts through the whole table, so "
    "its answer may not even be an id. Take the last row first."
)
def highest_of_all(model, source, written, start_id):
    return int(_scores(model, source, [start_id] + written).argmax())


@greedy_step.wrong(
    "You return the best token of every row. Only the last one is new: the others are about tokens "
    "that are written already."
)
def best_of_each_row(model, source, written, start_id):
    return _scores(model, source, [start_id] + written)[0].argmax(dim=-1)


@greedy_step.wrong("You take the token with the lowest score; take the one with the highest.")
def lowest_score(model, source, written, start_id):
    return int(_scores(model, source, [start_id] + written)[0, -1].argmin())


@greedy_step.wrong(
    "You return the highest score itself. Return the id of its token, which is the place where it "
    "stands: argmax, not max."
)
def the_score(model, source, written, start_id):
    return float(_scores(model, source, [start_id] + written)[0, -1].max())


@greedy_step.wrong(
    "You return the highest probability. Return the id of its token, which is the place where it "
    "stands. (It needs no softmax, which keeps the order.)"
)
def the_probability(model, source, written, start_id):
    return float(_scores(model, source, [start_id] + written)[0, -1].softmax(dim=-1).max())


@greedy_step.wrong(
    "You give the model the target first and the source second. The encoder reads the source, and "
    "comes first: model(source, target)."
)
def target_first(model, source, written, start_id):
    return int(_scores(model, [start_id] + written, source)[0, -1].argmax())


@greedy_step.wrong(
    "Your decoder reads the newest token only. It needs all of them, from the start on, to know "
    "what it has said already. (Notebook 6 shows how to save the work without forgetting them.)"
)
def newest_only(model, source, written, start_id):
    return int(_scores(model, source, ([start_id] + written)[-1:])[0, -1].argmax())


@greedy_step.wrong(
    "Your decoder reads the source as well, as a GPT would. Here the encoder reads the source; the "
    "decoder reads the start and what is written."
)
def source_in_the_target(model, source, written, start_id):
    return int(_scores(model, source, [start_id] + source + written)[0, -1].argmax())


@greedy_step.wrong(
    "The token is right, but you return all that is written so far with it. Return its id alone."
)
def all_written(model, source, written, start_id):
    return written + [my_greedy_step(model, source, written, start_id)]


@greedy_step.wrong(
    "The token is right, but you change the list written (insert and append do that), which "
    "belongs to whoever called you. [start_id] + written makes a new one."
)
def into_written(model, source, written, start_id):
    written.insert(0, start_id)
    return int(_scores(model, source, written)[0, -1].argmax())


@greedy_step.wrong(
    "The model reads batches: tensors of shape (1, S) and (1, T). Yours have one axis only. One "
    "more pair of square brackets makes a batch of one text: torch.tensor([source])."
)
def without_a_batch(model, source, written, start_id):
    scores = model(torch.tensor(source), torch.tensor([start_id] + written))
    return int(scores[-1].argmax())


@greedy_step.wrong(
    "You give the model plain lists, and it reads tensors. torch.tensor([source]) makes one, with "
    "a row for one text."
)
def plain_lists(model, source, written, start_id):
    return int(model([source], [[start_id] + written])[0, -1].argmax())


@greedy_step.law
def is_the_best_token(given, model, source, written, start_id):
    row = _scores(model, source, [start_id] + written)[0, -1].tolist()
    if np.ndim(given) or int(given) != given or not 0 <= given < len(row):
        return f"Return one id, a whole number from 0 to {len(row) - 1}."
    if row[int(given)] < max(row):
        return (
            f"After the start and {written} this model gives token {int(given)} the score "
            f"{row[int(given)]:g}, and another one {max(row):g}."
        )
    return None


# --- beam search -------------------------------------------------------------------------------

_GREETING = {
    (): {"good": 0.6, "hello": 0.4},
    ("good",): {"day": 0.5, "morning": 0.3, "evening": 0.2},
    ("hello",): {"<end>": 0.9, "there": 0.1},
    ("good", "day"): {"<end>": 1.0},
    ("good", "morning"): {"<end>": 1.0},
    ("good", "evening"): {"<end>": 1.0},
    ("hello", "there"): {"<end>": 1.0},
}
_GOODBYE = {
    (): {"see": 0.7, "bye": 0.2, "later": 0.1},
    ("see",): {"you": 0.6, "me": 0.4},
    ("bye",): {"<end>": 1.0},
    ("later",): {"<end>": 1.0},
    ("see", "you"): {"<end>": 0.4, "soon": 0.6},
    ("see", "me"): {"<end>": 1.0},
    ("see", "you", "soon"): {"<end>": 0.6, "friend": 0.4},
    ("see", "you", "soon", "friend"): {"<end>": 1.0},
}
_CAT = {  # the best sentence, "the cat", is missed by two beginnings as well
    (): {"my": 0.6, "the": 0.4},
    ("my",): {"old": 0.5, "big": 0.4, "cat": 0.1},
    ("the",): {"cat": 0.55, "dog": 0.45},
    ("my", "old"): {"cat": 0.65, "dog": 0.35},
    ("my", "big"): {"cat": 0.7, "dog": 0.3},
    ("my", "cat"): {"<end>": 1.0},
    ("the", "cat"): {"<end>": 1.0},
    ("the", "dog"): {"<end>": 1.0},
    ("my", "old", "cat"): {"<end>": 1.0},
    ("my", "old", "dog"): {"<end>": 1.0},
    ("my", "big", "cat"): {"<end>": 1.0},
    ("my", "big", "dog"): {"<end>": 1.0},
}

beam = Exercise(
    "translation.beam",
    prompt="""
**4. Beam search.** The first word with the highest probability need not begin the best sentence,
and greedy decoding cannot go back. **Beam search** keeps several beginnings alive: the `n` best.

In place of a model there is a `lattice`, a dictionary. Its keys are beginnings, as tuples of
words; the value says with which probability each word comes next. The probability of a beginning
is the *product* of those of its words. A sentence whose last word is `"<end>"` is finished:
nothing follows it.

1. Start with one beginning, the empty tuple `()`, with probability 1.
2. Make the candidates: extend each beginning that is not finished by each word that may come
   next. A finished sentence is a candidate as it is.
3. Of all candidates *together*, keep the `n` with the highest probability.
4. Repeat 2 and 3 until all that you keep are finished. Return the best of them and its
   probability.

```python
lattice = {
    (): {"good": 0.6, "hello": 0.4},
    ("good",): {"day": 0.5, "morning": 0.3, "evening": 0.2},
    ("hello",): {"<end>": 0.9, "there": 0.1},
    ("good", "day"): {"<end>": 1.0},
    # … and after each of the other three, too: "<end>" with 1.0
}
```

With `n = 1`, which is greedy, `("good",)` is kept, then `("good", "day")`, and the result is
`(("good", "day", "<end>"), 0.3)`. With `n = 2`, both first words are kept. Then the best two
candidates are `("hello", "<end>")` with 0.4 · 0.9 = 0.36 and `("good", "day")` with 0.3, and the
result is `(("hello", "<end>"), 0.36)`: greedy has missed it.
""",
    stub='''
def my_beam_search(lattice, n):
    """Return the best sentence that n beginnings find, and its probability."""
    beam = [((), 1.0)]  # beginnings and their probabilities
    ...
    return beam[0]
''',
    hints=(
        'A loop: while not all(words[-1:] == ("<end>",) for words, p in beam). In it, build a list '
        "of candidates, pairs of words and probability, from all of the beam.",
        "If words ends with <end>, the candidate is (words, p). Otherwise there is one for each "
        "next word: (words + (word,), p * q) for word, q in lattice[words].items().",
        "beam = sorted(candidates, key=lambda pair: pair[1], reverse=True)[:n] keeps the n most "
        "probable, best first, so that in the end the answer is beam[0].",
    ),
    fixed=(
        (_GREETING, 1),
        (_GREETING, 2),
        (_GOODBYE, 1),
        (_GOODBYE, 2),
        (_GOODBYE, 3),
        (_CAT, 1),
        (_CAT, 2),
        (_CAT, 3),
    ),
)


@beam.reference
def my_beam_search(lattice, n):
    beam = [((), 1.0)]
    while not all(words[-1:] == ("<end>",) for words, p in beam):
        candidates = []
        for words, p in beam:
            if words[-1:] == ("<end>",):
                candidates.append((words, p))
            else:
                for word, q in lattice[words].items():
                    candidates.append((words + (word,), p * q))
        beam = sorted(candidates, key=lambda pair: pair[1], reverse=True)[:n]
    return beam[0]


@beam.fresh
def a_lattice(rng, size):
    lattice: dict[tuple, dict[str, float]] = {}
    open_ones: list[tuple] = [()]
    longest = 2 + size // 3
    while open_ones:
        words = open_ones.pop()
        n_next = int(rng.integers(2, 4))
        following = [str(word) for word in rng.permutation(list("abcd"))[:n_next]]
        if words and rng.random() < 0.5:
            following[0] = "<end>"
        if len(words) == longest:
            following = ["<end>"]
        shares = rng.dirichlet([2.0] * len(following))
        lattice[words] = {word: float(share) for word, share in zip(following, shares)}
        open_ones += [words + (word,) for word in following if word != "<end>"]
    return lattice, int(rng.integers(1, 4))


def _is_finished(words):
    return words[-1:] == ("<end>",)


def _best(candidates, n):
    return sorted(candidates, key=lambda pair: pair[1], reverse=True)[:n]


def _extended(lattice, words, p):
    return [(words + (word,), p * q) for word, q in lattice[words].items()]


def _candidates(lattice, beam):
    return [
        candidate
        for words, p in beam
        for candidate in ([(words, p)] if _is_finished(words) else _extended(lattice, words, p))
    ]


def _searched(lattice, keep, candidates=_candidates):
    """Search with another rule of what is kept of the candidates, or of what they are."""
    beam = [((), 1.0)]
    while not all(_is_finished(words) for words, _ in beam):
        beam = keep(candidates(lattice, beam))
    return _best(beam, 1)[0]


@beam.wrong(
    "Your search is greedy: it keeps one beginning only, whatever n is, and so cannot come back to "
    "a first word that looked worse. Keep the n best candidates."
)
def greedy(lattice, n):
    return my_beam_search(lattice, 1)


@beam.wrong(
    "You keep the n best words after each beginning, so there are more and more beginnings: n, "
    "then n times n. Keep n in all: put the candidates of all beginnings into one list first."
)
def n_for_each(lattice, n):
    def candidates(lattice, beam):
        return [c for words, p in beam for c in _best(_candidates(lattice, [(words, p)]), n)]

    return _searched(lattice, lambda found: found, candidates)


@beam.wrong(
    "You find the best of all sentences, by keeping every beginning. In a real model there are far "
    "too many. Keep the n best after each step, even if the best sentence is lost by that."
)
def everything_kept(lattice, n):
    return _searched(lattice, lambda candidates: candidates)


@beam.wrong(
    "You add the probabilities. Two things happen one after the other with the product of their "
    "probabilities (adding is right for their logarithms)."
)
def added(lattice, n):
    beam = [((), 0.0)]
    while not all(_is_finished(words) for words, _ in beam):
        candidates = []
        for words, p in beam:
            following = {} if _is_finished(words) else lattice[words]
            candidates += [(words + (word,), p + q) for word, q in following.items()]
            candidates += [(words, p)] if _is_finished(words) else []
        beam = _best(candidates, n)
    return beam[0]


@beam.wrong(
    "You keep the n candidates with the lowest probability: sorted puts the smallest first. Use "
    "reverse=True, or take the last n."
)
def lowest_kept(lattice, n):
    beam = [((), 1.0)]
    while not all(_is_finished(words) for words, _ in beam):
        beam = sorted(_candidates(lattice, beam), key=lambda pair: pair[1])[:n]
    return beam[0]


@beam.wrong(
    "You keep the right beginnings, and return the worst of the finished sentences, not the best."
)
def worst_returned(lattice, n):
    beam = [((), 1.0)]
    while not all(_is_finished(words) for words, _ in beam):
        beam = _best(_candidates(lattice, beam), n)
    return beam[-1]


@beam.wrong(
    "You lose the finished sentences: only those that can be extended get into the next round. A "
    "finished sentence is a candidate as it is."
)
def finished_lost(lattice, n):
    def candidates(lattice, beam):
        still_open = [(words, p) for words, p in beam if not _is_finished(words)]
        return _candidates(lattice, still_open)

    return _searched(lattice, lambda found: _best(found, n), candidates)


@beam.wrong(
    "You look up what follows a finished sentence. Nothing does, so the lattice has no such key: "
    "that is the KeyError. A finished sentence is a candidate as it is."
)
def finished_extended(lattice, n):
    def candidates(lattice, beam):
        return [c for words, p in beam for c in _extended(lattice, words, p)]

    return _searched(lattice, lambda found: _best(found, n), candidates)


@beam.wrong(
    "You stop as soon as one sentence is finished. Another one that is still being written may "
    "have a higher probability: go on until all that you keep are finished."
)
def first_to_finish(lattice, n):
    beam = [((), 1.0)]
    while not any(_is_finished(words) for words, _ in beam):
        beam = _best(_candidates(lattice, beam), n)
    return next(pair for pair in beam if _is_finished(pair[0]))


@beam.wrong(
    "You compare the candidates by the probability of their last word alone. What counts is the "
    "probability of the whole beginning: multiply it by that of the next word."
)
def last_word_only(lattice, n):
    def candidates(lattice, beam):
        return [
            candidate
            for words, p in beam
            for candidate in (
                [(words, p)] if _is_finished(words) else _extended(lattice, words, 1.0)
            )
        ]

    return _searched(lattice, lambda found: _best(found, n), candidates)


@beam.wrong(
    "You put aside every sentence that gets finished, and keep n others beside them. A finished "
    "sentence is a candidate like all others: it counts only if it is among the n best."
)
def finished_aside(lattice, n):
    beam, finished = [((), 1.0)], []
    while beam:
        candidates = _candidates(lattice, beam)
        finished += [pair for pair in candidates if _is_finished(pair[0])]
        beam = _best([pair for pair in candidates if not _is_finished(pair[0])], n)
    return _best(finished, 1)[0]


@beam.wrong(
    "You sort the candidates by their words, not by their probability: a pair is sorted by its "
    "first part, unless you say otherwise with key=."
)
def sorted_by_words(lattice, n):
    beam = [((), 1.0)]
    while not all(_is_finished(words) for words, _ in beam):
        beam = sorted(_candidates(lattice, beam), reverse=True)[:n]
    return beam[0]


@beam.wrong(
    "You choose by the mean probability of a word, which prefers long sentences. Real systems do "
    "something like it (a length penalty), but here the product itself decides."
)
def mean_of_the_words(lattice, n):
    def keep(candidates):
        return sorted(candidates, key=lambda c: c[1] ** (1 / len(c[0])), reverse=True)[:n]

    beam = [((), 1.0)]
    while not all(_is_finished(words) for words, _ in beam):
        beam = keep(_candidates(lattice, beam))
    return beam[0]


@beam.wrong(
    "The sentence is right, but you return the logarithm of its probability. exp of it is the "
    "probability."
)
def the_logarithm(lattice, n):
    words, p = my_beam_search(lattice, n)
    return words, math.log(p)


@beam.wrong(
    "The sentence is right, but its <end> is missing. It is a part of the sentence, and of its "
    "probability: return the words with it."
)
def end_taken_away(lattice, n):
    words, p = my_beam_search(lattice, n)
    return words[:-1], p


@beam.wrong("You return all that is kept in the end; return the best of them only.")
def the_whole_beam(lattice, n):
    beam = [((), 1.0)]
    while not all(_is_finished(words) for words, _ in beam):
        beam = _best(_candidates(lattice, beam), n)
    return beam


@beam.wrong(
    "The sentence is right, but you return it as one text. Return the tuple of its words, with its "
    "probability."
)
def as_one_text(lattice, n):
    words, p = my_beam_search(lattice, n)
    return " ".join(words), p


@beam.wrong(
    "You go one step only. Repeat it until all that you keep are finished: a while loop around the "
    "step."
)
def one_step(lattice, n):
    return _best(_candidates(lattice, [((), 1.0)]), n)[0]


@beam.law
def a_sentence_and_its_probability(given, lattice, n):
    if not _is_pair(given) or not isinstance(given[0], list | tuple):
        return "Return two things: the sentence, as a tuple of words, and its probability."
    words, product = tuple(given[0]), 1.0
    if words == ():
        return "The sentence is empty: the loop has not begun, or has kept nothing."
    for place, word in enumerate(words):
        following = lattice.get(words[:place], {})
        if word not in following:
            return f"In this lattice {word!r} never follows {words[:place]}."
        product *= following[word]
    if not _is_finished(words):
        return f"The sentence is not finished: after {words} something follows."
    if not math.isclose(product, given[1], rel_tol=1e-4):
        return (
            f"The probabilities of the words that you return multiply to {product:.4g}, and you "
            f"say {given[1]:.4g}."
        )
    return None


# --- label smoothing ---------------------------------------------------------------------------

smoothing = Exercise(
    "translation.smoothing",
    prompt="""
**5. Label smoothing.** The usual loss at one position is the surprise at the right token, minus
the logarithm of its probability. It is 0 only for a probability of exactly 1, so a model is pushed
to be ever more certain, even where another word would have done. **Label smoothing** asks for a
little less. It shares out a weight of 1: the right token gets 1 − ε of it, and the rest, ε (the
Greek letter *epsilon*, say 0.1), is divided equally among *all* V tokens, the right one included.
The loss is the weighted sum of the surprises at all tokens. That comes to

loss = (1 − ε) · surprise at the right token + ε · mean surprise over all V tokens.

`p` is a tensor of V probabilities, `right` the id of the right token and `epsilon` a number from
0 to 1. The logarithm is the natural one, `torch.log`. Return the loss, one number.

With `p = [0.5, 0.25, 0.25]` the surprises are 0.693, 1.386 and 1.386. If the right token is 0 and
ε is 0.3, each of the three gets 0.1, and the right one 0.7 more: 0.8 · 0.693 + 0.1 · 1.386 + 0.1 ·
1.386 = 0.832.
""",
    stub='''
def my_smoothed_loss(p, right, epsilon):
    """Return the loss at one position, with label smoothing; p (V,)."""
    return ...
''',
    hints=(
        "-torch.log(p) is a tensor with the surprises at all V tokens. The one at the right token "
        "stands at place right.",
        "The mean of a tensor is its method mean: here over all V surprises, that at the right "
        "token among them.",
        "With surprise = -torch.log(p), multiply surprise[right] by 1 - epsilon, surprise.mean() "
        "by epsilon, and add the two.",
    ),
    fixed=(
        (torch.tensor([0.5, 0.25, 0.25]), 0, 0.3),
        (torch.tensor([0.5, 0.25, 0.25]), 1, 0.3),
        (torch.tensor([0.8, 0.1, 0.05, 0.05]), 0, 0.1),
        (torch.tensor([0.1, 0.2, 0.3, 0.4]), 3, 0.0),
        (torch.tensor([0.1, 0.2, 0.3, 0.4]), 2, 1.0),
    ),
)


@smoothing.reference
def my_smoothed_loss(p, right, epsilon):
    surprise = -torch.log(p)
    return (1 - epsilon) * surprise[right] + epsilon * surprise.mean()


@smoothing.fresh
def some_probabilities(rng, size):
    scores = torch.from_numpy(rng.normal(size=1 + int(rng.integers(1, 3 * size + 1))))
    right, epsilon = int(rng.integers(len(scores))), float(rng.choice([0.05, 0.1, 0.2, 0.5]))
    return scores.softmax(dim=-1).float(), right, epsilon


@smoothing.wrong(
    "You return the surprise at the right token, without any smoothing: epsilon does not come into "
    "it."
)
def not_smoothed(p, right, epsilon):
    return -torch.log(p[right])


@smoothing.wrong(
    "You divide epsilon among the other V - 1 tokens. (Some papers do.) Here it is divided among "
    "all V, so the right token gets its share of it on top of 1 - epsilon."
)
def among_the_others(p, right, epsilon):
    surprise = -torch.log(p)
    others = (surprise.sum() - surprise[right]) / (len(p) - 1)
    return (1 - epsilon) * surprise[right] + epsilon * others


@smoothing.wrong(
    "You give each of the other tokens epsilon / V, but forget the right one's own share: your "
    "weights sum to less than 1. It gets 1 - epsilon, plus epsilon / V like all others."
)
def own_share_forgotten(p, right, epsilon):
    surprise = -torch.log(p)
    others = (surprise.sum() - surprise[right]) / len(p)
    return (1 - epsilon) * surprise[right] + epsilon * others


@smoothing.wrong(
    "You add the share of all tokens without taking it away from the right one: your weights sum "
    "to 1 + epsilon. The right token gets 1 - epsilon."
)
def not_taken_away(p, right, epsilon):
    surprise = -torch.log(p)
    return surprise[right] + epsilon * surprise.mean()


@smoothing.wrong(
    "You take epsilon away from the right token and give it to nobody: the loss is only scaled "
    "down. Add epsilon times the mean surprise over all tokens."
)
def given_to_nobody(p, right, epsilon):
    return -(1 - epsilon) * torch.log(p[right])


@smoothing.wrong(
    "You multiply epsilon by the sum of all surprises, so that each token gets all of epsilon. "
    "They share it: take the mean."
)
def sum_for_mean(p, right, epsilon):
    surprise = -torch.log(p)
    return (1 - epsilon) * surprise[right] + epsilon * surprise.sum()


@smoothing.wrong(
    "You smooth the model's probability and take its logarithm afterwards. What is smoothed is "
    "what is asked for, not what the model says: take the logarithms first, and then their "
    "weighted sum."
)
def probability_smoothed(p, right, epsilon):
    return -torch.log((1 - epsilon) * p[right] + epsilon / len(p))


@smoothing.wrong(
    "You take the logarithm of the mean probability, which is 1 / V whatever the model says. Take "
    "the logarithms first, then their mean."
)
def logarithm_of_the_mean(p, right, epsilon):
    return -(1 - epsilon) * torch.log(p[right]) - epsilon * torch.log(p.mean())


@smoothing.wrong(
    "Your two weights have changed places: the right token gets 1 - epsilon, and all tokens "
    "together epsilon."
)
def weights_exchanged(p, right, epsilon):
    surprise = -torch.log(p)
    return epsilon * surprise[right] + (1 - epsilon) * surprise.mean()


@smoothing.wrong(
    "The minus is missing: the logarithm of a probability is below 0, and a surprise is minus that."
)
def without_minus(p, right, epsilon):
    return (1 - epsilon) * torch.log(p[right]) + epsilon * torch.log(p).mean()


@smoothing.wrong(
    "Only one of your two parts has its minus: the logarithms of all tokens count as minus, too."
)
def one_minus_missing(p, right, epsilon):
    return -(1 - epsilon) * torch.log(p[right]) + epsilon * torch.log(p).mean()


@smoothing.wrong(
    "You use probabilities where their logarithms are asked for: a surprise is -torch.log(p)."
)
def without_logarithms(p, right, epsilon):
    return (1 - epsilon) * -p[right] - epsilon * p.mean()


@smoothing.wrong("You use the logarithm to base 2; the natural one is torch.log.")
def base_two(p, right, epsilon):
    return my_smoothed_loss(p, right, epsilon) / math.log(2)


@smoothing.wrong("You use the logarithm to base 10; the natural one is torch.log.")
def base_ten(p, right, epsilon):
    return my_smoothed_loss(p, right, epsilon) / math.log(10)


@smoothing.wrong(
    "You treat p as scores and make probabilities of it with a softmax once more, as the loss "
    "functions of PyTorch do. Here p holds probabilities already: take their logarithms."
)
def softmax_once_more(p, right, epsilon):
    return torch.nn.functional.cross_entropy(p, torch.tensor(right), label_smoothing=epsilon)


@smoothing.wrong(
    "You return a loss for each token of the vocabulary: the mean is missing. The surprise at the "
    "right token is one number, and so is the mean over all."
)
def one_for_each_token(p, right, epsilon):
    surprise = -torch.log(p)
    return (1 - epsilon) * surprise[right] + epsilon * surprise


@smoothing.law
def one_positive_number(given, p, right, epsilon):
    if np.ndim(given):
        return f"The loss is one number, and yours has the shape {tuple(np.shape(given))}."
    if given < 0:
        return "No surprise is below 0, and so the loss is not, either."
    return None


@smoothing.law
def between_its_two_parts(given, p, right, epsilon):
    surprise = -torch.log(p)
    low, high = sorted((float(surprise[right]), float(surprise.mean())))
    if not low - 1e-5 <= given <= high + 1e-5:
        return (
            f"The surprise at the right token is {float(surprise[right]):.4g}, the mean over all "
            f"{float(surprise.mean()):.4g}. Your loss has to lie between the two, since the "
            "weights sum to 1."
        )
    return None
