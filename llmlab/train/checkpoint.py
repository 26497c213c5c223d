"""Checkpoints: a model, and all that a run needs to go on as if nothing had happened, in one file.

The file is in the safetensors format, which holds tensors and text and no code. The text is JSON
in its metadata, under one key; the tensors are called ``model.…``, ``optimizer.…``, ``random.…``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from llmlab.device import pick_device
from llmlab.model import lora, ops, tensor_files
from llmlab.model.gpt import GPT, GPTConfig
from llmlab.model.tensor_files import Tensors
from llmlab.model.translator import Translator, TranslatorConfig
from llmlab.text import BPETokenizer, WordTokenizer
from llmlab.text.files import BPE_FORMAT, WORDS_FORMAT
from llmlab.train.batches import Batches
from llmlab.train.distributed import class_of, is_first, shared_out_like, whole
from llmlab.train.schedules import Schedule

_FORMAT = "llmlab-checkpoint-1"
_MODELS = {"GPTConfig": (GPTConfig, GPT), "TranslatorConfig": (TranslatorConfig, Translator)}
_TOKENIZERS = {BPE_FORMAT: BPETokenizer, WORDS_FORMAT: WordTokenizer}

Json = dict | list | str | float | bool | None


def save_checkpoint(
    path: str | Path,
    model: GPT | Translator,
    *,
    tokenizer: BPETokenizer | WordTokenizer | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: Schedule | None = None,
    batches: Batches | None = None,
    step: int = 0,
    extra: Json = None,
    half: bool = False,
) -> None:
    """Write a model, and what is given beside it, to one file: whole, or not at all.

    Of processes that train together all must call this; the first writes, and the file is the one
    that a single process would have written.
    With `optimizer` and `batches` a run can be resumed: `Checkpoint.restore` gives them back
    their state, and PyTorch its random state, so that the run ends as it would have ended
    undisturbed. `step` says how many steps are done; `extra` is anything that JSON can hold.
    ``half=True`` is for giving a trained model to others: weights alone, rounded to float16.

    The file at `path` is replaced once the new one is safely on the disk. When that fails it
    stays as it was; a full disk and the like raise ``OSError``. What could not be loaded again
    raises ``ValueError``: a model with other tensors than its config says, numbers that are not
    finite, a tokenizer or an optimiser of another model.
    """
    path = Path(path).expanduser().resolve()
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the path of a file, such as model.safetensors")
    if half and (optimizer is not None or batches is not None):
        raise ValueError(
            "half=True rounds the weights, and a run cannot go on exactly from rounded ones; "
            "leave out half to resume, or optimizer= and batches= to ship the model"
        )
    tensors: Tensors = {}
    content = {
        "format": _FORMAT,
        "config": {"class": _class_name(model), **asdict(model.config)},
        "half": bool(half),
        "frozen": [name for name, weight in model.named_parameters() if not weight.requires_grad],
        "tokenizer": _describe_tokenizer(tokenizer, model),
        "schedule": _describe_schedule(schedule),
        "step": step,
        "extra": extra,
    }
    for name, weight in _weights(model, half=half).items():
        tensors[f"model.{name}"] = weight
    if optimizer is not None:
        content["optimizer"] = _describe_optimizer(optimizer, model, tensors)
    if batches is not None:
        content["batches"] = _describe_batches(batches)
    if not half:
        tensors |= {f"random.{name}": state for name, state in _random_states(model.device)}
    text = _to_json(content)
    tensors = _separate(tensors)
    if is_first():
        tensor_files.write(path, tensors, text)


@dataclass(repr=False)
class Checkpoint:
    """What `load_checkpoint` found in a file; `restore` gives a run back the rest of its state."""

    model: GPT | Translator
    tokenizer: BPETokenizer | WordTokenizer | None
    schedule: Schedule | None
    step: int
    extra: Json
    path: Path
    _content: dict
    _tensors: Tensors

    def __repr__(self) -> str:
        return f"<Checkpoint of a {type(self.model).__name__} after {self.step:,} steps>"

    def restore(
        self,
        *,
        optimizer: torch.optim.Optimizer | None = None,
        batches: Batches | None = None,
    ) -> None:
        """Put an optimiser, batches and PyTorch's random state where they were at the save.

        Build the optimiser for `self.model` and the batches from the same data as in the run that
        was saved; then go on with ``train(..., start=checkpoint.step)``. Raises ``ValueError``
        when they are others, and changes nothing then.
        """
        state = None if optimizer is None else self._optimizer_state(optimizer)
        if batches is not None:
            self._check_batches(batches)
        if state is not None:
            optimizer.load_state_dict(state)
        if batches is not None:
            batches.seek(self._content["batches"]["position"])
        self._restore_random_states()

    def _optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict:
        """Give the saved state in PyTorch's layout, after comparing it with the optimiser."""
        saved = self._content.get("optimizer")
        if saved is None:
            raise ValueError(
                f"{self.path} was saved without an optimiser, so there is none to restore; "
                "leave optimizer= out, or save with save_checkpoint(..., optimizer=optimizer)"
            )
        if _kinds(optimizer) != saved["kinds"]:
            raise ValueError(
                f"{self.path} holds the state of {' and '.join(saved['kinds'])}, and this "
                f"optimiser is {' and '.join(_kinds(optimizer))}; build it as the saved run did"
            )
        names = _parameter_names(
            optimizer, self.model, "build it for the loaded one: optimizer_for(checkpoint.model)"
        )
        if names != saved["parameters"]:
            raise ValueError(
                f"this optimiser has its {sum(map(len, names))} parameters in groups of "
                f"{[*map(len, names)]}, and the saved one had "
                f"{sum(map(len, saved['parameters']))} in groups of "
                f"{[*map(len, saved['parameters'])]}, or others; build it as the saved run did"
            )
        with _explained(self.path, "its optimiser state is damaged"):
            state = _unpack(saved["state"], self._tensors)
            self._check_state(state, optimizer)
        _share_out(state, optimizer)
        return state

    def _check_state(self, state: dict, optimizer: torch.optim.Optimizer) -> None:
        """Refuse a state whose tensors do not fit the parameters they belong to."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for number, values in state["state"].items():
            for name, value in values.items():
                fits = not isinstance(value, Tensor) or value.dim() == 0
                if not fits and value.shape != parameters[number].shape:
                    raise ValueError(
                        f"{name} of parameter {number} has the shape {tuple(value.shape)}, the "
                        f"parameter {tuple(parameters[number].shape)}"
                    )

    def _check_batches(self, batches: Batches) -> None:
        saved = self._content.get("batches")
        if saved is None:
            raise ValueError(
                f"{self.path} was saved without batches, so their position is unknown; leave "
                "batches= out, or save with save_checkpoint(..., batches=batches)"
            )
        if batches.fingerprint != saved["fingerprint"]:
            raise ValueError(
                f"these batches have the fingerprint {batches.fingerprint}, those of {self.path} "
                f"had {saved['fingerprint']}: the data, the batch size, the seed or the tokenizer "
                "is another; make them as the saved run did, or leave batches= out"
            )

    def _restore_random_states(self) -> None:
        states = {
            name.removeprefix("random."): state
            for name, state in self._tensors.items()
            if name.startswith("random.")
        }
        with _explained(self.path, "its random state is damaged"):
            for name, state in states.items():
                kind, _, number = name.partition(".")
                if kind == "cpu":
                    torch.set_rng_state(state)
                elif kind == "mps" and torch.backends.mps.is_available():
                    torch.mps.set_rng_state(state)
                elif kind == "cuda" and int(number) < torch.cuda.device_count():
                    torch.cuda.set_rng_state(state, int(number))


def load_checkpoint(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    attend: ops.Attend = ops.attend_fused,
) -> Checkpoint:
    """Read what `save_checkpoint` wrote; no code in the file, if there were any, would run.

    The model is on `device`, by default a GPU where there is one, runs on the attention function
    `attend`, and is ready to use. Weights that were saved in float16 are float32 again. Raises
    ``FileNotFoundError``, and ``ValueError`` for any file that is not a whole checkpoint.
    """
    device = pick_device(device)
    path = Path(path).expanduser()
    text, tensors = tensor_files.read(path)
    content = _parsed(path, text)
    model = _build(path, content, tensors, attend)
    with _explained(path, "its description is damaged"):
        tokenizer = _make_tokenizer(content["tokenizer"])
        schedule = content["schedule"] and Schedule(**content["schedule"])
        step, extra = content["step"], content["extra"]
        _check_vocabulary(tokenizer, model.config.vocab_size)
    kept = {name: t for name, t in tensors.items() if not name.startswith("model.")}
    return Checkpoint(
        model.to(device).eval(), tokenizer, schedule, step, extra, path, content, kept
    )


def load_unfinished(path: Path, *, device: str | torch.device | None = None) -> Checkpoint | None:
    """Read what a run left that was stopped, for the next to go on with; None if there is nothing.

    Raises ``ValueError``, which also says how to begin anew, for a file that cannot be read.
    """
    if not path.exists():
        return None
    try:
        return load_checkpoint(path, device=device)
    except ValueError as error:
        raise ValueError(f"{error}; or delete {path} and begin anew") from error


# What is saved ------------------------------------------------------------------------------------


def _class_name(model: nn.Module) -> str:
    if lora.adapters(model):
        raise ValueError(
            "this model has LoRA adapters; lora.save(model, path) writes them alone, and after "
            "lora.merge(model) the whole model can be saved"
        )
    name = type(getattr(model, "config", None)).__name__
    if name not in _MODELS or class_of(model) is not _MODELS[name][1]:
        raise ValueError(
            f"{type(model).__name__} cannot be saved as a checkpoint; llmlab can build a GPT or a "
            "Translator again from its config, and nothing else"
        )
    return name


@lru_cache(maxsize=8)
def _shapes(config: GPTConfig | TranslatorConfig) -> dict[str, torch.Size]:
    """List the tensors of the model that a config describes, with their shapes."""
    with torch.device("meta"):
        model = _MODELS[type(config).__name__][1](config)
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _weights(model: nn.Module, *, half: bool) -> Tensors:
    """Give the tensors of a model, after making sure that they could be loaded again."""
    weights = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    _compare("the model", {name: tensor.shape for name, tensor in weights.items()}, model.config)
    if half:
        weights = {name: tensor.to(torch.float16) for name, tensor in weights.items()}
    for name, tensor in weights.items():
        if not bool(whole(tensor.isfinite().all())):
            why = ", perhaps too large for float16: leave out half=True" if half else ""
            raise ValueError(
                f"the tensor {name} has numbers that are not finite{why}; nothing was written, "
                "so an earlier checkpoint is as it was"
            )
    return weights


def _compare(whose: str, found: dict[str, torch.Size], config: GPTConfig | TranslatorConfig):
    """Raise ``ValueError`` unless the shapes are those of the model that the config describes."""
    expected = _shapes(config)
    for name, shape in expected.items():
        if name not in found:
            raise ValueError(f"the tensor {name} is missing in {whose}, but its config asks for it")
        if found[name] != shape:
            raise ValueError(
                f"{name} has the shape {tuple(found[name])} in {whose}, but its config asks for "
                f"{tuple(shape)}; the weights belong to another config"
            )
    unknown = sorted(set(found) - set(expected))
    if unknown:
        raise ValueError(
            f"{whose} has {len(unknown)} tensors that its config does not know, such as "
            f"{unknown[0]}; the weights belong to another config"
        )


def _describe_tokenizer(tokenizer: object, model: nn.Module) -> dict | None:
    if tokenizer is None:
        return None
    if not isinstance(tokenizer, tuple(_TOKENIZERS.values())):
        raise ValueError(
            f"tokenizer={tokenizer!r:.60} cannot be saved; give a BPETokenizer or a WordTokenizer"
        )
    _check_vocabulary(tokenizer, model.config.vocab_size)
    return tokenizer.to_dict()


def _check_vocabulary(tokenizer: BPETokenizer | WordTokenizer | None, vocab_size: int) -> None:
    if tokenizer is not None and tokenizer.vocab_size != vocab_size:
        raise ValueError(
            f"the tokenizer {tokenizer.name!r} has {tokenizer.vocab_size:,} tokens and the model "
            f"scores {vocab_size:,}; give the tokenizer that the model was trained with"
        )


def _describe_schedule(schedule: Schedule | None) -> dict | None:
    if schedule is not None and not isinstance(schedule, Schedule):
        raise ValueError(
            f"schedule={schedule!r:.60} cannot be saved; give one of llmlab.train.schedules"
        )
    return None if schedule is None else asdict(schedule)


def _describe_optimizer(optimizer, model: nn.Module, tensors: Tensors) -> dict:
    names = _parameter_names(optimizer, model, "give the optimiser of the model that you save")
    state = optimizer.state_dict()
    # in the order of the parameters: that of their first steps is lost when a run is resumed
    state = state | {"state": dict(sorted(state["state"].items()))}
    packed = _pack(state, "optimizer", tensors)
    return {"kinds": _kinds(optimizer), "parameters": names, "state": packed}


def _kinds(optimizer) -> list[str]:
    """Name the kinds of an optimiser's parts; most have a single part, themselves."""
    return [type(part).__name__ for part in getattr(optimizer, "optimizers", [optimizer])]


