"""Several processes, started by the real torchrun, against one: the same run, up to rounding."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from llmlab.train import load_checkpoint
from pretraining import team

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="PyTorch's launcher needs POSIX signals"),
]

STEPS = 12
RECIPE = f"""
[data]
corpus = "CORPUS"
vocab_size = 280
held_out = 0.2
[model]
context = 16
width = 24
n_layers = 2
n_heads = 2
norm = "rms"
positions = "rotary"
activation = "relu2"
attention_bias = false
feed_forward_bias = false
qk_norm = true
[optimizer]
weight_decay = 0.1
[schedule]
warmup = 3
[training]
batch_size = 5
steps = {STEPS}
save_every = 4
micro_batch = 2
"""


def make_folder(folder):
    """Write a small corpus and a recipe on it."""
    generator = torch.Generator().manual_seed(0)
    words = ["".join(chr(97 + int(n)) for n in torch.randint(26, (4,), generator=generator))]
    words += ["the", "king", "and", "a", "queen", "speak", "of", "war"]
    corpus = folder / "corpus"
    corpus.mkdir()
    for number in range(5):
        picks = torch.randint(len(words), (300,), generator=generator).tolist()
        text = " ".join(words[pick] for pick in picks)
        (corpus / f"{number}.txt").write_text(f"{number} {text}", encoding="utf-8")
    recipe = RECIPE.replace("CORPUS", corpus.as_posix())
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")


def torchrun(*arguments, n=2, restarts=0):
    """Start n processes on this machine alone, on a port that the system chooses."""
    loopback = {"GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(n)]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    launcher += ["--local-addr", "localhost", "--max-restarts", str(restarts)]
    root = Path(__file__).parents[2]
    return subprocess.run(
        [*launcher, *map(str, arguments)],
        env=os.environ | loopback | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def completed(run):
    assert run.returncode == 0, run.stderr[-3000:]
    return run


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A run of one process, and one that it stopped after six steps."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("processes")
    make_folder(folder)
    team.run(folder, "one.safetensors")
    team.run(folder, "one-stopped.safetensors", stop=6)
    team.Team.own_parts = team.own_parts
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="module")
def two(one):
    """Runs of two processes in the same folder: undisturbed, stopped, and going on from one's."""
    for kind in ("ddp", "fsdp"):
        unfinished = one / f"{kind}-resumed.safetensors.training"
        shutil.copy(one / "one-stopped.safetensors.training", unfinished)
    completed(torchrun(team.__file__, "all", one))
    return one


def seen(folder, name, rank=0):
    return json.loads((folder / f"{name}.safetensors.{rank}.json").read_text(encoding="utf-8"))


def assert_same_curve(steps, expected):
    assert [step[0] for step in steps] == [step[0] for step in expected]
    numbers = torch.tensor([step[1:] for step in steps], dtype=torch.float64)
    torch.testing.assert_close(
        numbers, torch.tensor([s[1:] for s in expected], dtype=torch.float64), rtol=0, atol=1e-5
    )


def assert_same_weights(path, other, *, atol=1e-4):
    # looser than the losses: what is lost in rounding is made large again by the optimisers,
    # which move weights of small gradients as far as others
    ours, theirs = (load_checkpoint(p, device="cpu").model.state_dict() for p in (path, other))
    assert list(ours) == list(theirs)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=atol)


def test_one_process_learns_something(one):
    steps = seen(one, "one")["steps"]
    assert [step[0] for step in steps] == list(range(1, STEPS + 1))
    assert steps[-1][1] < steps[0][1] - 0.1  # or equal curves would say nothing


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_have_the_curve_of_one(two, kind):
    expected = seen(two, "one")["steps"]
    for rank in (0, 1):
        assert_same_curve(seen(two, kind, rank)["steps"], expected)
    assert_same_weights(two / f"{kind}.safetensors", two / "one.safetensors")
    assert seen(two, kind)["loss"] == pytest.approx(seen(two, "one")["loss"], abs=1e-5)
    assert seen(two, kind, 1)["loss"] is None  # the first one speaks for both


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_share_the_rows_of_one_without_overlap(two, kind):
    alone = seen(two, "one")["rows"]
    shares = [seen(two, kind, rank)["rows"] for rank in (0, 1)]
    assert len(alone) == STEPS
    for rows, first, second in zip(alone, *shares, strict=True):
        assert first + second == rows
        assert abs(len(first) - len(second)) <= 1
        assert len(set(map(tuple, rows))) == len(rows)  # so no row was taken twice
    assert seen(two, kind, 0)["n_parts"] == seen(two, kind, 1)["n_parts"]


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_a_checkpoint_of_two_goes_on_in_one(two, kind):
    name = f"{kind}-stopped"
    assert [step[0] for step in seen(two, name)["steps"]] == list(range(1, 7))
    assert not (two / f"{name}.safetensors").exists()
    team.run(two, f"{name}.safetensors")
    team.Team.own_parts = team.own_parts
    assert_same_curve(seen(two, name)["steps"], seen(two, "one")["steps"][6:])
    assert_same_weights(two / f"{name}.safetensors", two / "one.safetensors")


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_a_checkpoint_of_one_goes_on_in_two(two, kind):
    name = f"{kind}-resumed"
    assert_same_curve(seen(two, name)["steps"], seen(two, "one")["steps"][6:])
    assert_same_weights(two / f"{name}.safetensors", two / "one.safetensors")


def test_nothing_is_left_beside_what_was_trained(two):
    for kind in ("ddp", "fsdp"):
        left = {path.name.removeprefix(kind) for path in two.glob(f"{kind}.*")}
        assert left == {".safetensors", ".safetensors.0.json", ".safetensors.1.json"}


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_a_worker_that_is_killed_comes_back_and_the_run_ends_as_undisturbed(two, tmp_path, kind):
    shutil.copy(two / "recipe.toml", tmp_path)
    done = completed(torchrun(team.__file__, f"kill-{kind}", tmp_path, restarts=1))
    assert (tmp_path / "died").exists()
    assert "SIGKILL" in done.stderr or "exitcode: -9" in done.stderr
    steps = seen(tmp_path, "killed")["steps"]
    assert [step[0] for step in steps] == list(range(5, STEPS + 1))  # on from the last checkpoint
    assert steps == seen(two, kind)["steps"][4:]
    assert_same_weights(tmp_path / "killed.safetensors", two / f"{kind}.safetensors", atol=0)


def test_the_command_trains_in_two_processes(one, tmp_path):
    path = tmp_path / "made.safetensors"
    options = ["--output", path, "--device", "cpu", "--steps", "4"]
    done = completed(torchrun("-m", "llmlab", "train", one / "recipe.toml", *options))
    assert done.stdout.count("loss on the held-out documents") == 1
    assert "processes   2 on cpu; each sends" in done.stdout
    assert load_checkpoint(path, device="cpu").step == 4
