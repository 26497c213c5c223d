"""Beam search: against the best of all texts, and against a plain search that never stops early."""

import doctest
import itertools
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlab.inference import beam_search, search
from llmlab.inference.search import best_tokens, length_divisor

START, END = 0, 1


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(search)
    assert result.attempted >= 5
    assert result.failed == 0


class Lattice:
    """A table of the log-probabilities of the next token after every beginning."""

    def __init__(self, seed, *, n_tokens=4, depth=4, coarse=False):
        generator = np.random.default_rng(seed)
        self.n_tokens, self.depth, self.asked = n_tokens, depth, []
        self.table = {}
        for length in range(depth):
            for said in itertools.product([0, *range(2, n_tokens)], repeat=length):
                # coarse shares make ties, and a share of 0 is a token that cannot follow
                shares = generator.integers(0, 4, n_tokens) + 1e-3 * generator.random(n_tokens)
                shares = np.floor(shares) if coarse else shares * generator.random(n_tokens) ** 3
                shares[2] += not shares.any()
                with np.errstate(divide="ignore"):
                    self.table[(START, *said)] = np.log(shares / shares.sum())

    def __call__(self, ids_NT, parents_N):
        self.asked.append(ids_NT.tolist())
        return np.stack([self.table[tuple(ids)] for ids in ids_NT.tolist()])


def score_of(log_probability, length, penalty):
    return log_probability / ((5 + length) / 6) ** penalty


def ranked(found, penalty):
    """Rank (ids, log-probability): what ended by score, then what was cut off."""
    rows = []
    for ids, log_probability in found:
        finished = ids[-1] == END
        score = score_of(log_probability, len(ids), penalty) if finished else -math.inf
        rows.append((ids, log_probability, score, finished))
    return sorted(rows, key=lambda row: (-row[2], -row[1], row[0]))


def all_texts(lattice, limit, penalty):
    found, open_ends = [], [((START,), 0.0)]
    for length in range(1, limit + 1):
        grown = [
            ((*said, token), before + value)
            for said, before in open_ends
            for token, value in enumerate(lattice.table[said].tolist())
            if value > -math.inf
        ]
        over = [row for row in grown if row[0][-1] == END or length == limit]
        found += [(said[1:], value) for said, value in over]
        open_ends = [row for row in grown if row not in over]
    return ranked(found, penalty)


def plain_beam(lattice, limit, n_beams):
    """The textbook's search, which follows every hypothesis to its end."""
    found, beam = [], [((START,), 0.0)]
    for length in range(1, limit + 1):
        grown = [
            (before + value, place, token)
            for place, (said, before) in enumerate(beam)
            for token, value in enumerate(lattice.table[said].tolist())
            if value > -math.inf
        ]
        grown.sort(key=lambda row: (-row[0], row[1], row[2]))
        best = [((*beam[place][0], token), value) for value, place, token in grown[:n_beams]]
        found += [(said[1:], v) for said, v in best if said[-1] == END or length == limit]
        beam = [row for row in best if row[0][-1] != END]
    return found


def plain_greedy(lattice, limit):
    said, total = (START,), 0.0
    while said[-1] != END and len(said) <= limit:
        values = lattice.table[said].tolist()
        said, total = (*said, values.index(max(values))), total + max(values)
    return said[1:], total


penalties = st.sampled_from([0, 0.3, 0.6, 1, 2.5])
lattices = st.builds(
    Lattice, st.integers(0, 10**6), n_tokens=st.sampled_from([3, 4]), coarse=st.booleans()
)


@given(lattice=lattices, limit=st.integers(1, 4), penalty=penalties, n_best=st.integers(1, 5))
def test_with_a_beam_for_every_beginning_the_best_of_all_texts_is_found(
    lattice, limit, penalty, n_best
):
    settings = {"start_id": START, "end_id": END, "length_penalty": penalty}
    everything = all_texts(lattice, limit, penalty)
    n_beams = lattice.n_tokens**lattice.depth
    [found] = beam_search(lattice, max_new_tokens=limit, n_beams=n_beams, **settings)
    assert found == everything
    [found] = beam_search(lattice, max_new_tokens=limit, n_beams=n_beams, n_best=n_best, **settings)
    assert found == everything[:n_best]


