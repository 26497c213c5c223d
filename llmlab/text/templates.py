"""The form of a conversation: the tokens around what a person asks and what a model answers."""

from __future__ import annotations

from llmlab.text.inputs import checked_text
from llmlab.text.tokenizers import BPETokenizer

BEGIN, END = "<|im_start|>", "<|im_end|>"


def turn(tokenizer: BPETokenizer, role: str, text: str) -> list[int]:
    """Give the ids of what one side says, with the marks around it."""
    begin, end = _mark(tokenizer, BEGIN), _mark(tokenizer, END)
    said = tokenizer.encode(f"{role}\n{checked_text(text)}")
    return [begin, *said, end, *tokenizer.encode("\n")]


def opening(tokenizer: BPETokenizer) -> list[int]:
    """Give the ids after which the model answers."""
    return [_mark(tokenizer, BEGIN), *tokenizer.encode("assistant\n")]


def chat_prompt(tokenizer: BPETokenizer, instruction: str, *, system: str = "") -> list[int]:
    """Put an instruction into ChatML, SmolLM2's form, up to where the answer begins; give ids.

    It is ``<|im_start|>user``, a new line, the instruction, ``<|im_end|>``, a new line,
    ``<|im_start|>assistant`` and a new line; a `system` message, if it is not empty, comes first in
    the same form. Marks that people type into their text stay text. Raises ``TypeError`` for what
    is no text, ``ValueError`` for a tokenizer without the two marks.
    """
    said = turn(tokenizer, "system", system) if system else []
    return [*said, *turn(tokenizer, "user", instruction), *opening(tokenizer)]


def chat_example(
    tokenizer: BPETokenizer, instruction: str, answer: str, *, system: str = ""
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
