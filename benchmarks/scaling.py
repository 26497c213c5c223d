"""What training takes, against the arithmetic of ``llmlab.pretraining.plan``: memory, time, bytes.

Each case runs in processes of its own, because a process never gives its peak of memory back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from measure import Row

SMALL = {"norm": "rms", "positions": "rotary", "activation": "relu2", "qk_norm": True}
SMALL |= {"attention_bias": False, "feed_forward_bias": False}
CASES = {
    "4 layers, width 192": (
        SMALL | {"vocab_size": 2048, "context": 256, "width": 192, "n_layers": 4, "n_heads": 4},
        {"rows": 32, "steps": 4},
    ),
    "6 layers, width 384": (
        SMALL | {"vocab_size": 4096, "context": 256, "width": 384, "n_layers": 6, "n_heads": 6},
        {"rows": 16, "steps": 4},
    ),
    "GPT-2, 124M": (
        {"vocab_size": 50_257, "context": 1024, "width": 768, "n_layers": 12, "n_heads": 12},
        {"rows": 1, "steps": 2, "kind": "adamw"},
    ),
}
TOGETHER = "6 layers, width 384"


def rows() -> list[Row]:
    """Measure every case alone, and one in two processes, and compare with the arithmetic."""
    table = []
    for name in CASES:
        seen, exact = start(name), start(name, give_back=True)
        near = exact["memory"] / exact["predicted"]
        table.append(
            Row(
                what=f"memory of training, measured : predicted ({name})",
                measured=f"{exact['memory'] / 1e9:.2f} GB : {exact['predicted'] / 1e9:.2f} GB, "
                f"and {seen['memory'] / 1e9:.2f} GB with what the allocator keeps in reserve",
                target="0.75 to 1.25",
                met=0.75 <= near <= 1.25,
            )
        )
        table.append(
            Row(
                what=f"speed of training, of large matrix products' ({name})",
                measured=f"{seen['utilisation']:.0%} of {seen['matmul'] / 1e9:.0f} GFLOP/s",
            )
        )
    alone = start(TOGETHER, threads=1)
    for kind in ("ddp", "fsdp"):
        seen = start(TOGETHER, kind, threads=1)
        table.append(
            Row(
                what=f"{kind.upper()}, 2 processes of one thread: a step, against one process",
                measured=f"{seen['seconds']:.2f} s : {alone['seconds']:.2f} s, of large matrix "
                f"products' speed {seen['utilisation']:.0%} : {alone['utilisation']:.0%} of "
                f"{alone['matmul'] / 1e9:.0f} GFLOP/s",
            )
        )
        if seen["sent"]:
            near = seen["sent"] / seen["to_send"]
            table.append(
                Row(
                    what=f"{kind.upper()}: bytes a process sends in a step, measured : predicted",
                    measured=f"{seen['sent'] / 1e6:.1f} MB : {seen['to_send'] / 1e6:.1f} MB",
                    target="0.9 to 1.2",
                    met=0.9 <= near <= 1.2,
                )
            )
    return table


def start(
    name: str, kind: str = "alone", *, threads: int | None = None, give_back: bool = False
) -> dict:
    """Run one case in one process, or in two under torchrun, and give what the first measured.

    With `give_back`, memory that is freed goes back to the system at once, as far as the C
    library is GNU's: slower, but the peak is then what was really in use.
    """
    command = [__file__, name, kind]
    environment = os.environ.copy()
    if give_back:
        environment["MALLOC_MMAP_THRESHOLD_"] = "65536"
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    if kind != "alone":
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
        command = [*launcher, *command]
        environment |= {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, kind: str) -> dict | None:
    """Train for a few steps; runs in the process that `start` has started."""
    import torch

    from llmlab.model import GPT, GPTConfig
    from llmlab.pretraining import plan
    from llmlab.pretraining.machine import measured_flops
    from llmlab.train import optimizer_for, packed_batches, train
    from llmlab.train.distributed import joined_team

    sizes, run = CASES[name]
    optimiser = run.get("kind", "muon")
    config = GPTConfig(**sizes)
    n_tokens = run["rows"] * config.context
    ids = torch.randint(config.vocab_size, (4 * n_tokens,)).tolist()
    batches = packed_batches(ids, context=config.context, batch_size=run["rows"])
    matmul = measured_flops(torch.device("cpu"))
    with joined_team(torch.device("cpu")) as team:
        before = peak_memory()
        model = GPT(config)
        if kind == "fsdp":
            team.shard(model)
        optimizer = optimizer_for(model, kind=optimiser)
        times, sent, last = [], [], bytes_on_loopback()
        steps = train(model, batches, optimizer=optimizer, steps=run["steps"], team=team)
        began = time.perf_counter()
        for _ in steps:
            times.append(time.perf_counter() - began)
            sent.append(bytes_on_loopback() - last)
            last, began = last + sent[-1], time.perf_counter()
        memory = peak_memory() - before
    if team.rank:
        return None
    own = n_tokens // team.size
    fsdp = kind == "fsdp"
    to_send = plan.bytes_sent(config, team.size, fsdp=fsdp, kind=optimiser)
    if fsdp:  # gloo hands out gradients by adding up all of them everywhere, which sends them twice
        to_send += plan.FLOAT * config.n_parameters * (team.size - 1) // team.size
    predicted = plan.memory(config, own, kind=optimiser, n_processes=team.size, fsdp=fsdp)
    return {
        "memory": memory,
        "predicted": predicted.total - predicted.program,
        "matmul": matmul,
        "seconds": min(times),
        "utilisation": plan.step_flops(config, own, kind=optimiser) / min(times) / matmul,
        "sent": min(sent) / team.size,
        "to_send": to_send,
    }


def peak_memory() -> int:
    """Give the most bytes of memory this process has had so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def bytes_on_loopback() -> int:
    """Give the bytes that all processes have sent on this machine; 0 where it does not say."""
    counter = Path("/sys/class/net/lo/statistics/tx_bytes")
    return int(counter.read_text(encoding="ascii")) if counter.exists() else 0


if __name__ == "__main__":
    found = measure(*sys.argv[1:])
    if found is not None:
        print(json.dumps(found))
