"""Every number that docs/scaling.md computes, computed again."""

from dataclasses import replace
from pathlib import Path

import pytest

import llmlab
from llmlab.model import GPTConfig
from llmlab.pretraining import PretrainingRecipe, make_plan, plan
from llmlab.pretraining.forecast import UTILISATION

DOC = Path(llmlab.__file__).parent.parent / "docs" / "scaling.md"
# name: (speed of matrix products, memory, what a process sends a second)
MACHINES = {
    "two cores": (130e9, 16e9, None),
    "RTX 4090": (165e12, 24e9, 25e9),
    "H100": (989e12, 80e9, 450e9),
    "H100, many machines": (989e12, 80e9, 50e9),
}
GPT2, LLAMA = "gpt2-124m", "llama-7b"
PLANS = {
    GPT2: [("two cores", 1, False), ("RTX 4090", 1, False), ("H100", 1, False), ("H100", 8, False)],
    LLAMA: [
        ("H100", 1, False),
        ("H100", 8, True),
        ("H100, many machines", 64, True),
        ("H100, many machines", 512, True),
    ],
}


def duration(seconds):
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:,.{0 if seconds >= 20 * length else 1}f} {unit}"
    return f"{seconds:.2g} s"


def gb(n_bytes):
    size = n_bytes / 1e9
    return f"{size:,.0f}" if size >= 100 else f"{size:.1f}"


def the_plan(name, machine, n, fsdp):
    flops, room, _ = MACHINES[machine]
    made = make_plan(
        PretrainingRecipe.load(name), device="cpu", fsdp=fsdp, processes=n, flops=flops, room=room
    )
    half = machine != "two cores"
    return replace(made, half=True, device="cuda") if half else made


def model_rows():
    for name in (GPT2, LLAMA):
        config = PretrainingRecipe.load(name).model
        n = config.n_parameters
        yield (
            f"| {name} | {n:,} | {plan.in_matrices(config):,} | "
            f"{plan.flops_per_token(config) / 1e9:.2f} GFLOPs | "
            f"{plan.flops_per_token(config) / (6 * n):.2f} | "
            f"{plan.muon_flops(config) / 1e12:,.1f} TFLOPs |"
        )


def memory_rows():
    for name in (GPT2, LLAMA):
        config = PretrainingRecipe.load(name).model
        weights = plan.FLOAT * config.n_parameters
        per_token = plan.activations_per_token(config)
        half = plan.activations_per_token(config, half=True)
        yield (
            f"| {name} | {gb(weights)} | {gb(weights)} | {gb(plan.optimizer_bytes(config))} | "
            f"{gb(plan.optimizer_bytes(config, 'adamw'))} | {per_token / 1e6:.1f} MB | "
            f"{half / 1e6:.1f} MB |"
        )


def plan_rows(name):
    for machine, n, fsdp in PLANS[name]:
        made = the_plan(name, machine, n, fsdp)
        _, room, speed = MACHINES[machine]
        needed = made.memory.total
        computing = made.step_flops / (UTILISATION * made.flops)
        sending = 0.0 if n == 1 else made.bytes_sent / speed
        sent = ("", "") if n == 1 else (f"{made.bytes_sent / 1e9:,.1f} GB", duration(sending))
        steps = made.recipe.training.steps
        whole = duration(steps * max(computing, sending)) if needed <= room else ""
        yield (
            f"| {n} × {machine.partition(',')[0]}{', FSDP' if fsdp else ''} | {gb(needed)} of "
            f"{gb(room)} GB{'' if needed <= room else ': does not fit'} | {duration(computing)} | "
            f"{sent[0]} | {sent[1]} | {whole} |"
        )


ROWS = {
    "models": model_rows,
    "memory": memory_rows,
    GPT2: lambda: plan_rows(GPT2),
    LLAMA: lambda: plan_rows(LLAMA),
}


@pytest.mark.parametrize("table", ROWS)
def test_the_computed_tables_are_computed_again(table):
    text = DOC.read_text(encoding="utf-8")
    rows = list(ROWS[table]())
    assert rows
    for row in rows:
        assert row in text, f"docs/scaling.md lacks the row {row}"


@pytest.fixture(scope="module")
def prose():
    return " ".join(DOC.read_text(encoding="utf-8").split())


