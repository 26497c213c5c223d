import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlab.train import IGNORE, Batch, masked_batches, packed_batches, pair_batches

PAD, START, END = 0, 1, 2
IDS = st.lists(st.integers(3, 40), min_size=1, max_size=9)
PAIRS = st.lists(st.tuples(IDS, IDS), min_size=1, max_size=40)
SIZES = st.integers(1, 12)
PINNED_ORDER = [[1, 7, 4, 10], [11, 2, 8, 5], [3, 6, 0, 9]]
PINNED_FINGERPRINT = "ac8033ff57e50dfc"


def paired(pairs, **options):
    return pair_batches(pairs, pad_id=PAD, start_id=START, end_id=END, **options)


def epoch_of(batches):
    return [next(batches) for _ in range(batches.n_per_epoch)]


def pairs_in(batch):
    """Read the pairs back out of a batch, checking on the way what stands around them."""
    (source_BS, read_BT), learned_BT = batch.inputs, batch.targets_BT
    assert read_BT.shape == learned_BT.shape
    assert source_BS.dtype == read_BT.dtype == learned_BT.dtype == torch.int64
    for source, read, learned in zip(source_BS, read_BT, learned_BT, strict=True):
        n_source = int((source != PAD).sum())
        n = int((learned != IGNORE).sum()) - 1
        assert (source[:n_source] != PAD).all()
        assert (source[n_source:] == PAD).all()
        assert (learned[n + 1 :] == IGNORE).all()
        assert (read[n + 1 :] == PAD).all()
        assert learned[n] == END
        assert read[0] == START
        assert read[1 : n + 1].tolist() == learned[:n].tolist()
        yield source[:n_source].tolist(), learned[:n].tolist()


def frozen(pairs):
    return Counter((tuple(source), tuple(target)) for source, target in pairs)


def same(left, right):
    return all(
        torch.equal(a, b)
        for a, b in zip((*left.inputs, left.targets_BT), (*right.inputs, right.targets_BT))  # noqa: B905
    )


def corpus(n=3000, seed=0):
    """Make pairs whose lengths are those of short sentences and belong together."""
    draw = random.Random(seed)
    lengths = [draw.randint(2, 20) for _ in range(n)]
    return [
        ([draw.randint(3, 99) for _ in range(k)], [draw.randint(3, 99) for _ in range(k + 1)])
        for k in lengths
    ]


