"""Run as a script: save a model, an adapter and a tokenizer where it may fail, and say how it went.

``saving.py FOLDER PHASE...`` saves once a phase: ``plain``, ``full`` (the disk has been filled up)
or ``empty`` (that file is removed again). For each save a line of JSON: the file, the phase, what
was said, and whether what was there before still is, with nothing beside it.
"""

import json
import sys
from pathlib import Path

import torch

from llmlab.model import GPT, GPTConfig, lora
from llmlab.text import WordTokenizer
from llmlab.train import load_checkpoint, optimizer_for, save_checkpoint

CONFIG = GPTConfig(vocab_size=40, context=16, width=64, n_heads=2, n_layers=2)


def fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 8, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def main(folder: Path, phases: list[str]) -> None:
    model, adapted = GPT(CONFIG), GPT(CONFIG)
    lora.add(adapted, rank=8, generator=torch.Generator().manual_seed(0))
    tokenizer = WordTokenizer.train(["to be or not to be", " ".join(map(str, range(2_000)))])
    ways = {
        "run.safetensors": lambda p: save_checkpoint(p, model, optimizer=optimizer_for(model)),
        "adapter.safetensors": lambda p: lora.save(adapted, p),
        "words.json": tokenizer.save,
    }
    for phase in phases:
        if phase == "full":
            fill(folder)
        if phase == "empty":
            (folder / "ballast").unlink()
        for name, save in ways.items():
            path, said = folder / name, ""
            before = path.read_bytes() if path.exists() else None
            try:
                save(path)
            except OSError as error:
                said = f"{type(error).__name__}: {error}"
            after = path.read_bytes() if path.exists() else None
            names = {p.name for p in folder.iterdir()} - {"ballast", *ways}
            kept = (before == after or not said) and not names
            print(json.dumps({"name": name, "phase": phase, "said": said, "kept": kept}))
    if not said:
        load_checkpoint(folder / "run.safetensors")
        lora.load(GPT(CONFIG), folder / "adapter.safetensors")
        WordTokenizer.load(folder / "words.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
