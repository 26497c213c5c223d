"""Released files: the same scores as transformers computes from them, and errors that help."""

import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from llmlab.model import GPT, PUBLISHED, attend, converted, load_pretrained

GPT2_SIZES = {"vocab_size": 31, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 12}
GPT2_KINDS = {
    "plain": {},
    "narrow inside": {"n_inner": 24},
    "untied": {"tie_word_embeddings": False},
    "another epsilon": {"layer_norm_epsilon": 0.1},
}
LLAMA_SIZES = {
    "vocab_size": 31,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 12,
}
LLAMA_KINDS = {
    "plain": {},
    "grouped heads": {"num_key_value_heads": 2},
    "one key head": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "attention biases": {"attention_bias": True, "num_key_value_heads": 2},
    "feed-forward biases": {"mlp_bias": True},
    "wide heads": {"head_dim": 10},
    "narrow heads": {"head_dim": 2, "num_key_value_heads": 2},
    "another base": {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}},
    "another epsilon": {"rms_norm_eps": 0.1},
}
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*has no tokenizer:UserWarning",  # these tests make folders of weights alone
    "ignore:unclosed file:ResourceWarning",  # transformers, while it writes a folder
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


def gpt2(**changes):
    from transformers import GPT2Config, GPT2LMHeadModel

    marks = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(**GPT2_SIZES | marks | changes))


def llama(**changes):
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**LLAMA_SIZES | changes))


