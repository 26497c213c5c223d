"""The chat in a terminal, as a person or a pipe drives it."""

import os
import re
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch

from llmlab.inference import Chat
from llmlab.model import load_pretrained, lora

TALK = "from llmlab.inference import chat; sys.exit(chat.run(temperature=0, max_new_tokens={n}))"


def test_questions_through_a_pipe_are_answered():
    questions = (
        "What is the capital of France?\n\n/new\na\x04b\nWhat is the capital of France?\n/quit\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", "import sys; " + TALK.format(n=10)],
        input=questions,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    answer, new, refusal, again = done.stdout.splitlines()
    assert "Paris" in answer
    assert new == "(a new conversation)"
    assert "no token for" in refusal
    assert again == answer  # nothing of the old conversation is left
    assert "you:" not in done.stdout


def test_a_line_that_is_no_text_does_not_end_the_chat():
    done = subprocess.run(
        [sys.executable, "-c", "import sys; " + TALK.format(n=10)],
        input=b"M\xfcnchen?\nWhat is the capital of France?\n",
        capture_output=True,
        env=os.environ | {"PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert done.returncode == 0, done.stderr.decode()
    refusal, answer = done.stdout.decode().splitlines()[:2]
    assert refusal == "(this line is not utf-8, so it was left out; write or save it as utf-8)"
    assert "Paris" in answer


def test_the_end_of_the_pipe_ends_the_chat():
    done = subprocess.run(
        [sys.executable, "-c", "import sys; " + TALK.format(n=10)], input="", text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.slow
def test_an_adapter_answers_as_it_was_trained(tmp_path):
    model, tokenizer = load_pretrained(device="cpu")
    lora.add(model, 2, ["blocks.28.feed_forward.down"])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in lora.parameters(model):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    path = tmp_path / "adapter.safetensors"
    lora.save(model, path, notes={"system": ""})
    question = "What is the capital of France?"
    options = {"temperature": 0, "max_new_tokens": 8}
    expected = "".join(Chat(model, tokenizer, system="", **options).answer(question))
    lora.remove(model)
    assert "".join(Chat(model, tokenizer, system="", **options).answer(question)) != expected
    del model

    command = [sys.executable, "-m", "llmlab", "chat", "--temperature", "0"]
    command += ["--max-new-tokens", "8", "--adapter", path]
    done = subprocess.run(
        command,
        input=f"{question}\n/quit\n",
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected + "\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [("there is none", "does not exist; give a file that lora.save wrote"), ("", "is a folder")],
)
def test_an_adapter_that_cannot_be_loaded_is_one_line(tmp_path, name, message):
    done = subprocess.run(
        [sys.executable, "-m", "llmlab", "chat", "--adapter", tmp_path / name],
        input="",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("llmlab: ")
    assert message in line


class Terminal:
    """The other end of a terminal in which a program runs."""

    def __init__(self, handle):
        self.handle = handle
        self.seen = ""

    def write(self, text):
        os.write(self.handle, text.encode())

    def wait_for(self, pattern):
        """Read until the pattern has come, and drop everything up to its end."""
        while not (found := re.search(pattern, self.seen)):
            try:
                new = os.read(self.handle, 4096)
            except OSError:  # Linux says so when the program has ended
                new = b""
            assert new, f"the program ended without {pattern!r}; it said {self.seen!r}"
            self.seen += new.decode("utf-8", errors="replace")
        self.seen = self.seen[found.end() :]
        return found


@contextmanager
def terminal(code):
    import pty

    ours, theirs = pty.openpty()
    # As its session's leader the program can take the terminal, and so gets Ctrl-C from it;
    # where the tests run in the background, it would inherit being deaf to that.
    listen = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    take = "fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    code = f"import fcntl, signal, sys, termios; {listen}; {take}; {code}"
    program = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=os.environ | {"PYTHONUTF8": "1", "TERM": "dumb"},
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(ours), program
    finally:
        program.kill()
        program.wait()
        os.close(ours)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_ctrl_c_stops_an_answer_but_not_the_chat():
    with terminal(TALK.format(n=4000)) as (screen, program):
        screen.wait_for(r"Ctrl-C stops an answer")
        screen.wait_for("you: ")
        screen.write("Write a very long story about a dragon.\n")
        screen.wait_for(r"dragon\.\r?\n")
        screen.wait_for(r"\w+ \w+ \w+")  # the story has begun
        screen.write("\x03")
        screen.wait_for(r"\(stopped\)")
        screen.wait_for("you: ")
        # At the prompt it says how to leave. Enter goes along: where Ctrl-C comes just before
        # Python begins to read, Python notices it only at the end of the line.
        screen.write("\x03\n")
        screen.wait_for(r"\(Ctrl-D or /quit ends the chat\)")
        screen.wait_for("you: ")
        screen.write("/new\n")
        screen.wait_for(r"\(a new conversation\)")
        screen.wait_for("you: ")
        screen.write("What is the capital of France?\n")
        screen.wait_for("Paris")
        screen.wait_for("you: ")
        screen.write("\x04")  # Ctrl-D on an empty line
        assert program.wait() == 0
