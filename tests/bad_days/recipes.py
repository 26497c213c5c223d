"""A recipe that is followed in seconds."""

from pathlib import Path

RECIPE = """
[data]
corpus = "texts"
vocab_size = 300
held_out = 0.5

[model]
context = 16
width = {width}
n_layers = {n_layers}
n_heads = 2

[optimizer]
kind = "muon"
muon_lr = 0.01
adam_lr = 0.01

[schedule]
kind = "linear"
warmup = 1

[training]
batch_size = 2
steps = {steps}
save_every = 2
"""


def write_recipe(folder: Path, *, steps: int = 6, width: int = 32, n_layers: int = 1) -> str:
    """Write the recipe and its texts into a folder, and give the recipe's name."""
    text = RECIPE.format(steps=steps, width=width, n_layers=n_layers)
    (folder / "tiny.toml").write_text(text, encoding="utf-8")
    (folder / "texts").mkdir(exist_ok=True)
    for number in range(2):
        words = " ".join(f"the {n} of {n * 7 % 13}" for n in range(number, 300))
        (folder / "texts" / f"{number}.txt").write_text(words, encoding="utf-8")
    return "tiny.toml"