def save(oracle, folder, **options):
    """Give every parameter, biases and norms too, a value of its own, and write the folder."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    oracle.eval().save_pretrained(folder, **options)
    return folder


def assert_same_scores(model, oracle):
    ids_BT = torch.randint(31, (3, 12), generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        expected = oracle(ids_BT).logits
        assert_close(model(ids_BT), expected, atol=1e-5, rtol=1e-5)
        mask_BT = torch.ones_like(ids_BT, dtype=torch.bool)
        mask_BT[0, :4], mask_BT[1, 9:] = False, False
        positions_BT = (mask_BT.long().cumsum(dim=1) - 1).clamp(min=0)
        expected = oracle(ids_BT, attention_mask=mask_BT.long(), position_ids=positions_BT).logits
        found = model(ids_BT, mask_BT=mask_BT)
        assert_close(found[mask_BT], expected[mask_BT], atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.1


@pytest.mark.parametrize("kind", GPT2_KINDS)
def test_gpt2_folders_give_the_scores_of_transformers(tmp_path, kind):
    oracle = gpt2(**GPT2_KINDS[kind])
    model, _ = load_pretrained(save(oracle, tmp_path), device="cpu")
    assert not model.training
    assert_same_scores(model, oracle)


@pytest.mark.parametrize("kind", LLAMA_KINDS)
def test_llama_folders_give_the_scores_of_transformers(tmp_path, kind):
    oracle = llama(**LLAMA_KINDS[kind])
    model, _ = load_pretrained(save(oracle, tmp_path), device="cpu", attend=attend)
    assert_same_scores(model, oracle)


def test_the_older_place_of_the_rotary_base_is_read(tmp_path):
    oracle = llama(rope_parameters={"rope_type": "default", "rope_theta": 50.0})
    save(oracle, tmp_path)
    config = edit_config(tmp_path, rope_theta=50.0, rope_scaling=None)
    del config["rope_parameters"], config["head_dim"]
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model, _ = load_pretrained(tmp_path, device="cpu")
    assert_same_scores(model, oracle)


def edit_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(config), encoding="utf-8")
    return config


@pytest.mark.parametrize("make", [gpt2, llama])
def test_weights_in_several_files_are_read(tmp_path, make):
    oracle = make()
    save(oracle, tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert_same_scores(load_pretrained(tmp_path, device="cpu")[0], oracle)


@pytest.mark.parametrize("make", [gpt2, llama])
def test_a_model_saved_without_its_head_is_read_by_its_shorter_names(tmp_path, make):
    oracle = make(tie_word_embeddings=True)
    save(oracle, tmp_path)
    oracle.base_model.save_pretrained(tmp_path)
    assert not any(name.startswith(("model.", "transformer.")) for name in weights(tmp_path))
    edit_config(tmp_path, tie_word_embeddings=True)
    assert_same_scores(load_pretrained(tmp_path, device="cpu")[0], oracle)


def test_an_older_pickle_of_tensors_is_read(tmp_path):
    oracle = gpt2()
    save(oracle, tmp_path)
    torch.save(oracle.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    assert_same_scores(load_pretrained(tmp_path, device="cpu")[0], oracle)


def test_stored_helpers_are_passed_over(tmp_path):
    oracle = gpt2()
    extra = {
        "transformer.h.0.attn.bias": torch.ones(1, 1, 12, 12),
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
    }
    change_weights(save(oracle, tmp_path), lambda found: found.update(extra))
    assert_same_scores(load_pretrained(tmp_path, device="cpu")[0], oracle)


def test_half_precision_weights_are_read_as_float32_unless_asked_otherwise(tmp_path):
    save(llama().bfloat16(), tmp_path)
    assert load_pretrained(tmp_path, device="cpu")[0].token_embedding.weight.dtype == torch.float32
    model, _ = load_pretrained(tmp_path, device="cpu", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    ids_BT = torch.zeros(1, 3, dtype=torch.long)
    with torch.no_grad():
        assert model(ids_BT).dtype == torch.bfloat16


def test_the_tokenizer_of_the_folder_comes_with_the_model(tmp_path, gpt2):
    save(llama(), tmp_path)
    names = {token: number for number, token in enumerate(["<|endoftext|>", *"abcdefghij"])}
    (tmp_path / "vocab.json").write_text(json.dumps(names), encoding="utf-8")
    _, tokenizer = load_pretrained(tmp_path, device="cpu")
    assert tokenizer.encode("bad") == [2, 1, 4]
    (tmp_path / "vocab.json").unlink()
    with pytest.warns(UserWarning, match="has no tokenizer, so there is none to return"):
        _, tokenizer = load_pretrained(tmp_path, device="cpu")
    assert tokenizer is None


TEXTS = [
    "The capital of France is Paris, which lies on the river Seine. It has 2,102,650 inhabitants.",
    "def fibonacci(n):\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)\n",
    "Ein Fuchs läuft durch den Wald. 🦊 Он быстрый, 漢字も読めます。",
]


@pytest.mark.slow
def test_smollm2_gives_the_scores_transformers_computes_from_the_same_file(smollm2, smollm2_gguf):
    from transformers import AutoModelForCausalLM

    model, tokenizer = smollm2
    oracle = AutoModelForCausalLM.from_pretrained(
        smollm2_gguf.parent, gguf_file=smollm2_gguf.name, dtype=torch.float32
    ).eval()
    for text in TEXTS:
        ids_1T = torch.tensor([tokenizer.encode(text)])
        with torch.inference_mode():
            assert_close(model(ids_1T), oracle(ids_1T).logits, atol=1e-3, rtol=0)


@pytest.mark.slow
def test_what_lies_in_the_cache_is_what_the_released_file_gives(smollm2, smollm2_reader):
    model, tokenizer = smollm2
    config, weights = converted._dequantize(smollm2_reader, progress=False)
    assert config == model.config == PUBLISHED["SmolLM2-135M"]
    assert converted._tokenizer(smollm2_reader) == tokenizer
    state = model.state_dict()
    assert weights.keys() == state.keys()
    assert all(weight.equal(state[name]) for name, weight in weights.items())


def test_smollm2_knows_its_capitals(smollm2):
    model, tokenizer = smollm2
    for country, capital in {"France": " Paris", "Italy": " Rome", "Japan": " Tokyo"}.items():
        ids_1T = torch.tensor([tokenizer.encode(f"The capital of {country} is")])
        with torch.inference_mode():
            best = int(model(ids_1T)[0, -1].argmax())
        assert tokenizer.token(best) == capital


def test_smollm2_takes_your_own_attention(smollm2):
    own, _ = load_pretrained(attend=attend, device="cpu")
    ids_1T = torch.tensor([smollm2[1].encode(TEXTS[0])])
    with torch.inference_mode():
        assert_close(own(ids_1T), smollm2[0](ids_1T), atol=1e-3, rtol=0)


def weights(folder):
    return load_file(folder / "model.safetensors")


def change_weights(folder, change):
    tensors = weights(folder)
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save(llama(), tmp_path_factory.mktemp("saved"))


@pytest.fixture
def folder(saved, tmp_path):
    """A folder to break."""
    return shutil.copytree(saved, tmp_path / "llama")


def refused(folder, message, error=ValueError):
    with pytest.raises(error, match=message) as raised:
        load_pretrained(folder, device="cpu")
    assert folder.name in str(raised.value)


@pytest.mark.parametrize("architecture", ["bert", "mistral"])
def test_another_architecture_is_refused_by_its_name(tmp_path, architecture):
    import transformers

    sizes = {
        "vocab_size": 31,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config, model = {
        "bert": (transformers.BertConfig, transformers.BertForMaskedLM),
        "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM),
    }[architecture]
    if architecture == "mistral":
        sizes["num_key_value_heads"] = 1
    model(config(**sizes)).save_pretrained(tmp_path)
    refused(tmp_path, f"holds a '{architecture}' model; llmlab reads the families 'gpt2' and 'lla")


UNKNOWN = {
    "llama activation": ("llama", {"hidden_act": "gelu"}, "hidden_act='gelu' .* reads 'silu'"),
    "scaled positions": (
        "llama",
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}},
        "rope_type='llama3'",
    ),
    "older scaled positions": (
        "llama",
        {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}},
        "rope_type='linear'",
    ),
    "gpt2 activation": ("gpt2", {"activation_function": "relu"}, "activation_function='relu'"),
    "scores by layer": (
        "gpt2",
        {"scale_attn_by_inverse_layer_idx": True},
        "scale_attn_by_inverse_layer_idx=True .* reads False",
    ),
    "scores unscaled": ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights=False"),
}


@pytest.mark.parametrize(("family", "change", "message"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_setting_that_changes_the_computation_is_refused(tmp_path, family, change, message):
    save({"llama": llama, "gpt2": gpt2}[family](), tmp_path)
    edit_config(tmp_path, **change)
    with pytest.raises(ValueError, match=message):
        load_pretrained(tmp_path, device="cpu")


def test_a_missing_tensor_is_named(folder):
    name = "model.layers.1.mlp.up_proj.weight"
    change_weights(folder, lambda found: found.pop(name))
    refused(folder, f"tensor '{name}' is missing in .*bring the folder again")


def test_a_tensor_too_many_is_named(folder):
    name = "model.layers.1.self_attn.q_norm.weight"
    change_weights(folder, lambda found: found.update({name: torch.ones(4)}))
    refused(folder, f"does not have: {name}; it is a changed architecture")


def test_a_tensor_of_another_shape_is_named(folder):
    name = "model.layers.0.mlp.down_proj.weight"
    change_weights(folder, lambda found: found.update({name: torch.ones(16, 25)}))
    refused(folder, r"0\.feed_forward\.down\.weight has the shape \(16, 25\) .*asks for \(16, 24\)")


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_file_cut_short_is_named(folder, share):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(folder, r"model\.safetensors is damaged or cut short .*bring it again")


def test_a_missing_part_of_several_files_is_named(tmp_path):
    save(llama(), tmp_path, max_shard_size="4KB")
    victim = sorted(tmp_path.glob("model-*.safetensors"))[1]
    victim.unlink()
    refused(tmp_path, rf"{victim.name} is missing, but the index", FileNotFoundError)


class Harm:
    def __reduce__(self):
        return exec, ("import builtins; builtins.llmlab_was_harmed = True",)


def pickled(folder, content):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)


def test_a_pickle_with_code_is_refused_and_the_code_does_not_run(folder, tmp_path):
    torch.save({"weight": torch.ones(2), "harm": Harm()}, tmp_path / "zipped")
    for content in ((tmp_path / "zipped").read_bytes(), pickle.dumps({"harm": Harm()}, protocol=2)):
        pickled(folder, content)
        refused(folder, r"pytorch_model\.bin .* holds code beside tensors.* use a model\.safetens")
        (folder / "model.safetensors").touch()
    import builtins

    assert not hasattr(builtins, "llmlab_was_harmed")


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_pickle_cut_short_is_refused(folder, share):
    torch.save(weights(folder), folder / "pytorch_model.bin")
    content = (folder / "pytorch_model.bin").read_bytes()
    pickled(folder, content[: int(len(content) * share)])
    refused(folder, r"pytorch_model\.bin is damaged, or holds code")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_a_broken_json_file_is_named(folder, name, content):
    (folder / name).write_text(content, encoding="utf-8")
    refused(folder, rf"{name} is no JSON file with the entry .*bring it again")


def test_a_config_without_a_size_says_which(folder):
    config = edit_config(folder)
    del config["hidden_size"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    refused(folder, r"config\.json does not say 'hidden_size', which a llama model needs")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    refused(folder, f"{folder.name} has no {name}", FileNotFoundError)


def test_a_folder_that_does_not_exist_is_refused_with_what_there_is(tmp_path):
    refused(
        tmp_path / "nowhere", "no folder; use 'SmolLM2-135M-Instruct', 'gpt2'", FileNotFoundError
    )


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="device='warp' is not a device name"):
        load_pretrained(tmp_path / "nowhere", device="warp")


def test_a_loaded_model_can_be_trained(saved):
    model, _ = load_pretrained(saved, device="cpu")
    assert isinstance(model, GPT)
    model.train()(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
