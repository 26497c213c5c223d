import os

import pytest

from . import toys


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, in a folder whose name has spaces and umlauts."""
    folder = tmp_path / "Übung macht Spaß"
    monkeypatch.setenv("LLMLAB_CACHE", str(folder))
    return folder


@pytest.fixture
def pip_alone(monkeypatch):
    """pip without this machine's settings, and impatient."""
    for name in list(os.environ):
        if name.startswith("PIP_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "5")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def links(tmp_path, monkeypatch, pip_alone):
    """A folder of wheels that is all that pip knows."""
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def server(pip_alone, monkeypatch):
    monkeypatch.setattr("llmlab.data.downloads.RETRY_SECONDS", 0)
    running = toys.Server()
    yield running
    running.close()