class TestPairs:
    @given(pairs=PAIRS, batch_size=SIZES, seed=st.integers(0, 99))
    def test_every_pair_comes_once_an_epoch(self, pairs, batch_size, seed):
        batches = paired(pairs, batch_size=batch_size, seed=seed)
        for epoch in range(3):
            assert batches.epoch == epoch
            found = epoch_of(batches)
            assert frozen(pair for batch in found for pair in pairs_in(batch)) == frozen(pairs)
            assert all(1 <= len(batch.targets_BT) <= batch_size for batch in found)

    @given(pairs=PAIRS, batch_size=SIZES)
    def test_the_counts_are_of_real_tokens(self, pairs, batch_size):
        for batch in epoch_of(paired(pairs, batch_size=batch_size)):
            own = list(pairs_in(batch))
            assert batch.n_targets == sum(len(target) + 1 for _, target in own)
            assert batch.n_tokens == batch.n_targets + sum(len(source) for source, _ in own)

    @given(pairs=PAIRS, batch_size=SIZES, seed=st.integers(0, 99), n=st.integers(0, 60))
    def test_seek_equals_drawing(self, pairs, batch_size, seed, n):
        drawn, sought = (paired(pairs, batch_size=batch_size, seed=seed) for _ in range(2))
        for _ in range(n):
            next(drawn)
        sought.seek(n)
        assert sought.position == drawn.position == n
        assert sought.epoch == drawn.epoch
        assert all(same(next(drawn), next(sought)) for _ in range(5))
        assert sought.position == n + 5

    def test_a_seed_is_an_order(self):
        pairs = corpus(500)
        first, again, other = (
            epoch_of(paired(pairs, batch_size=8, seed=seed)) for seed in (3, 3, 4)
        )
        assert all(same(a, b) for a, b in zip(first, again, strict=True))
        assert not any(same(a, b) for a, b in zip(first, other, strict=True))

    def test_epochs_differ(self):
        batches = paired(corpus(500), batch_size=8)
        first, second = epoch_of(batches), epoch_of(batches)
        assert not any(same(a, b) for a, b in zip(first, second, strict=True))
        # neither do the same pairs sit together again
        together = [{frozenset(frozen(pairs_in(b))) for b in found} for found in (first, second)]
        assert not together[0] & together[1]

    def test_the_order_is_its_own(self):
        pairs = corpus(200)
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
        first = epoch_of(paired(pairs, batch_size=8))
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1] == random.getstate()
        assert np.array_equal(before[2], np.random.get_state()[1])
        torch.rand(1), random.random(), np.random.rand()
        assert all(map(same, first, epoch_of(paired(pairs, batch_size=8))))

    def test_the_order_is_the_same_on_every_machine(self):
        # computed once; a change of it would make every saved run unresumable
        batches = paired([([3 + n], [3 + n] * (1 + n % 3)) for n in range(12)], batch_size=4)
        found = [[source[0] - 3 for source, _ in pairs_in(b)] for b in epoch_of(batches)]
        assert found == PINNED_ORDER
        assert batches.fingerprint == PINNED_FINGERPRINT

    def test_little_is_padding(self):
        def padding(found):
            room = sum(ids.numel() for batch in found for ids in batch.inputs)
            return 1 - sum(batch.n_tokens for batch in found) / room

        bucketed = epoch_of(paired(corpus(), batch_size=32))
        # batches of one pool's worth of batch size are no longer sorted: all in the order of chance
        pairs = corpus()
        random.Random(1).shuffle(pairs)
        mixed = [
            next(paired(pairs[at : at + 32], batch_size=32)) for at in range(0, len(pairs), 32)
        ]
        assert padding(bucketed) < 0.05
        assert padding(mixed) > 0.3

    def test_batches_of_an_epoch_come_long_and_short_mixed(self):
        lengths = [b.targets_BT.shape[1] for b in epoch_of(paired(corpus(), batch_size=32))]
        moves = np.diff(lengths)
        assert (moves > 0).sum() > 20
        assert (moves < 0).sum() > 20

    def test_the_fingerprint_tells_data_and_settings_apart(self):
        pairs = corpus(50)
        other = [*pairs[:-1], (pairs[-1][0], [*pairs[-1][1][:-1], 99 - pairs[-1][1][-1] + 3])]
        moved = [([3, 4], [5]), ([6], [7])], [([3], [5]), ([4, 6], [7])]
        prints = [
            paired(pairs, batch_size=8).fingerprint,
            paired(other, batch_size=8).fingerprint,
            paired(pairs[::-1], batch_size=8).fingerprint,
            paired(pairs, batch_size=9).fingerprint,
            paired(pairs, batch_size=8, seed=1).fingerprint,
            pair_batches(pairs, batch_size=8, pad_id=0, start_id=2, end_id=1).fingerprint,
            *(paired(some, batch_size=8).fingerprint for some in moved),
        ]
        assert len(set(prints)) == len(prints)
        again = paired(pairs, batch_size=8)
        next(again)
        assert again.fingerprint == prints[0]
        assert prints[0] in repr(again)

    def test_ids_may_be_tensors_and_arrays(self):
        lists = paired([([3, 4], [5]), ([6], [7, 8])], batch_size=2)
        tensors = paired(
            [(torch.tensor([3, 4]), np.array([5])), (np.array([6], np.uint8), [np.int32(7), 8])],
            batch_size=2,
        )
        assert lists.fingerprint == tensors.fingerprint
        assert same(next(lists), next(tensors))

    @pytest.mark.parametrize(
        ("pairs", "message"),
        [
            ([], "no pairs"),
            ("ab", "str is not a list of pairs"),
            (7, "int is not a list"),
            ({1: 2}, "dict is not a list"),
            ([([3], [4]), ([], [5])], "source of pair 1 is empty"),
            ([([3], [4]), ([5], [])], "target of pair 1 is empty"),
            ([([3], [4]), ([5, 3.5], [5])], "source of pair 1 holds 3.5"),
            ([([3], [4]), ([5, 3], [True])], "target of pair 1 holds True"),
            ([([3], [4]), ([5, -3], [4])], "source of pair 1 holds -3"),
            ([([3], [4]), ([5, 2**70], [4])], "source of pair 1 holds 1180591620717411303424"),
            ([([3], [4]), (["a"], [4])], "source of pair 1 holds 'a'"),
            ([([3], [4]), ([3], [4, None])], "target of pair 1 holds None"),
            ([([3], [4]), ("ab", [4])], "source of pair 1 is 'ab', a str"),
            ([([3], [4]), (5, [4])], "source of pair 1 is 5, a int"),
            ([([3], [4]), ([5], [6], [7])], "pair 1 is .* give two things"),
            ([([3], [4]), "ab"], "pair 1 is 'ab'; give two things"),
            ([([3], [4]), 5], "pair 1 is 5; give two things"),
            ([([3], [4]), ([5, PAD], [4])], "source of pair 1 holds pad_id=0"),
            ([([3], [4]), ([5], [4, PAD])], "target of pair 1 holds pad_id=0"),
        ],
    )
    def test_what_is_no_pairs_is_refused(self, pairs, message):
        with pytest.raises(ValueError, match=message):
            paired(pairs, batch_size=2)

    @pytest.mark.parametrize("name", ["batch_size", "pad_id", "start_id", "end_id", "seed"])
    @pytest.mark.parametrize("value", [-1, 1.5, None, "2", True])
    def test_numbers_are_whole(self, name, value):
        options = {"batch_size": 2, "pad_id": 0, "start_id": 1, "end_id": 2, name: value}
        with pytest.raises(ValueError, match=f"{name}="):
            pair_batches([([3], [4])], **options)

    def test_batch_size_is_above_0(self):
        with pytest.raises(ValueError, match="batch_size=0 must be a whole number of at least 1"):
            paired([([3], [4])], batch_size=0)

    def test_seek_takes_positions_only(self):
        batches = paired([([3], [4])], batch_size=1)
        with pytest.raises(ValueError, match="position=-1"):
            batches.seek(-1)

    def test_seeking_far_costs_nothing(self):
        batches = paired(corpus(500), batch_size=8)
        batches.seek(10**12 + 5)
        assert batches.epoch == (10**12 + 5) // batches.n_per_epoch
        assert frozen(pairs_in(next(batches)))
        assert batches.position == 10**12 + 6


