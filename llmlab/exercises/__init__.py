"""Exercises that check themselves and say what is wrong.

``check(id, answer)``   try a function on fixed and on random inputs
``hint(id)``            one more hint at each call
``solution(id)``        the reference answer
``progress()``          what has been passed in this session

One module per notebook holds its exercises whole: ``llm``, ``tokens``, ``embeddings``,
``attention``, ``translation``, ``gpt``, ``pretraining``, ``classification``, ``instructions``.
"""

from llmlab.exercises.checking import check, hint, progress, solution

__all__ = ["check", "hint", "progress", "solution"]
