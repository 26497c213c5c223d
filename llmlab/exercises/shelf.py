"""Where exercises stand: one module per notebook."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from llmlab.exercises.exercise import Exercise

NOTEBOOKS = {  # module -> notebook, in reading order
    "llm": "01_what_is_an_llm",
    "tokens": "02_tokens",
    "embeddings": "03_embeddings",
    "attention": "04_attention",
    "translation": "05_translation",
    "gpt": "06_gpt",
    "pretraining": "07_pretraining",
    "classification": "08_finetuning_to_classify",
    "instructions": "09_finetuning_to_follow_instructions",
}


@cache
def exercises(module: str) -> tuple[Exercise, ...]:
    """List the exercises of one notebook in their order; `module` is a key of `NOTEBOOKS`."""
    found = vars(import_module(f"llmlab.exercises.{module}")).values()
    return tuple(item for item in found if isinstance(item, Exercise))


def exercise_ids() -> list[str]:
    """List every id, in reading order."""
    return [exercise.id for module in NOTEBOOKS for exercise in exercises(module)]


def find(id: object) -> Exercise | None:
    """Find the exercise that has this id, if any."""
    module = id.partition(".")[0] if isinstance(id, str) else ""
    if module not in NOTEBOOKS:
        return None
    return next((exercise for exercise in exercises(module) if exercise.id == id), None)