class TestPacked:
    @given(
        n=st.integers(2, 90), context=st.integers(1, 20), batch_size=SIZES, seed=st.integers(0, 9)
    )
    def test_every_token_but_the_first_is_a_target_once_an_epoch(
        self, n, context, batch_size, seed
    ):
        if n <= context:
            return
        tokens = list(range(100, 100 + n))
        batches = packed_batches(tokens, context=context, batch_size=batch_size, seed=seed)
        for _ in range(4):
            learned = []
            for batch in epoch_of(batches):
                real = batch.targets_BT != IGNORE
                assert batch.targets_BT.shape[1] <= context
                assert 1 <= len(batch.targets_BT) <= batch_size
                assert real.any(dim=1).all()
                # each target is the token after the one that is read there
                assert torch.equal(batch.inputs[0][real] + 1, batch.targets_BT[real])
                assert batch.n_tokens == batch.n_targets == int(real.sum())
                learned += batch.targets_BT[real].tolist()
            assert sorted(learned) == tokens[1:]

    @given(context=st.integers(2, 16), n=st.integers(40, 200), position=st.integers(0, 60))
    def test_seek_equals_drawing(self, context, n, position):
        drawn, sought = (
            packed_batches(list(range(n)), context=context, batch_size=3) for _ in range(2)
        )
        for _ in range(position):
            next(drawn)
        sought.seek(position)
        assert all(same(next(drawn), next(sought)) for _ in range(4))

    @given(context=st.integers(4, 12), n=st.integers(40, 90))
    def test_epochs_are_cut_at_different_places(self, context, n):
        batches = packed_batches(list(range(n)), context=context, batch_size=4)
        cuts = {
            min(
                int(row[(row != IGNORE)][-1])
                for batch in epoch_of(batches)
                for row in batch.targets_BT
            )
            for _ in range(25)
        }
        assert len(cuts) > 1

    def test_pieces_are_in_another_order_for_another_seed(self):
        found = [
            epoch_of(packed_batches(list(range(400)), context=8, batch_size=2, seed=seed))
            for seed in (0, 0, 1)
        ]
        assert all(map(same, found[0], found[1]))
        assert not all(map(same, found[0], found[2]))

    def test_texts_are_joined_as_they_are(self):
        whole = packed_batches([3, 4, 5, 6, 7, 8], context=2, batch_size=2)
        parts = packed_batches([[3, 4], [], [5], [6, 7, 8]], context=2, batch_size=2)
        tensor = packed_batches(torch.tensor([3, 4, 5, 6, 7, 8]), context=2, batch_size=2)
        numbers = packed_batches(np.array([3, 4, 5, 6, 7, 8]), context=2, batch_size=2)
        several = packed_batches(
            [torch.tensor([3, 4, 5]), np.array([6, 7, 8])], context=2, batch_size=2
        )
        prints = {b.fingerprint for b in (whole, parts, tensor, numbers, several)}
        assert len(prints) == 1

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            ([3, 4, 5, 6], "the text has 4 tokens, and one piece needs context=4 and one more"),
            ([3], "the text has 1 tokens.* use context=1"),
            ([], "no token ids"),
            ([[], []], "the text has 0 tokens"),
            ("a text", "str is not a list of token ids"),
            (["a text"], "text 0 is 'a text', a str"),
            ([3, 4.5, 5, 6, 7], "text 0 holds 4.5"),
            ([[3, 4, 5], [6, "x"]], "text 1 holds 'x'"),
        ],
    )
    def test_what_is_no_text_is_refused(self, ids, message):
        with pytest.raises(ValueError, match=message):
            packed_batches(ids, context=4, batch_size=2)

    @pytest.mark.parametrize("name", ["batch_size", "context"])
    def test_sizes_are_above_0(self, name):
        with pytest.raises(ValueError, match=f"{name}=0"):
            packed_batches([3, 4, 5], **{"context": 1, "batch_size": 1, name: 0})


