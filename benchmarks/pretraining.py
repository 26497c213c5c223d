"""How soon does our recipe know Shakespeare as well as GPT-2's, and what is each choice worth?

The race: GPT-2's architecture with AdamW and a cosine, as in its day, against the default recipe of
`llmlab.pretraining`, of the same number of parameters to within a few per cent. Both meet the same
batches in the same order, each with all threads, and the clock counts nothing but training steps.
GPT-2 takes `STEPS`; ours is then given a quarter of the time that took, in which its learning
rate comes to 0. Each seed draws other weights and other batches.

GPT-2's learning rate was chosen for its good on plays kept for validation, with batches of the same
size: of 1, 2, 4 and 8e-3 in 500 steps 4e-3 was best, and of 3 and 5e-3 in all 2,000 steps 5e-3
(2.308 bits a byte against 2.316). `python benchmarks/pretraining.py tune` tries `RATES`.

The table: the recipe for fewer steps, and again with one choice after the other taken back to
GPT-2's. Each has the same number of steps and batches, so what a step takes stands beside its loss.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from measure import Row
from tqdm import tqdm

from llmlab.inference import bits_per_byte
from llmlab.model import count_parameters
from llmlab.pretraining import Ingredients, PretrainingRecipe, prepare
from llmlab.pretraining.ingredients import END
from llmlab.train import train

SEEDS = (0, 1, 2)
SHARE = 0.25
STEPS = 2_000  # of GPT-2 in the race
STEPS_IN_TABLE = 500
N_TESTED = 40_000  # characters of each held-out document that are measured

RECIPE = PretrainingRecipe.load("shakespeare")
GPT2 = {
    "model": {
        "norm": "layer",
        "positions": "learned",
        "activation": "gelu",
        "attention_bias": True,
        "feed_forward_bias": True,
        "qk_norm": False,
        "zero_init": False,
    },
    "optimizer": {"kind": "adamw", "adam_lr": 5e-3, "betas": (0.9, 0.95), "weight_decay": 0.1},
    "schedule": {"kind": "cosine", "warmup": 100, "final": 0.1},
}
RATES = (2e-3, 3e-3, 5e-3, 8e-3)  # tried for GPT-2

# What is put in the place of a choice, and the lines of the recipe that do it.
CHOICES = {
    "learned positions, not rotary": {"model": {"positions": "learned"}},
    "LayerNorm, not RMSNorm": {"model": {"norm": "layer"}},
    "queries and keys as they are, not normalised": {"model": {"qk_norm": False}},
    "GELU, not squared ReLU": {"model": {"activation": "gelu"}},
    "output layers drawn at random, not zero": {"model": {"zero_init": False}},
    "biases": {"model": {"attention_bias": True, "feed_forward_bias": True}},
    "AdamW for everything, not Muon": {"optimizer": GPT2["optimizer"]},
    "GPT-2's cosine, not a straight line": {"schedule": {"kind": "cosine", "final": 0.1}},
}


@dataclass(frozen=True)
class Run:
    """What came of one training."""

    bits_per_byte: float  # of held-out documents
    n_steps: int
    seconds: float  # spent in training steps
    n_parameters: int


def rows() -> list[Row]:
    """Run the race with every seed, then the table."""
    races = [race(seed) for seed in tqdm(SEEDS, unit=" races", leave=False)]
    return [*report(races), *table(STEPS_IN_TABLE)]


def race(seed: int, steps: int = STEPS) -> tuple[Run, Run]:
    """Train GPT-2 for so many steps, then ours for a share of the time."""
    theirs = changed(GPT2, seed=seed, steps=steps)
    made = prepare(theirs, progress=False)
    other = follow(theirs, made, made.held_out)
    ours = changed({}, seed=seed, steps=steps)
    return follow(ours, made, made.held_out, minutes=SHARE * other.seconds / 60), other


def report(races: list[tuple[Run, Run]]) -> list[Row]:
    """Hold ours against GPT-2's recipe."""
    pairs = ", ".join(
        f"{ours.bits_per_byte:.3f} against {other.bits_per_byte:.3f}" for ours, other in races
    )
    ours, other = races[0]
    return [
        Row(
            what=f"pretraining on Shakespeare, our recipe in {SHARE:g} of the time of GPT-2's with "
            "AdamW and cosine, held-out bits a byte, three seeds",
            measured=f"{pairs} ({ours.n_steps:,} steps in {ours.seconds:.0f} s against "
            f"{other.n_steps:,} in {other.seconds:.0f} s; {ours.n_parameters:,} and "
            f"{other.n_parameters:,} parameters)",
            target="<= the other's",
            met=all(ours.bits_per_byte <= other.bits_per_byte for ours, other in races),
        )
    ]


def table(steps: int) -> list[Row]:
    """Take one choice after the other away from the recipe."""
    whole = changed({}, seed=0, steps=steps)
    made = prepare(whole, progress=False)
    base = follow(whole, made, made.held_out)
    found = [
        Row(
            what=f"our recipe for {steps:,} steps, held-out bits a byte",
            measured=f"{base.bits_per_byte:.3f} ({1e3 * base.seconds / steps:.0f} ms a step)",
        )
    ]
    for name, change in tqdm(CHOICES.items(), unit=" choices", leave=False):
        recipe = changed(change, seed=0, steps=steps)
        run = follow(recipe, made, made.held_out)
        found.append(
            Row(
                what=f"the same with {name}",
                measured=f"{run.bits_per_byte:.3f}, "
                f"{run.bits_per_byte - base.bits_per_byte:+.3f} "
                f"({1e3 * run.seconds / steps:.0f} ms a step)",
            )
        )
    return found


def changed(tables: dict, *, seed: int, steps: int) -> PretrainingRecipe:
    """Give our recipe with other settings, for so many steps."""
    return RECIPE.changed(**tables | {"training": {"seed": seed, "steps": steps}})


def follow(
    recipe: PretrainingRecipe,
    made: Ingredients,
    tested: dict[str, str],
    *,
    minutes: float | None = None,
) -> Run:
    """Train a new model by a recipe, for its steps or so many minutes; measure on documents."""
    model = recipe.make_model()
    made.batches.seek(0)
    steps = train(
        model,
        made.batches,
        optimizer=recipe.optimizer_for(model),
        schedule=recipe.make_schedule(),
        clip=recipe.training.clip,
        **({"steps": recipe.training.steps} if minutes is None else {"minutes": minutes}),
    )
    for step in steps:
        last = step
    texts = [text[:N_TESTED] for text in tested.values()]
    start_id = made.tokenizer.special_tokens[END]
    surprise = bits_per_byte(model, made.tokenizer, texts, start_id=start_id)
    return Run(surprise, last.number, last.elapsed, count_parameters(model))


def tune(steps: int = STEPS) -> None:
    """Find GPT-2's learning rate on the validation part; prints what each of them comes to."""
    theirs = changed(GPT2, seed=0, steps=steps).changed(data={"validation": 0.1})
    made = prepare(theirs, progress=False)
    for rate in RATES:
        recipe = theirs.changed(optimizer={"adam_lr": rate})
        print(f"{rate:g}: {follow(recipe, made, made.validation)}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["tune"]:
        tune()
    else:
        print(*(row.markdown() for row in rows()), sep="\n")
