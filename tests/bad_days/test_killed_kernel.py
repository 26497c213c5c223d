"""The kernel is killed in the middle of notebook 7, and a new one runs the cells again."""

import sys

import pytest

from llmlab.train import load_checkpoint

from .learner import cells, without_asserts
from .recipes import write_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]

# The cells of the notebook take minutes. Here they have little text, a small model and 8 steps.
FEW_PLAYS = """
plays = {title: text[:20_000] for title, text in list(plays.items())[:12]}
"""
SMALL_RECIPE = """
from types import SimpleNamespace
from llmlab.pretraining import PretrainingRecipe
recipe = PretrainingRecipe.load("shakespeare").changed(
    data={"vocab_size": 300},
    model={"width": 32, "n_layers": 1, "n_heads": 2, "context": 32},
    training={"steps": 8},
    schedule={"warmup": 1},
)
torch.manual_seed(0)
model = GPT(recipe.model).to(device)
batches = packed_batches(train_ids, context=32, batch_size=recipe.training.batch_size)
made = SimpleNamespace(batches=batches)
scores = dict.fromkeys(["knowing nothing", "unigram", "bigram", "5-gram"], 3.0)
n_bytes = sum(len(text.encode("utf-8")) for text in held_out.values())
held_texts = list(held_out.values())
"""
TELL = """
def telling(steps):
    for step in steps:
        print("step", step.number, flush=True)
        yield step
"""
PRETRAIN = """
from llmlab.pretraining import PretrainingRecipe, pretrain
result = pretrain(PretrainingRecipe.load("tiny.toml"), "tiny.safetensors", watch=telling)
print(f"{result.bits_per_byte:.6f} bits a byte")
"""


def training_cells():
    """The cells from the text to the training, without the baselines and with a small recipe."""
    source = cells("07")
    names = ("imports", "collect", "few plays", "split", "tokens", "pack", "small", "helpers")
    own = {"few plays": FEW_PLAYS, "small": SMALL_RECIPE, "helpers": source["train-helpers"]}
    sources = [own.get(name) or without_asserts(source[name]) for name in names]
    sources[4] = sources[4].replace("2_048", "300")
    told = "    losses.append(step.loss)\n"
    train = source["train"].replace(told, f'{told}    print("step", step.number, flush=True)\n')
    assert told in train
    return sources, train.replace("n_steps // 40", "1")


def test_the_training_of_the_notebook_begins_anew_and_leaves_nothing(learner, put, tmp_path):
    put("shakespeare")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    before, train = training_cells()
    with learner.kernel(folder) as kernel:
        kernel.run(*before).well()
        kernel.run_until(train, "step 3\n")
        kernel.kill()
        kernel.start()
        # the cell alone cannot work in a new kernel, and all of them can
        kernel.run(train).says("^NameError: name 'recipe' is not defined")
        kernel.run(*before).well()
        printed = kernel.run(train, "print(len(losses), len(on_the_way))").well()
        assert printed.endswith("8 3\n")
        assert "step 1\n" in printed
    assert list(folder.iterdir()) == []


def test_the_cells_on_killing_work_again_after_the_kernel_was_killed_in_them(
    learner, put, tmp_path
):
    put("shakespeare")
    source = cells("07")
    learner.changes["TMPDIR"] = str(tmp_path)
    names = ("resume-program", "resume-helper", "resume")
    told = source["resume-helper"].replace(
        "            losses[int(number)]",
        "            print(number)\n            losses[int(number)]",
    )
    with learner.kernel(tmp_path) as kernel:
        kernel.run(source["resume-program"], told).well()
        kernel.run_until(source["resume"], "15\n")
        kernel.kill()
        kernel.start()
        kernel.run("import matplotlib.pyplot as plt").well()
        printed = kernel.run(*(source[name] for name in names)).well()
        assert printed.splitlines()[-3:] == [
            "undisturbed: steps 1 to 40",
            "killed: steps 1 to 25",
            "resumed: steps 21 to 40",
        ]


def test_a_training_that_keeps_checkpoints_goes_on_from_the_last(learner, tmp_path):
    """What the notebook says of checkpoints, in a kernel: `pretrain` with a small recipe."""
    write_recipe(tmp_path, steps=9)
    unfinished = tmp_path / "tiny.safetensors.training"
    with learner.kernel(tmp_path) as kernel:
        kernel.run(TELL).well()
        kernel.run_until(PRETRAIN, "step 6\n")
        kernel.kill()
        step = load_checkpoint(unfinished).step
        assert step in (4, 6, 8)
        kernel.start()
        printed = kernel.run(TELL, PRETRAIN).well()
        begun = int(printed.split()[1])
        assert begun == step + 1
        resumed = printed.splitlines()[-1]
        assert not unfinished.exists()
        (tmp_path / "tiny.safetensors").unlink()
        undisturbed = kernel.run(PRETRAIN).well()
        assert "step 1\n" in undisturbed
        assert undisturbed.splitlines()[-1] == resumed
    names = {path.name for path in tmp_path.iterdir()}
    assert not [name for name in names if "part" in name]
