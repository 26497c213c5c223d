"""Pretraining from beginning to end, in one process or in many, and on from where it stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from llmlab.device import pick_device
from llmlab.inference import bits_per_byte, generate
from llmlab.model import GPT, count_parameters, tensor_files
from llmlab.pretraining.ingredients import END, Ingredients, prepare
from llmlab.pretraining.recipe import PretrainingRecipe
from llmlab.text import BPETokenizer
from llmlab.train import Checkpoint, Step, load_checkpoint, save_checkpoint, train
from llmlab.train.checkpoint import load_unfinished
from llmlab.train.distributed import Team, joined_team, own_device

Watch = Callable[[Iterable[Step]], Iterable[Step]]


class Result(NamedTuple):
    """What was measured when a recipe had been followed to its end."""

    loss: float  # nats a token, on the held-out documents
    bits_per_byte: float
    sample: str
    minutes: float
    n_parameters: int
    path: Path


def pretrain(
    recipe: PretrainingRecipe,
    path: str | Path,
    *,
    device: str | None = None,
    fsdp: bool = False,
    watch: Watch = iter,
    progress: bool = True,
) -> Result | None:
    """Follow a recipe to its end and write the model to `path`, a checkpoint to load.

    Under ``torchrun`` its processes train together: each with all of the model, or with `fsdp`
    each with a part of every tensor. A run that was interrupted, even by a process that died,
    goes on from ``<path>.training``, which is written every ``save_every`` steps and after
    Ctrl-C, and removed at the end; with how many processes it was begun makes no difference.
    `watch` is handed the steps and passes them on, as ``TrainingBoard.watch`` does.

    Returns what was measured, in the first process; None in the others, and if Ctrl-C came first.
    Raises ``FetchError`` when the corpus cannot be brought, ``ValueError`` for a `path` that is no
    ``.safetensors`` file or that was begun by another recipe, ``OSError`` when it cannot be
    written.
    """
    path = Path(path).expanduser()
    if path.suffix != ".safetensors" or not path.parent.is_dir():
        raise ValueError(
            f"{str(path)!r} cannot hold the weights; give a file name that ends in .safetensors, "
            "in a folder that is there"
        )
    tensor_files.require_writable(path)
    where = own_device(pick_device(device))
    with joined_team(where) as team, torch.random.fork_rng():
        if fsdp and team.size == 1:
            raise ValueError(
                "there is one process, and nobody to share the model out with; start several with "
                "torchrun --nproc-per-node N, or leave out fsdp"
            )
        run = _Run(recipe=recipe, path=path, device=where, team=team, fsdp=fsdp)
        saved = run.begun()
        known = None if saved is None else saved.tokenizer
        made = prepare(recipe, tokenizer=known, progress=progress and team.rank == 0)
        seconds = run.follow(made, saved, watch)
    if seconds is None or team.rank > 0:
        return None
    result = _measured(path, made, seconds, where)
    run.unfinished.unlink(missing_ok=True)
    return result


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A recipe on its way to a file, as one of the processes of a team sees it."""

    recipe: PretrainingRecipe
    path: Path
    device: torch.device
    team: Team
    fsdp: bool

    @property
    def unfinished(self) -> Path:
        """Where the run is kept until it is done."""
        return self.path.with_name(f"{self.path.name}.training")

    def begun(self) -> Checkpoint | None:
        """Read what an earlier run of this recipe left; refuse what another one left."""
        saved = load_unfinished(self.unfinished, device=self.device)
        if saved is None:
            return None
        theirs = saved.extra.get("recipe") if isinstance(saved.extra, dict) else None
        if theirs is None or _lasting(PretrainingRecipe.from_dict(theirs)) != _lasting(self.recipe):
            raise ValueError(
                f"{self.unfinished} was begun by another recipe; give the same one to go on with "
                "it, or delete the file"
            )
        return saved

    def follow(self, made: Ingredients, saved: Checkpoint | None, watch: Watch) -> float | None:
        """Train, and give the seconds it took in all; None if it was stopped before the end."""
        model, start, before = made.model.to(self.device), 0, 0.0
        if saved is not None:
            model, start, before = saved.model, saved.step, saved.extra["seconds"]
        self._check_same_start(start)
        if self.fsdp:
            self.team.shard(model)
        optimizer, schedule = self.recipe.optimizer_for(model), self.recipe.make_schedule()
        if saved is not None:
            saved.restore(optimizer=optimizer, batches=made.batches)
        state = {"optimizer": optimizer, "schedule": schedule, "batches": made.batches}
        settings = self.recipe.training
        number, seconds, kept = start, before, start
        for step in watch(
            train(
                model,
                made.batches,
                optimizer=optimizer,
                schedule=schedule,
                steps=settings.steps,
                start=start,
                clip=settings.clip,
                micro_batch=settings.micro_batch,
                team=self.team,
            )
        ):
            number, seconds = step.number, before + step.elapsed
            if number % settings.save_every == 0:
                self._save(self.unfinished, model, made, number, seconds, **state)
                kept = number
        if number > kept:
            self._save(self.unfinished, model, made, number, seconds, **state)
        if number < settings.steps:
            return None
        self._save(self.path, model, made, number, seconds)
        return seconds

    def _save(
        self, file: Path, model: GPT, made: Ingredients, step: int, seconds: float, **state
    ) -> None:
        extra = {"recipe": self.recipe.to_dict(), "seconds": seconds}
        save_checkpoint(file, model, tokenizer=made.tokenizer, step=step, extra=extra, **state)

    def _check_same_start(self, start: int) -> None:
        """Refuse to begin when some processes found a checkpoint and others did not."""
        total = self.team.total(torch.tensor(start, device=self.device)).item()
        if total != self.team.size * start:
            raise ValueError(
                f"this process goes on from step {start}, and others of the {self.team.size} do "
                "not; put the output into a folder that all machines see"
            )


def _lasting(recipe: PretrainingRecipe) -> PretrainingRecipe:
    """Give a recipe without what changes nothing in the model."""
    training = replace(recipe.training, micro_batch=None, save_every=1)
    return replace(recipe, training=training)


def _measured(path: Path, made: Ingredients, seconds: float, device: torch.device) -> Result:
    """Load what was written, and measure that."""
    model = load_checkpoint(path, device=device).model
    texts, end_id = list(made.held_out.values()), made.tokenizer.special_tokens[END]
    bits = bits_per_byte(model, made.tokenizer, texts, start_id=end_id)
    n_bytes = sum(len(text.encode("utf-8")) for text in texts)
    n_tokens = sum(len(made.tokenizer.encode(text)) for text in texts)
    return Result(
        loss=bits * math.log(2) * n_bytes / n_tokens,
        bits_per_byte=bits,
        sample=_sample(model, made.tokenizer),
        minutes=seconds / 60,
        n_parameters=count_parameters(model),
        path=path,
    )


def _sample(model: GPT, tokenizer: BPETokenizer, n_tokens: int = 60) -> str:
    """Let a model write the beginning of a document."""
    end_id = tokenizer.special_tokens[END]
    generator = torch.Generator(model.device).manual_seed(0)
    ids = generate(
        model,
        [end_id],
        max_new_tokens=min(n_tokens, model.config.context - 1),
        temperature=0.8,
        stop=end_id,
        generator=generator,
    )
    return tokenizer.decode([token_id for token_id in ids if token_id != end_id])
