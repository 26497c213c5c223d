"""trace and ablate on a Translator: its three stacks of attention, with and without a cache."""

import copy

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlab.inference import ablate, trace
from llmlab.model import GPT, GPTConfig, Translator, TranslatorConfig, attend, attend_fused

from .conftest import shaken
from .test_trace import EVERYTHING, NAMES, kept, random_ids

PARTS = ("encoder.attention", "decoder.attention", "decoder.cross_attention")
PAD = 0
SIZES = {
    "vocab_size": 23, "context": 12, "width": 16, "n_heads": 4,
    "n_encoder_layers": 2, "n_decoder_layers": 3, "pad_id": PAD, "start_id": 1, "end_id": 2,
}  # fmt: skip
CONFIGS = {
    "rotary": TranslatorConfig(**SIZES),
    "learned": TranslatorConfig(**SIZES, norm="layer", positions="learned", attention_bias=True),
}


def random_translator(config, **options):
    """Make the same model each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return shaken(Translator(config, **options))


@pytest.fixture(scope="module", params=CONFIGS.values(), ids=CONFIGS)
def model(request):
    """Double precision, so that what is added up in another order stays the same."""
    return random_translator(request.param).requires_grad_(False).double()


def texts(n_source=6, n_target=8, n_texts=3):
    """Ids of words; all but the first source are padded."""
    source_BS = random_ids(n_texts, n_source) % 20 + 3
    for row in range(1, n_texts):
        source_BS[row, max(1, n_source - 2 * row) :] = PAD
    return source_BS, random_ids(n_texts, n_target, seed=2) % 20 + 3


def everything(record):
    return {(part, name): tensor for part in PARTS for name, tensor in kept_of(record, part)}


def kept_of(record, part):
    return kept(record.part(part)).items()


def assert_same(found, expected):
    for (part, name), tensor in everything(expected).items():
        assert_close(everything(found)[part, name], tensor, msg=f"{part} {name}")


@pytest.mark.parametrize("attention", [attend, attend_fused])
def test_each_part_shows_the_weights_that_mix_the_values(attention):
    model = random_translator(CONFIGS["rotary"], attend=attention).requires_grad_(False)
    source_BS, target_BT = texts()
    outputs = []
    for module in model.modules():
        if type(module).__name__ == "Attention":
            module.register_forward_hook(lambda layer, _, out: outputs.append((layer, out)))
    expected = model(source_BS, target_BT)
    outputs.clear()
    with trace(model, keep=EVERYTHING) as record:
        assert torch.equal(model(source_BS, target_BT), expected)
    assert record.parts == PARTS
    layers = {
        "encoder.attention": [block.attention for block in model.encoder],
        "decoder.attention": [block.attention for block in model.decoder],
        "decoder.cross_attention": [block.cross_attention for block in model.decoder],
    }
    caught = dict(outputs)
    for name in PARTS:
        part = record.part(name)
        for layer, weights_BHTS, values_BHSD in zip(
            layers[name], part.weights_LBHTS, part.values_LBHSD, strict=True
        ):
            mixed_BHTD = weights_BHTS @ values_BHSD
            assert_close(layer.out(mixed_BHTD.transpose(1, 2).flatten(2)), caught[layer])
    real_BS = source_BS != PAD
    for name in ("encoder.attention", "decoder.cross_attention"):
        weights_LBHTS = record.part(name).weights_LBHTS
        seen_BS = (weights_LBHTS > 0).any(dim=3).all(dim=2).all(dim=0)
        assert torch.equal(seen_BS, real_BS)
        assert (weights_LBHTS.movedim(-1, 2)[:, ~real_BS] == 0).all()
    states_BTC = model.decoder_norm(record.part("decoder.attention").residual_LBTC[-1])
    assert_close(model.head(states_BTC), expected)
    memory_BSC = model.encoder_norm(record.part("encoder.attention").residual_LBTC[-1])
    assert_close(memory_BSC, model.encode(source_BS).vectors_BSC)


# the source is as long as the target, shorter and longer
@given(cuts=st.sets(st.integers(1, 7)), n_source=st.sampled_from([3, 8, 11]))
@example(cuts=set(range(1, 8)), n_source=8)
@example(cuts={3}, n_source=4)
def test_decoding_bit_by_bit_shows_what_one_run_shows(model, cuts, n_source):
    source_BS, target_BT = texts(n_source)
    with trace(model, keep=EVERYTHING) as whole:
        expected = model(source_BS, target_BT)
    with trace(model, keep=EVERYTHING) as record:
        memory, cache = model.encode(source_BS), model.new_cache()
        ends = [*sorted(cuts), 8]
        pieces = [
            model.decode(target_BT[:, start:end], memory, cache=cache)
            for start, end in zip([0, *ends], ends, strict=False)
        ]
    assert_close(torch.cat(pieces, dim=1), expected)
    assert_same(record, whole)


@given(
    plan=st.lists(
        st.tuples(
            st.integers(1, 3),
            st.none() | st.lists(st.floats(0, 0.99), min_size=1, max_size=4),
        ),
        min_size=2,
        max_size=4,
    )
)
@example(plan=[(2, [0.9, 0.0, 0.0]), (1, [0.5]), (1, None)])
def test_rows_put_in_another_order_take_what_was_kept_along(model, plan):
    source_BS, ids_BT = texts()
    target_BT = ids_BT[:, :0]
    with trace(model, keep=EVERYTHING) as record:
        memory, cache = model.encode(source_BS), model.new_cache()
        for step, (n_new, rows) in enumerate(plan):
            if step and rows is not None:  # the last run decides what is shown
                rows_B = torch.tensor([int(row * len(target_BT)) for row in rows])
                source_BS, target_BT = source_BS[rows_B], target_BT[rows_B]
                memory = memory.select(rows_B)
                cache.select(rows_B)
            new_BT = random_ids(len(target_BT), n_new, seed=step) % 20 + 3
            target_BT = torch.cat((target_BT, new_BT), dim=1)
            model.decode(new_BT, memory, cache=cache)
    with trace(model, keep=EVERYTHING) as whole:
        model(source_BS, target_BT)
    for part in PARTS[1:]:
        for name in NAMES:
            expected = getattr(whole.part(part), name)
            found = getattr(record.part(part), name)
            assert_close(found, expected)


def test_a_gpt_s_rows_too():
    config = GPTConfig(vocab_size=23, context=12, width=16, n_layers=2, n_heads=4, n_kv_heads=2)
    gpt = shaken(GPT(config)).requires_grad_(False)
    ids_BT, rows_B = random_ids(3, 9), torch.tensor([2, 2, 0, 1])
    with trace(gpt, keep=EVERYTHING) as record:
        cache = gpt.new_cache()
        gpt(ids_BT[:, :4], cache=cache)
        gpt(ids_BT[:, 4:6], cache=cache)
        cache.select(rows_B)
        gpt(ids_BT[rows_B, 6:8], cache=cache)
        cache.truncate(5)  # back to before the rows were put in another order
        cache.select(torch.tensor([3, 0]))
        gpt(ids_BT[[1, 2], 5:], cache=cache)
    with trace(gpt, keep=EVERYTHING) as whole:
        gpt(ids_BT[[1, 2]])
    for name in NAMES:
        assert_close(getattr(record, name), getattr(whole, name))


def test_the_rows_of_one_cache_are_not_those_of_another(model):
    source_BS, target_BT = texts()
    rows_B = torch.tensor([2, 0, 1])
    memory, cache = model.encode(source_BS), model.new_cache()
    model.decode(target_BT[:, :4], memory, cache=cache)
    cache.select(rows_B)
    with trace(model) as record:
        model.decode(target_BT[:1], memory.select(torch.tensor([0])), cache=model.new_cache())
        model.decode(target_BT[rows_B, 4:], memory.select(rows_B), cache=cache)
    with trace(model) as whole:
        model(source_BS[rows_B], target_BT[rows_B])
    for part in PARTS[1:]:
        expected = whole.part(part).weights_LBHTS[..., 4:, :]
        assert_close(record.part(part).weights_LBHTS, expected)


def test_going_back_takes_off_what_was_kept(model):
    source_BS, target_BT = texts()
    rows_B = torch.tensor([1, 0, 2])
    with trace(model, keep=EVERYTHING) as record:
        memory, cache = model.encode(source_BS), model.new_cache()
        model.decode(target_BT.flip(1)[:, :2], memory, cache=cache)
        cache.truncate(0)
        model.decode(target_BT[rows_B, :4], memory, cache=cache)
        cache.select(rows_B)
        for end in (6, 8):
            model.decode(target_BT[:, cache.length : end], memory.select(rows_B), cache=cache)
        cache.truncate(5)  # into a piece
        model.decode(target_BT[:, 5:7], memory.select(rows_B), cache=cache)
        cache.truncate(3)  # to before the rows were put in another order
        model.decode(target_BT[:, 3:], memory.select(rows_B), cache=cache)
    with trace(model, keep=EVERYTHING) as whole:
        model(source_BS[rows_B], target_BT)
    for part in PARTS[1:]:
        for name in NAMES:
            found, expected = (getattr(one.part(part), name) for one in (record, whole))
            assert_close(found, expected)


def test_another_cache_and_another_source_begin_anew(model):
    source_BS, target_BT = texts()
    with trace(model, keep=EVERYTHING) as record:
        memory, cache = model.encode(source_BS), model.new_cache()
        model.decode(target_BT[:, :4], memory, cache=cache)
        other = model.encode(source_BS[:1, :5])
        model.decode(target_BT[:1, :2], other, cache=(second := model.new_cache()))
        model.decode(target_BT[:1, 2:5], other, cache=second)
    with trace(model, keep=EVERYTHING) as whole:
        model(source_BS[:1, :5], target_BT[:1, :5])
    assert_same(record, whole)


def test_a_trace_begun_in_the_middle_of_a_text_shows_the_rest_of_it(model):
    source_BS, target_BT = texts()
    memory, cache = model.encode(source_BS), model.new_cache()
    model.decode(target_BT[:, :5], memory, cache=cache)
    with trace(model, keep=EVERYTHING) as record:
        model.decode(target_BT[:, 5:6], memory, cache=cache)
        model.decode(target_BT[:, 6:], memory, cache=cache)
    with trace(model, keep=EVERYTHING) as whole:
        model(source_BS, target_BT)
    for name in PARTS[1:]:
        rest, part = record.part(name), whole.part(name)
        assert_close(rest.weights_LBHTS, part.weights_LBHTS[..., 5:, :])
        assert_close(rest.queries_LBHTD, part.queries_LBHTD[..., 5:, :])
        assert_close(rest.keys_LBHSD, part.keys_LBHSD)
        assert_close(rest.values_LBHSD, part.values_LBHSD)


def test_an_own_attention_shows_its_weights_in_every_part():
    def my_flat(q_BHTD, k_BHSD, v_BHSD, *, causal=False, mask_BTS=None):
        return attend(q_BHTD * 0, k_BHSD, v_BHSD, causal=causal, mask_BTS=mask_BTS)

    model = random_translator(CONFIGS["rotary"], attend=my_flat).requires_grad_(False)
    source_BS, target_BT = texts()
    with trace(model) as record:
        memory, cache = model.encode(source_BS), model.new_cache()
        for new_BT in target_BT.split(3, dim=1):
            model.decode(new_BT, memory, cache=cache)
    real_BS = (source_BS != PAD).float()
    flat_BS = real_BS / real_BS.sum(dim=1, keepdim=True)
    flat_TT = torch.ones(8, 8).tril() / torch.arange(1, 9)[:, None]
    expected = (flat_BS[:, None, None], flat_TT, flat_BS[:, None, None])
    for name, weights in zip(PARTS, expected, strict=True):
        found = record.part(name).weights_LBHTS
        assert_close(found, weights.expand(found.shape))


def layer_of(model, part, layer):
    stack, _, name = part.partition(".")
    return getattr(getattr(model, stack)[layer], name)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("cached", [False, True])
def test_a_head_that_is_off_is_as_if_its_output_were_ignored(model, part, cached):
    source_BS, target_BT = texts()
    twin = copy.deepcopy(model)
    for layer, head in ((0, 1), (1, 3)):
        layer_of(twin, part, layer).out.weight[:, 4 * head : 4 * head + 4] = 0

    def run():
        memory, cache = model.encode(source_BS), model.new_cache() if cached else None
        pieces = target_BT.split([3, 1, 4] if cached else 8, dim=1)
        return torch.cat([model.decode(x, memory, cache=cache) for x in pieces], dim=1)

    before = run()
    with ablate(model, [(0, 1), (1, 3)], part=part):
        assert_close(run(), twin(source_BS, target_BT))
    assert torch.equal(run(), before)
    assert (before - twin(source_BS, target_BT)).abs().max() > 1e-2


def heads_output(model, part, layer, run):
    """Catch what the heads hand to the output projection, (B, T, H, D)."""
    caught = []
    hook = layer_of(model, part, layer).out.register_forward_pre_hook(
        lambda out, arguments: caught.append(arguments[0].unflatten(-1, (4, 4)))
    )
    run()
    hook.remove()
    return caught[-1]


# as many source tokens as target tokens, and more
@pytest.mark.parametrize("n_source", [8, 9])
@pytest.mark.parametrize("part", PARTS)
def test_the_mean_over_a_reference_leaves_padding_out(model, part, n_source):
    source_BS, target_BT = texts(n_source)
    target_BT[1, 5:], target_BT[2, 1:] = PAD, PAD
    real_BT = (source_BS if part == "encoder.attention" else target_BT) != PAD
    over_BTHD = heads_output(model, part, 1, lambda: model(source_BS, target_BT))
    mean_D = over_BTHD[real_BT].mean(dim=0)[2]
    other = texts(5, 4, 2)
    before_BTHD = heads_output(model, part, 1, lambda: model(*other))
    for over in (
        (source_BS, target_BT),
        {"target_BT": target_BT, "source_BS": source_BS},
    ):
        with ablate(model, [(1, 2)], part=part, how="mean", over=over):
            after_BTHD = heads_output(model, part, 1, lambda: model(*other))
        assert_close(after_BTHD[..., 2, :], mean_D.expand_as(after_BTHD[..., 2, :]))
        assert torch.equal(after_BTHD[..., [0, 1, 3], :], before_BTHD[..., [0, 1, 3], :])


@pytest.mark.parametrize("n_source", [8, 6])
@pytest.mark.parametrize("part", PARTS)
def test_the_mean_over_the_text_so_far_is_that_of_the_real_tokens(model, part, n_source):
    source_BS, target_BT = texts(n_source)
    real_BT = (source_BS if part == "encoder.attention" else target_BT) != PAD
    before_BTHD = heads_output(model, part, 0, lambda: model(source_BS, target_BT))
    with ablate(model, [(0, 2)], part=part, how="mean"):
        after_BTHD = heads_output(model, part, 0, lambda: model(source_BS, target_BT))
    for text, place in real_BT.nonzero().tolist():
        so_far = before_BTHD[text, : place + 1, 2]
        assert_close(after_BTHD[text, place, 2], so_far.mean(dim=0), atol=1e-5, rtol=1e-5)


def test_a_mean_that_cannot_be_known_is_refused(model):
    source_BS, target_BT = texts()
    memory, cache = model.encode(source_BS), model.new_cache()
    model.decode(target_BT[:, :4], memory, cache=cache)
    for part in PARTS[1:]:
        with (
            ablate(model, [(0, 0)], part=part, how="mean"),
            pytest.raises(ValueError, match="4 of its tokens are in a KV cache; give how='mean'"),
        ):
            model.decode(target_BT[:, 4:], memory, cache=cache)
        over = (source_BS, target_BT)
        with ablate(model, [(0, 0)], part=part, how="mean", over=over):
            model.decode(target_BT[:, 4:5], memory, cache=copy.deepcopy(cache))


@pytest.mark.parametrize("over", [[1, 2, 3], torch.tensor([[1, 2]]), (torch.tensor([[1, 2]]),), {}])
def test_a_reference_of_one_text_is_refused(model, over):
    with (
        pytest.raises(ValueError, match=r"give over=\(source_BS, target_BT\)"),
        ablate(model, [(0, 0)], part=PARTS[0], how="mean", over=over),
    ):
        pass
