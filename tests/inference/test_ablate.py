"""ablate: a head that is off hands nothing on, and everything else stays."""

import copy
import threading
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlab.inference import NextTokenPredictor, Reader, ablate, generate, trace
from llmlab.model import GPT, GPTConfig, attend, attend_fused

from .conftest import make_tiny, shaken
from .test_trace import KINDS, footprint, padded, random_ids

HEADS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 3)), unique=True, min_size=1, max_size=8
)


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def gpt(request):
    return make_tiny(vocab_size=23, **request.param)


@pytest.fixture(scope="module")
def with_biases():
    config = GPTConfig(vocab_size=23, context=24, width=16, n_layers=2, n_heads=4, n_kv_heads=2)
    return shaken(GPT(config))


def zeroed(model, heads):
    """The oracle: a copy whose output projections ignore the heads."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for layer, head in heads:
            twin.blocks[layer].attention.out.weight[:, 4 * head : 4 * head + 4] = 0
    return twin


@given(heads=HEADS)
def test_off_is_as_if_the_output_projection_ignored_the_head(gpt, with_biases, heads):
    ids_BT, mask_BT = random_ids(3, 10), padded()
    for model in (gpt, with_biases):
        expected = zeroed(model, heads)(ids_BT, mask_BT=mask_BT)
        with ablate(model, heads):
            found = model(ids_BT, mask_BT=mask_BT)
        assert_close(found, expected, atol=1e-6, rtol=1e-6)
        assert not torch.allclose(found, model(ids_BT, mask_BT=mask_BT), atol=1e-3)


@pytest.mark.parametrize("attention", [attend, attend_fused])
def test_with_a_cache_too(attention):
    model = make_tiny(vocab_size=23, attend=attention)
    ids_BT = random_ids(2, 12)
    expected = zeroed(model, [(0, 1), (1, 3)])(ids_BT)
    with torch.inference_mode(), ablate(model, [(0, 1), (1, 3)]):
        cache = model.new_cache()
        found = [model(piece, cache=cache) for piece in ids_BT.split([5, *[1] * 7], 1)]
    assert_close(torch.cat(found, dim=1), expected)


def test_a_part_of_a_translator_is_switched_off_by_name(translator):
    source_BS, target_BT = random_ids(1, 7), random_ids(1, 5, seed=2)
    for stack, name in (
        ("encoder", "attention"),
        ("decoder", "attention"),
        ("decoder", "cross_attention"),
    ):
        twin = copy.deepcopy(translator)
        with torch.no_grad():
            getattr(getattr(twin, stack)[1], name).out.weight[:, 4:] = 0
        with ablate(translator, [(1, 1)], part=f"{stack}.{name}"):
            assert_close(translator(source_BS, target_BT), twin(source_BS, target_BT))
    names = "'encoder.attention', 'decoder.attention', 'decoder.cross_attention'"
    with pytest.raises(ValueError, match=rf"name one of {names}: part='encoder.att"):
        ablate(translator, [(0, 0)]).__enter__()
    with pytest.raises(ValueError, match=f"no part 'decoder'; it has {names}"):
        ablate(translator, [(0, 0)], part="decoder").__enter__()


def outputs_of_heads(model, layer, run):
    """Catch what the heads hand to the output projection, (B, T, H, D)."""
    caught = []
    hook = model.blocks[layer].attention.out.register_forward_pre_hook(
        lambda out, arguments: caught.append(arguments[0].unflatten(-1, (4, 4)))
    )
    run()
    hook.remove()
    return caught[-1].detach()


@pytest.mark.parametrize("mask_BT", [None, padded()], ids=["whole", "padded"])
def test_the_mean_over_a_reference_replaces_the_output(gpt, mask_BT):
    reference_BT, ids_BT = random_ids(3, 10), random_ids(2, 6, seed=3)
    real_BT = torch.ones(3, 10, dtype=torch.bool) if mask_BT is None else mask_BT
    for layer in (0, 1):
        mixed_BTHD = outputs_of_heads(gpt, layer, lambda: gpt(reference_BT, mask_BT=mask_BT))
        mean_HD = mixed_BTHD[real_BT].mean(dim=0)
        before_BTHD = outputs_of_heads(gpt, layer, lambda: gpt(ids_BT))
        over = reference_BT if mask_BT is None else {"ids_BT": reference_BT, "mask_BT": mask_BT}
        with ablate(gpt, [(layer, 1), (layer, 2)], how="mean", over=over):
            after_BTHD = outputs_of_heads(gpt, layer, lambda: gpt(ids_BT))
        assert_close(after_BTHD[..., 1:3, :], mean_HD[1:3].expand(2, 6, 2, 4))
        assert torch.equal(after_BTHD[..., [0, 3], :], before_BTHD[..., [0, 3], :])


def test_a_reference_is_given_in_several_ways(gpt, translator):
    ids = [1, 2, 3, 4]
    results = []
    for over in (ids, np.array(ids), torch.tensor([ids]), [ids], (torch.tensor([ids]),)):
        with ablate(gpt, [(0, 1)], how="mean", over=over):
            results.append(gpt(random_ids(1, 5)))
    assert all(torch.equal(result, results[0]) for result in results)
    texts = random_ids(1, 7), random_ids(1, 5, seed=2)
    before = translator(*texts)
    options = {"how": "mean", "part": "decoder.cross_attention"}
    with ablate(translator, [(1, 1)], over=texts, **options):
        assert not torch.allclose(translator(*texts), before)


@pytest.mark.parametrize("mask_BT", [None, padded()], ids=["whole", "padded"])
def test_without_a_reference_the_mean_is_that_of_the_text_so_far(gpt, mask_BT):
    ids_BT = random_ids(3, 10)
    for layer in (0, 1):
        before_BTHD = outputs_of_heads(gpt, layer, lambda: gpt(ids_BT, mask_BT=mask_BT))
        with ablate(gpt, [(layer, 2)], how="mean"):
            after_BTHD = outputs_of_heads(gpt, layer, lambda: gpt(ids_BT, mask_BT=mask_BT))
        assert torch.equal(after_BTHD[..., [0, 1, 3], :], before_BTHD[..., [0, 1, 3], :])
        real_BT = torch.ones(3, 10, dtype=torch.bool) if mask_BT is None else mask_BT
        for text in range(3):
            for place in range(10):
                if real_BT[text, place]:
                    so_far = before_BTHD[text, : place + 1, 2][real_BT[text, : place + 1]]
                    assert_close(after_BTHD[text, place, 2], so_far.mean(dim=0))


@given(place=st.integers(0, 9), token_id=st.integers(0, 22), heads=HEADS)
def test_nothing_is_learned_from_the_future(gpt, place, token_id, heads):
    ids_BT = random_ids(1, 10)
    changed_BT = ids_BT.clone()
    changed_BT[:, place] = token_id
    for options in ({"how": "zero"}, {"how": "mean"}, {"how": "mean", "over": [4, 5, 6]}):
        with ablate(gpt, heads, **options):
            assert_close(gpt(changed_BT)[:, :place], gpt(ids_BT)[:, :place])


def test_padding_changes_nothing(gpt):
    ids_BT, mask_BT = random_ids(3, 10), padded()
    with ablate(gpt, [(0, 1), (1, 2)], how="mean"):
        scores_BTV = gpt(ids_BT, mask_BT=mask_BT)
        for text in range(3):
            alone = gpt(ids_BT[text][mask_BT[text]][None])[0]
            assert_close(scores_BTV[text][mask_BT[text]], alone)


def test_a_text_of_one_token_is_no_padding(gpt):
    ids_BT = random_ids(3, 1)
    with ablate(gpt, [(0, 1), (1, 2)], how="mean"):
        found = gpt(ids_BT, mask_BT=torch.ones_like(ids_BT, dtype=torch.bool))
    assert_close(found, gpt(ids_BT))  # the mean of one number is that number


def test_the_mean_so_far_is_refused_where_a_cache_hides_what_was_so_far(gpt):
    with torch.no_grad():
        cache = gpt.new_cache()
        with ablate(gpt, [(1, 2)], how="mean"):
            expected = gpt(random_ids(1, 5))
            assert_close(gpt(random_ids(1, 5), cache=cache), expected)
            with pytest.raises(ValueError, match=r"5 of its tokens are in a KV cache; .*over=ids"):
                gpt(random_ids(1, 1), cache=cache)
        with ablate(gpt, [(1, 2)], how="mean", over=[1, 2, 3]):
            whole = gpt(random_ids(1, 8))
            cache = gpt.new_cache()
            pieces = [gpt(piece, cache=cache) for piece in random_ids(1, 8).split([5, 1, 1, 1], 1)]
        assert_close(torch.cat(pieces, dim=1), whole)


def test_blocks_inside_each_other_add_up(gpt):
    ids_BT = random_ids(2, 7)
    before = footprint(gpt)
    with ablate(gpt, [(0, 1), (0, 3), (1, 2)]):
        expected = gpt(ids_BT)
    with ablate(gpt, [(0, 1)]):
        one = gpt(ids_BT)
        with ablate(gpt, [(1, 2), (0, 3)]):
            assert_close(gpt(ids_BT), expected)
        assert torch.equal(gpt(ids_BT), one)
    with ablate(gpt, [(0, 1)]), ablate(gpt, [(0, 1)]):
        assert torch.equal(gpt(ids_BT), one)
    assert footprint(gpt) == before


@pytest.mark.parametrize("options", [{}, {"how": "mean"}, {"how": "mean", "over": [1, 2, 3]}])
def test_trace_sees_what_ablation_leaves_in_either_order(gpt, options):
    ids_BT = random_ids(1, 6)
    with torch.no_grad():
        with trace(gpt) as untouched:
            gpt(ids_BT)
        with ablate(gpt, [(0, 1)], **options):
            expected = gpt(ids_BT)
        weights = []
        for order in (0, 1):
            with ExitStack() as stack:
                if order:
                    stack.enter_context(ablate(gpt, [(0, 1)], **options))
                record = stack.enter_context(trace(gpt))
                if not order:
                    stack.enter_context(ablate(gpt, [(0, 1)], **options))
                assert torch.equal(gpt(ids_BT), expected)
            weights.append(record.weights_LHTS)
    assert torch.equal(*weights)
    assert torch.equal(weights[0][0], untouched.weights_LHTS[0])  # the pattern itself stays
    assert not torch.allclose(weights[0][1], untouched.weights_LHTS[1], atol=1e-4)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("options", [{}, {"how": "mean"}, {"how": "mean", "over": [1, 2, 3]}])
def test_nothing_is_left_behind(gpt, error, options):
    before, expected = footprint(gpt), gpt(random_ids(1, 3))

    def run_into_an_error():
        with ablate(gpt, [(0, 1), (1, 0)], **options):
            assert footprint(gpt) != before
            gpt(random_ids(1, 3))
            raise error

    with pytest.raises(error):
        run_into_an_error()
    assert footprint(gpt) == before
    assert not any(block.attention.observers for block in gpt.blocks)
    assert torch.equal(gpt(random_ids(1, 3)), expected)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        ablate(gpt, [(0, 1)], how="mean", over=[99]).__enter__()
    assert footprint(gpt) == before


def test_other_threads_compute_as_ever(gpt):
    expected, found = gpt(random_ids(1, 5)), []
    with ablate(gpt, [(0, 1)]):
        thread = threading.Thread(target=lambda: found.append(gpt(random_ids(1, 5))))
        thread.start()
        thread.join()
        assert not torch.allclose(gpt(random_ids(1, 5)), expected)
    assert torch.equal(found[0], expected)


def test_gradients_pass_as_through_a_zeroed_projection(gpt):
    weight = gpt.token_embedding.weight
    twin = zeroed(gpt, [(0, 1)])
    expected = torch.autograd.grad(
        twin(random_ids(1, 5)).logsumexp(-1).sum(), twin.token_embedding.weight
    )
    with ablate(gpt, [(0, 1)]):
        found = torch.autograd.grad(gpt(random_ids(1, 5)).logsumexp(-1).sum(), weight)
    assert_close(found, expected)


def test_what_was_read_before_is_read_again_with_the_heads_off(gpt, tokens):
    twin, heads = zeroed(gpt, [(0, 1), (1, 2)]), [(0, 1), (1, 2)]
    reader = Reader(gpt)
    with torch.no_grad():
        for ids in ([1, 2, 3], [1, 2, 3, 4]):
            assert_close(reader.last_logits(ids), gpt(torch.tensor([ids]))[0, -1])
            with ablate(gpt, heads):
                assert_close(reader.last_logits(ids), twin(torch.tensor([ids]))[0, -1])
                with ablate(gpt, [(0, 0)]):
                    reader.last_logits(ids)
                assert_close(reader.last_logits(ids), twin(torch.tensor([ids]))[0, -1])
    with ablate(gpt, heads):
        found = list(generate(gpt, [1, 2, 3], max_new_tokens=8, temperature=0, reader=reader))
    assert found == list(generate(twin, [1, 2, 3], max_new_tokens=8, temperature=0))
    model = make_tiny(vocab_size=tokens.vocab_size)
    predict = NextTokenPredictor(model, tokens)
    before = predict("abc ab")
    with ablate(model, heads):
        np.testing.assert_allclose(
            predict("abc ab"), NextTokenPredictor(zeroed(model, heads), tokens)("abc ab"), atol=1e-4
        )
    np.testing.assert_allclose(predict("abc ab"), before, atol=1e-5)


def test_no_heads_is_no_change(gpt):
    expected = gpt(random_ids(1, 4))
    for options in ({}, {"how": "mean", "over": [1, 2]}):
        with ablate(gpt, [], **options):
            assert torch.equal(gpt(random_ids(1, 4)), expected)


def test_whole_numbers_of_any_kind_name_a_head(gpt):
    with ablate(gpt, [(1, 2)]):
        expected = gpt(random_ids(1, 4))
    for heads in (np.array([[1, 2]]), torch.tensor([[1, 2]]), {(1, 2)}, [[np.int64(1), 2]]):
        with ablate(gpt, heads):
            assert torch.equal(gpt(random_ids(1, 4)), expected)


@pytest.mark.parametrize(
    ("heads", "error", "told"),
    [
        ([(2, 0)], ValueError, "no layer 2 in blocks.attention; layers go from 0 to 1"),
        ([(0, 4)], ValueError, "no head 4 in layer 0; heads go from 0 to 3"),
        ([(-1, 0)], ValueError, "no layer -1"),
        ([(0, -1)], ValueError, "no head -1"),
        ([(0, 1), (0, 2), (0, 1)], ValueError, r"head \(0, 1\) is named twice"),
        ((0, 1), TypeError, r"0 in heads is no pair; give a list .* heads=\[\(3, 0\), \(3, 5\)\]"),
        ([(0, 1, 2)], ValueError, r"\(0, 1, 2\) in heads is no pair"),
        ([(0, 1.0)], TypeError, r"1.0 in the head \(0, 1.0\) is no whole number"),
        ([(True, 1)], TypeError, "True in the head"),
        ([("0", 1)], TypeError, "'0' in the head"),
        (["01"], TypeError, "'01' in heads is no pair"),
        ("01", TypeError, "heads='01' are no heads"),
        ({(0, 1): 2}, TypeError, "are no heads"),
        (None, TypeError, "heads=None are no heads"),
    ],
)
def test_heads_that_are_not_there_are_named(gpt, heads, error, told):
    before = footprint(gpt)
    with pytest.raises(error, match=told), ablate(gpt, heads):
        pass
    assert footprint(gpt) == before


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"how": "none"}, ValueError, "how='none' is no way to switch a head off; use 'zero' or"),
        ({"how": None}, ValueError, "how=None"),
        ({"over": [1]}, ValueError, "leave it out, or use how='mean'"),
        ({"how": "mean", "over": "text"}, TypeError, r"over='text' is a text; give its ids"),
        ({"how": "mean", "over": []}, ValueError, r"over=\[\] are no token ids; give those"),
        ({"how": "mean", "over": 3}, ValueError, "over=3"),
        ({"how": "mean", "over": [[1], [1, 2]]}, ValueError, "or of several equally long ones"),
        ({"how": "mean", "over": [1.5]}, ValueError, r"over=\[1.5\] are no token ids"),
        ({"how": "mean", "over": ["a"]}, ValueError, r"over=\['a'\] are no token ids"),
    ],
)
def test_settings_that_mean_nothing_are_named(gpt, options, error, told):
    with pytest.raises(error, match=told), ablate(gpt, [(0, 1)], **options):
        pass


def test_what_has_no_heads_cannot_be_ablated():
    with pytest.raises(ValueError, match="Linear has no attention layer"):
        ablate(torch.nn.Linear(2, 2), [(0, 0)]).__enter__()
    with pytest.raises(TypeError, match="str is no model"):
        ablate("gpt2", [(0, 0)]).__enter__()