def test_the_numbers_of_each_plan_are_computed_again(prose):
    flops = {}
    for name in (GPT2, LLAMA):
        recipe = PretrainingRecipe.load(name)
        made = the_plan(name, "H100", 1, False)
        flops[name] = made.tokens * plan.flops_per_token(recipe.model)
        exponent = 18 if name == GPT2 else 21
        power = "10¹⁸" if name == GPT2 else "10²¹"
        assert f"{flops[name] / 10**exponent:.1f} × {power} FLOPs in all" in prose
        assert f"{made.tokens / 1e9:.1f} billion" in prose
        assert f"{recipe.training.steps:,} steps of {recipe.training.batch_size:,} rows" in prose
        assert made.tokens == pytest.approx(20 * recipe.model.n_parameters, rel=1e-3)
    assert f"{round(flops[LLAMA] / flops[GPT2], -2):,.0f} times as many as GPT-2" in prose


def test_the_other_numbers_are_computed_again(prose):
    gpt2, llama = (PretrainingRecipe.load(name).model for name in (GPT2, LLAMA))
    step, muon = 480 * 1024 * plan.flops_per_token(gpt2), plan.muon_flops(gpt2)
    small = 8 * 256 * plan.flops_per_token(replace(gpt2, context=256))
    row = 2048 * plan.activations_per_token(llama)
    for words in (
        f"take {step / 1e12:.0f} TFLOPs, so Muon's {muon / 1e12:.1f} are nothing",
        f"16 bytes × 6.7 billion = {16 * llama.n_parameters / 1e9:.0f} GB",
        f"one row of 2,048 tokens of the Llama takes {row / 1e9:.0f} GB",
        f"{12 * gpt2.n_parameters / 1e9:.1f} GB for GPT-2 with AdamW",
        f"{12 * llama.n_parameters / 1e9:.0f} GB for the Llama",
        f"{4 * llama.n_parameters / 1e9:.0f} GB each for the Llama",
        "With 8 rows of 256 tokens a step they would be half of the whole",
        "a gigabyte takes 2 ms",
        "waiting is still most of the time",
        "not even twice as fast",
    ):
        assert words in prose
    assert muon / (muon + small) == pytest.approx(0.5, abs=0.05)
    assert plan.bytes_sent(gpt2, 8) / 450e9 == pytest.approx(2e-3, rel=0.2)
    n8, n64, n512 = (the_plan(LLAMA, *where) for where in PLANS[LLAMA][1:])
    assert n512.bytes_sent / 50e9 > 2 * n512.step_flops / UTILISATION / n512.flops
    assert n8.step_flops / UTILISATION / n8.flops < 2 * n64.bytes_sent / 50e9


SMALL = {"norm": "rms", "positions": "rotary", "activation": "relu2", "qk_norm": True}
SMALL |= {"attention_bias": False, "feed_forward_bias": False, "context": 256}


def test_what_was_measured_is_compared_with_what_is_computed(prose):
    gpt2 = PretrainingRecipe.load(GPT2).model
    width_384 = GPTConfig(vocab_size=4096, width=384, n_layers=6, n_heads=6, **SMALL)
    measured = {
        (GPTConfig(vocab_size=2048, width=192, n_layers=4, n_heads=4, **SMALL), 8192): "0.89",
        (width_384, 4096): "1.36",
        (gpt2, 1024): "2.74",
    }
    for (config, n_tokens), found in measured.items():
        needed = plan.memory(config, n_tokens, kind="adamw" if config == gpt2 else "muon")
        computed = (needed.total - needed.program) / 1e9
        assert f"| {n_tokens:,} | {computed:.2f} GB | {found} GB |" in prose
        assert 0.9 * computed < float(found) < 2 * computed
    handed_out = plan.FLOAT * width_384.n_parameters / 2  # once more than the formula says
    for kind, sent in (("DDP", 0), ("FSDP", handed_out)):
        sent += plan.bytes_sent(width_384, 2, fsdp=kind == "FSDP")
        assert f"| {sent / 1e6:.1f} MB |" in prose.partition(f"| 2, {kind} |")[2][:60]
    assert f"{4.99 / 2.96:.2f} times as fast as one, or {4.99 / 3.26:.2f} times" in prose


if __name__ == "__main__":  # prints the tables, to be pasted
    for rows in ROWS.values():
        print(*rows(), "", sep="\n")
