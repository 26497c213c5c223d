"""Recipes: all that decides how a GPT is pretrained, in one readable TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import get_args, get_type_hints

import torch
from torch import nn

from llmlab.model import GPT, GPTConfig
from llmlab.text.inputs import whole_number
from llmlab.train import JointOptimizer, optimizer_for
from llmlab.train.schedules import Schedule

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """What is read, and how it becomes tokens.

    `corpus` is "shakespeare", "wikitext-2", or a folder of .txt files, each of which is one
    document. A share of the documents is `held_out` for the final test, and of those that remain
    a share for `validation`, on which settings are tuned. `tokenizer` is "bpe", learned from the
    documents to train on alone until it has `vocab_size` tokens, or "gpt2", which has 50,257.
    """

    corpus: str = "shakespeare"
    tokenizer: str = "bpe"
    vocab_size: int
    held_out: float = 0.1
    validation: float = 0.0

    def __post_init__(self):
        whole_number(self.vocab_size, "vocab_size", least=257)
        if self.tokenizer not in ("bpe", "gpt2"):
            raise ValueError(f"tokenizer={self.tokenizer!r} is unknown; use 'bpe' or 'gpt2'")
        if self.tokenizer == "gpt2" and self.vocab_size != 50_257:
            raise ValueError(
                f"vocab_size={self.vocab_size:,} is not that of GPT-2's tokenizer; use 50_257, or "
                "tokenizer='bpe' to learn one of that size"
            )
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out={self.held_out!r} is no share of the documents; use 0.1")
        if not 0 <= self.validation < 1:
            raise ValueError(
                f"validation={self.validation!r} is no share of the documents to train on; use "
                "0.1, or 0 to train on all of them"
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerRecipe:
    """The settings of `optimizer_for`; None stands for its default."""

    kind: str = "muon"
    muon_lr: float | None = None
    adam_lr: float | None = None
    momentum: float | None = None
    betas: tuple[float, float] | None = None
    weight_decay: float | None = None

    def __post_init__(self):
        optimizer_for(nn.Linear(1, 1), **self._given())  # refuses nonsense in its own words

    def _given(self) -> dict:
        return {name: value for name, value in asdict(self).items() if value is not None}

    def make(self, model: nn.Module) -> JointOptimizer | torch.optim.AdamW:
        """Build the optimiser of a model."""
        return optimizer_for(model, **self._given())


@dataclass(frozen=True, kw_only=True)
class ScheduleRecipe:
    """A `Schedule` but for the number of steps."""

    kind: str = "linear"
    warmup: int = 0
    final: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """How long and in which portions.

    A step learns from `batch_size` pieces of `context` tokens, shared out among all processes;
    each process computes at most `micro_batch` of them at once, all its own if that is None, which
    changes the memory it takes and not what is learned. Gradients longer than `clip` are shortened
    to it. A checkpoint is written every `save_every` steps and at the end.
    """

    batch_size: int
    steps: int
    seed: int = 0
    micro_batch: int | None = None
    clip: float = 1.0
    save_every: int = 250

    def __post_init__(self):
        for name in ("batch_size", "steps", "save_every"):
            whole_number(getattr(self, name), name, least=1)
        whole_number(self.seed, "seed", least=0)
        if self.micro_batch is not None:
            whole_number(self.micro_batch, "micro_batch", least=1)
        if not self.clip > 0:
            raise ValueError(f"clip={self.clip!r} is no length; use a number above 0, such as 1.0")


@dataclass(frozen=True, kw_only=True)
class PretrainingRecipe:
    """All that decides how a GPT turns out: `data`, `model`, `optimizer`, `schedule`, `training`.

    `model` always has the vocabulary of `data`. Raises ``ValueError`` for what does not fit
    together.
    """

    data: DataRecipe
    model: GPTConfig
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    training: TrainingRecipe

    def __post_init__(self):
        model = replace(self.model, vocab_size=self.data.vocab_size)
        object.__setattr__(self, "model", model)  # this class is frozen
        self.make_schedule()  # refuses a warm-up that takes all steps

    @classmethod
    def load(cls, name_or_path: str | Path) -> PretrainingRecipe:
        """Read a recipe from a TOML file, or by name one that comes with llmlab.

        Raises ``FileNotFoundError``, and ``ValueError``, which names the file, the table and the
        key, for a key or a value that no recipe has.
        """
        path = find_recipe(name_or_path)
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no TOML file ({error}); correct that line") from None
        return cls.from_dict(tables, source=str(path))

    @classmethod
    def from_dict(cls, tables: Mapping, *, source: str = "the recipe") -> PretrainingRecipe:
        """Build a recipe from nested dictionaries, such as `to_dict` gives; `source` names them."""
        kinds = _kinds()
        _check_keys(tables, kinds, source, "table")
        for name in ("data", "model", "training"):
            if name not in tables:
                raise ValueError(f"{source} has no table [{name}]; a recipe needs it")
        parts = {}
        for name in kinds:  # data first, which the model takes its vocabulary from
            table = tables.get(name, {})
            if not isinstance(table, Mapping):
                raise ValueError(f"{source}: {name} = {table!r} is no table; write [{name}]")
            given = {"vocab_size": parts["data"].vocab_size} if name == "model" else {}
            parts[name] = _make(kinds[name], table, f"{source}: [{name}]", given)
        try:
            return cls(**parts)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None

    def to_dict(self) -> dict:
        """Give the recipe as nested dictionaries, as its TOML file would hold it."""
        tables = asdict(self)
        del tables["model"]["vocab_size"]
        return {
            name: {key: value for key, value in table.items() if value is not None}
            for name, table in tables.items()
        }

    def changed(self, **tables: Mapping) -> PretrainingRecipe:
        """Give this recipe with some settings changed, and checked: ``training={"steps": 10}``.

        None sets a setting back to its default.
        """
        own = self.to_dict()
        _check_keys(tables, own, "changed()", "table")
        mixed = {name: own[name] | dict(tables.get(name, {})) for name in own}
        for table in mixed.values():
            for key in [key for key, value in table.items() if value is None]:
                del table[key]
        return self.from_dict(mixed, source="changed()")

    def gpt_config(self, vocab_size: int | None = None) -> GPTConfig:
        """Give the sizes of the model, with another vocabulary if you say so."""
        return self.model if vocab_size is None else replace(self.model, vocab_size=vocab_size)

    def make_schedule(self) -> Schedule:
        """Build the schedule of the learning rate, for all steps of this recipe."""
        steps = None if self.schedule.kind == "constant" else self.training.steps
        return Schedule(self.schedule.kind, steps, self.schedule.warmup, self.schedule.final)

    def optimizer_for(self, model: nn.Module) -> JointOptimizer | torch.optim.AdamW:
        """Build the optimiser of a model."""
        return self.optimizer.make(model)

    def make_model(self, vocab_size: int | None = None) -> GPT:
        """Draw the first weights; they depend on the recipe alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            return GPT(self.gpt_config(vocab_size))