@given(
    lattice=lattices
    | st.builds(Lattice, st.integers(0, 10**6), n_tokens=st.just(3), depth=st.just(6)),
    limit=st.integers(1, 4),
    longer=st.integers(0, 2),
    penalty=penalties,
    n_beams=st.integers(1, 4),
    n_best=st.none() | st.integers(1, 5),
)
def test_the_result_is_that_of_the_plain_search_and_of_the_greedy_one(
    lattice, limit, longer, penalty, n_beams, n_best
):
    limit = min(limit + longer, lattice.depth)
    [found] = beam_search(
        lattice, start_id=START, end_id=END, max_new_tokens=limit, length_penalty=penalty,
        n_beams=n_beams, n_best=n_best,
    )  # fmt: skip
    both = {*plain_beam(lattice, limit, n_beams), plain_greedy(lattice, limit)}
    assert found == ranked(both, penalty)[: n_best or n_beams]
    assert all(h.score == -math.inf or h.finished for h in found)


@given(lattice=lattices, limit=st.integers(1, 4), penalty=penalties)
def test_one_beam_is_greedy_and_more_are_never_below_it(lattice, limit, penalty):
    def best(n_beams):
        [found] = beam_search(
            lattice, start_id=START, end_id=END, max_new_tokens=limit, n_beams=n_beams,
            length_penalty=penalty,
        )  # fmt: skip
        return found[0]

    greedy = best(1)
    assert (greedy.ids, greedy.log_probability) == plain_greedy(lattice, limit)
    for n_beams in (2, 3, 5):
        assert best(n_beams).score >= greedy.score


def table(rows):
    """A lattice in which only the last token counts: lists of probabilities."""
    logs_VV = torch.tensor(rows, dtype=torch.float64).log()
    return lambda ids_NT, parents_N: logs_VV[ids_NT[:, -1]]


