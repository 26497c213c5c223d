"""Pretraining a GPT by a recipe.

``PretrainingRecipe``            all that decides how it turns out, as a readable TOML file
``presets``                      the recipes that come with llmlab
``prepare``                      what training begins with: ``Ingredients``
"""

from llmlab.pretraining.ingredients import Ingredients, prepare
from llmlab.pretraining.recipe import PretrainingRecipe, presets

__all__ = ["Ingredients", "PretrainingRecipe", "prepare", "presets"]
