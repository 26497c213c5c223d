import copy
import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from llmlab.model import GPT, GPTConfig, tensor_files
from llmlab.text import BPETokenizer, WordTokenizer, train_bpe
from llmlab.train import (
    checkpoint,
    load_checkpoint,
    optimizer_for,
    packed_batches,
    save_checkpoint,
    schedules,
    train,
)
from train.killed_run import N_KILLS, new_batches, new_model, run

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "run.safetensors"


@pytest.fixture(params=["gpt", "translator"])
def kind(request):
    return request.param


def tokenizer_for(n):
    words = ["<pad>", *(f"w{number}" for number in range(1, n))]
    return WordTokenizer([word.strip("<>") for word in words[1:]], name="thirty")


def trained(kind, steps=3):
    """A model in the middle of a run, with what belongs to it."""
    torch.manual_seed(0)
    model = new_model(kind)
    optimizer, batches = optimizer_for(model), new_batches(kind)
    for _ in train(model, batches, optimizer=optimizer, steps=steps):
        pass
    return model, optimizer, batches


def same_state(left, right):
    """Say whether nested states are equal to the last bit, and of the same kinds."""
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same_state(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and all(map(same_state, left, right))
    return type(left) is type(right) and left == right


def metadata_of(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["llmlab"])


def tensors_of(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def rewrite(path, *, content=lambda content: None, tensors=lambda tensors: None):
    """Change what a checkpoint says or holds."""
    text, stored = metadata_of(path), tensors_of(path)
    content(text)
    tensors(stored)
    save_file(stored, path, metadata={"llmlab": json.dumps(text)})


class TestRoundTrip:
    def test_everything_comes_back(self, path, kind):
        model, optimizer, batches = trained(kind)
        schedule = schedules.cosine(50, warmup=5, final=0.1)
        tokenizer, extra = tokenizer_for(30), {"score": [1.5, None, "é\0🙂"], "deep": {"a": []}}
        save_checkpoint(
            path,
            model,
            tokenizer=tokenizer,
            optimizer=optimizer,
            schedule=schedule,
            batches=batches,
            step=3,
            extra=extra,
        )
        expected = torch.rand(5)
        torch.manual_seed(1)
        saved = load_checkpoint(path, device="cpu")
        assert type(saved.model) is type(model)
        assert saved.model.config == model.config
        assert not saved.model.training
        assert same_state(dict(saved.model.state_dict()), dict(model.state_dict()))
        assert saved.tokenizer == tokenizer
        assert saved.tokenizer.name == "thirty"
        assert saved.schedule == schedule
        assert (saved.step, saved.extra) == (3, extra)
        assert repr(saved) == f"<Checkpoint of a {type(model).__name__} after 3 steps>"
        new_optimizer, again = optimizer_for(saved.model), new_batches(kind)
        saved.restore(optimizer=new_optimizer, batches=again)
        assert torch.equal(torch.rand(5), expected)
        assert same_state(new_optimizer.state_dict(), optimizer.state_dict())
        assert again.position == batches.position == 3
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    def test_a_run_goes_on_as_it_would_have(self, path, kind):
        whole = path.with_name("whole.safetensors")
        run(path, kind, steps=5)
        run(path, kind, steps=11)
        run(whole, kind, steps=11)
        assert path.read_bytes() == whole.read_bytes()

    def test_the_run_needs_all_that_is_restored(self, path, monkeypatch):
        """Each part left out changes the end, so the test above would notice."""
        whole = path.with_name("whole.safetensors")
        run(whole, "translator", steps=11)
        parts = {
            "_restore_random_states": lambda self: None,
            "_optimizer_state": lambda self, optimizer: optimizer.state_dict(),
        }
        for name, nothing in parts.items():
            with monkeypatch.context() as patched:
                path.unlink(missing_ok=True)
                run(path, "translator", steps=5)
                patched.setattr(checkpoint.Checkpoint, name, nothing)
                run(path, "translator", steps=11)
            assert path.read_bytes() != whole.read_bytes()

    def test_restoring_twice_gives_the_same(self, path):
        model, optimizer, batches = trained("gpt")
        save_checkpoint(path, model, optimizer=optimizer, batches=batches, step=3)
        saved = load_checkpoint(path, device="cpu")
        states = []
        for _ in range(2):
            own, again = optimizer_for(saved.model), new_batches("gpt")
            saved.restore(optimizer=own, batches=again)
            states.append(copy.deepcopy(own.state_dict()))
            for _ in train(saved.model, again, optimizer=own, steps=5, start=3):
                pass
        assert same_state(*states)

    @pytest.mark.parametrize(
        "make",
        [
            lambda parameters: torch.optim.SGD(parameters, lr=0.1),
            lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True),
            lambda parameters: torch.optim.Adam(parameters, amsgrad=True, betas=(0.8, 0.9)),
            lambda parameters: torch.optim.AdamW(parameters, lr=torch.tensor(0.01)),
            lambda parameters: torch.optim.RMSprop(parameters),
            lambda parameters: torch.optim.Adagrad(parameters),
        ],
    )
    def test_any_optimiser_of_torch(self, path, make):
        torch.manual_seed(0)
        model = new_model("gpt")
        optimizer = make(model.parameters())
        for _ in train(model, new_batches("gpt"), optimizer=optimizer, steps=2):
            pass
        save_checkpoint(path, model, optimizer=optimizer)
        saved = load_checkpoint(path, device="cpu")
        again = make(saved.model.parameters())
        saved.restore(optimizer=again)
        assert same_state(again.state_dict(), optimizer.state_dict())

    def test_saving_changes_nothing_and_is_the_same_each_time(self, path, kind):
        model, optimizer, batches = trained(kind)
        before = torch.get_rng_state(), copy.deepcopy(optimizer.state_dict()), batches.position
        state = {"optimizer": optimizer, "batches": batches, "extra": {"b": 1, "a": 2}}
        save_checkpoint(path, model, **state)
        content = path.read_bytes()
        save_checkpoint(path, model, **state)
        assert path.read_bytes() == content
        after = torch.get_rng_state(), optimizer.state_dict(), batches.position
        assert same_state(before, after)

    def test_only_the_model(self, path, kind):
        model = new_model(kind)
        save_checkpoint(path, model)
        saved = load_checkpoint(path, device="cpu")
        assert (saved.tokenizer, saved.schedule, saved.step, saved.extra) == (None, None, 0, None)
        saved.restore()
        with pytest.raises(ValueError, match="saved without an optimiser"):
            saved.restore(optimizer=optimizer_for(saved.model))
        with pytest.raises(ValueError, match="saved without batches"):
            saved.restore(batches=new_batches(kind))

    def test_half_for_shipping(self, path, kind):
        model = trained(kind)[0]
        save_checkpoint(path, model, half=True)
        weights = tensors_of(path)
        assert {t.dtype for t in weights.values()} == {torch.float16}
        assert path.stat().st_size < sum(2 * p.numel() for p in model.parameters()) + 8_000
        saved = load_checkpoint(path, device="cpu")
        for name, weight in model.state_dict().items():
            assert same_state(saved.model.state_dict()[name], weight.half().float())
        state = torch.get_rng_state()
        saved.restore()
        assert torch.equal(torch.get_rng_state(), state)

    def test_half_cannot_be_resumed(self, path):
        model, optimizer, batches = trained("gpt")
        for state in ({"optimizer": optimizer}, {"batches": batches}):
            with pytest.raises(ValueError, match="half=True rounds the weights"):
                save_checkpoint(path, model, half=True, **state)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
    def test_other_number_formats_stay(self, path, dtype):
        model = new_model("gpt").to(dtype)
        save_checkpoint(path, model)
        again = load_checkpoint(path, device="cpu").model
        assert same_state(dict(again.state_dict()), dict(model.state_dict()))

    @pytest.mark.parametrize("tied", [True, False])
    def test_tied_weights_are_stored_once(self, path, tied):
        model = GPT(GPTConfig(vocab_size=30, context=4, width=8, n_layers=1, n_heads=2, tied=tied))
        save_checkpoint(path, model)
        stored = tensors_of(path)
        numbers = sum(t.numel() for name, t in stored.items() if name.startswith("model."))
        assert numbers == sum(p.numel() for p in model.parameters())
        assert sum(t.shape == (30, 8) for t in stored.values()) == (1 if tied else 2)
        again = load_checkpoint(path, device="cpu").model
        ids_BT = torch.tensor([[1, 2, 3]])
        assert torch.equal(again(ids_BT), model.eval()(ids_BT))

    def test_weights_that_share_memory_by_hand(self, path):
        model = GPT(GPTConfig(vocab_size=30, context=4, width=8, n_layers=1, n_heads=2, tied=False))
        model.output.weight = model.token_embedding.weight
        save_checkpoint(path, model)
        again = load_checkpoint(path, device="cpu").model
        assert torch.equal(again.output.weight, model.token_embedding.weight)

    def test_frozen_weights_stay_frozen(self, path):
        model = new_model("gpt")
        model.blocks[0].requires_grad_(False)
        optimizer = optimizer_for(model)
        save_checkpoint(path, model, optimizer=optimizer)
        saved = load_checkpoint(path, device="cpu")
        frozen = {name for name, p in saved.model.named_parameters() if not p.requires_grad}
        assert frozen == {name for name, _ in model.named_parameters() if ".0." in name}
        saved.restore(optimizer=optimizer_for(saved.model))

    def test_the_loaded_model_runs_on_the_attention_one_gives(self, path):
        from llmlab.model import attend_fused

        calls = []

        def my_attend(q, k, v, *, causal=False, mask_BTS=None):
            calls.append(q.shape)
            return attend_fused(q, k, v, causal=causal, mask_BTS=mask_BTS)

        save_checkpoint(path, new_model("gpt"))
        load_checkpoint(path, device="cpu", attend=my_attend).model(torch.tensor([[1, 2]]))
        assert len(calls) == 2

    def test_bpe_tokenizers(self, path):
        text = "a cat, a dog, a cat and a 🐈\n" * 5
        tokenizer = train_bpe([text], 270, special=("<pad>", "<start>", "<end>"), progress=False)
        config = GPTConfig(vocab_size=270, context=4, width=8, n_layers=1, n_heads=2)
        save_checkpoint(path, GPT(config), tokenizer=tokenizer)
        again = load_checkpoint(path, device="cpu").tokenizer
        assert isinstance(again, BPETokenizer)
        assert again == tokenizer
        assert again.encode(text) == tokenizer.encode(text)
        assert again.special_tokens == tokenizer.special_tokens

    def test_places(self, tmp_path, monkeypatch):
        model = new_model("gpt")
        monkeypatch.chdir(tmp_path)
        save_checkpoint("plain", model)
        assert load_checkpoint("plain").step == 0
        save_checkpoint(Path("new") / "folder é" / "a[1]*.b", model, step=7)
        assert load_checkpoint(Path("new") / "folder é" / "a[1]*.b").step == 7

    @pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
    def test_a_link_stays_a_link(self, tmp_path):
        model = new_model("gpt")
        there, link = tmp_path / "there" / "a", tmp_path / "link"
        there.parent.mkdir()
        link.symlink_to(there)
        save_checkpoint(link, model, step=2)
        assert link.is_symlink()
        assert load_checkpoint(there, device="cpu").step == 2

    @pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
    def test_others_may_read_it_where_they_may_read_files(self, path):
        save_checkpoint(path, new_model("gpt"))
        plain = path.with_name("plain")
        plain.touch()
        assert path.stat().st_mode == plain.stat().st_mode


NESTED = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.builds(lambda n: torch.arange(n), st.integers(0, 3)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(value=NESTED)
def test_nested_states_come_back_through_json(value):
    tensors = {}
    packed = json.loads(json.dumps(checkpoint._pack(value, "x", tensors)))
    assert same_state(checkpoint._unpack(packed, tensors), value)


def test_tensors_with_alike_names_are_not_mixed_up():
    tensors = {}
    state = {1: torch.ones(1), "1": torch.zeros(1), "a": {"b": torch.ones(2)}, "a.b": torch.ones(3)}
    assert same_state(checkpoint._unpack(checkpoint._pack(state, "x", tensors), tensors), state)


class TestSavingRefuses:
    def test_other_models(self, path):
        class Own(GPT):
            pass

        for model in (torch.nn.Linear(2, 2), Own(new_model("gpt").config)):
            with pytest.raises(ValueError, match="cannot be saved as a checkpoint; llmlab can"):
                save_checkpoint(path, model)
        assert not path.exists()

    def test_tensors_that_no_config_knows(self, path):
        model = new_model("gpt")
        model.blocks[0].attention.query.adapter = torch.nn.Linear(2, 2)
        with pytest.raises(ValueError, match=r"tensors that its config does not know.*adapter"):
            save_checkpoint(path, model)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_weights_that_are_no_numbers(self, path, value):
        model = new_model("gpt")
        save_checkpoint(path, model, step=1)
        with torch.no_grad():
            model.final_norm.weight[2] = value
        with pytest.raises(ValueError, match=r"final_norm\.weight has numbers that are not finite"):
            save_checkpoint(path, model, step=2)
        assert load_checkpoint(path, device="cpu").step == 1

    def test_weights_too_large_for_float16(self, path):
        model = new_model("gpt")
        with torch.no_grad():
            model.final_norm.weight[2] = 1e5
        with pytest.raises(ValueError, match=r"final_norm\.weight.*leave out half=True"):
            save_checkpoint(path, model, half=True)

    def test_a_tokenizer_of_another_model(self, path):
        with pytest.raises(ValueError, match="'thirty' has 29 tokens and the model scores 30"):
            save_checkpoint(path, new_model("gpt"), tokenizer=tokenizer_for(29))
        with pytest.raises(ValueError, match="give a BPETokenizer or a WordTokenizer"):
            save_checkpoint(path, new_model("gpt"), tokenizer="gpt2")

    def test_an_optimiser_of_another_model(self, path):
        with pytest.raises(ValueError, match="changes the weights of another model"):
            save_checkpoint(path, new_model("gpt"), optimizer=optimizer_for(new_model("gpt")))

    def test_what_has_no_place_in_the_file(self, path):
        model = new_model("gpt")
        for extra in ({1, 2}, {"a": object()}, "\ud800", {"a": torch.ones(1)}):
            with pytest.raises(ValueError, match="cannot be written as JSON"):
                save_checkpoint(path, model, extra=extra)
        with pytest.raises(ValueError, match=r"schedule=.* cannot be saved"):
            save_checkpoint(path, model, schedule=lambda step: 1.0)
        with pytest.raises(ValueError, match=r"batches=.* have no position"):
            save_checkpoint(path, model, batches=[1])
        path.mkdir(parents=True)
        with pytest.raises(ValueError, match="is a folder; give the path of a file"):
            save_checkpoint(path, model)


class TestLoadingRefuses:
    @pytest.fixture
    def saved(self, path):
        model, optimizer, batches = trained("gpt")
        state = {"optimizer": optimizer, "batches": batches, "schedule": schedules.linear(9)}
        save_checkpoint(path, model, tokenizer=tokenizer_for(30), step=3, **state)
        return path

    def test_nothing(self, path):
        with pytest.raises(FileNotFoundError, match="does not exist; give a file that"):
            load_checkpoint(path)
        path.mkdir(parents=True)
        with pytest.raises(ValueError, match="is a folder"):
            load_checkpoint(path)

    def test_a_file_cut_short(self, saved):
        content = saved.read_bytes()
        for size in (0, 1, 7, 8, 100, len(content) // 2, len(content) - 1):
            saved.write_bytes(content[:size])
            with pytest.raises(ValueError, match="is no checkpoint, or is cut short"):
                load_checkpoint(saved)

    @pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 100, b"{}" * 50, b"\x80\x04"])
    def test_other_files(self, saved, content):
        saved.write_bytes(content)
        with pytest.raises(ValueError, match=r"is no checkpoint|is a pickle"):
            load_checkpoint(saved)

    def test_pickles_which_are_not_run(self, saved):
        class Bomb:
            def __reduce__(self):
                return Path.touch, (saved.with_name("ran"),)

        contents = [pickle.dumps(Bomb(), protocol) for protocol in range(2, 6)]
        torch.save({"a": Bomb()}, saved.with_name("torch"))
        contents.append(saved.with_name("torch").read_bytes())
        for content in contents:
            saved.write_bytes(content)
            with pytest.raises(ValueError, match="is a pickle, which may run any code"):
                load_checkpoint(saved)
        assert not saved.with_name("ran").exists()

    @pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
    def test_other_safetensors_files(self, saved, metadata):
        save_file({"a": torch.ones(2)}, saved, metadata=metadata)
        with pytest.raises(ValueError, match="holds tensors but is no checkpoint of llmlab"):
            load_checkpoint(saved)

    @pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"a": 1}', "[" * 10_000])
    def test_descriptions_that_are_none(self, saved, text):
        save_file({"a": torch.ones(2)}, saved, metadata={"llmlab": text})
        with pytest.raises(ValueError, match="cannot be read, its description is damaged"):
            load_checkpoint(saved)

    @pytest.mark.parametrize("key", ["format", "config", "half", "tokenizer", "schedule", "step"])
    def test_descriptions_that_lack_something(self, saved, key):
        rewrite(saved, content=lambda content: content.pop(key))
        with pytest.raises(ValueError, match=f"its description is damaged .KeyError: '{key}'"):
            load_checkpoint(saved)

    def test_other_formats(self, saved):
        rewrite(saved, content=lambda content: content.update(format="llmlab-checkpoint-2"))
        with pytest.raises(ValueError, match="has the format 'llmlab-checkpoint-2', and this"):
            load_checkpoint(saved)

    def test_other_configs(self, saved):
        rewrite(saved, content=lambda c: c["config"].update({"class": "os.system"}))
        with pytest.raises(ValueError, match=r"holds a model with a 'os\.system', and this llmlab"):
            load_checkpoint(saved)
        rewrite(saved, content=lambda c: c["config"].update({"class": "GPTConfig", "new": 1}))
        with pytest.raises(ValueError, match="its GPTConfig does not fit this llmlab"):
            load_checkpoint(saved)

    def test_a_config_from_before_an_option_was_there_means_without_it(self, saved):
        expected = load_checkpoint(saved).model.config
        rewrite(saved, content=lambda c: [c["config"].pop(n) for n in ("qk_norm", "zero_init")])
        assert load_checkpoint(saved).model.config == expected
        assert (expected.qk_norm, expected.zero_init) == (False, False)

    def test_nonsense_in_the_config(self, saved):
        rewrite(saved, content=lambda c: c["config"].update(n_heads=0))
        with pytest.raises(ValueError, match=r"n_heads=0 is not a whole number"):
            load_checkpoint(saved)

    def test_weights_of_another_shape(self, saved):
        rewrite(saved, content=lambda c: c["config"].update(context=17))
        with pytest.raises(
            ValueError, match=r"position_embedding\.weight has the shape \(16, 16\)"
        ):
            load_checkpoint(saved)

    def test_missing_weights(self, saved):
        rewrite(saved, tensors=lambda tensors: tensors.pop("model.final_norm.bias"))
        with pytest.raises(ValueError, match=r"the tensor final_norm\.bias is missing in"):
            load_checkpoint(saved)

    def test_weights_too_many(self, saved):
        rewrite(saved, tensors=lambda tensors: tensors.update({"model.x": torch.ones(1)}))
        with pytest.raises(ValueError, match="1 tensors that its config does not know, such as x"):
            load_checkpoint(saved)

    @pytest.mark.parametrize("value", [torch.tensor(float("nan")), torch.tensor(float("inf")), 7])
    def test_weights_that_are_no_numbers(self, saved, value):
        def spoil(tensors):
            shape = tensors["model.final_norm.bias"].shape
            tensors["model.final_norm.bias"] = torch.full(shape, value)

        rewrite(saved, tensors=spoil)
        with pytest.raises(ValueError, match=r"final_norm\.bias in .* not finite or no real"):
            load_checkpoint(saved)

    def test_tokenizers_of_another_model(self, saved):
        rewrite(saved, content=lambda c: c["tokenizer"]["words"].pop())
        with pytest.raises(ValueError, match="'thirty' has 29 tokens and the model scores 30"):
            load_checkpoint(saved)

    @pytest.mark.parametrize(
        "spoil", [lambda t: t.clear(), lambda t: t.update(format="x", words=3)]
    )
    def test_tokenizers_that_are_none(self, saved, spoil):
        rewrite(saved, content=lambda c: spoil(c["tokenizer"]))
        with pytest.raises(ValueError, match="its description is damaged"):
            load_checkpoint(saved)

    def test_devices_that_are_not_there(self, saved):
        with pytest.raises(ValueError, match="is not a device name"):
            load_checkpoint(saved, device="abacus")
        if not torch.cuda.is_available():
            with pytest.raises(ValueError, match="torch finds no CUDA GPU"):
                load_checkpoint(saved, device="cuda")

    def test_the_file_is_let_go(self, saved):
        """Windows could not replace a file that is still open; here one can look."""
        loaded = load_checkpoint(saved, device="cpu")
        before = copy.deepcopy(dict(loaded.model.state_dict()))
        with saved.open("r+b") as file:
            file.write(b"\0" * saved.stat().st_size)
        assert same_state(before, dict(loaded.model.state_dict()))


