"""How the translators that come with llmlab are made: `llmlab train translator` follows it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from llmlab.data import hold_out, references, sentence_pairs
from llmlab.data.pairs import LANGUAGES
from llmlab.device import pick_device
from llmlab.inference import corpus_bleu, translate
from llmlab.model import Translator, TranslatorConfig, count_parameters, tensor_files
from llmlab.text import BPETokenizer, train_bpe
from llmlab.train import (
    Checkpoint,
    NextTokenLoss,
    Step,
    load_checkpoint,
    optimizer_for,
    pair_batches,
    save_checkpoint,
    schedules,
    train,
)
from llmlab.train.batches import Batches
from llmlab.train.checkpoint import load_unfinished

SPECIAL = ("<pad>", "<start>", "<end>")
_SAVE_EVERY = 250  # steps
_ATTRIBUTION = {
    "Tatoeba": "Sentences and translations by the volunteers of tatoeba.org; "
    "`llmlab.data.sentence_pairs` names the authors of each pair.",
    "Multi30k": "Elliott et al. 2016, arXiv:1605.00459.",
}


@dataclass(frozen=True, kw_only=True)
class TranslatorRecipe:
    """All that decides how a translator turns out; the defaults are those of the one we ship.

    `max_words` is the longest English sentence to learn from, `n_held_out` how many different
    ones are kept for the test. The other sizes are those of `TranslatorConfig`, `pair_batches`,
    `optimizer_for`, `schedules.linear` and `NextTokenLoss`.
    """

    language: str = "es"
    max_words: int = 12
    n_held_out: int = 1_000
    vocab_size: int = 8_000
    context: int = 64
    width: int = 224
    n_heads: int = 4
    n_encoder_layers: int = 3
    n_decoder_layers: int = 2
    dropout: float = 0.1
    batch_size: int = 128
    steps: int = 5_000
    warmup: int = 100
    muon_lr: float = 0.02
    adam_lr: float = 4e-3
    label_smoothing: float = 0.1
    seed: int = 0


class Ingredients(NamedTuple):
    """What training begins with, and the English sentences kept for the test."""

    model: Translator
    tokenizer: BPETokenizer
    batches: Batches
    references: dict[str, list[str]]
    attribution: str


class Result(NamedTuple):
    """What was measured when a recipe had been followed to its end."""

    bleu_greedy: float
    bleu: float  # with four beams
    n_tested: int
    minutes: float
    device: str
    n_parameters: int
    megabytes: float


def prepare(recipe: TranslatorRecipe, *, progress: bool = True) -> Ingredients:
    """Read the pairs, hold some out, train the tokenizer, and draw the first weights.

    Depends on the recipe alone. Raises ``FetchError`` when the pairs cannot be brought.
    """
    everything = sentence_pairs(recipe.language)
    short = [pair for pair in everything if len(pair.source.split()) <= recipe.max_words]
    learned, tested = hold_out(short, recipe.n_held_out, seed=recipe.seed)
    tokenizer = train_bpe(
        (text for pair in learned for text in pair[:2]),
        recipe.vocab_size,
        special=SPECIAL,
        progress=progress,
    )
    pad_id, start_id, end_id = (tokenizer.special_tokens[name] for name in SPECIAL)
    marks = {"pad_id": pad_id, "start_id": start_id, "end_id": end_id}
    ids = [(tokenizer.encode(pair.source), tokenizer.encode(pair.target)) for pair in learned]
    ids = [pair for pair in ids if max(map(len, pair)) < recipe.context]
    batches = pair_batches(ids, batch_size=recipe.batch_size, seed=recipe.seed, **marks)
    config = TranslatorConfig(
        vocab_size=recipe.vocab_size,
        context=recipe.context,
        width=recipe.width,
        n_heads=recipe.n_heads,
        n_encoder_layers=recipe.n_encoder_layers,
        n_decoder_layers=recipe.n_decoder_layers,
        dropout=recipe.dropout,
        **marks,
    )
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = Translator(config)
    return Ingredients(model, tokenizer, batches, references(tested), everything.licence)


def train_translator(
    recipe: TranslatorRecipe,
    path: str | Path,
    *,
    device: str | None = None,
    watch: Callable[[Iterable[Step]], Iterable[Step]] = iter,
    progress: bool = True,
) -> Result | None:
    """Follow a recipe to its end; write the weights to `path` and their card beside them.

    A run that was interrupted goes on from ``<path>.training``, which is written every 250 steps
    and removed at the end. `watch` is handed the steps and passes them on, as
    ``TrainingBoard.watch`` does. Returns what was measured at the end, None if Ctrl-C came first.
    Raises ``FetchError`` when the pairs cannot be brought, ``ValueError`` for a `path` that is no
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
    unfinished = path.with_name(f"{path.name}.training")
    model, tokenizer, batches, translations, licence = prepare(recipe, progress=progress)
    model = model.to(pick_device(device))
    schedule = schedules.linear(recipe.steps, warmup=min(recipe.warmup, recipe.steps // 10))
    start, seconds = 0, 0.0
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)  # of dropout
        saved = _begun(unfinished, recipe, model)
        if saved is not None:
            model, start, seconds = saved.model, saved.step, saved.extra["seconds"]
        optimizer = optimizer_for(model, muon_lr=recipe.muon_lr, adam_lr=recipe.adam_lr)
        if saved is not None:
            saved.restore(optimizer=optimizer, batches=batches)
        before = seconds
        for step in watch(
            train(
                model,
                batches,
                optimizer=optimizer,
                schedule=schedule,
                steps=recipe.steps,
                start=start,
                loss=NextTokenLoss(label_smoothing=recipe.label_smoothing),
            )
        ):
            start, seconds = step.number, before + step.elapsed
            if start % _SAVE_EVERY == 0 or start == recipe.steps:
                save_checkpoint(
                    unfinished,
                    model,
                    tokenizer=tokenizer,
                    optimizer=optimizer,
                    schedule=schedule,
                    batches=batches,
                    step=start,
                    extra={"recipe": asdict(recipe), "seconds": seconds},
                )
    if start < recipe.steps:
        return None
    return _finish(path, recipe, model.eval(), tokenizer, translations, licence, seconds)


def _begun(path: Path, recipe: TranslatorRecipe, model: Translator) -> Checkpoint | None:
    saved = load_unfinished(path, device=model.device)
    if saved is None:
        return None
    if not isinstance(saved.extra, dict) or saved.extra.get("recipe") != asdict(recipe):
        raise ValueError(
            f"{path} was begun by another recipe; give the same options to go on with it, or "
            "delete the file"
        )
    return saved


def _finish(
    path: Path,
    recipe: TranslatorRecipe,
    model: Translator,
    tokenizer: BPETokenizer,
    translations: dict[str, list[str]],
    licence: str,
    seconds: float,
) -> Result:
    """Ship the weights in half precision, measure *them*, and write the card."""
    extra = {"recipe": asdict(recipe)}
    save_checkpoint(path, model, tokenizer=tokenizer, step=recipe.steps, extra=extra, half=True)
    shipped = load_checkpoint(path, device=model.device).model
    sources = list(translations)[: recipe.n_held_out]
    bleu = {}
    for n_beams in (1, 4):
        written = translate(shipped, tokenizer, sources, n_beams=n_beams)
        bleu[n_beams] = corpus_bleu(written, [translations[text] for text in sources])
    result = Result(
        bleu_greedy=bleu[1],
        bleu=bleu[4],
        n_tested=len(sources),
        minutes=seconds / 60,
        device=_device_name(model.device),
        n_parameters=count_parameters(shipped),
        megabytes=path.stat().st_size / 1e6,
    )
    path.with_suffix(".md").write_text(_card(path, recipe, result, licence), encoding="utf-8")
    path.with_name(f"{path.name}.training").unlink(missing_ok=True)
    return result


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    n_threads = torch.get_num_threads()
    return f"{device.type.upper()}, {platform.machine()}, {n_threads} thread{'s'[: n_threads > 1]}"


def _command(recipe: TranslatorRecipe) -> str:
    """The command line that follows this recipe."""
    options = {"--steps": "steps", "--max-words": "max_words"}
    given = [
        f" {option} {getattr(recipe, name)}"
        for option, name in options.items()
        if getattr(recipe, name) != getattr(type(recipe), name)
    ]
    return f"llmlab train translator --language {recipe.language}{''.join(given)}"


def _card(path: Path, recipe: TranslatorRecipe, result: Result, licence: str) -> str:
    language = LANGUAGES[recipe.language]
    data = "Tatoeba" if recipe.language == "es" else "Multi30k"
    settings = "\n".join(f"| {name} | {value} |" for name, value in asdict(recipe).items())
    return f"""# English to {language}

A Transformer with an encoder and a decoder that translates everyday English sentences of up to
{recipe.max_words} words into {language}. It is made for learning how such a model works; do not
rely on what it writes.

- **Data**: {data}, sentences of up to {recipe.max_words} English words. {_ATTRIBUTION[data]}
  Licence: {licence}. {recipe.n_held_out:,} English texts were held out, with all translations.
- **BLEU** of these very weights on {result.n_tested:,} held-out sentences with all their
  references, by sacrebleu: {result.bleu:.1f} with four beams, {result.bleu_greedy:.1f} greedy.
- **Size**: {result.n_parameters:,} parameters in float16, {result.megabytes:.1f} MB.
- **Training**: {recipe.steps:,} steps, {result.minutes:.0f} minutes, on {result.device},
  PyTorch {torch.__version__}.
- **Made by** `{_command(recipe)}`, from the seed
  {recipe.seed}. Another machine rounds in another order, so its weights differ a little.

| setting | value |
|---|---|
{settings}
"""