# 0 start, 1 end; 2 begins what two beams leave: its best continuation is behind both of 3's
TRAP = table(
    [
        [0.0, 0.0, 0.52, 0.48, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.34, 0.33, 0.33, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5],
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.1, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
        [0.1, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
    ]
)


def test_where_the_beam_loses_the_greedy_text_it_is_found_all_the_same():
    settings = {"start_id": 0, "end_id": 1, "max_new_tokens": 3, "length_penalty": 0}
    [[greedy]] = beam_search(TRAP, n_beams=1, **settings)
    assert greedy.ids == (2, 4, 1)
    assert math.exp(greedy.score) == pytest.approx(0.52 * 0.34)
    [[best, second]] = beam_search(TRAP, n_beams=2, **settings)
    assert best == greedy
    assert second.ids == (3, 7, 1)
    assert math.exp(second.score) == pytest.approx(0.48 * 0.5 * 0.2)


def sparse_table(likely, n_tokens=30):
    """A lattice of a few likely tokens; all others share what is left."""
    rows = []
    for token in range(n_tokens):
        left = 1 - sum(likely.get(token, {}).values())
        shares = [left / n_tokens] * n_tokens
        for follower, share in likely.get(token, {}).items():
            shares[follower] += share
        rows.append(shares)
    return table(rows)


def test_the_greedy_text_takes_no_place_of_the_beam_after_it_has_dropped_out():
    # 2 4 7 is greedy and drops out behind 3 5 and 3 6; it would come back before 3 6 9, which wins
    score_next = sparse_table(
        {0: {2: 0.5, 3: 0.49}, 2: {4: 0.2}, 3: {5: 0.5, 6: 0.5}, 4: {7: 0.99}, 5: {8: 0.3},
         6: {9: 0.29}, 7: {1: 0.5}, 8: {1: 0.1}, 9: {1: 1}}
    )  # fmt: skip
    settings = {"start_id": 0, "end_id": 1, "max_new_tokens": 4, "length_penalty": 0}
    [[greedy]] = beam_search(score_next, n_beams=1, **settings)
    assert greedy.ids == (2, 4, 7, 1)
    [found] = beam_search(score_next, n_beams=2, **settings)
    assert [h.ids for h in found] == [(3, 6, 9, 1), (2, 4, 7, 1)]


def test_a_penalty_makes_longer_texts_win():
    score_next = table([[0, 0.5, 0.5], [0, 1, 0], [0, 0.9, 0.1]])
    settings = {"start_id": 0, "end_id": 1, "max_new_tokens": 9, "n_beams": 3}
    [plain] = beam_search(score_next, length_penalty=0, **settings)
    assert plain[0].ids == (1,)
    [longer] = beam_search(score_next, length_penalty=2, **settings)
    assert longer[0].ids == (2, 1)
    assert longer[0].score == pytest.approx(math.log(0.45) / (7 / 6) ** 2)


def test_a_running_text_that_may_still_win_is_waited_for():
    # after one token the end has 0.5; the long way keeps 0.45 and wins by its length at last
    score_next = table([[0, 0.5, 0.45, 0.05], [0, 1, 0, 0], [0, 0.0, 0.999, 0.001], [0, 1, 0, 0]])
    calls = []

    def counted(ids_NT, parents_N):
        calls.append(len(ids_NT))
        return score_next(ids_NT, parents_N)

    settings = {"start_id": 0, "end_id": 1, "max_new_tokens": 60, "n_beams": 2}
    beam_search(counted, length_penalty=0, n_best=1, **settings)
    assert len(calls) == 1  # 0.45 can only become less
    calls.clear()
    [[best]] = beam_search(counted, length_penalty=1.0, n_best=1, **settings)
    assert len(calls) == 60
    assert best.ids == (1,)  # 0.001 for the end makes the long ones lose, as is known at the end


def test_finished_texts_leave_the_batch():
    # text by text another end: 2 counts on to 3, 4 ...; the texts begin differently by their row
    ends = {2: 0, 3: 1, 4: 2}
    sizes = []

    def score_next(ids_NT, parents_N):
        sizes.append(len(ids_NT))
        texts = parents_N.tolist() if ids_NT.shape[1] == 1 else ids_NT[:, 1].tolist()
        values_NV = torch.full((len(ids_NT), 5), -torch.inf)
        for row, text in enumerate(texts):
            token = text + 2 if ids_NT.shape[1] == 1 else text
            over = ids_NT.shape[1] - 1 > ends[token]
            values_NV[row, 1 if over else token] = 0.0
        return values_NV

    found = beam_search(
        score_next, start_id=0, end_id=1, max_new_tokens=[9, 9, 2], n_texts=3, n_beams=1
    )
    assert [h.ids for [h] in found] == [(2, 1), (3, 3, 1), (4, 4)]
    assert [h.finished for [h] in found] == [True, True, False]
    assert [h.score for [h] in found] == [0, 0, -math.inf]
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize("n_beams", [1, 2, 3])
@pytest.mark.parametrize("penalty", [0, 0.6])
def test_a_batch_finds_what_each_text_finds_alone_and_parents_tell_the_rows(n_beams, penalty):
    lattices = [Lattice(seed) for seed in range(12)]
    limits = [1 + seed % 4 for seed in range(12)]
    settings = {"start_id": START, "end_id": END, "n_beams": n_beams, "length_penalty": penalty}
    memory = list(range(12))  # what a model with a cache has in its rows

    def score_next(ids_NT, parents_N):
        memory[:] = [memory[parent] for parent in parents_N.tolist()]
        rows = zip(memory, ids_NT.tolist(), strict=True)
        return np.stack([lattices[number].table[tuple(ids)] for number, ids in rows])

    together = beam_search(score_next, max_new_tokens=limits, n_texts=12, **settings)
    for lattice, limit, found in zip(lattices, limits, together, strict=True):
        assert [found] == beam_search(lattice, max_new_tokens=limit, **settings)


def test_of_equals_the_lowest_ids_go_first():
    score_next = table([[0, 0.2, 0.4, 0.4], [0, 1, 0, 0], [0, 0.5, 0.25, 0.25], [0, 0.5, 0.5, 0]])
    [found] = beam_search(
        score_next, start_id=0, end_id=1, max_new_tokens=2, n_beams=3, length_penalty=0
    )
    assert [h.ids for h in found] == [(1,), (2, 1), (3, 1)]
    assert len({h.score for h in found}) == 1
    # (1, 2) is found after (2,), is as probable, and goes before it
    score_next = table([[0, 0.5, 0.5], [0, 0, 1], [0, 0, 1]])
    [found] = beam_search(
        score_next, start_id=0, end_id=2, max_new_tokens=5, n_beams=2, length_penalty=0, n_best=1
    )
    assert [h.ids for h in found] == [(1, 2)]


@given(
    rows=st.integers(1, 6).flatmap(
        lambda n: st.lists(
            st.lists(st.integers(-3, 0), min_size=n, max_size=n), min_size=1, max_size=4
        )
    ),
    k=st.integers(1, 8),
)
def test_best_tokens_are_those_of_a_stable_sort(rows, k):
    scores_NV = torch.tensor(rows, dtype=torch.float32)
    before = scores_NV.clone()
    values_NK, ids_NK = best_tokens(scores_NV, k)
    sorted_NV, order_NV = scores_NV.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values_NK, sorted_NV[:, :k])
    assert torch.equal(ids_NK, order_NV[:, :k])
    assert torch.equal(scores_NV, before)


