"""Which device is chosen, and what is said of one that is not there."""

import pytest
import torch

from llmlab.device import fast_dtype, pick_device


def pretend(monkeypatch, *, cuda=0, mps=False):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda")]
)
def test_the_best_there_is_is_chosen(monkeypatch, cuda, mps, chosen):
    pretend(monkeypatch, cuda=cuda, mps=mps)
    assert pick_device() == torch.device(chosen)


def test_what_you_ask_for_is_taken(monkeypatch):
    pretend(monkeypatch, cuda=2, mps=True)
    for name in ("cpu", "cuda", "cuda:1", "mps"):
        assert pick_device(name) == torch.device(name)
    assert pick_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("cuda", "torch finds no CUDA GPU"),
        ("cuda:0", "torch finds no CUDA GPU"),
        ("mps", "torch finds no Apple GPU"),
        ("xpu", "llmlab knows 'cpu', 'cuda' and 'mps'"),
    ],
)
def test_a_device_that_is_not_there_is_refused(monkeypatch, name, why):
    pretend(monkeypatch)
    with pytest.raises(ValueError, match=rf"device='{name}' .*\({why}\); use device='cpu', or"):
        pick_device(name)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch):
    pretend(monkeypatch, cuda=2)
    with pytest.raises(
        ValueError, match=r"device='cuda:2' .*finds 2 CUDA GPU\(s\), counted from 0"
    ):
        pick_device("cuda:2")


@pytest.mark.parametrize("name", ["warp", "gpu", "", "cuda:x"])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(
        ValueError, match=f"device='{name}' is not a device name; use 'cpu', 'cuda'"
    ):
        pick_device(name)


def test_only_a_gpu_made_for_it_trains_in_bfloat16(monkeypatch):
    assert fast_dtype(torch.device("cpu")) == torch.float32
    assert fast_dtype(torch.device("mps")) == torch.float32
    for able, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, able=able: able
        )
        assert fast_dtype(torch.device("cuda")) == dtype
