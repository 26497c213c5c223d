"""The form of a conversation: the tokens around what a person asks and what a model answers."""

from __future__ import annotations

from llmlab.text.inputs import checked_text
from llmlab.text.tokenizers import BPETokenizer

BEGIN, END = "<|im_start|>", "<|im_end|>"


def chat_prompt(
    tokenizer: BPETokenizer, instruction: str, *, system: str | None = None
) -> list[int]:
    """Put an instruction into ChatML, SmolLM2's form, up to where the answer begins; give ids.

    It is ``<|im_start|>user``, a new line, the instruction, ``<|im_end|>``, a new line,
    ``<|im_start|>assistant`` and a new line; with a `system` message, that one comes first in the
    same form. Marks that people type into their text stay text. Raises ``TypeError`` for what is
    no text, ``ValueError`` for a tokenizer without the two marks.
    """
    begin, end = (_mark(tokenizer, name) for name in (BEGIN, END))
    new_line = tokenizer.encode("\n")
    turns = [] if system is None else [("system", system)]
    ids = []
    for role, text in [*turns, ("user", instruction)]:
        ids += [begin, *tokenizer.encode(f"{role}\n{checked_text(text)}"), end, *new_line]
    return [*ids, begin, *tokenizer.encode("assistant\n")]


def chat_example(
    tokenizer: BPETokenizer, instruction: str, answer: str, *, system: str | None = None
) -> tuple[list[int], list[bool]]:
    """Make an example to learn from: the ids of prompt and answer, and which of them to learn.

    The prompt is that of `chat_prompt`; learned are the tokens of the answer and the mark
    ``<|im_end|>`` behind it, without which a model would never stop. For
    `llmlab.train.masked_batches`. Raises as `chat_prompt` does, and ``ValueError`` for an answer
    that is empty.
    """
    prompt = chat_prompt(tokenizer, instruction, system=system)
    if not checked_text(answer):
        raise ValueError("the answer is empty; give the text that the model shall learn to write")
    learned = [*tokenizer.encode(answer), _mark(tokenizer, END)]
    return prompt + learned, [False] * len(prompt) + [True] * len(learned)


def _mark(tokenizer: BPETokenizer, name: str) -> int:
    if name not in tokenizer.special_tokens:
        raise ValueError(
            f"this tokenizer has no special token {name}; use SmolLM2's, or train one with "
            f'train_bpe(..., special=["{BEGIN}", "{END}"])'
        )
    return tokenizer.special_tokens[name]
