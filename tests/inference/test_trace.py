"""trace: everything attention computes is kept, and nothing of it is changed."""

import copy
import gc
import subprocess
import sys
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from llmlab.inference import Reader, generate, trace
from llmlab.model import attend, attend_fused, attention_weights, load_pretrained, ops
from llmlab.model.layers import Attention, Block, FeedForward

from .conftest import make_tiny

EVERYTHING = ("weights", "queries", "keys", "values", "residual")
NAMES = ("weights_LBHTS", "queries_LBHTD", "keys_LBHSD", "values_LBHSD", "residual_LBTC")


def kept(record):
    return {name: getattr(record, name).clone() for name in NAMES}


def random_ids(*shape, seed=1):
    return torch.randint(23, shape, generator=torch.Generator().manual_seed(seed))


def footprint(model):
    """List what could still be there of a trace: attributes and hooks of every module."""
    return [
        (sorted(vars(module)), *map(len, (module._forward_hooks, module._forward_pre_hooks)))
        for module in model.modules()
    ]


@pytest.fixture(scope="module", params=[attend, attend_fused], ids=["written out", "fused"])
def attention(request):
    return request.param


KINDS = {
    "1 key head": {"n_kv_heads": 1},
    "2 key heads": {"n_kv_heads": 2},
    "4 key heads": {"n_kv_heads": 4},
    "normalised": {"qk_norm": True},
}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def gpt(request, attention):
    return make_tiny(vocab_size=23, attend=attention, **request.param)


def padded():
    mask_BT = torch.ones(3, 10, dtype=torch.bool)
    mask_BT[0, :4], mask_BT[1, 7:] = False, False
    return mask_BT


@pytest.mark.parametrize("mask_BT", [None, padded()], ids=["whole", "padded"])
def test_the_scores_stay_the_same_to_the_last_bit(gpt, mask_BT):
    ids_BT = random_ids(3, 10)
    expected = gpt(ids_BT, mask_BT=mask_BT)
    with trace(gpt, keep=EVERYTHING):
        assert torch.equal(gpt(ids_BT, mask_BT=mask_BT), expected)


def test_the_scores_stay_the_same_token_by_token_with_a_cache(gpt):
    def decode():
        cache = gpt.new_cache()
        return [gpt(ids_BT, cache=cache) for ids_BT in random_ids(2, 12).split([5, *[1] * 7], 1)]

    with torch.inference_mode():
        expected = decode()
        with trace(gpt, keep=EVERYTHING):
            found = decode()
    assert all(map(torch.equal, found, expected))


def test_gradients_stay_the_same(gpt):
    def gradients():
        return torch.autograd.grad(gpt(random_ids(2, 9)).logsumexp(-1).sum(), gpt.parameters())

    expected = gradients()
    with trace(gpt, keep=EVERYTHING) as record:
        assert all(map(torch.equal, gradients(), expected))
    assert not any(tensor.requires_grad for tensor in kept(record).values())


@pytest.mark.parametrize("mask_BT", [None, padded()], ids=["whole", "padded"])
def test_what_is_kept_is_what_the_layers_computed(gpt, mask_BT):
    outputs, blocks = [], []
    hooks = [
        hook
        for block in gpt.blocks
        for hook in (
            block.attention.register_forward_hook(lambda *call: outputs.append(call[2])),
            block.register_forward_hook(lambda *call: blocks.append((call[1][0], call[2]))),
        )
    ]
    with torch.no_grad(), trace(gpt, keep=EVERYTHING) as record:
        gpt(random_ids(3, 10), mask_BT=mask_BT)
        for layer, block in enumerate(gpt.blocks):
            mixed_BHTD = record.weights_LBHTS[layer] @ record.values_LBHSD[layer]
            out_BTC = block.attention.out(mixed_BHTD.transpose(1, 2).flatten(2))
            assert_close(out_BTC, outputs[layer])
            assert torch.equal(record.residual_LBTC[layer], blocks[layer][0])
        assert torch.equal(record.residual_LBTC[-1], blocks[-1][1])
    for hook in hooks:
        hook.remove()
    scores = record.queries_LBHTD @ record.keys_LBHSD.mT / 2  # the root of the head width, 4
    visible = torch.ones(10, 10, dtype=torch.bool).tril().expand(3, 1, 10, 10)
    if mask_BT is not None:
        visible = visible & (mask_BT[:, None, None] | torch.eye(10, dtype=torch.bool))
    assert_close(record.weights_LBHTS, scores.masked_fill(~visible, -1e9).softmax(-1))
    assert (record.weights_LBHTS[~visible.expand(2, 3, 4, 10, 10)] == 0).all()