class TestRestoringRefuses:
    @pytest.fixture
    def saved(self, path):
        model, optimizer, batches = trained("gpt")
        save_checkpoint(path, model, optimizer=optimizer, batches=batches, step=3)
        return load_checkpoint(path, device="cpu")

    def refuse(self, saved, message, *, optimizer=None, batches=None):
        """Check that nothing has changed when it refuses."""
        own, again = optimizer or optimizer_for(saved.model), batches or new_batches("gpt")
        before = copy.deepcopy(own.state_dict()), again.position, torch.get_rng_state()
        with pytest.raises(ValueError, match=message):
            saved.restore(optimizer=own, batches=again)
        assert same_state(before, (own.state_dict(), again.position, torch.get_rng_state()))

    def test_an_optimiser_of_another_model(self, saved):
        other = optimizer_for(new_model("gpt"))
        self.refuse(saved, r"another model; build it .* optimizer_for\(", optimizer=other)

    def test_an_optimiser_of_another_kind(self, saved):
        other = optimizer_for(saved.model, kind="adamw")
        self.refuse(saved, "holds the state of Muon and AdamW, and this .* AdamW", optimizer=other)

    def test_an_optimiser_of_other_parameters(self, saved):
        saved.model.final_norm.requires_grad_(False)
        other = optimizer_for(saved.model)
        self.refuse(saved, "and the saved one had", optimizer=other)

    def test_a_damaged_state(self, saved):
        name = next(name for name in saved._tensors if name.endswith("exp_avg"))
        whole = saved._tensors[name]
        saved._tensors[name] = torch.ones(3, 3)
        self.refuse(saved, r"its optimiser state is damaged .*exp_avg .* has the shape \(3, 3\)")
        del saved._tensors[name]
        self.refuse(saved, "its optimiser state is damaged .KeyError")
        saved._tensors[name] = whole
        saved.restore(optimizer=optimizer_for(saved.model))

    def test_other_batches(self, saved):
        other = packed_batches([3, 4, 5, 6] * 20, context=12, batch_size=4, seed=5)
        self.refuse(saved, "these batches have the fingerprint .* had", batches=other)


