"""The Translator's laws: causality, padding, batches, own attention, the cache."""

import dataclasses

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlab.model import Translator, attend, attend_fused
from llmlab.model.translator import Memory

from .conftest import random_translator
from .translators import CLASSIC, FAMILIES, OURS, PAD, SOURCE, TARGET, padded, words

pairs = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 7)), min_size=1, max_size=4)


@given(place=st.integers(0, 6), token_id=st.integers(0, 22))
def test_a_target_token_changes_nothing_before_it(translator, place, token_id):
    assume(token_id not in TARGET[:, place])
    changed_BT = TARGET.clone()
    changed_BT[:, place] = token_id
    before, after = translator(SOURCE, TARGET), translator(SOURCE, changed_BT)
    assert_close(after[:, :place], before[:, :place])
    assert ((after[:, place:] - before[:, place:]).abs().amax(dim=-1) > 1e-5).all()


@given(place=st.integers(0, 8), token_id=st.integers(3, 22))
def test_every_source_token_matters_to_every_score(translator, place, token_id):
    assume(token_id != SOURCE[0, place])
    changed_BS = SOURCE.clone()
    changed_BS[0, place] = token_id
    before, after = translator(SOURCE, TARGET), translator(changed_BS, TARGET)
    assert ((after[0] - before[0]).abs().amax(dim=-1) > 1e-6).all()
    assert_close(after[1:], before[1:])


def test_the_order_of_the_words_matters_in_both_texts(translator):
    source_BS, target_BT = words(1, 5), words(1, 4, seed=2)
    scores = translator(source_BS, target_BT)[:, -1]
    for other in (
        translator(source_BS[:, [1, 0, 2, 3, 4]], target_BT)[:, -1],
        translator(source_BS, target_BT[:, [1, 0, 2, 3]])[:, -1],
    ):
        assert (scores - other).abs().max() > 1e-4