MARKED = st.lists(st.tuples(st.integers(3, 40), st.booleans()), min_size=2, max_size=9).map(
    lambda tokens: (
        [token for token, _ in tokens],
        [False, *(learn for _, learn in tokens[1:-1]), True],
    )
)


class TestMasked:
    @given(examples=st.lists(MARKED, min_size=1, max_size=25), batch_size=SIZES)
    def test_exactly_the_marked_tokens_are_learned(self, examples, batch_size):
        batches = masked_batches(examples, batch_size=batch_size, pad_id=PAD)
        for _ in range(2):
            found = Counter()
            for batch in epoch_of(batches):
                rows = zip(batch.inputs[0], batch.targets_BT, strict=True)
                for read, learned in rows:
                    n = int((read != PAD).sum())
                    assert (learned[n:] == IGNORE).all()
                    targets = learned[:n].tolist()
                    found[tuple(read[:n].tolist()), tuple(targets)] += 1
                assert batch.n_targets == int((batch.targets_BT != IGNORE).sum())
                assert batch.n_tokens == int((batch.inputs[0] != PAD).sum())
            assert found == Counter(
                (
                    tuple(ids[:-1]),
                    tuple(i if marked else IGNORE for i, marked in zip(ids, learn))[1:],  # noqa: B905
                )
                for ids, learn in examples
            )

    def test_the_marks_count_for_the_fingerprint(self):
        prints = {
            masked_batches([([3, 4, 5], marks)], batch_size=1, pad_id=0).fingerprint
            for marks in ([False, True, True], [False, False, True], np.array([False, True, False]))
        }
        assert len(prints) == 3

    @pytest.mark.parametrize(
        ("examples", "message"),
        [
            ([], "no examples"),
            (
                [([3, 4], [False, True]), ([3, 4], [False, False])],
                "example 1 has no token to learn",
            ),
            ([([3, 4], [False, True]), ([3, 4], [True])], "marks of example 1 are not as many"),
            ([([3, 4], [False, True]), ([3, 4], [True, True])], "first token of example 1"),
            ([([3, 4], [False, True]), ([], [])], "example 1 is empty"),
            ([([3, 4], [False, 1])], "marks of example 0 are not all True or False"),
            ([([3, "b"], [False, True])], "example 0 holds 'b'"),
            ([[3, 4, 5]], "example 0 is .* give two things"),
        ],
    )
    def test_what_is_no_example_is_refused(self, examples, message):
        with pytest.raises(ValueError, match=message):
            masked_batches(examples, batch_size=2, pad_id=0)


class TestBatch:
    def test_counts_are_found_out(self):
        targets_BT = torch.tensor([[5, IGNORE], [6, 7]])
        batch = Batch((torch.zeros(2, 2), torch.zeros(2, 3)), targets_BT)
        assert (batch.n_targets, batch.n_tokens) == (3, 10)

    def test_moving_keeps_everything(self):
        batch = next(paired([([3, 4], [5]), ([6], [7, 8])], batch_size=2))
        moved = batch.to("cpu")
        assert same(batch, moved)
        assert (moved.n_targets, moved.n_tokens) == (batch.n_targets, batch.n_tokens)
        away = batch.to("meta")
        assert {t.device.type for t in (*away.inputs, away.targets_BT)} == {"meta"}
        assert away.n_targets == batch.n_targets
