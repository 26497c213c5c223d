import itertools
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from llmlab import cli, recipes
from llmlab.data import sentence_pairs
from llmlab.inference import load_translator, translate
from llmlab.inference.translators import SHIPPED
from llmlab.model import GPT, GPTConfig
from llmlab.recipes import TranslatorRecipe, prepare, train_translator
from llmlab.train import save_checkpoint

TINY = TranslatorRecipe(
    max_words=3,
    n_held_out=20,
    vocab_size=300,
    width=16,
    n_heads=2,
    n_encoder_layers=1,
    n_decoder_layers=1,
    batch_size=16,
    steps=12,
)


@pytest.fixture(autouse=True)
def few_pairs(monkeypatch):
    """Read the beginning of the corpus only, save often, and stay on one thread."""
    some = sentence_pairs()[:600]
    monkeypatch.setattr(recipes, "sentence_pairs", lambda language: some)
    monkeypatch.setattr(recipes, "_SAVE_EVERY", 5)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(folder, recipe=TINY, **options):
    path = folder / "spanish.safetensors"
    return path, train_translator(recipe, path, device="cpu", progress=False, **options)


def test_a_recipe_depends_on_itself_alone(tmp_path):
    before = torch.get_rng_state()
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    first, result = make(one)
    torch.manual_seed(7)
    second, _ = make(two)
    assert first.read_bytes() == second.read_bytes()
    assert make(two, replace(TINY, seed=1))[0].read_bytes() != first.read_bytes()
    assert result.n_tested == 20
    assert 0 <= result.bleu_greedy <= 100
    assert not torch.equal(before, torch.get_rng_state())  # by our own seed, and no other
    torch.set_rng_state(before)
    make(one)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("n_steps", [3, 7, 11])
def test_an_interrupted_run_ends_as_an_undisturbed_one(tmp_path, n_steps):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    undisturbed, _ = make(whole)

    def some(steps):
        return itertools.islice(steps, n_steps)

    path, result = make(broken, watch=some)
    assert result is None
    assert not path.exists()
    path, result = make(broken)
    assert result.minutes > 0
    assert path.read_bytes() == undisturbed.read_bytes()
    assert sorted(p.name for p in broken.iterdir()) == ["spanish.md", "spanish.safetensors"]


def test_what_another_recipe_has_begun_is_kept(tmp_path):
    make(tmp_path, watch=lambda steps: itertools.islice(steps, 6))
    unfinished = tmp_path / "spanish.safetensors.training"
    content = unfinished.read_bytes()
    with pytest.raises(ValueError, match="was begun by another recipe; give the same options"):
        make(tmp_path, replace(TINY, steps=13))
    assert unfinished.read_bytes() == content


@pytest.mark.parametrize("name", ["weights.pt", "nowhere/weights.safetensors"])
def test_a_path_that_cannot_hold_the_weights_is_refused_before_the_work(tmp_path, name):
    with pytest.raises(ValueError, match=r"give a file name that ends in \.safetensors"):
        train_translator(TINY, tmp_path / name, watch=None)


def test_the_test_sentences_are_not_learned_from():
    ingredients = prepare(TINY, progress=False)
    source_BS = torch.cat(
        [
            torch.nn.functional.pad(next(ingredients.batches).inputs[0], (0, 20))[:, :20]
            for _ in range(ingredients.batches.n_per_epoch)
        ]
    )
    pad_id = ingredients.model.config.pad_id
    learned = {
        ingredients.tokenizer.decode([i for i in row if i not in (0, pad_id)])
        for row in source_BS.tolist()
    }
    assert len(learned) > 200
    assert len(ingredients.references) >= 20
    assert not learned & set(ingredients.references)


def test_the_card_says_what_was_measured(tmp_path):
    path, result = make(tmp_path)
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert "English to Spanish" in card
    assert "tatoeba.org" in card
    assert "CC BY 2.0 FR" in card
    assert f"{result.bleu:.1f} with four beams" in card
    assert "`llmlab train translator --language es --steps 12 --max-words 3`" in card
    assert f"{result.n_parameters:,} parameters" in card
    assert str(tmp_path) not in card


def test_what_was_made_can_be_loaded(tmp_path):
    path, _ = make(tmp_path)
    model, tokenizer = load_translator(path, device="cpu")
    assert not model.training
    assert isinstance(translate(model, tokenizer, "Go."), str)
    assert load_translator(str(path), device="cpu")[1] == tokenizer


def test_what_is_no_translator_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'de' is no translator that comes with llmlab"):
        load_translator("de")
    path = tmp_path / "gpt.safetensors"
    save_checkpoint(path, GPT(GPTConfig(vocab_size=5, context=4, width=8, n_layers=1, n_heads=2)))
    with pytest.raises(ValueError, match="holds a GPT without a tokenizer; give a file with a Tra"):
        load_translator(path)


@pytest.fixture
def tiny_by_default(monkeypatch):
    def recipe(**given):
        return replace(TINY, **given)

    monkeypatch.setattr(recipes, "TranslatorRecipe", recipe)


def test_the_command_trains_and_says_where(tmp_path, monkeypatch, capsys, tiny_by_default):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "translator", "--device", "cpu", "--steps", "6"]) == 0
    said = capsys.readouterr().out
    assert "on 20 held-out sentences; english-spanish.safetensors and its card" in said
    assert (tmp_path / "english-spanish.md").exists()


def test_the_command_stops_with_a_sentence(tmp_path, capsys, tiny_by_default):
    assert cli.main(["train", "translator", "--output", str(tmp_path / "x.pt")]) == 1
    assert "ends in .safetensors" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "translator", "--language", "it"])
    assert ended.value.code == 2


def test_ctrl_c_leaves_a_run_to_go_on_with(tmp_path, monkeypatch, capsys, tiny_by_default):
    class Board:
        def __init__(self, title):
            pass

        def watch(self, steps):
            return itertools.islice(steps, 6)

    monkeypatch.setattr("llmlab.viz.TrainingBoard", Board)
    path = tmp_path / "x.safetensors"
    assert cli.main(["train", "translator", "--device", "cpu", "--output", str(path)]) == 130
    assert "the same command goes on from" in capsys.readouterr().err
    assert path.with_name("x.safetensors.training").exists()


def test_the_shipped_weights_are_small_and_described():
    for path in SHIPPED.values():
        assert path.stat().st_size <= 12_000_000
        with safe_open(path, "pt") as file:
            assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        for word in ("Tatoeba", "tatoeba.org", "CC BY 2.0 FR", "minutes", "BLEU", "CPU"):
            assert word in card


def test_the_shipped_translator_translates():
    model, tokenizer = load_translator(device="cpu")
    assert translate(model, tokenizer, "This is an example.") == "Este es un ejemplo."
