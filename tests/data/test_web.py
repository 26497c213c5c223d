"""Fetching files of the web, from a small server on this machine."""

import types

import pytest

from llmlab.data import FetchError, downloads, fetch
from llmlab.data.members import read_member

from .toys import use, web_entry

CONTENTS = {"one.txt": b"eins " * 50_000, "two.txt": b"zwei"}


@pytest.fixture
def entry(server, monkeypatch):
    made = web_entry(server.address, CONTENTS)
    server.files = {f"/{name}": content for name, content in CONTENTS.items()}
    use(monkeypatch, made)
    return made


def test_all_files_arrive_in_one_folder_once(cache, server, entry, capsys):
    folder = fetch("web-toy")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS
    assert folder == cache / "web" / "web-toy"
    assert "fetching one.txt" in capsys.readouterr().err
    assert fetch("web-toy") == folder
    assert server.asked == ["/one.txt", "/two.txt"]
    assert read_member("web-toy", "two.txt") == b"zwei"
    with pytest.raises(ValueError, match=r"'three\.txt' is not a file of 'web-toy'"):
        read_member("web-toy", "three.txt")


def test_a_broken_connection_is_tried_once_more(cache, server, entry):
    server.files["/one.txt"] = CONTENTS["one.txt"][:1000]
    server.lengths["/one.txt"] = len(CONTENTS["one.txt"])
    server.later["/one.txt"] = CONTENTS["one.txt"]
    assert (fetch("web-toy", progress=False) / "one.txt").read_bytes() == CONTENTS["one.txt"]
    assert server.asked.count("/one.txt") == 2


def test_a_connection_that_breaks_twice_says_how_far_it_came(cache, server, entry):
    server.files["/one.txt"] = CONTENTS["one.txt"][:1000]
    with pytest.raises(FetchError, match=r"ended after 1000 of 250000 bytes.*LLMLAB_CACHE"):
        fetch("web-toy", progress=False)
    assert server.asked.count("/one.txt") == 2
    assert not (cache / "web").exists()


@pytest.mark.parametrize("wrong", [b"sieb", b"zwei und mehr"])
def test_another_file_is_refused(cache, server, entry, wrong):
    server.files["/two.txt"] = wrong
    with pytest.raises(FetchError, match=r"tested with|ended after"):
        fetch("web-toy", progress=False)
    assert not (cache / "web" / "web-toy" / "two.txt").exists()
    server.files["/two.txt"] = b"zwei"
    assert (fetch("web-toy", progress=False) / "two.txt").read_bytes() == b"zwei"
    assert server.asked.count("/one.txt") == 1, "what was good is not fetched again"


def test_a_file_without_end_is_not_read_to_its_end(server, entry, tmp_path):
    server.files["/two.txt"] = b"x" * 5_000_000
    blocks = []
    bar = types.SimpleNamespace(update=blocks.append)
    assert downloads._stream(entry.web_files[1], tmp_path / "two.txt", bar) < 1_000_000
    assert sum(blocks) == (tmp_path / "two.txt").stat().st_size < 1_000_000


def test_a_missing_file_and_a_missing_server_say_so(cache, server, entry):
    server.files.clear()
    with pytest.raises(FetchError, match="the server answered 404 Not Found"):
        fetch("web-toy", progress=False)
    server.close()
    with pytest.raises(FetchError, match=r"refused.*Connect to the internet"):
        fetch("web-toy", progress=False)
