"""How fast a step of training is, and how much memory it takes, against other libraries.

GPT-2's architecture in llmlab, in transformers and in the llms-from-scratch package, in float32 on
the CPU (`sides.py`). Each side lives in a process of its own, all wait while one of them takes a
few steps, and they take turns; beside them a matrix product of the machine's best shape does.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from contextlib import ExitStack

import psutil
import torch
from measure import Row, best_seconds, seconds
from sides import HUGGING_FACE, OURS, SCRATCH, SCRATCH_FAST, Trainer, available, step_flops

from llmlab.model import GPTConfig

SMALL, LARGE = 4_096, 50_257  # vocabularies: that of a small model, GPT-2's
BATCH_SIZE = 8
ROUNDS = 7
BETTER_THAN = {HUGGING_FACE: 1.10, SCRATCH: 1.30}  # at the small vocabulary
BETTER_THAN_ALL = 1.5  # at the large one


def config(vocab_size: int) -> GPTConfig:
    """Give the sizes that are measured."""
    return GPTConfig(vocab_size=vocab_size, context=256, width=384, n_layers=6, n_heads=6)


def rows(rounds: int = ROUNDS) -> list[Row]:
    """Measure all sides at both vocabularies."""
    return [*_small(*measured(SMALL, rounds)), *_large(*measured(LARGE, rounds))]


def measured(vocab_size: int, rounds: int) -> tuple[dict[str, float], dict[str, int], float]:
    """Give each side's seconds a step (medians), its memory, and the machine's best FLOP/s."""
    size = 2048
    left, right = torch.randn(size, size), torch.randn(size, size)
    peak = 0.0
    times: dict[str, list[float]] = {side: [] for side in available()}
    with ExitStack() as stack:
        sides = {side: stack.enter_context(Side(side, vocab_size)) for side in times}
        for _ in range(rounds):
            for name, side in sides.items():
                times[name].append(side.seconds_a_step())
            quickest = best_seconds(lambda: left @ right, repeats=5)
            peak = max(peak, 2 * size**3 / quickest)
        memory = {name: side.memory() for name, side in sides.items()}
    return {name: statistics.median(found) for name, found in times.items()}, memory, peak


class Side:
    """One library at work in a process of its own; it does nothing until it is asked."""

    def __init__(self, name: str, vocab_size: int):
        self._process = subprocess.Popen(
            [sys.executable, __file__, "side", name, str(vocab_size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *error) -> None:
        self._process.stdin.close()
        self._process.wait()

    def seconds_a_step(self) -> float:
        """Have it take a few steps; the shortest of them counts."""
        return self._ask("step")

    def memory(self) -> int:
        """Say by how many bytes the process grew at most, from before its model was there."""
        return int(self._ask("memory"))

    def _ask(self, what: str) -> float:
        print(what, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("a side of the comparison ended early; its error stands above")
        return json.loads(answer)


def serve(name: str, vocab_size: int) -> None:
    """Be a `Side`: do what is asked for until nobody asks any more."""
    available()
    if name == HUGGING_FACE:
        import transformers.models.gpt2.modeling_gpt2  # noqa: F401, so that memory is the model's
    before = psutil.Process().memory_info().rss
    trainer = Trainer(name, config(vocab_size), batch_size=BATCH_SIZE)
    trainer.step()
    for line in sys.stdin:
        if line.strip() == "memory":
            answer = _peak() - before
        else:
            answer = min(seconds(trainer.step) for _ in range(2))
        print(json.dumps(answer), flush=True)


def _peak() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process().memory_info().peak_wset
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else kilobytes * 1024


def _small(times: dict[str, float], memory: dict[str, int], peak: float) -> list[Row]:
    tokens = BATCH_SIZE * config(SMALL).context
    speed = step_flops(config(SMALL), batch_size=BATCH_SIZE) / times[OURS]
    found = []
    for name, least in BETTER_THAN.items():
        what = f"a training step, vocabulary {SMALL:,}, float32, against {name}"
        if name not in times:
            found.append(Row(what=what, measured="not installed", target=f">= {least:.2f} times"))
            continue
        ratio = times[name] / times[OURS]
        more = ""
        if name == SCRATCH:
            more = f"; its `GPTModelFast` {times[SCRATCH_FAST] / times[OURS]:.2f} times"
        found.append(
            Row(
                what=what,
                measured=f"{ratio:.2f} times ({tokens / times[OURS]:,.0f} against "
                f"{tokens / times[name]:,.0f} tokens/s{more})",
                target=f">= {least:.2f} times",
                met=ratio >= least,
            )
        )
    share = Row(
        what="the same, as a share of what the machine can multiply",
        measured=f"{100 * speed / peak:.0f} % ({speed / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s)",
    )
    return [*found, share]


def _large(times: dict[str, float], memory: dict[str, int], peak: float) -> list[Row]:
    others = {name: time for name, time in times.items() if name != OURS}
    best = min(others, key=others.get)
    least = min(memory[name] for name in others)
    speed = step_flops(config(LARGE), batch_size=BATCH_SIZE) / times[OURS]
    rates = ", ".join(
        f"{name} {time / times[OURS]:.2f} times with {memory[name] / 1e9:.2f} GB"
        for name, time in others.items()
    )
    return [
        Row(
            what=f"a training step, vocabulary {LARGE:,}, float32, against the best other",
            measured=f"{others[best] / times[OURS]:.2f} times ({rates}; ours takes "
            f"{memory[OURS] / 1e9:.2f} GB)",
            target=f">= {BETTER_THAN_ALL} times, with less memory",
            met=others[best] >= BETTER_THAN_ALL * times[OURS] and memory[OURS] < least,
        ),
        Row(
            what="the same, as a share of what the machine can multiply",
            measured=f"{100 * speed / peak:.0f} % ({speed / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s)",
        ),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["side"]:
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        print(*(row.markdown() for row in rows()), sep="\n")