@given(pairs=pairs, more=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_padding_and_neighbours_change_nothing(translator, pairs, more):
    n_source = max(n for n, _ in pairs) + more[0]
    n_target = max(n for _, n in pairs) + more[1]
    source_BS = padded(words(4, n_source)[: len(pairs)], [n for n, _ in pairs])
    target_BT = padded(words(4, n_target, seed=2)[: len(pairs)], [n for _, n in pairs])
    scores_BTV = translator(source_BS, target_BT)
    assert scores_BTV.isfinite().all()
    for row, (n_source, n_target) in enumerate(pairs):
        alone = translator(source_BS[row : row + 1, :n_source], target_BT[row : row + 1, :n_target])
        assert_close(scores_BTV[row, :n_target], alone[0], atol=1e-5, rtol=1e-5)


def test_what_a_padded_vector_of_the_memory_says_changes_nothing(translator):
    memory = translator.encode(SOURCE)
    assert torch.equal(memory.mask_BS, SOURCE != PAD)
    loud = memory.vectors_BSC.where(memory.mask_BS[..., None], 1e3)
    assert_close(
        translator.decode(TARGET, Memory(loud, memory.mask_BS)), translator(SOURCE, TARGET)
    )


@given(order=st.permutations(range(3)))
def test_the_order_of_the_pairs_changes_nothing(translator, order):
    assert_close(translator(SOURCE[order], TARGET[order]), translator(SOURCE, TARGET)[order])


def test_a_model_without_a_padding_id_takes_padding_for_text():
    blind = random_translator(dataclasses.replace(OURS, pad_id=None))
    with torch.no_grad():
        assert blind.encode(SOURCE).mask_BS is None
        alone, together = blind(SOURCE[1:2, :4], TARGET[1:2]), blind(SOURCE, TARGET)[1:2]
        assert (alone - together).abs().max() > 1e-2
        seeing = Translator(OURS).eval()
        seeing.load_state_dict(blind.state_dict())
        assert_close(seeing(SOURCE, TARGET)[1:2], alone)
        assert_close(seeing(SOURCE[:1], TARGET[:1]), blind(SOURCE[:1], TARGET[:1]))


@pytest.mark.parametrize("attention", [attend, attend_fused])
@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_an_empty_source_is_one_padding_token_and_leaves_no_nan(config, attention):
    model = random_translator(config, attend=attention)
    source_BS = SOURCE.clone()
    source_BS[1] = PAD
    assert model.encode(source_BS).mask_BS.sum(dim=1).tolist() == [9, 1, 1]
    scores = model(source_BS, TARGET)
    assert_close(scores[1], model(torch.tensor([[PAD]]), TARGET[1:2])[0])
    assert_close(scores[[0, 2]], model(SOURCE, TARGET)[[0, 2]])
    scores.logsumexp(dim=-1).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_rotary_positions_know_only_how_far_apart_two_words_are():
    model = random_translator(OURS).requires_grad_(False)
    left_BS = torch.cat((torch.full((3, 3), PAD), SOURCE), dim=1)
    assert_close(
        model.encode(left_BS).vectors_BSC[:, 3:][SOURCE != PAD],
        model.encode(SOURCE).vectors_BSC[SOURCE != PAD],
        atol=1e-5, rtol=1e-5,
    )  # fmt: skip
    classic = random_translator(CLASSIC).requires_grad_(False)
    shifted = classic.encode(left_BS).vectors_BSC[:, 3:]
    assert (shifted - classic.encode(SOURCE).vectors_BSC)[SOURCE != PAD].abs().max() > 0.1


def test_without_positions_a_source_is_a_bag_of_words():
    order = torch.tensor([3, 0, 2, 1, 8, 5, 7, 4, 6])
    bag = random_translator(dataclasses.replace(OURS, positions="none")).requires_grad_(False)
    assert_close(bag(SOURCE[:1, order], TARGET[:1]), bag(SOURCE[:1], TARGET[:1]))
    for config in (OURS, CLASSIC):
        model = random_translator(config).requires_grad_(False)
        moved = model(SOURCE[:1, order], TARGET[:1]) - model(SOURCE[:1], TARGET[:1])
        assert moved.abs().max() > 0.01


def test_cross_attention_takes_the_memory_as_a_set(translator):
    order = torch.tensor([4, 0, 8, 2, 1, 7, 3, 6, 5])
    memory = translator.encode(SOURCE)
    shuffled = Memory(memory.vectors_BSC[:, order], memory.mask_BS[:, order])
    assert_close(translator.decode(TARGET, shuffled), translator.decode(TARGET, memory))


def my_attend(q_BHTD, k_BHSD, v_BHSD, *, causal=False, mask_BTS=None):
    """What a learner may write."""
    scores_BHTS = torch.einsum("bhtd,bhsd->bhts", q_BHTD, k_BHSD) / q_BHTD.shape[-1] ** 0.5
    hidden = torch.zeros(scores_BHTS.shape, dtype=torch.bool)
    if causal:
        n_queries, n_keys = scores_BHTS.shape[-2:]
        before_T1 = torch.arange(n_keys - n_queries, n_keys)[:, None]
        hidden |= torch.arange(n_keys) > before_T1
    if mask_BTS is not None:
        hidden |= ~mask_BTS[:, None]
    powers = scores_BHTS.masked_fill(hidden, -1e30).exp()
    return powers / powers.sum(dim=-1, keepdim=True) @ v_BHSD


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("own", [attend, my_attend])
def test_written_out_and_own_attention_give_the_scores_of_the_fused_one(config, own):
    model = random_translator(config, attend=attend_fused).requires_grad_(False)
    other = Translator(config, attend=own)
    other.load_state_dict(model.state_dict())
    assert_close(other(SOURCE, TARGET), model(SOURCE, TARGET), atol=1e-5, rtol=1e-5)


def test_your_own_attention_is_what_runs_with_the_masks_it_needs():
    calls = []

    def my_idle(q_BHTD, k_BHSD, v_BHSD, *, causal=False, mask_BTS=None):
        calls.append((tuple(q_BHTD.shape), tuple(k_BHSD.shape), causal, mask_BTS))
        return torch.zeros_like(q_BHTD)

    Translator(OURS, attend=my_idle)(SOURCE, TARGET)
    inside, own = ((3, 4, 9, 4), (3, 4, 9, 4)), ((3, 4, 7, 4), (3, 4, 7, 4))
    across = ((3, 4, 7, 4), (3, 4, 9, 4))
    assert [(q, k, causal) for q, k, causal, _ in calls] == (
        [(*inside, False)] * 2 + [(*own, True), (*across, False)] * 3
    )
    real_BS = SOURCE != PAD
    for q, _, causal, mask_BTS in calls:
        if causal:
            assert mask_BTS is None
        else:
            assert torch.equal(mask_BTS, real_BS[:, None].expand(3, q[2], 9))


rows_or_none = st.none() | st.lists(st.floats(0, 0.99), min_size=1, max_size=5)
kept = st.none() | st.floats(0, 1)
plans = st.lists(st.tuples(st.integers(1, 5), rows_or_none, kept), min_size=1, max_size=6)


@given(plan=plans, seed=st.integers(0, 5))
@example(plan=[(1, None, None)] * 6, seed=0)
@example(
    plan=[(3, [0.5, 0.1, 0.9, 0.9], None), (2, None, 0.6), (1, [0.8], 0), (1, None, 1)], seed=1
)
def test_decoding_with_the_cache_is_decoding_without(translator, plan, seed):
    """Several tokens at once, rows in another order, repeated or left out, and going back."""
    memory, cache = translator.encode(SOURCE), translator.new_cache()
    source_BS, target_BT = SOURCE, torch.empty(3, 0, dtype=torch.long)
    for n_new, rows, kept in plan:
        if target_BT.shape[1] + n_new > 12:
            continue
        new_BT = words(len(target_BT), n_new, seed=seed + target_BT.shape[1])
        target_BT = torch.cat((target_BT, new_BT), dim=1)
        found = translator.decode(new_BT, memory, cache=cache)
        assert cache.length == target_BT.shape[1]
        expected = translator(source_BS, target_BT)[:, -n_new:]
        assert_close(found, expected, atol=1e-5, rtol=1e-5)
        if kept is not None:
            cache.truncate(int(kept * cache.length))
            target_BT = target_BT[:, : cache.length]
        if rows is not None:
            rows_B = torch.tensor([int(row * len(target_BT)) for row in rows])
            source_BS, target_BT = source_BS[rows_B], target_BT[rows_B]
            memory = memory.select(rows_B)
            cache.select(rows_B)


def test_the_memory_is_not_computed_again(translator, monkeypatch):
    memory, cache = translator.encode(SOURCE), translator.new_cache()
    first = translator.decode(TARGET[:, :1], memory, cache=cache)
    assert_close(first, translator(SOURCE, TARGET[:, :1]))
    for block in translator.decoder:
        monkeypatch.setattr(block.cross_attention.key, "forward", None)
        monkeypatch.setattr(block.cross_attention.value, "forward", None)
    translator.decode(TARGET[:, 1:3], memory, cache=cache)


def test_a_run_that_failed_leaves_the_cache_as_it_was(translator, monkeypatch):
    memory, cache = translator.encode(SOURCE), translator.new_cache()

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    for start in (0, 3):
        other = memory if start else translator.encode(SOURCE.flip(0))
        with monkeypatch.context() as patch:
            patch.setattr(translator.decoder[1].feed_forward, "forward", interrupted)
            with pytest.raises(KeyboardInterrupt):
                translator.decode(words(3, 4, seed=7), other, cache=cache)
        assert cache.length == start
        found = translator.decode(TARGET[:, start : start + 3], memory, cache=cache)
        assert_close(found, translator(SOURCE, TARGET[:, : start + 3])[:, start:])


def test_a_cache_of_other_texts_is_refused_and_stays_usable(translator):
    memory, cache = translator.encode(SOURCE), translator.new_cache()
    translator.decode(TARGET[:, :5], memory, cache=cache)
    rows_B = torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"cache holds 3 texts and the next tokens of 2"):
        translator.decode(TARGET[:2, 5:], memory.select(rows_B), cache=cache)
    shorter = Memory(memory.vectors_BSC[:, :8], memory.mask_BS[:, :8])
    with pytest.raises(ValueError, match=r"memory of shape \(3, 9\).*one of \(3, 8\) was given"):
        translator.decode(TARGET[:, 5:], shorter, cache=cache)
    with pytest.raises(ValueError, match="5 tokens in the cache and 8 new ones exceed the context"):
        translator.decode(words(3, 8), memory, cache=cache)
    assert cache.length == 5
    found = translator.decode(TARGET[:, 5:], memory, cache=cache)
    assert_close(found, translator(SOURCE, TARGET)[:, 5:])
