import errno
from pathlib import Path

import platformdirs
import pytest

from llmlab.data.cache import FetchError, cache_dir, exclusive, explained, human_size, require_space


def test_the_variable_is_read_on_every_call(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "a b"))
    assert cache_dir() == tmp_path / "a b"
    monkeypatch.setenv("LLMLAB_CACHE", "~/here")
    assert cache_dir() == Path.home() / "here"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMLAB_CACHE", "relative")
    assert cache_dir() == tmp_path / "relative"


def test_the_home_folder_of_nobody_is_refused(monkeypatch):
    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)  # Windows guesses a folder for any name
    monkeypatch.setenv("LLMLAB_CACHE", "~nosuchuser/x")
    with pytest.raises(FetchError, match=r"'~nosuchuser/x' begins with .* set the environment"):
        cache_dir()


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_it_the_users_cache_folder_is_used(monkeypatch, value):
    monkeypatch.delenv("LLMLAB_CACHE", raising=False)
    if value is not None:
        monkeypatch.setenv("LLMLAB_CACHE", value)
    assert cache_dir() == Path(platformdirs.user_cache_dir("llmlab", appauthor=False))


@pytest.mark.parametrize(
    ("size", "words"),
    [(196_000, "0.2 MB"), (92_871_040, "93 MB"), (548_105_171, "548 MB"), (82e9, "82 GB")],
)
def test_sizes_for_people(size, words):
    assert human_size(size) == words


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "The disk is full: 0.5 MB are needed"),
        (errno.EROFS, "cannot be written"),
        (errno.EACCES, "cannot be written"),
        (errno.EIO, "gave an error"),
    ],
)
def test_errors_of_the_disk_say_how_to_go_on(cache, code, words):
    with pytest.raises(FetchError, match="LLMLAB_CACHE") as told, explained(needed=500_000):
        raise OSError(code, "as the system says it")
    assert words in str(told.value)
    assert str(cache) in str(told.value)


def test_space_is_judged_before_the_cache_exists(cache):
    require_space(1)
    with pytest.raises(FetchError, match="The disk is full"):
        require_space(1 << 60)
    assert not cache.exists()


def test_the_working_folder_is_fresh_and_goes_away(cache):
    left = cache / "partial" / "it" / "of-a-killed-run"
    left.mkdir(parents=True)
    with exclusive("it") as work:
        assert list(work.iterdir()) == []
        assert not left.exists()
        assert work.is_relative_to(cache)
    assert not (cache / "partial" / "it").exists()
    with pytest.raises(KeyboardInterrupt), exclusive("it"):
        raise KeyboardInterrupt
    assert not (cache / "partial" / "it").exists()
    with exclusive("it"):
        pass  # the lock was given back
