"""Exercises that check themselves and say what is wrong.

``check(id, answer)``   try a function on fixed and on random inputs
``hint(id)``            one more hint at each call
``solution(id)``        the reference answer
``progress()``          what has been passed in this session
``grade(id, answer)``   the same judgement for a mark, each time on the same inputs

One module per notebook holds its exercises whole: ``llm``, ``tokens``, ``embeddings``,
``attention``, ``translation``, ``gpt``, ``pretraining``, ``classification``, ``instructions``.
"""

from llmlab.exercises.checking import check, grade, hint, progress, solution

__all__ = ["check", "grade", "hint", "progress", "solution"]
