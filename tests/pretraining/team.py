"""What torchrun starts in test_processes.py: `team.py JOB FOLDER`, one job or several in a row."""

import itertools
import json
import os
import signal
import sys
from pathlib import Path

import torch

from llmlab.pretraining import PretrainingRecipe, pretrain
from llmlab.train.distributed import Team, joined_team, own_rank

own_parts = Team.own_parts


def run(folder: Path, output: str, *, fsdp: bool = False, stop: int | None = None, die=None):
    """Train by the folder's recipe and store what this process has seen beside the output."""
    seen = {"steps": [], "rows": []}

    def note(team, batch, most=None):
        parts = own_parts(team, batch, most)
        learned = [part for part in parts if part.n_targets]
        seen["rows"].append([row for part in learned for row in part.inputs[0].tolist()])
        seen.setdefault("n_parts", []).append(len(parts))
        return parts

    def watch(steps):
        for step in itertools.islice(steps, stop):
            if die is not None:
                die(step.number)
            seen["steps"].append((step.number, step.loss, step.gradient_norm, step.learning_rate))
            yield step

    Team.own_parts = note
    path = folder / output
    recipe = PretrainingRecipe.load(folder / "recipe.toml")
    result = pretrain(recipe, path, device="cpu", fsdp=fsdp, watch=watch, progress=False)
    seen["loss"] = None if result is None else result.loss
    path.with_name(f"{output}.{own_rank()}.json").write_text(json.dumps(seen), encoding="utf-8")


def die_once(folder: Path):
    """Make one process vanish at step 6, as if the machine had killed it; not a second time."""

    def die(number: int) -> None:
        marker = folder / "died"
        if own_rank() == 1 and number == 6 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return die


if __name__ == "__main__":
    torch.set_num_threads(1)
    job, folder = sys.argv[1], Path(sys.argv[2])
    if job == "all":
        with joined_team(torch.device("cpu")):  # once: it takes longer than all the rest
            for kind in ("ddp", "fsdp"):
                fsdp = kind == "fsdp"
                run(folder, f"{kind}.safetensors", fsdp=fsdp)
                run(folder, f"{kind}-stopped.safetensors", fsdp=fsdp, stop=6)
                run(folder, f"{kind}-resumed.safetensors", fsdp=fsdp)
    else:
        run(folder, "killed.safetensors", fsdp=job == "kill-fsdp", die=die_once(folder))
