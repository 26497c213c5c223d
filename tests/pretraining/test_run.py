import itertools
import math

import pytest
import torch

from llmlab import cli
from llmlab.inference import bits_per_byte, perplexity
from llmlab.pretraining import PretrainingRecipe, forecast, prepare, pretrain
from llmlab.pretraining.ingredients import END
from llmlab.train import load_checkpoint

TABLES = {
    "data": {"vocab_size": 270, "held_out": 0.2},
    "model": {"context": 8, "width": 16, "n_heads": 2, "n_layers": 1, "norm": "rms"},
    "schedule": {"warmup": 2},
    "training": {"batch_size": 4, "steps": 12, "save_every": 4},
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def recipe(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(5):
        text = f"{number} is the number of the king and {number} is no queen at all. " * 9
        (corpus / f"{number}.txt").write_text(text, encoding="utf-8")
    tables = TABLES | {"data": TABLES["data"] | {"corpus": str(corpus)}}
    return PretrainingRecipe.from_dict(tables)


def make(path, recipe, **options):
    return pretrain(recipe, path, device="cpu", progress=False, **options)


def weights(path):
    return load_checkpoint(path, device="cpu").model.state_dict()


def assert_equal(ours, theirs):
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_recipe_is_followed_to_its_end(tmp_path, recipe):
    before = torch.get_rng_state()
    seen = []

    def watch(steps):
        for step in steps:
            seen.append(step)
            yield step

    path = tmp_path / "made.safetensors"
    result = make(path, recipe, watch=watch)
    assert torch.equal(before, torch.get_rng_state())
    assert [step.number for step in seen] == list(range(1, 13))
    assert seen[0].loss == pytest.approx(math.log(270), abs=0.3)
    assert result.loss < seen[0].loss
    assert result.n_parameters == recipe.model.n_parameters
    assert END not in result.sample
    loaded = load_checkpoint(path, device="cpu")
    assert loaded.step == 12
    assert loaded.model.config == recipe.model
    assert loaded.extra["recipe"] == recipe.to_dict()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus", "made.safetensors"]


@pytest.mark.parametrize("n_steps", [2, 4, 7])
def test_a_stopped_run_ends_as_an_undisturbed_one(tmp_path, recipe, n_steps):
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    make(whole, recipe)
    assert make(broken, recipe, watch=lambda steps: itertools.islice(steps, n_steps)) is None
    assert not broken.exists()
    # stopped, as by Ctrl-C, not killed: no step is lost
    assert load_checkpoint(tmp_path / "broken.safetensors.training").step == n_steps
    seen = []

    def watch(steps):
        for step in steps:
            seen.append(step.number)
            yield step

    assert make(broken, recipe, watch=watch).minutes > 0
    assert seen == list(range(n_steps + 1, 13))
    assert_equal(weights(whole), weights(broken))


def test_rows_computed_in_portions_change_nothing(tmp_path, recipe):
    path, other = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    make(path, recipe)
    make(other, recipe.changed(training={"micro_batch": 3}))
    ours, theirs = weights(path), weights(other)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-4)


def test_a_run_goes_on_with_other_portions_but_by_no_other_recipe(tmp_path, recipe):
    path = tmp_path / "made.safetensors"
    make(path, recipe, watch=lambda steps: itertools.islice(steps, 6))
    unfinished = tmp_path / "made.safetensors.training"
    content = unfinished.read_bytes()
    with pytest.raises(ValueError, match="was begun by another recipe; give the same one"):
        make(path, recipe.changed(training={"seed": 1}))
    assert unfinished.read_bytes() == content
    assert make(path, recipe.changed(training={"micro_batch": 2, "save_every": 3})) is not None


def test_what_cannot_be_done_is_refused_before_the_work(tmp_path, recipe):
    for name in ("made.pt", "nowhere/made.safetensors"):
        with pytest.raises(ValueError, match=r"give a file name that ends in \.safetensors"):
            make(tmp_path / name, recipe)
    with pytest.raises(ValueError, match="there is one process, and nobody to share the model"):
        make(tmp_path / "made.safetensors", recipe, fsdp=True)


def test_what_is_measured_is_the_model_that_was_written_on_the_held_out_documents(tmp_path, recipe):
    path = tmp_path / "made.safetensors"
    result = make(path, recipe)
    held_out = prepare(recipe, progress=False).held_out.values()
    written = load_checkpoint(path, device="cpu")
    given = written.model, written.tokenizer, held_out
    end_id = written.tokenizer.special_tokens[END]
    assert result.bits_per_byte == pytest.approx(bits_per_byte(*given, start_id=end_id))
    assert result.loss == pytest.approx(math.log(perplexity(*given, start_id=end_id)))


@pytest.fixture
def file(tmp_path, recipe):
    lines = []
    for name, table in recipe.to_dict().items():
        lines.append(f"[{name}]")
        for key, value in table.items():
            text = str(value).lower() if isinstance(value, bool) else repr(value)
            lines.append(f"{key} = {text}")
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert PretrainingRecipe.load(path) == recipe
    return path


def test_the_command_plans_trains_and_says_how_to_use_it(tmp_path, monkeypatch, capsys, file):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", str(file), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert said.index("model  ") < said.index("loss on the held-out documents")
    for words in (
        "7,712 parameters",
        "12 steps x 4 x 8 = 384 tokens",
        "1 on cpu",
        "GFLOPs a token",
    ):
        assert words in said
    assert 'llmlab.train.load_checkpoint("mine.safetensors")' in said
    assert load_checkpoint(tmp_path / "mine.safetensors").step == 12


def test_the_command_only_plans_when_asked(tmp_path, monkeypatch, capsys, file):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", str(file), "--plan", "--steps", "6"]) == 0
    assert "6 steps x 4 x 8" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "mine.toml"]


def test_the_command_refuses_what_cannot_fit(tmp_path, monkeypatch, capsys, file):
    monkeypatch.setattr(forecast, "memory_there_is", lambda device: 10**6)
    assert cli.main(["train", str(file), "--output", str(tmp_path / "x.safetensors")]) == 1
    said = capsys.readouterr()
    assert "memory  " in said.out
    assert "llmlab: this plan needs 3" in said.err
    assert "there are 1.0 MB" in said.err
    assert not list(tmp_path.glob("x*"))


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("train nothing", 1, "there is no recipe 'nothing'; give the path of a .toml file, or one"),
        ("train shakespeare --language es", 2, "--language says nothing to shakespeare"),
        ("train shakespeare --max-words 5", 2, "--max-words says nothing to shakespeare"),
        ("train translator --plan", 2, "--plan says nothing to translator"),
        ("train translator --fsdp", 2, "--fsdp says nothing to translator"),
    ],
)
def test_the_command_stops_with_a_sentence(capsys, line, status, words):
    assert cli.main(line.split()) == status
    assert words in capsys.readouterr().err


def test_ctrl_c_leaves_a_run_to_go_on_with(tmp_path, monkeypatch, capsys, file):
    class Board:
        def __init__(self, title):
            assert title == "mine"

        def watch(self, steps):
            return itertools.islice(steps, 5)

    monkeypatch.setattr("llmlab.viz.TrainingBoard", Board)
    path = tmp_path / "x.safetensors"
    assert cli.main(["train", str(file), "--device", "cpu", "--output", str(path)]) == 130
    assert "the same command goes on from" in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "x.safetensors.training").step == 5