class TestWholeOrNotAtAll:
    @pytest.fixture
    def saved(self, path):
        save_checkpoint(path, new_model("gpt"), step=1)
        return path

    def fail(self, path, message):
        content = path.read_bytes()
        with pytest.raises(OSError, match=message) as caught:
            save_checkpoint(path, new_model("gpt"), step=2)
        assert path.read_bytes() == content
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        return caught.value

    def test_a_full_disk_while_writing(self, saved, monkeypatch):
        def half_of_it(tensors, path, metadata):
            path.write_bytes(b"x" * 10_000)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(tensor_files, "save_file", half_of_it)
        error = self.fail(saved, r"could not be written .*No space left.*; the checkpoint that was")
        assert error.errno == errno.ENOSPC

    def test_a_full_disk_while_flushing(self, saved, monkeypatch):
        def full(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(tensor_files, "os", types.SimpleNamespace(**vars(os) | {"fsync": full}))
        self.fail(saved, "could not be written .*No space left")

    def test_a_failed_move(self, saved, monkeypatch):
        def busy(self, target):
            raise PermissionError(errno.EACCES, "in use")

        monkeypatch.setattr(Path, "replace", busy)
        error = self.fail(saved, "could not be written .*in use")
        assert error.errno == errno.EACCES

    def test_an_interrupt(self, saved, monkeypatch):
        def interrupted(tensors, path, metadata):
            path.write_bytes(b"x" * 10_000)
            raise KeyboardInterrupt

        monkeypatch.setattr(tensor_files, "save_file", interrupted)
        content = saved.read_bytes()
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(saved, new_model("gpt"))
        assert saved.read_bytes() == content
        assert [p.name for p in saved.parent.iterdir()] == [saved.name]

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
    def test_a_real_refusal_of_the_system(self, saved):
        import resource

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        content = saved.read_bytes()
        model = new_model("gpt")
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
            with pytest.raises(OSError, match=r"could not be written \(File too large\)") as caught:
                save_checkpoint(saved, model, step=2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert caught.value.errno == errno.EFBIG
        assert saved.read_bytes() == content
        assert [p.name for p in saved.parent.iterdir()] == [saved.name]

    def test_a_file_where_a_folder_should_be(self, saved):
        with pytest.raises(OSError, match="could not be written"):
            save_checkpoint(saved / "below", new_model("gpt"))

    def test_only_its_own_litter_is_removed(self, saved):
        mine = saved.with_name(f"{saved.name}.{'0af' * 10}00.part")
        mine.mkdir()
        (mine / "checkpoint").write_bytes(b"half")
        others = [f"other.{'0' * 32}.part", f"{saved.name}.part", f"{saved.name}.mine.part"]
        for name in others:
            saved.with_name(name).mkdir()
        save_checkpoint(saved, new_model("gpt"))
        assert {p.name for p in saved.parent.iterdir()} == {saved.name, *others}

    def test_the_file_is_flushed_before_it_is_moved(self, saved, monkeypatch):
        events = []
        flush, replace = tensor_files._flush, Path.replace
        monkeypatch.setattr(
            tensor_files, "_flush", lambda path: (events.append(path.is_dir()), flush(path))
        )
        monkeypatch.setattr(
            Path, "replace", lambda *paths: (events.append("moved"), replace(*paths))
        )
        save_checkpoint(saved, new_model("gpt"))
        assert events == [False, "moved", True]


def child_report(kind, folder):
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("killed_run.py"), kind, folder],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@needs_fork
@pytest.mark.slow
def test_a_run_that_is_killed_20_times_ends_as_an_undisturbed_one(tmp_path, kind):
    report = child_report(kind, tmp_path)
    assert report["ends"] == [[-9, True]] * N_KILLS, report
    assert (report["finished"], report["undisturbed"]) == (0, 0)
    killed, whole = (tmp_path / name / "run.safetensors" for name in ("killed", "whole"))
    assert killed.read_bytes() == whole.read_bytes(), report
    # it did learn, so there was something to be spoiled
    weights = tensors_of(whole)
    torch.manual_seed(7)
    start = new_model(kind).state_dict()
    assert all(not torch.equal(weights[f"model.{name}"], start[name]) for name in start)
    assert metadata_of(whole)["step"] > N_KILLS
    assert [p.name for p in killed.parent.iterdir()] == [killed.name]


@needs_fork
@pytest.mark.slow
def test_killed_while_saving_leaves_the_old_or_the_new(tmp_path):
    report = child_report("saving", tmp_path)
    *killed, last = report["lines"]
    assert len(killed) > 15
    assert {end for end, *_ in killed} == {-9}
    assert last[:3] == [0, 2, 0]
    steps = [step for _, step, *_ in killed]
    assert steps == sorted(steps)
    assert set(steps) == {1, 2}  # the old one, and from the move on the new one
    assert any(litter for _, _, litter, *_ in killed)
    # whatever was left, the next save works and tidies up
    assert all(names == ["run.safetensors"] and step == 3 for *_, names, step in report["lines"])
    ends, intact, litter, left = zip(*report["within"], strict=True)
    assert ends == (-signal.SIGXFSZ, *[-signal.SIGKILL] * 5)
    assert all(intact)
    assert max(litter) > 10_000
    assert set(left) == {1}
