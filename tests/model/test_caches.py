"""Caches: what was put in, in the order of the rows that were selected, and nothing else."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlab.model import KVCache
from llmlab.model.caches import DecoderCache, MemoryCache


class ListCache:
    """The oracle: whole tensors, joined and cut."""

    def __init__(self):
        self.keys, self.values = torch.zeros(2, 3, 0, 4), torch.zeros(2, 3, 0, 4)

    def extend(self, keys, values):
        self.keys = torch.cat((self.keys, keys), dim=2)
        self.values = torch.cat((self.values, values), dim=2)
        return self.keys, self.values

    def select(self, rows):
        self.keys, self.values = self.keys[rows], self.values[rows]

    def truncate(self, length):
        self.keys, self.values = self.keys[:, :, :length], self.values[:, :, :length]


@given(
    steps=st.lists(
        st.tuples(
            st.integers(1, 70),
            st.floats(0, 1),
            st.none() | st.lists(st.floats(0, 0.99), min_size=1, max_size=4),
        ),
        max_size=8,
    )
)
def test_a_cache_holds_what_was_put_in_and_not_cut_off(steps):
    cache, oracles, n_rows = KVCache(2, 300), [ListCache(), ListCache()], 2
    for n_new, kept, rows in steps:
        if cache.length + n_new > 300:
            continue
        for layer, oracle in enumerate(oracles):
            keys, values = torch.randn(2, n_rows, 3, n_new, 4)
            found = cache.extend(layer, keys, values)
            assert_close(found, oracle.extend(keys, values))
        cache.advance(n_new)
        cache.truncate(int(kept * cache.length))
        for oracle in oracles:
            oracle.truncate(cache.length)
        if rows is not None:
            rows_B = torch.tensor([int(row * n_rows) for row in rows])
            n_rows = len(rows)
            for one in (cache, *oracles):
                one.select(rows_B)


def test_room_grows_with_the_text_and_never_beyond_the_capacity():
    cache, small = KVCache(1, 1000), torch.zeros(1, 1, 1, 2)
    sizes = []
    for _ in range(1000):
        keys, _ = cache.extend(0, small, small)
        cache.advance(1)
        sizes.append(keys.untyped_storage().nbytes() // 8)
    assert sizes[0] < 100
    assert max(sizes) == 1000
    assert len(set(sizes)) < 10  # growing stays rare


def test_what_does_not_fit_into_a_cache_is_refused():
    cache = KVCache(1, 10)
    cache.advance(8)
    cache.check_room(2)
    with pytest.raises(ValueError, match=r"8 tokens .* 3 new ones .* of 10; give at most 2 "):
        cache.check_room(3)
    for length in (-1, 9):
        with pytest.raises(ValueError, match=f"length={length} .*; use a number from 0 to 8"):
            cache.truncate(length)
    cache.truncate(8)
    cache.truncate(0)
    assert cache.length == 0


def test_a_cache_of_another_batch_is_refused():
    cache = KVCache(1, 10)
    cache.extend(0, *torch.zeros(2, 3, 2, 1, 4))
    cache.advance(1)
    with pytest.raises(ValueError, match=r"3 texts .* of 1 were given; .*new cache"):
        cache.extend(0, *torch.zeros(2, 1, 2, 1, 4))
    cache.truncate(0)
    keys, _ = cache.extend(0, *torch.zeros(2, 1, 2, 1, 4))
    assert keys.shape == (1, 2, 1, 4)


def test_a_memory_s_keys_are_computed_once_until_the_cache_begins_anew():
    calls = []

    def keys_values(memory_BSC):
        calls.append(memory_BSC)
        return memory_BSC[:, None], 2 * memory_BSC[:, None]

    cache = MemoryCache(2)
    first, second = torch.randn(2, 3, 5, 4)
    for memory_BSC in (first, second):  # nothing has been read by then, so the second counts
        for layer in (0, 1):
            cache.once(layer, memory_BSC, keys_values)
    cache.advance(2)
    for layer in (0, 1):
        keys_BHSD, values_BHSD = cache.once(layer, second, keys_values)
        assert_close(keys_BHSD[:, 0], second)
        assert_close(values_BHSD[:, 0], 2 * second)
    assert len(calls) == 4
    rows_B = torch.tensor([2, 0, 0, 1])
    cache.select(rows_B)
    keys_BHSD, _ = cache.once(1, second[rows_B], keys_values)
    assert_close(keys_BHSD[:, 0], second[rows_B])
    for other in (second, second[rows_B, :3]):
        with pytest.raises(ValueError, match=r"holds a memory of shape \(4, 5\).*same select"):
            cache.once(0, other, keys_values)
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([0, 1], "list is no list of rows; give their numbers"),
        (torch.tensor([True, False]), r"torch.bool of shape \(2,\) is no list of rows"),
        (torch.tensor([0.0]), r"torch.float32 of shape \(1,\) is no list"),
        (torch.tensor([[0]]), r"torch.int64 of shape \(1, 1\) is no list"),
        (torch.tensor([], dtype=torch.long), r"shape \(0,\) is no list"),
        (torch.tensor([0, 2]), "there is no row 2; rows go from 0 to 1"),
        (torch.tensor([-1, 0]), "there is no row -1; rows go from 0 to 1"),
    ],
)
def test_what_are_no_rows_is_refused_and_changes_nothing(rows, told):
    cache = DecoderCache(1, 10)
    keys = torch.randn(2, 2, 3, 4)
    cache.target.extend(0, keys, keys)
    cache.source.once(0, keys[:, 0], lambda memory_BSC: (memory_BSC[:, None],) * 2)
    cache.advance(3)
    with pytest.raises(ValueError, match=told):
        cache.select(rows)
    cache.select(torch.tensor([0, 1], dtype=torch.int32))
    assert cache.length == 3
    new = torch.randn(2, 2, 1, 4)
    assert_close(cache.target.extend(0, new, new)[0], torch.cat((keys, new), dim=2))