def test_the_divisor_is_the_one_of_the_paper():
    assert length_divisor(13, 1) == 3
    assert length_divisor(1, 7) == length_divisor(20, 0) == 1


def test_no_texts_need_no_scores():
    settings = {"start_id": 0, "end_id": 1}
    assert beam_search(None, max_new_tokens=3, n_texts=0, **settings) == []
    assert beam_search(None, max_new_tokens=[], n_texts=0, **settings) == []


NEXT = table([[0, 0.5, 0.5], [0, 1, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"n_beams": 0}, "n_beams=0 must be a whole number of at least 1"),
        ({"n_beams": 2.5}, "n_beams=2.5 must be a whole number"),
        ({"n_best": 0}, "n_best=0 must be a whole number of at least 1"),
        ({"n_texts": -1}, "n_texts=-1 must be a whole number of at least 0"),
        ({"max_new_tokens": 0}, "max_new_tokens=0 must be a whole number of at least 1"),
        ({"max_new_tokens": [3, 0], "n_texts": 2}, "max_new_tokens=0 must be a whole number"),
        ({"max_new_tokens": [3]}, "max_new_tokens has 1 numbers for n_texts=2; give one for"),
        ({"length_penalty": -0.1}, "length_penalty=-0.1 must be a number of at least 0; 0 ranks"),
        ({"length_penalty": math.nan}, "length_penalty=nan must be a number"),
        ({"length_penalty": "0.6"}, "length_penalty='0.6' must be a number"),
        ({"end_id": 3}, "end_id=3 is not among the 3 tokens that score_next scores, so no text"),
        ({"end_id": -1}, "end_id=-1 is not among the 3 tokens"),
    ],
)
def test_settings_that_make_no_sense_are_told(settings, told):
    given = {"start_id": 0, "end_id": 1, "max_new_tokens": 3, "n_texts": 2} | settings
    with pytest.raises(ValueError, match=re.escape(told)):
        beam_search(NEXT, **given)


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([[0.0, math.nan, -1.0]], "the best log-probability of a next token is nan, not a number"),
        ([[0.0, math.inf, -1.0]], "the best log-probability of a next token is inf"),
        ([[-math.inf] * 3], "is -inf, not a number to choose by; .* no probability at all"),
        ([[1.5, 0.0, -1.0]], "1.5 is no log-probability, which is at most 0; return logits.log"),
        ([-1.0, -1.0, -1.0], r"score_next returned the shape \(3,\) for 1 hypotheses; return \(1,"),
        ([[-1.0] * 3] * 2, r"score_next returned the shape \(2, 3\) for 1 hypotheses"),
    ],
)
def test_scores_that_are_no_log_probabilities_are_told(scores, told):
    settings = {"start_id": 0, "end_id": 1, "max_new_tokens": 3}
    with pytest.raises(ValueError, match=told):
        beam_search(lambda ids_NT, parents_N: torch.tensor(scores), **settings)


def test_a_single_nan_anywhere_in_a_row_is_told():
    scores_NV = torch.full((1, 50), -4.0)
    scores_NV[0, 37] = math.nan
    settings = {"start_id": 0, "end_id": 1, "max_new_tokens": 3}
    with pytest.raises(ValueError, match="is nan, not a number"):
        beam_search(lambda ids_NT, parents_N: scores_NV, **settings)
