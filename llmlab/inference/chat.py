"""Talk to a model in a terminal, its answer appearing token by token."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from llmlab.inference.reader import Reader
from llmlab.inference.sample import generate
from llmlab.model import GPT, load_pretrained, lora
from llmlab.text import BPETokenizer
from llmlab.text.templates import BEGIN, END, opening, turn

MODEL = "SmolLM2-135M-Instruct"
# the system message SmolLM2 was fine-tuned with, from the template in its file
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
_HELP = "Enter sends, Ctrl-C stops an answer, /new starts over, /quit or Ctrl-D ends."


class Chat:
    """A conversation with an instruction-tuned model, in the ChatML format it was trained on.

    `answer` yields pieces of text. `system` is what the model is told before everything; with an
    empty text it is told nothing. The conversation so far goes along with every question;
    when it outgrows the context, the oldest exchanges are left out.
    """

    def __init__(
        self,
        model: GPT,
        tokenizer: BPETokenizer,
        *,
        system: str = SYSTEM,
        temperature: float = 0.2,
        max_new_tokens: int = 512,
        generator: torch.Generator | None = None,
    ):
        if tokenizer is None or not {BEGIN, END} <= set(tokenizer.special_tokens):
            raise ValueError(
                f"this model's tokenizer has no {BEGIN} and {END}, so it was not trained "
                "to chat; use SmolLM2-135M-Instruct"
            )
        self.model, self.tokenizer = model, tokenizer
        self.temperature, self.max_new_tokens = temperature, max_new_tokens
        self.generator = generator
        self._reader = Reader(model)  # the conversation so far is not read again for each question
        self._system = turn(tokenizer, "system", system) if system else []
        self._turns: list[list[int]] = []

    def forget(self) -> None:
        """Start a new conversation with the same settings."""
        self._turns.clear()

    def answer(self, question: str) -> Iterator[str]:
        """Yield the answer in pieces; what was answered stays, even when it is cut short.

        Raises ``ValueError`` for a question that is too long or has a character the model has no
        token for; the conversation then goes on without it.
        """
        asked = turn(self.tokenizer, "user", question)
        begin = opening(self.tokenizer)
        prompt = self._fit([*self._turns, asked], begin)
        stop = [self.tokenizer.special_tokens.get(mark, -1) for mark in (END, "<|endoftext|>")]
        new_ids = generate(
            self.model,
            prompt,
            max_new_tokens=min(self.max_new_tokens, self.model.config.context - len(prompt)),
            temperature=self.temperature,
            stop=stop,
            generator=self.generator,
            reader=self._reader,
        )
        answered: list[int] = []
        try:
            yield from self._pieces(new_ids, stop, answered)
        finally:
            end = [stop[0], *self.tokenizer.encode("\n")]
            self._turns += [asked, [*begin, *answered, *end]]

    def _pieces(self, ids: Iterator[int], stop: list[int], answered: list[int]) -> Iterator[str]:
        pending = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for token_id in ids:
            if token_id in stop:
                break
            answered.append(token_id)
            # a character may be spread over several tokens: hold its bytes until it is whole
            if piece := pending.decode(self.tokenizer.decode_bytes([token_id])):
                yield piece
        if rest := pending.decode(b"", final=True):
            yield rest

    def _fit(self, turns: list[list[int]], begin: list[int]) -> list[int]:
        """Join the turns, without the oldest if need be, leaving room for an answer."""
        context = self.model.config.context
        room = context - len(self._system) - len(begin) - min(self.max_new_tokens, context // 4)
        while len(turns) > 1 and sum(map(len, turns)) > room:
            turns = turns[2:] if len(turns) > 2 else turns[1:]
        if sum(map(len, turns)) > room:
            raise ValueError(
                f"the question has {len(turns[-1])} tokens, and {max(room, 0)} fit into the "
                f"context of {context} beside the answer; shorten it"
            )
        return [*self._system, *(token_id for ids in turns for token_id in ids), *begin]


def run(
    *,
    model: str | Path | None = None,
    adapter: str | Path | None = None,
    temperature: float = 0.2,
    system: str | None = None,
    max_new_tokens: int = 512,
    seed: int | None = None,
) -> int:
    """Chat in the terminal until the user leaves; returns the exit status for the shell.

    `adapter` is a file that `lora.save` wrote. Its notes may name the "model" it belongs to and
    the "system" message of its training; they hold unless `model` and `system` say otherwise, and
    without either the model is SmolLM2-135M-Instruct. Raises as `load_pretrained` and `lora.load`
    do.
    """
    # read first: a file that is no adapter should not take as long as the model does
    notes = {} if adapter is None else lora.notes(adapter)
    model = notes.get("model", MODEL) if model is None else model
    network, tokenizer = load_pretrained(model, device=None)
    if adapter is not None:
        lora.load(network, adapter)
        lora.merge(network)  # a matrix less to multiply by for each token
    system = notes.get("system", SYSTEM) if system is None else system
    generator = torch.Generator()
    generator.manual_seed(seed) if seed is not None else generator.seed()
    chat = Chat(
        network,
        tokenizer,
        system=system,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        generator=generator,
    )
    if hasattr(sys.stdin, "reconfigure"):  # a line that cannot be read must not end the chat
        sys.stdin.reconfigure(errors="surrogateescape")
    interactive = sys.stdin.isatty()
    if interactive:
        adapted = "" if adapter is None else f" with {adapter}"
        print(f"{model}{adapted} on {network.device}. {_HELP}")
    while True:
        question = _read("\nyou: " if interactive else "")
        if question is None or question.strip() == "/quit":
            return 0
        if question.strip() == "/new":
            chat.forget()
            print("(a new conversation)")
        elif question.strip():
            _say(chat, question)


def _read(prompt: str) -> str | None:
    """Read a line; None when the user is leaving (Ctrl-D, or Ctrl-C on an empty prompt)."""
    try:
        return input(prompt)
    except EOFError:
        print()
        return None
    except KeyboardInterrupt:
        print("\n(Ctrl-D or /quit ends the chat)")
        return ""


def _say(chat: Chat, question: str) -> None:
    """Print one answer as it comes; Ctrl-C stops it and keeps what is there."""
    try:
        question.encode("utf-8")
    except UnicodeEncodeError:  # bytes that are no text came through as surrogates
        encoding = sys.stdin.encoding
        print(f"(this line is not {encoding}, so it was left out; write or save it as {encoding})")
        return
    pieces = chat.answer(question)
    try:
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
    except KeyboardInterrupt:
        print(" … (stopped)")
    except ValueError as error:
        print(f"({error})")
    finally:
        pieces.close()
