"""The GPT's laws: causality, padding, batches, the cache, own attention, counts, errors."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlab.model import GPT, PUBLISHED, GPTConfig, attend, attend_fused, count_parameters, formats

from .conftest import GPT2, GPTS, LLAMA, RECIPE, SIZES, shaken


@given(place=st.integers(0, 9), token_id=st.integers(0, 22))
def test_a_token_changes_nothing_before_it(tiny, ids_BT, place, token_id):
    assume(token_id not in ids_BT[:, place])
    changed_BT = ids_BT.clone()
    changed_BT[:, place] = token_id
    before, after = tiny(ids_BT), tiny(changed_BT)
    assert_close(after[:, :place], before[:, :place])
    assert ((after[:, place:] - before[:, place:]).abs().amax(dim=-1) > 1e-5).all()


def test_the_order_of_the_words_matters(tiny):
    one, other = torch.tensor([[3, 7, 5]]), torch.tensor([[7, 3, 5]])
    assert (tiny(one)[:, -1] - tiny(other)[:, -1]).abs().max() > 1e-3


def test_a_text_gives_the_same_scores_alone_and_in_a_batch(tiny, ids_BT):
    together = tiny(ids_BT)
    for row, ids_T in enumerate(ids_BT):
        assert_close(tiny(ids_T[None])[0], together[row])


@given(
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    left=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    filler=st.integers(0, 22),
)
def test_padding_on_either_side_changes_nothing(tiny, ids_BT, lengths, left, filler):
    n_tokens = max(n + skip for n, skip in zip(lengths, left, strict=False))
    padded_BT = torch.full((len(lengths), n_tokens), filler)
    mask_BT = torch.zeros_like(padded_BT, dtype=torch.bool)
    rows = list(zip(lengths, left, strict=False))
    for row, (n, skip) in enumerate(rows):
        padded_BT[row, skip : skip + n] = ids_BT[row % 3, :n]
        mask_BT[row, skip : skip + n] = True
    scores_BTV = tiny(padded_BT, mask_BT=mask_BT)
    assert scores_BTV.isfinite().all()
    for row, (n, skip) in enumerate(rows):
        assert_close(scores_BTV[row, skip : skip + n], tiny(ids_BT[row % 3, :n][None])[0])


def test_a_mask_of_real_tokens_only_changes_nothing(tiny, ids_BT):
    assert_close(tiny(ids_BT, mask_BT=torch.ones_like(ids_BT, dtype=torch.bool)), tiny(ids_BT))


@pytest.mark.parametrize("config", GPTS.values(), ids=GPTS)
@pytest.mark.parametrize("padded", [False, True])
def test_written_out_attention_gives_the_scores_of_the_fused_one(config, padded, ids_BT):
    mask_BT = None
    if padded:
        mask_BT = torch.ones_like(ids_BT, dtype=torch.bool)
        mask_BT[0, :3], mask_BT[1, 6:] = False, False
    model = shaken(GPT(config, attend=attend_fused))
    own = GPT(config, attend=attend)
    own.load_state_dict(model.state_dict())
    assert_close(own(ids_BT, mask_BT=mask_BT), model(ids_BT, mask_BT=mask_BT))


def test_your_own_attention_is_what_runs(ids_BT):
    calls = []

    def my_attend(q_BHTD, k_BHSD, v_BHSD, *, causal=False, mask_BTS=None):
        calls.append((q_BHTD.shape, k_BHSD.shape, causal, mask_BTS))
        return torch.zeros_like(q_BHTD)

    config = dataclasses.replace(LLAMA, n_heads=4, n_kv_heads=1)
    GPT(config, attend=my_attend)(ids_BT)
    assert calls == [((3, 4, 10, 4), (3, 4, 10, 4), True, None)] * config.n_layers


@given(cuts=st.sets(st.integers(1, 9)))
@example(cuts=set(range(1, 10)))
@example(cuts=set())
def test_reading_through_the_cache_in_any_chunks_gives_the_same_scores(tiny, ids_BT, cuts):
    cache = tiny.new_cache()
    ends = [*sorted(cuts), 10]
    with torch.no_grad():
        chunks = [
            tiny(ids_BT[:, start:end], cache=cache)
            for start, end in zip([0, *ends], ends, strict=False)
        ]
    assert cache.length == 10
    assert_close(torch.cat(chunks, dim=1), tiny(ids_BT))


@given(kept=st.integers(0, 9), n_new=st.integers(1, 3), token_id=st.integers(0, 22))
def test_a_truncated_cache_is_as_good_as_a_new_one(tiny, ids_BT, kept, n_new, token_id):
    cache = tiny.new_cache()
    with torch.no_grad():
        tiny(ids_BT, cache=cache)
        cache.truncate(kept)
        new_BT = torch.full((3, n_new), token_id)
        found = tiny(new_BT, cache=cache)
    assert_close(found, tiny(torch.cat((ids_BT[:, :kept], new_BT), dim=1))[:, kept:])


def test_every_parameter_learns(ids_BT):
    for config in (*GPTS.values(), dataclasses.replace(LLAMA, attention_bias=True, tied=True)):
        model = shaken(GPT(config))
        loss = torch.nn.functional.cross_entropy(model(ids_BT).flatten(0, 1), ids_BT.flatten())
        loss.backward()
        idle = [
            name
            for name, parameter in model.named_parameters()
            # a bias of the keys adds the same to all scores of a query, which softmax ignores
            if parameter.grad is None
            or (parameter.grad.abs().max() < 1e-7 and not name.endswith("key.bias"))
        ]
        seen = ids_BT.unique()
        assert idle == []
        assert (model.token_embedding.weight.grad[seen].abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("config", GPTS.values(), ids=GPTS)
def test_the_first_loss_is_that_of_a_guess(config):
    torch.manual_seed(0)
    config = dataclasses.replace(config, vocab_size=1000, width=64, context=64)
    ids_BT = torch.randint(1000, (8, 64))
    scores_BTV = GPT(config)(ids_BT)
    loss = torch.nn.functional.cross_entropy(
        scores_BTV[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten()
    )
    assert abs(loss.item() - math.log(1000)) < 0.1


def test_with_zero_init_every_layer_begins_by_adding_nothing(ids_BT):
    for config in (RECIPE, dataclasses.replace(GPT2, zero_init=True)):
        model = GPT(config)
        stream_BTC = model.token_embedding(ids_BT)
        if config.positions == "learned":
            stream_BTC = stream_BTC + model.position_embedding.weight[: ids_BT.shape[1]]
        assert torch.equal(model.hidden_states(ids_BT), model.final_norm(stream_BTC))
        # and yet all of it learns: the zeros at the first step, what stands before them after that
        model(ids_BT).logsumexp(-1).sum().backward()
        for block in model.blocks:
            assert block.attention.out.weight.grad.abs().max() > 0
            assert block.feed_forward.down.weight.grad.abs().max() > 0


@pytest.mark.parametrize("width", [64, 1024])
def test_the_first_loss_with_zero_init_is_that_of_a_guess_at_any_width(width):
    torch.manual_seed(0)
    sizes = {"vocab_size": 1000, "context": 64, "width": width, "n_layers": 1}
    ids_BT = torch.randint(1000, (4, 64))
    with torch.no_grad():
        scores_BTV = GPT(dataclasses.replace(RECIPE, **sizes))(ids_BT)
    loss = torch.nn.functional.cross_entropy(
        scores_BTV[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten()
    )
    assert abs(loss.item() - math.log(1000)) < 0.25


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_with_qk_norm_the_scores_are_those_of_qwen3_in_transformers(ids_BT):
    import transformers

    config = dataclasses.replace(LLAMA, head_width=6, qk_norm=True, norm_eps=1e-6)
    model = shaken(GPT(config)).requires_grad_(False)
    theirs = transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            intermediate_size=config.hidden_width,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.kv_heads,
            head_dim=config.query_width,
            max_position_embeddings=config.context,
            rms_norm_eps=config.norm_eps,
            tie_word_embeddings=config.tied,
        )
    ).eval()
    weights = {
        theirs: model.state_dict()[ours] for theirs, ours in formats.llama_names(config).items()
    }
    for layer, block in enumerate(model.blocks):
        prefix = f"model.layers.{layer}.self_attn"
        weights[f"{prefix}.q_norm.weight"] = block.attention.query_norm.weight
        weights[f"{prefix}.k_norm.weight"] = block.attention.key_norm.weight
    theirs.load_state_dict(weights)
    with torch.no_grad():
        assert_close(model(ids_BT), theirs(ids_BT).logits, atol=1e-4, rtol=1e-4)


configs = st.builds(
    lambda n_groups, kv_heads, **rest: GPTConfig(
        n_heads=n_groups * kv_heads, n_kv_heads=kv_heads, **rest
    ),
    n_groups=st.integers(1, 3),
    kv_heads=st.integers(1, 3),
    vocab_size=st.integers(1, 40),
    context=st.integers(1, 20),
    width=st.integers(1, 30),
    n_layers=st.integers(1, 3),
    head_width=st.sampled_from([2, 4, 6]),
    hidden=st.none() | st.integers(1, 50),
    norm=st.sampled_from(["layer", "rms"]),
    positions=st.sampled_from(["learned", "rotary", "none"]),
    activation=st.sampled_from(["gelu", "swiglu", "relu2"]),
    attention_bias=st.booleans(),
    feed_forward_bias=st.booleans(),
    tied=st.booleans(),
    qk_norm=st.booleans(),
    zero_init=st.booleans(),
)


@given(config=configs)
def test_the_formula_counts_what_the_model_has_and_the_model_runs(config):
    model = GPT(config)
    assert count_parameters(config) == count_parameters(model)
    ids_BT = torch.zeros(2, config.context, dtype=torch.int32)
    assert model(ids_BT).shape == (2, config.context, config.vocab_size)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_the_count_of_the_formula(name):
    with torch.device("meta"):
        assert count_parameters(GPT(PUBLISHED[name])) == count_parameters(PUBLISHED[name])


def test_known_counts():
    # counted from the released weights
    assert count_parameters(PUBLISHED["GPT-2 small"]) == 124_439_808
    assert count_parameters(PUBLISHED["GPT-2 medium"]) == 354_823_168
    assert count_parameters(PUBLISHED["GPT-2 large"]) == 774_030_080
    assert count_parameters(PUBLISHED["GPT-2 XL"]) == 1_557_611_200
    assert count_parameters(PUBLISHED["SmolLM2-135M"]) == 134_515_008
    assert count_parameters(PUBLISHED["GPT-1"]) == 116_534_784 + 1536
    # as the papers round them
    assert count_parameters(PUBLISHED["GPT-3"]) == pytest.approx(175e9, rel=0.005)


def test_the_cache_s_room_is_that_of_the_context(tiny):
    assert tiny.new_cache().capacity == SIZES["context"]


WRONG_IDS = {
    "too long": (
        torch.zeros(1, 13, dtype=torch.long),
        r"13 tokens .* context of 12; .*\[:, -12:\]",
    ),
    "no batch": (torch.zeros(4, dtype=torch.long), r"shape \(4,\) .*torch.tensor\(\[ids\]\)"),
    "fractions": (torch.zeros(1, 4), r"torch.float32 are not a batch of token ids; give integers"),
    "nothing": (torch.zeros(1, 0, dtype=torch.long), "the text has no tokens; give at least one"),
    "too large": (torch.tensor([[3, 23]]), "id 23 is outside the vocabulary of 23; ids go from 0"),
    "negative": (torch.tensor([[-1, 3]]), r"id -1 is outside .* 0 to 22: .*own tokenizer"),
}


@pytest.mark.parametrize(("ids_BT", "message"), WRONG_IDS.values(), ids=WRONG_IDS.keys())
def test_wrong_ids_are_refused(tiny, ids_BT, message):
    with pytest.raises(ValueError, match=message):
        tiny(ids_BT)


def test_wrong_masks_are_refused(tiny, ids_BT):
    with pytest.raises(ValueError, match=r"torch.int64 of shape \(3, 10\); give booleans"):
        tiny(ids_BT, mask_BT=torch.ones_like(ids_BT))
    with pytest.raises(
        ValueError, match=r"shape \(3, 9\); give booleans of the ids' shape \(3, 10"
    ):
        tiny(ids_BT, mask_BT=torch.ones(3, 9, dtype=torch.bool))
    with pytest.raises(ValueError, match="a mask and a cache do not go together"):
        tiny(ids_BT, mask_BT=torch.ones(3, 10, dtype=torch.bool), cache=tiny.new_cache())


def test_a_text_that_outgrows_the_cache_is_refused_and_changes_nothing(tiny, ids_BT):
    cache = tiny.new_cache()
    with torch.no_grad():
        expected = tiny(ids_BT[:, :8], cache=cache)
        with pytest.raises(ValueError, match=r"8 tokens in the cache and 5 new ones exceed"):
            tiny(ids_BT[:, :5], cache=cache)
        assert cache.length == 8
        cache.truncate(7)
        assert_close(tiny(ids_BT[:, 7:8], cache=cache), expected[:, 7:])


@pytest.mark.parametrize("wrong", [lambda q, k, v: v, lambda q, k, v, mask: v, 7, None])
def test_an_own_attend_that_cannot_be_called_is_refused_with_the_right_first_line(wrong):
    with pytest.raises(TypeError, match="begin it with def my_attend"):
        GPT(GPTConfig(**SIZES), attend=wrong)


WRONG_SIZES = {
    "no whole number": ({"width": 16.0}, "width=16.0 is not a whole number of at least 1"),
    "nothing": ({"n_layers": 0}, "n_layers=0 is not a whole number of at least 1"),
    "a yes": ({"context": True}, "context=True is not a whole number"),
    "text": ({"vocab_size": "9"}, "vocab_size='9' is not a whole number"),
    "no heads": ({"n_kv_heads": -1}, "n_kv_heads=-1 is not a whole number"),
    "uneven heads": ({"width": 100, "n_heads": 8}, "width=100 .* n_heads=8 .*; use 96 or 104"),
    "narrow": ({"width": 3, "n_heads": 8}, "width=3 .* n_heads=8 equal parts; use 8$"),
    "uneven groups": ({"n_kv_heads": 3}, r"n_heads=4 .* n_kv_heads=3 evenly; use one of "),
    "more keys": ({"n_kv_heads": 8}, r"n_heads=4 .* n_kv_heads=8 evenly; use one of \[1, 2, 4\]"),
    "odd pairs": ({"width": 12, "positions": "rotary"}, "a head of 3 is odd; use an even"),
    "no eps": ({"norm_eps": 0.0}, "norm_eps=0.0 is not a number above 0; use 1e-05"),
    "unknown eps": ({"norm_eps": math.nan}, "norm_eps=nan is not a number above 0"),
    "no base": ({"rotary_base": -1.0}, "rotary_base=-1.0 is not a number above 0; use 10000.0"),
    "endless": ({"rotary_base": math.inf}, "rotary_base=inf is not a number above 0"),
    "words": ({"tied": "false"}, "tied='false' is neither True nor False"),
    "a number": ({"qk_norm": 1}, "qk_norm=1 is neither True nor False"),
    "an answer": ({"zero_init": "no"}, "zero_init='no' is neither True nor False"),
    "norm": ({"norm": "batch"}, "norm='batch' is unknown; use 'layer' or 'rms'"),
    "positions": ({"positions": None}, "None is unknown; use 'learned', 'rotary' or 'none'"),
    "activation": ({"activation": "relu"}, "'relu' is unknown; use 'gelu', 'swiglu' or 'relu2'"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), WRONG_SIZES.values(), ids=WRONG_SIZES.keys())
def test_sizes_that_do_not_fit_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        GPTConfig(**SIZES | change)


def test_sizes_may_be_whole_numbers_of_numpy():
    config = GPTConfig(**{name: np.int64(size) for name, size in SIZES.items()})
    assert config == GPTConfig(**SIZES)
    json.dumps(dataclasses.asdict(config))


def test_a_config_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GPT2.width = 3
    with pytest.raises(TypeError):
        GPTConfig(1, 2, 3, 4, 5)


def test_without_positions_one_layer_sees_a_bag_of_words(ids_BT):
    shuffled_BT = torch.cat((ids_BT[:, [4, 0, 3, 1, 2, 5]], ids_BT[:, 6:]), dim=1)
    config = GPTConfig(**SIZES | {"n_layers": 1}, positions="none")
    bag = shaken(GPT(config)).requires_grad_(False)
    assert_close(bag(shuffled_BT)[:, 6:], bag(ids_BT)[:, 6:])
    whole = shaken(GPT(dataclasses.replace(config, positions="learned"))).requires_grad_(False)
    assert (whole(shuffled_BT)[:, 6:] - whole(ids_BT)[:, 6:]).abs().max() > 0.01