def presets() -> list[str]:
    """List the recipes that come with llmlab."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def find_recipe(name_or_path: str | Path) -> Path:
    """Give the path of a recipe, which is a preset's name or a path already.

    Raises ``FileNotFoundError`` with the presets there are.
    """
    path = Path(name_or_path).expanduser()
    if path.suffix == ".toml" and path.is_file():
        return path
    if str(name_or_path) in presets():
        return PRESETS / f"{name_or_path}.toml"
    raise FileNotFoundError(
        f"there is no recipe {str(name_or_path)!r}; give the path of a .toml file, or one of "
        f"{', '.join(presets())}"
    )


def _kinds() -> dict[str, type]:
    """Name the class of each table."""
    hints = get_type_hints(PretrainingRecipe)
    return {part.name: hints[part.name] for part in fields(PretrainingRecipe)}


def _make(kind: type, table: Mapping, where: str, given: dict) -> object:
    """Build one part of a recipe; `given` are values that the table must not hold itself."""
    hints = get_type_hints(kind)
    allowed = {part.name: part for part in fields(kind) if part.name not in given}
    _check_keys(table, allowed, where, "key")
    values = {key: _checked(value, hints[key], f"{where} {key}") for key, value in table.items()}
    for name, part in allowed.items():
        required = part.default is MISSING and part.default_factory is MISSING
        if required and name not in values:
            raise ValueError(f"{where} has no {name}; say {name} = ...")
    try:
        return kind(**values, **given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where} {error}") from None


def _check_keys(found: Mapping, allowed: Mapping, where: str, what: str) -> None:
    for key in found:
        if key not in allowed:
            near = get_close_matches(key, allowed, n=1, cutoff=0.6)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"{where} has no {what} {key!r} (= {found[key]!r:.40}); {meant}allowed: "
                f"{', '.join(sorted(allowed))}"
            )


def _checked(value: object, hint: object, where: str) -> object:
    """Give a value from TOML as the type that a field asks for."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kinds = [kind for kind in kinds if kind is not NoneType]
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list | tuple) and any(get_args(kind) for kind in kinds):
        n_items = len(get_args(next(kind for kind in kinds if get_args(kind))))
        if len(value) == n_items and all(type(item) in (int, float) for item in value):
            return tuple(map(float, value))
    if type(value) in kinds:
        return value
    wanted = " or ".join(_WORDS.get(kind, "two numbers: [0.9, 0.98]") for kind in kinds)
    raise ValueError(f"{where} = {value!r:.40} is of the wrong kind; give {wanted}")


_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text in quotation marks",
    bool: "true or false",
}