def _parameter_names(optimizer, model: nn.Module, fix: str) -> list[list[str]]:
    """Name the parameters in each group of an optimiser."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [[names.get(id(p)) for p in group["params"]] for group in optimizer.param_groups]
    if any(name is None for group in groups for name in group):
        raise ValueError(f"this optimiser changes the weights of another model; {fix}")
    return groups


def _share_out(state: dict, optimizer) -> None:
    """Leave of an optimiser's state what this process has of the parameters it belongs to."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, values in state["state"].items():
        parameter = parameters[number]
        for name, value in values.items():
            if isinstance(value, Tensor) and value.dim():
                values[name] = shared_out_like(value.to(parameter.device), parameter)


def _describe_batches(batches: Batches) -> dict:
    if not isinstance(batches, Batches):
        raise ValueError(
            f"batches={batches!r:.60} have no position to save; give what pair_batches, "
            "packed_batches or masked_batches made, or leave batches= out"
        )
    return {"position": batches.position, "fingerprint": batches.fingerprint}


def _random_states(device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Give the state of every random generator of PyTorch that is in use."""
    yield "cpu", torch.get_rng_state()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        for number, state in enumerate(torch.cuda.get_rng_state_all()):
            yield f"cuda.{number}", state
    if device.type == "mps":
        yield "mps", torch.mps.get_rng_state()


def _separate(tensors: Tensors) -> Tensors:
    """Give every tensor memory of its own on the CPU, as the file format wants it.

    One that is shared out among processes is put together; only the first process keeps it.
    """
    separate, seen = {}, set()
    for name, tensor in tensors.items():
        tensor = whole(tensor.detach())
        if not is_first():
            continue
        tensor = tensor.cpu().contiguous()
        where = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if where in seen else tensor
        seen.add(where)
    return separate


# Nested values as JSON and tensors ----------------------------------------------------------------

# JSON has neither tensors nor tuples, and only text as keys. A dictionary with one of these keys
# stands for what JSON lacks; other dictionaries are written as a list of pairs.
_TENSOR, _TUPLE, _PAIRS = "$tensor", "$tuple", "$pairs"


def _pack(value: object, name: str, tensors: Tensors) -> Json:
    """Turn nested dictionaries, lists and tuples into JSON; tensors go to `tensors` by name."""
    if isinstance(value, Tensor):
        while name in tensors:  # of {1: …, "1": …}, or of {"a.b": …, "a": {"b": …}}
            name += "'"
        tensors[name] = value
        return {_TENSOR: name}
    if isinstance(value, dict):
        return {_PAIRS: [[key, _pack(v, f"{name}.{key}", tensors)] for key, v in value.items()]}
    if isinstance(value, list | tuple):
        items = [_pack(item, f"{name}.{place}", tensors) for place, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{name} is {value!r:.60}, a {type(value).__name__}, which a checkpoint cannot hold; "
        "it holds tensors, numbers, texts, and lists, tuples and dictionaries of them"
    )


def _unpack(value: Json, tensors: Tensors) -> object:
    """Undo `_pack`; the tensors are copies."""
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    [(kind, inner)] = value.items()
    if kind == _TENSOR:
        return tensors[inner].clone()
    if kind == _TUPLE:
        return tuple(_unpack(item, tensors) for item in inner)
    if kind == _PAIRS:
        return {key: _unpack(item, tensors) for key, item in inner}
    raise ValueError(f"{kind!r} is unknown")


# The file -----------------------------------------------------------------------------------------


def _to_json(content: dict) -> str:
    try:
        text = json.dumps(content, ensure_ascii=False)
        text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"extra={content['extra']!r:.60} or step={content['step']!r:.20} cannot be written as "
            f"JSON ({error}); give texts, numbers, and lists and dictionaries of them"
        ) from error
    return text


def _parsed(path: Path, text: str) -> dict:
    with _explained(path, "its description is damaged"):
        content = json.loads(text)
        found = content["format"]
    if found != _FORMAT:
        raise ValueError(
            f"{path} has the format {found!r:.40}, and this llmlab reads {_FORMAT!r}; "
            "install the version of llmlab that wrote it"
        )
    return content


def _build(path: Path, content: dict, tensors: Tensors, attend: ops.Attend) -> nn.Module:
    with _explained(path, "its description is damaged"):
        fields = dict(content["config"])
        name = fields.pop("class")
        half, frozen = content["half"], set(content["frozen"])
    if name not in _MODELS:
        raise ValueError(
            f"{path} holds a model with a {name!r:.40}, and this llmlab knows "
            f"{' and '.join(_MODELS)}; install the version of llmlab that wrote it"
        )
    config_class, model_class = _MODELS[name]
    with _explained(path, f"its {name} does not fit this llmlab"):
        config = config_class(**fields)
    prefix = "model."
    weights = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    _compare(str(path), {name: tensor.shape for name, tensor in weights.items()}, config)
    for name, tensor in weights.items():
        if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
            raise ValueError(
                f"{name} in {path} has numbers that are not finite or no real numbers; the file "
                "is damaged, or the run that wrote it had gone wrong"
            )
    with torch.device("meta"):
        model = model_class(config, attend=attend)
    if half:
        weights = {name: tensor.float() for name, tensor in weights.items()}
    model.load_state_dict(weights, assign=True)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return model


def _make_tokenizer(content: dict | None) -> BPETokenizer | WordTokenizer | None:
    if content is None:
        return None
    return _TOKENIZERS[content["format"]].from_dict(content)


@contextlib.contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    """Say which file is at fault when its content is not what was written there."""
    kinds = ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError
    try:
        yield
    except kinds as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} cannot be read, {what} ({reason})") from error
