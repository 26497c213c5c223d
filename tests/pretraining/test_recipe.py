import tomllib
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import torch

import llmlab
from llmlab.model import GPTConfig
from llmlab.pretraining import PretrainingRecipe, presets
from llmlab.pretraining.recipe import PRESETS
from llmlab.train import JointOptimizer, schedules

SMALL = """
[training]
steps = 20
batch_size = 4
[model]
context = 8
width = 16
n_heads = 2
n_layers = 1
[data]
vocab_size = 300
"""


def load(folder, text):
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return PretrainingRecipe.load(path)


def test_what_a_file_leaves_out_has_its_default(tmp_path):
    recipe = load(tmp_path, SMALL)  # with its tables in another order than ours
    assert recipe.model == GPTConfig(vocab_size=300, context=8, width=16, n_heads=2, n_layers=1)
    assert recipe.gpt_config(500) == replace(recipe.model, vocab_size=500)
    assert recipe.make_schedule() == schedules.linear(20)
    assert recipe.data.corpus == "shakespeare"
    assert recipe.training.micro_batch is None
    with pytest.raises(FrozenInstanceError):
        recipe.training.steps = 3


@pytest.mark.parametrize("name", presets())
def test_a_preset_is_its_own_file_and_comes_back_from_its_dictionary(name):
    recipe = PretrainingRecipe.load(name)
    assert PretrainingRecipe.from_dict(recipe.to_dict()) == recipe
    assert PretrainingRecipe.load(PRESETS / f"{name}.toml") == recipe
    # every line of the file is in the recipe, as it was written
    for table, values in tomllib.loads((PRESETS / f"{name}.toml").read_text("utf-8")).items():
        for key, value in values.items():
            found = getattr(getattr(recipe, table), key)
            assert (list(found) if isinstance(found, tuple) else found) == value


def test_the_presets_go_into_a_wheel(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(llmlab.__file__).parent.parent)
    settings = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["llmlab"]
    packed = {path for pattern in patterns for path in Path("llmlab").glob(pattern)}
    assert presets()
    assert {Path("llmlab/pretraining/presets") / f"{name}.toml" for name in presets()} <= packed


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            "width = 16",
            "widht = 16",
            r"\[model\] has no key 'widht' \(= 16\); did you mean 'width'",
        ),
        ("width = 16", "width = 15", r"\[model\] width=15 does not split into n_heads=2 equal"),
        (
            "width = 16",
            "width = 16.5",
            r"\[model\] width = 16.5 is of the wrong kind; give a whole",
        ),
        (
            "width = 16",
            "width = true",
            r"\[model\] width = True is of the wrong kind; give a whole",
        ),
        ("width = 16", "vocab_size = 9", r"\[model\] has no key 'vocab_size'"),
        ("width = 16\n", "", r"\[model\] has no width; say width = \.\.\."),
        ("[training]", "[trainings]", r"has no table 'trainings' .*did you mean 'training'"),
        ("[training]\n", "training = 3\n[x]\n", r"has no table 'x'"),
        ("steps = 20", "steps = 0", r"\[training\] steps=0 must be a whole number of at least 1"),
        ("steps = 20", "clip = 0\nsteps = 20", r"\[training\] clip=0.0 is no length"),
        ("steps = 20", "micro_batch = 0\nsteps = 20", r"\[training\] micro_batch=0 must be"),
        ("vocab_size = 300", "vocab_size = 200", r"\[data\] vocab_size=200 must be a whole number"),
        ("vocab_size", "held_out = 1\nvocab_size", r"\[data\] held_out=1.0 is no share"),
        ("vocab_size", "validation = 1\nvocab_size", r"\[data\] validation=1.0 is no share"),
        ("vocab_size", "tokenizer = 'x'\nvocab_size", r"\[data\] tokenizer='x' is unknown; use 'b"),
        (
            "vocab_size",
            "tokenizer = 'gpt2'\nvocab_size",
            r"\[data\] vocab_size=300 is not that of G",
        ),
        ("[data]", "[schedule]\nwarmup = 20\n[data]", r"warmup=20 takes all of steps=20; use at m"),
        ("[data]", "[schedule]\nkind = 'x'\n[data]", r"kind='x' is no schedule; use one of"),
        (
            "[data]",
            "[optimizer]\nkind = 'sgd'\n[data]",
            r"\[optimizer\] kind='sgd' is no optimiser",
        ),
        ("[data]", "[optimizer]\nadam_lr = -1\n[data]", r"\[optimizer\] adam_lr=-1.0 is no rate"),
        ("[data]", "[optimizer]\nbetas = [0.9]\n[data]", r"betas = \[0.9\] is of .*two numbers"),
        ("[data]", "[data", r"is no TOML file \(.*line"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_key(tmp_path, before, after, words):
    assert before in SMALL
    with pytest.raises(ValueError, match=words) as error:
        load(tmp_path, SMALL.replace(before, after))
    assert "mine.toml" in str(error.value)


def test_a_table_that_is_missing_or_none(tmp_path):
    with pytest.raises(ValueError, match=r"mine\.toml has no table \[training\]"):
        load(tmp_path, SMALL[SMALL.index("[model]") :])
    with pytest.raises(ValueError, match=r"training = 3 is no table; write \[training\]"):
        load(tmp_path, "training = 3\n" + SMALL[SMALL.index("[model]") :])


def test_a_recipe_that_does_not_exist(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no recipe 'shakespear'.*, or one of .*shakespeare"
    ):
        PretrainingRecipe.load("shakespear")
    with pytest.raises(FileNotFoundError, match="no recipe"):
        PretrainingRecipe.load(tmp_path / "none.toml")


def test_settings_can_be_changed_and_are_checked(tmp_path):
    recipe = load(tmp_path, SMALL)
    other = recipe.changed(training={"steps": 30, "micro_batch": 2}, data={"vocab_size": 400})
    assert (other.training.steps, other.model.vocab_size, other.data.vocab_size) == (30, 400, 400)
    assert other.changed(training={"micro_batch": None}).training.micro_batch is None
    assert recipe.training.steps == 20
    assert recipe.changed() == recipe
    with pytest.raises(ValueError, match=r"changed\(\): \[training\] has no key 'step'"):
        recipe.changed(training={"step": 3})


def test_the_optimiser_has_the_recipes_settings(tmp_path):
    recipe = load(tmp_path, SMALL).changed(
        optimizer={"muon_lr": 0.5, "adam_lr": 0.25, "betas": [0.8, 0.9], "momentum": 0.7}
    )
    optimizer = recipe.optimizer_for(recipe.make_model())
    assert isinstance(optimizer, JointOptimizer)
    muon, *adam = optimizer.param_groups
    assert (muon["lr"], muon["momentum"]) == (0.5, 0.7)
    assert {(group["lr"], group["betas"]) for group in adam} == {(0.25, (0.8, 0.9))}
    plain = recipe.changed(optimizer={"kind": "adamw"})
    assert isinstance(plain.optimizer_for(plain.make_model()), torch.optim.AdamW)
    assert recipe.changed(schedule={"kind": "constant", "warmup": 3}).make_schedule()(50) == 1


def test_the_first_weights_depend_on_the_recipe_alone(tmp_path):
    recipe = load(tmp_path, SMALL)
    before = torch.get_rng_state()
    first = recipe.make_model().state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    second = recipe.make_model().state_dict()
    other = recipe.changed(training={"seed": 1}).make_model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["token_embedding.weight"], other["token_embedding.weight"])
