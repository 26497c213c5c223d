"""Files of tensors that several processes write at once."""

import multiprocessing
import os

import pytest
import torch
from filelock import FileLock

from llmlab.model import tensor_files

LITTER = f"run.safetensors.{'0' * 32}.part"


def test_what_a_killed_process_left_goes(tmp_path):
    litter = tmp_path / LITTER
    litter.mkdir()
    (litter / "tensors").touch()
    tensor_files.write(tmp_path / "run.safetensors", {"x": torch.ones(2)}, "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def test_what_a_living_process_writes_stays(tmp_path):
    workshop = tmp_path / LITTER
    workshop.mkdir()
    with FileLock(workshop / "lock"):
        (workshop / "tensors").touch()
        tensor_files.write(tmp_path / "run.safetensors", {"x": torch.ones(2)}, "{}")
        assert (workshop / "tensors").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder with a lock that is held")
def test_a_workshop_that_was_taken_for_litter_and_made_anew_stays(tmp_path, monkeypatch):
    """Its owner waits for the lock, and makes the folder anew as soon as it is let go."""
    workshop = tmp_path / LITTER
    workshop.mkdir()
    made = []

    class Lock(FileLock):
        def release(self, force=False):
            super().release(force)
            if not made:  # a lock releases itself once more when it is deleted
                made.append(workshop.mkdir())
                (workshop / "lock").touch()
                (workshop / "tensors").touch()

    monkeypatch.setattr(tensor_files, "FileLock", Lock)
    tensor_files._remove_if_abandoned(workshop)
    assert (workshop / "tensors").exists()


def test_a_workshop_that_is_gone_once_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    made = []

    class Lock(FileLock):
        def acquire(self, *given, **more):
            got = super().acquire(*given, **more)
            if not made:  # the first time
                workshop = next(tmp_path.iterdir())
                made.append(workshop)
                (workshop / "lock").unlink()
                workshop.rmdir()
            return got

    monkeypatch.setattr(tensor_files, "FileLock", Lock)
    with tensor_files._workshop(tmp_path / "run.safetensors") as workshop:
        assert workshop.is_dir()
        assert made == [path for path in made if path != workshop]
    assert list(tmp_path.iterdir()) == []


def write_often(path, number, start):
    start.wait()
    for _ in range(60):
        tensor_files.write(path, {"x": torch.full((2,), float(number))}, "{}")


@pytest.mark.slow
def test_processes_that_write_one_file_leave_each_other_alone(tmp_path):
    processes = multiprocessing.get_context("spawn")
    start = processes.Event()
    path = tmp_path / "run.safetensors"
    writers = [processes.Process(target=write_often, args=(path, n, start)) for n in range(3)]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]
