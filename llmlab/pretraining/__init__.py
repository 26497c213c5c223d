"""Pretraining a GPT by a recipe, in one process or in many.

``PretrainingRecipe``            all that decides how it turns out, as a readable TOML file
``presets``                      the recipes that come with llmlab
``prepare``                      what training begins with: ``Ingredients``
``make_plan``                    what it will take, and whether it fits: a ``Plan``
``pretrain``                     follow a recipe to its end: a ``Result``
"""

from llmlab.pretraining.forecast import Plan, make_plan
from llmlab.pretraining.ingredients import Ingredients, prepare
from llmlab.pretraining.recipe import PretrainingRecipe, presets
from llmlab.pretraining.run import Result, pretrain

__all__ = [
    "Ingredients",
    "Plan",
    "PretrainingRecipe",
    "Result",
    "make_plan",
    "prepare",
    "presets",
    "pretrain",
]