@pytest.mark.filterwarnings(
    "ignore:.*has no tokenizer:UserWarning",
    "ignore:unclosed file:ResourceWarning",  # transformers, while it writes a folder
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_weights_and_residual_stream_are_those_of_transformers(tmp_path, family):
    import transformers

    if family == "gpt2":
        sizes = {"n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 12}
        config = transformers.GPT2Config(vocab_size=23, bos_token_id=0, eos_token_id=0, **sizes)
        oracle = transformers.GPT2LMHeadModel(config)
    else:
        sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4}
        config = transformers.LlamaConfig(
            vocab_size=23, num_key_value_heads=2, intermediate_size=24, **sizes
        )
        oracle = transformers.LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    oracle.set_attn_implementation("eager")
    oracle.eval().save_pretrained(tmp_path)
    model, _ = load_pretrained(tmp_path, device="cpu")
    ids_BT = random_ids(2, 11)
    with torch.no_grad(), trace(model, keep=("weights", "residual")) as record:
        model(ids_BT)
        expected = oracle(ids_BT, output_attentions=True, output_hidden_states=True)
    assert_close(record.weights_LBHTS, torch.stack(expected.attentions))
    # the last of theirs is normalised already
    assert_close(record.residual_LBTC[:-1], torch.stack(expected.hidden_states[:-1]))
    with torch.no_grad():
        assert_close(model.final_norm(record.residual_LBTC[-1]), expected.hidden_states[-1])


@given(
    steps=st.lists(st.tuples(st.integers(1, 6), st.floats(0, 1)), min_size=1, max_size=6),
    seed=st.integers(0, 9),
)
def test_runs_with_a_cache_are_joined_to_the_record_of_the_whole_text(steps, seed):
    model = make_tiny(vocab_size=23)
    cache, ids = model.new_cache(), []
    with torch.inference_mode(), trace(model, keep=EVERYTHING) as record:
        for number, (n_new, share) in enumerate(steps):
            cut = int(share * cache.length)
            if cut + n_new > 24:
                continue
            cache.truncate(cut)  # as a reader does when the end of a text changes
            new = random_ids(n_new, seed=seed + number).tolist()
            ids = ids[:cut] + new
            model(torch.tensor([new]), cache=cache)
            if number % 2:
                kept(record)  # looking in between changes nothing
        joined = kept(record)
        model(torch.tensor([ids]))
        for name, whole in kept(record).items():
            assert_close(joined[name], whole, msg=name)


def test_a_cache_filled_before_the_trace_gives_the_new_queries_only(gpt):
    ids_BT = random_ids(1, 10)
    with torch.no_grad():
        cache = gpt.new_cache()
        gpt(ids_BT[:, :4], cache=cache)
        with trace(gpt, keep=EVERYTHING) as record:
            gpt(ids_BT[:, 4:7], cache=cache)
            gpt(ids_BT[:, 7:], cache=cache)
            joined = kept(record)
            gpt(ids_BT)
            whole = kept(record)
    assert_close(joined["weights_LBHTS"], whole["weights_LBHTS"][..., 4:, :])
    assert_close(joined["queries_LBHTD"], whole["queries_LBHTD"][..., 4:, :])
    assert_close(joined["keys_LBHSD"], whole["keys_LBHSD"])
    assert_close(joined["values_LBHSD"], whole["values_LBHSD"])
    assert_close(joined["residual_LBTC"], whole["residual_LBTC"][..., 4:, :])


def test_a_cache_filled_before_the_trace_may_be_cut(gpt):
    ids_BT = random_ids(1, 10)
    with torch.no_grad():
        cache = gpt.new_cache()
        gpt(ids_BT[:, :4], cache=cache)
        with trace(gpt, keep=EVERYTHING) as record:
            gpt(random_ids(1, 4, seed=5), cache=cache)
            cache.truncate(6)
            new_BT = ids_BT[:, 6:]
            gpt(new_BT, cache=cache)
            joined = kept(record)
            whole_BT = torch.cat((ids_BT[:, :4], random_ids(1, 4, seed=5)[:, :2], new_BT), dim=1)
            gpt(whole_BT)
            whole = kept(record)
            cache.truncate(2)  # before anything that was recorded
            gpt(whole_BT[:, 2:], cache=cache)
            anew = kept(record)
    for part, start in ((joined, 4), (anew, 2)):
        for name in ("weights_LBHTS", "queries_LBHTD", "residual_LBTC"):
            assert_close(part[name], whole[name][..., start:, :], atol=1e-4, rtol=1e-4)
        for name in ("keys_LBHSD", "values_LBHSD"):
            assert_close(part[name], whole[name])


def test_positions_that_were_not_watched_begin_a_new_record(gpt):
    ids_BT = random_ids(1, 9)
    cache = gpt.new_cache()
    with torch.no_grad(), trace(gpt, keep=EVERYTHING) as record:
        gpt(ids_BT[:, :3], cache=cache)

        def unwatched():
            with torch.no_grad():
                gpt(ids_BT[:, 3:7], cache=cache)

        thread = threading.Thread(target=unwatched)
        thread.start()
        thread.join()
        gpt(ids_BT[:, 7:], cache=cache)
        joined = kept(record)
        gpt(ids_BT)
        whole = kept(record)
    assert_close(joined["weights_LBHTS"], whole["weights_LBHTS"][..., 7:, :])
    assert_close(joined["keys_LBHSD"], whole["keys_LBHSD"])
    assert_close(joined["residual_LBTC"], whole["residual_LBTC"][..., 7:, :])


def test_what_is_kept_does_not_change_when_the_cache_is_used_again(gpt):
    with torch.no_grad():
        cache = gpt.new_cache()
        with trace(gpt, keep=EVERYTHING) as record:
            gpt(random_ids(1, 6), cache=cache)
        cache.truncate(0)
        gpt(random_ids(1, 6, seed=2), cache=cache)
        with trace(gpt, keep=EVERYTHING) as whole:
            gpt(random_ids(1, 6))
    for name, tensor in kept(record).items():
        assert_close(tensor, getattr(whole, name))


def test_the_same_numbers_are_not_held_twice(gpt):
    with torch.no_grad(), trace(gpt) as record:
        gpt(random_ids(1, 17))
    assert record.weights_LHTS.shape == (2, 4, 17, 17)
    held = [
        one for one in gc.get_objects() if type(one) is torch.Tensor and one.shape[-2:] == (17, 17)
    ]
    assert len(held) >= 2
    assert len({one.untyped_storage().data_ptr() for one in held}) == 1


def test_writing_a_text_keeps_the_attention_of_all_of_it(gpt):
    with trace(gpt) as record:
        ids = [1, 2, 3, *generate(gpt, [1, 2, 3], max_new_tokens=6, temperature=0)]
    with torch.no_grad(), trace(gpt) as whole:
        gpt(torch.tensor([ids[:-1]]))  # the last token is written and not read
    assert_close(record.weights_LHTS, whole.weights_LHTS)


def test_a_reader_that_goes_back_is_followed(gpt):
    reader = Reader(gpt)
    with trace(gpt) as record:
        for ids in ([1, 2, 3, 4, 5], [1, 2, 3, 9], [1, 2, 3, 9, 7, 8], [1, 2]):
            reader.last_logits(ids)
    with torch.no_grad(), trace(gpt) as whole:
        gpt(torch.tensor([[1, 2]]))
    assert_close(record.weights_LHTS, whole.weights_LHTS)


def test_the_last_run_stands(gpt):
    with torch.no_grad(), trace(gpt) as record:
        gpt(random_ids(2, 9))
        assert record.weights_LBHTS.shape == (2, 2, 4, 9, 9)
        gpt(random_ids(1, 3))
        assert record.weights_LHTS.shape == (2, 4, 3, 3)
        first, second = gpt.new_cache(), gpt.new_cache()
        gpt(random_ids(1, 5), cache=first)
        gpt(random_ids(1, 4), cache=second)  # another cache is another text
        assert record.weights_LHTS.shape == (2, 4, 4, 4)
        gpt(random_ids(1, 1), cache=first)
        assert record.weights_LHTS.shape == (2, 4, 1, 6)
        gpt(random_ids(1, 3), cache=second)
        assert record.weights_LHTS.shape == (2, 4, 3, 7)
        gpt(random_ids(1, 1), cache=first)  # 6 positions, of which the last run has some
        assert record.weights_LHTS.shape == (2, 4, 1, 7)
        first.truncate(0)
        gpt(random_ids(3, 2), cache=first)  # other texts in the same cache
        assert record.weights_LBHTS.shape == (2, 3, 4, 2, 2)


def test_each_stack_of_a_model_is_a_part(translator):
    source_BS, target_BT = random_ids(1, 7), random_ids(1, 5, seed=2)
    with torch.no_grad():
        expected = translator(source_BS, target_BT)
        with trace(translator, keep=EVERYTHING) as record:
            assert torch.equal(translator(source_BS, target_BT), expected)
    assert record.parts == ("encoder.attention", "decoder.attention", "decoder.cross_attention")
    encoder, decoder, crossing = map(record.part, record.parts)
    assert encoder.weights_LHTS.shape == (2, 2, 7, 7)
    assert decoder.weights_LHTS.shape == (3, 2, 5, 5)
    assert crossing.weights_LHTS.shape == (3, 2, 5, 7)
    assert (encoder.causal, decoder.causal, crossing.causal) == (False, True, False)
    assert (encoder.weights_LHTS > 0).all()
    assert torch.equal(decoder.weights_LHTS, decoder.weights_LHTS.tril())
    for part, stack in ((encoder, "encoder"), (decoder, "decoder"), (crossing, "decoder")):
        assert_close(part.weights_LHTS.sum(dim=-1), torch.ones(part.weights_LHTS.shape[:3]))
        layers = getattr(translator, stack)
        name = part.name.rpartition(".")[2]
        for layer, block in enumerate(layers):
            x_1TC = part.residual_LTC[layer][None]
            if part is encoder:
                x_1TC = block.attention_norm(x_1TC)
            if part is not crossing:  # its queries come from within the block
                q_1HTD = block.attention._split(block.attention.query(x_1TC), 2)
                assert_close(part.queries_LHTD[layer], q_1HTD[0])
            memory_1SC = x_1TC if part is not crossing else encoder.residual_LTC[-1][None]
            k_1HSD = getattr(block, name)._split(getattr(block, name).key(memory_1SC), -1)
            assert_close(part.keys_LHSD[layer], k_1HSD[0].expand(2, -1, -1))
    assert_close(decoder.residual_LTC, crossing.residual_LTC)
    assert_close(decoder.residual_LTC[-1] @ translator.embedding.weight.T, expected[0])
    message = r"several parts; name one of 'encoder.attention', .*record.part\('encoder.attention'"
    with pytest.raises(ValueError, match=message):
        _ = record.weights_LHTS
    with pytest.raises(ValueError, match=r"no part 'blocks'; it has 'encoder.attention', 'decoder"):
        record.part("blocks")


def test_one_layer_and_a_list_of_layers_are_parts_as_well():
    x_BTC = torch.randn(1, 4, 8)
    layer = Attention(8, 2)
    with trace(layer, keep=("weights", "residual")) as record:
        layer(x_BTC)
    assert record.parts == ("attention",)
    assert record.weights_LHTS.shape == (1, 2, 4, 4)
    with pytest.raises(ValueError, match="in no block that is given"):
        _ = record.residual_LTC
    whole = nn.Module()
    whole.embedding, whole.attention = nn.Embedding(23, 8), layer
    whole.forward = lambda ids_BT: layer(whole.embedding(ids_BT))
    with trace(whole, keep=("weights", "residual")) as record:
        whole(random_ids(1, 4))
    assert record.weights_LHTS.shape == (1, 2, 4, 4)
    with pytest.raises(ValueError, match="in no block that is given"):
        _ = record.residual_LTC  # what enters are ids
    stack = nn.Sequential(Attention(8, 2), Attention(8, 4))
    with trace(stack, keep=("weights", "residual")) as record:
        stack(x_BTC)
    with pytest.raises(ValueError, match=r"differ in shape.*\(1, 2, 4, 4\), \(1, 4, 4, 4\)"):
        _ = record.weights_LHTS


def my_uniform(q_BHTD, k_BHSD, v_BHSD, *, causal=False, mask_BTS=None):
    return ops.attend(q_BHTD * 0, k_BHSD, v_BHSD, causal=causal, mask_BTS=mask_BTS)


def my_unscaled(q_BHTD, k_BHSD, v_BHSD, *, causal=False, mask_BTS=None):
    scale = q_BHTD.shape[-1] ** 0.5
    q_BHTD *= scale  # careless, but its own business
    return attend_fused(q_BHTD, k_BHSD, v_BHSD, causal=causal, mask_BTS=mask_BTS)


@pytest.mark.parametrize("my_attend", [my_uniform, my_unscaled])
def test_an_own_attention_shows_the_weights_it_really_uses(my_attend):
    ids_BT = random_ids(2, 6)
    model = make_tiny(vocab_size=23, attend=my_attend)
    with torch.no_grad():
        expected = model(ids_BT)
        with trace(model, keep=("weights", "queries", "keys")) as record:
            assert torch.equal(model(ids_BT), expected)
    scale = 0 if my_attend is my_uniform else 2
    weights = attention_weights(record.queries_LBHTD[0] * scale, record.keys_LBHSD[0], causal=True)
    assert_close(record.weights_LBHTS[0], weights)


def test_an_own_attention_that_cannot_be_asked_says_why():
    def my_picky(q_BHTD, k_BHSD, v_BHSD, *, causal=False, mask_BTS=None):
        return attend(q_BHTD, k_BHSD, v_BHSD.view(q_BHTD.shape), causal=causal, mask_BTS=mask_BTS)

    def my_idle(q_BHTD, k_BHSD, v_BHSD, *, causal=False, mask_BTS=None):
        return q_BHTD

    for my_attend, told in ((my_picky, "RuntimeError: "), (my_idle, r"returned .*4, 6, 4")):
        model = make_tiny(vocab_size=23, attend=my_attend)
        with trace(model), pytest.raises(ValueError, match=rf"'{my_attend.__name__}'.*{told}"):
            model(random_ids(1, 6))
        with trace(model, keep="values") as record:
            model(random_ids(1, 6))
        assert record.values_LHSD.shape == (2, 4, 6, 4)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_nothing_is_left_behind(gpt, error):
    before = footprint(gpt)

    def run_into_an_error():
        with trace(gpt, keep=EVERYTHING):
            assert footprint(gpt) != before
            gpt(random_ids(1, 3))
            raise error

    with pytest.raises(error):
        run_into_an_error()
    assert footprint(gpt) == before


def test_an_error_on_entering_leaves_nothing_behind(gpt, monkeypatch):
    before = footprint(gpt)

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(gpt.blocks[1], "register_forward_pre_hook", interrupted)
    with pytest.raises(KeyboardInterrupt), trace(gpt, keep=EVERYTHING):
        pass
    monkeypatch.undo()
    assert footprint(gpt) == before


def test_without_a_trace_nothing_is_computed(gpt, monkeypatch):
    with trace(gpt, keep=EVERYTHING):
        pass
    assert all(block.attention.observers == () for block in gpt.blocks)
    calls = []
    monkeypatch.setattr(ops, "attention_weights", lambda *a, **o: calls.append(a))
    fused = make_tiny(vocab_size=23, attend=attend_fused)
    fused(random_ids(1, 3))
    assert not calls
    with trace(fused, keep="queries") as record:
        fused(random_ids(1, 3))
    assert not calls  # nor what is not asked for
    assert record.queries_LHTD.shape == (2, 4, 3, 4)


def test_traces_may_be_nested_and_end_in_any_order(gpt):
    before = footprint(gpt)
    with torch.no_grad(), trace(gpt) as outer:
        gpt(random_ids(1, 3))
        with trace(gpt, keep=("residual",)) as inner:
            gpt(random_ids(1, 5))
        assert outer.weights_LHTS.shape == (2, 4, 5, 5)
        assert inner.residual_LTC.shape == (3, 5, 16)
        gpt(random_ids(1, 7))
        assert outer.weights_LHTS.shape == (2, 4, 7, 7)
        assert inner.residual_LTC.shape == (3, 5, 16)
        first, second = trace(gpt), trace(gpt)
        first.__enter__()
        record = second.__enter__()
        first.__exit__(None, None, None)
        gpt(random_ids(1, 2))
        assert record.weights_LHTS.shape == (2, 4, 2, 2)
        second.__exit__(None, None, None)
    assert footprint(gpt) == before


def test_an_interrupted_run_is_not_mixed_with_the_one_before(gpt, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with torch.no_grad(), trace(gpt, keep=EVERYTHING) as record:
        gpt(random_ids(1, 5))
        with monkeypatch.context() as patch:
            patch.setattr(gpt.blocks[1], "forward", interrupted)
            with pytest.raises(KeyboardInterrupt):
                gpt(random_ids(1, 5, seed=2))
        with pytest.raises(ValueError, match=r"layer 1 of blocks.attention had no part"):
            _ = record.weights_LHTS
        gpt(random_ids(1, 5, seed=3))
        found = kept(record)
        with monkeypatch.context() as patch:
            patch.setattr(gpt.blocks[1].feed_forward, "forward", interrupted)
            with pytest.raises(KeyboardInterrupt):
                gpt(random_ids(1, 5, seed=2))
        with pytest.raises(ValueError, match="did not come to its end"):
            _ = record.residual_LTC
        gpt(random_ids(1, 5, seed=3))
        for name, tensor in kept(record).items():
            assert torch.equal(tensor, found[name])


def test_other_threads_are_not_recorded(gpt):
    with torch.no_grad(), trace(gpt, keep=EVERYTHING) as record:
        gpt(random_ids(1, 5))
        thread = threading.Thread(target=gpt, args=(random_ids(1, 9),))
        thread.start()
        thread.join()
        assert record.weights_LHTS.shape[-1] == record.residual_LTC.shape[1] == 5


def test_a_copy_made_inside_is_not_watched(gpt):
    with torch.no_grad(), trace(gpt, keep=EVERYTHING) as record:
        gpt(random_ids(1, 5))
        twin = copy.deepcopy(gpt)
        twin(random_ids(1, 9))
        assert record.weights_LHTS.shape[-1] == record.residual_LTC.shape[1] == 5
    assert_close(twin(random_ids(1, 9)), gpt(random_ids(1, 9)))


def test_layers_in_blocks_called_by_keyword_have_a_residual_stream():
    class Keyword(nn.Module):
        def __init__(self):
            super().__init__()
            feed_forward = FeedForward(8, 8, activation="gelu", bias=True)
            self.block = Block(Attention(8, 2), feed_forward, (nn.Identity(), nn.Identity()))

        def forward(self, x_BTC):
            return self.block(x_BTC=x_BTC)

    model, x_BTC = Keyword(), torch.randn(1, 3, 8)
    with trace(model, keep="residual") as record:
        out_BTC = model(x_BTC)
    assert record.parts == ("block.attention",)
    assert torch.equal(record.residual_LBTC, torch.stack([x_BTC, out_BTC.detach()]))


@pytest.mark.parametrize(
    ("model", "error", "told"),
    [
        (nn.Linear(2, 2), ValueError, "Linear has no attention layer; give a model made of"),
        ("gpt2", TypeError, "str is no model"),
        ((1, 2), TypeError, r"load_pretrained\(\)\[0\], which returns the model and its tokenizer"),
        (None, TypeError, "NoneType is no model"),
    ],
)
def test_what_has_no_attention_cannot_be_traced(model, error, told):
    with pytest.raises(error, match=told), trace(model):
        pass


@pytest.mark.parametrize(
    ("keep", "error", "told"),
    [
        (("weight",), ValueError, "keep='weight' is nothing .* 'weights', 'queries', 'keys'"),
        ("Weights", ValueError, "keep='Weights'"),
        ((), ValueError, "keep is empty"),
        (3, TypeError, "keep=3"),
        (("weights", 3), ValueError, "keep=3"),
    ],
)
def test_what_cannot_be_kept_is_named(tiny, keep, error, told):
    with pytest.raises(error, match=told), trace(tiny, keep=keep):
        pass


def test_what_is_not_there_is_told_with_the_way_out(tiny):
    with trace(tiny) as record:
        with pytest.raises(ValueError, match=r"run it inside the block: with trace\(model\)"):
            _ = record.weights_LHTS
        tiny(random_ids(3, 4))
    with pytest.raises(ValueError, match=r"3 texts; use record.weights_LBHTS"):
        _ = record.weights_LHTS
    with pytest.raises(ValueError, match=r"trace\(model, keep=\('weights', 'keys'\)\)"):
        _ = record.keys_LHSD
    assert repr(record) == "Record(blocks.attention: weights of 2 layers)"
    assert repr(record.part("blocks.attention")) == repr(record).replace("Record", "PartRecord")


IMPORTS = [
    "import llmlab.inference.trace",
    "import llmlab.inference.trace as anything",
    "import llmlab.inference.tape, llmlab.inference.ablate",
    "from llmlab.inference.trace import Record",
    "from llmlab.inference.attention_reader import AttentionReader",
    "import importlib; importlib.import_module('llmlab.inference.trace')",
]


def test_the_name_is_the_function_whatever_was_imported_before():
    check = (
        "from llmlab.inference import ablate, trace; assert callable(trace) and callable(ablate)"
    )
    for lines in IMPORTS:
        code = f"{lines}\n{check}\nimport llmlab.inference.trace, llmlab.inference.ablate\n{check}"
        subprocess.run([sys.executable, "-c", code], check=True)
