"""Train a tiny model that is killed again and again, in a process of its own.

Children are forked from this process, which has imported everything and computed nothing yet, so
that being started again costs milliseconds. Run as a script: its last line says, as JSON, how
many children were killed and whether the run came out as an undisturbed one.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save

from llmlab.model import GPT, GPTConfig, Translator, TranslatorConfig, tensor_files
from llmlab.train import (
    cross_entropy,
    load_checkpoint,
    optimizer_for,
    packed_batches,
    pair_batches,
    save_checkpoint,
    schedules,
    train,
)

N_KILLS = 20
MOST_AT_ONCE = 4
# more than all killed children together can do, so that each of them is killed in the middle
STEPS = N_KILLS * MOST_AT_ONCE + 5
EVERY = 2
WRITING = ("write", "_flush", "_unfinished", "_workshop", "_remove_if_abandoned")

SIZES = {"vocab_size": 30, "context": 16, "width": 16, "n_heads": 2}


def new_model(kind):
    if kind == "gpt":
        return GPT(GPTConfig(**SIZES, n_layers=2))
    layers = {"n_encoder_layers": 1, "n_decoder_layers": 1, "dropout": 0.2}
    return Translator(TranslatorConfig(**SIZES, **layers, pad_id=0, start_id=1, end_id=2))


def new_batches(kind):
    draw = random.Random(0)
    texts = [[draw.randint(3, 29) for _ in range(draw.randint(1, 8))] for _ in range(70)]
    if kind == "gpt":
        return packed_batches(texts, context=12, batch_size=4, seed=5)
    pairs = [(text, text[::-1]) for text in texts]
    return pair_batches(pairs, batch_size=4, pad_id=0, start_id=1, end_id=2, seed=5)


def loss_with_dropout(model, batch):
    """The loss of a GPT, with dropout, of which it has none itself."""
    hidden_BTC = F.dropout(model.hidden_states(*batch.inputs), 0.2, training=model.training)
    return cross_entropy(model.head(hidden_BTC), batch.targets_BT, reduction="sum")


def run(path, kind, *, before_each_step=lambda: None, every=EVERY, steps=STEPS):
    """Begin to train, or go on from the checkpoint at `path`."""
    torch.manual_seed(7)
    saved = load_checkpoint(path, device="cpu") if path.exists() else None
    model = new_model(kind) if saved is None else saved.model
    optimizer, batches = optimizer_for(model), new_batches(kind)
    schedule, start = schedules.cosine(STEPS, warmup=10), 0
    if saved is not None:
        torch.manual_seed(os.getpid())  # whatever it is now, the saved state is what counts
        saved.restore(optimizer=optimizer, batches=batches)
        schedule, start = saved.schedule, saved.step
    loss = loss_with_dropout if kind == "gpt" else None
    options = {"optimizer": optimizer, "schedule": schedule, "loss": loss}
    before_each_step()
    for step in train(model, batches, steps=steps, start=start, **options):
        if step.number % every == 0 or step.number == steps:
            state = {"optimizer": optimizer, "schedule": schedule, "batches": batches}
            save_checkpoint(path, model, **state, step=step.number, extra={"of": kind})
        before_each_step()


def fork(function):
    """Run a function in a child; it ends without leaving through the code above it."""
    child = os.fork()
    if child:
        return child
    try:
        function()
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def end_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_again_and_again(path, kind, draw, seconds):
    """Give each child leave for a few steps, and kill it at some moment during the last of them.

    A step, its saving included, takes about so many `seconds`. How long it really takes decides
    where the kill hits, and nothing else.
    """
    ends = []
    for _ in range(N_KILLS):
        leave, give = os.pipe()
        begun, tell = os.pipe()

        def life(leave=leave, tell=tell):
            def before_each_step():
                os.read(leave, 1)
                os.write(tell, b".")

            run(path, kind, before_each_step=before_each_step)

        child = fork(life)
        os.close(leave)
        os.close(tell)
        n_steps = draw.randint(0, MOST_AT_ONCE)  # with none it dies while it starts or waits
        os.write(give, b"." * n_steps)
        n_begun = 0
        while n_begun < n_steps and os.read(begun, 1):
            n_begun += 1
        time.sleep(draw.uniform(0, 2 * seconds))
        os.kill(child, signal.SIGKILL)
        ends.append([end_of(child), n_begun == n_steps])
        os.close(give)
        os.close(begun)
    return ends


def killed_at_every_line(path, other):
    """Kill a child at each line of the writing in turn; say what was left each time.

    The checkpoint at `path` is to be replaced by one of another step. For each line: how the
    child ended, which of the two checkpoints is there, and what lies beside it.
    """
    found = []
    n_lines = 0
    while not found or found[-1][0] != 0:
        n_lines += 1
        path.write_bytes(other.read_bytes())
        saved = load_checkpoint(path, device="cpu")
        child = fork(lambda n=n_lines, saved=saved: save_and_die(path, saved.model, n))
        end = end_of(child)
        step = load_checkpoint(path, device="cpu").step
        litter = len(list(path.parent.glob("*.part")))
        # the next save must work, whatever is lying about, and tidy up
        save_checkpoint(path, saved.model, step=3)
        names = sorted(p.name for p in path.parent.iterdir())
        found.append([end, step, litter, names, load_checkpoint(path, device="cpu").step])
    return found


def save_and_die(path, model, n_lines):
    left = n_lines

    def watch(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename != tensor_files.__file__:
            return None
        if frame.f_code.co_name not in WRITING:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return watch

    sys.settrace(watch)
    save_checkpoint(path, model, step=2)


def killed_within_the_file(path, other):
    """Kill a child when it has written a share of the file, or let the system kill it."""
    import resource

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    def dying(share):
        def save_file(tensors, file, metadata):
            content = save(tensors, metadata=metadata)
            file.write_bytes(content[: int(share * len(content))])
            os.kill(os.getpid(), signal.SIGKILL)

        return lambda: setattr(tensor_files, "save_file", save_file)

    found = []
    for prepare in (limited, *map(dying, (0, 0.001, 0.5, 0.999, 1))):
        path.write_bytes(other.read_bytes())
        model = load_checkpoint(path, device="cpu").model

        def life(prepare=prepare, model=model):
            prepare()
            save_checkpoint(path, model, step=1)

        end = end_of(fork(life))
        intact = path.read_bytes() == other.read_bytes()
        litter = [p.stat().st_size for part in path.parent.glob("*.part") for p in part.iterdir()]
        save_checkpoint(path, model, step=1)
        found.append([end, intact, max(litter), len(list(path.parent.iterdir()))])
    return found


def main(kind, folder):
    torch.set_num_threads(1)
    folder = Path(folder)
    for name in ("killed", "whole", "line", "within"):
        (folder / name).mkdir()
    paths = [folder / name / "run.safetensors" for name in ("killed", "whole", "line", "within")]
    report = {}
    if kind in ("gpt", "translator"):
        began = time.perf_counter()
        report["undisturbed"] = end_of(fork(lambda: run(paths[1], kind)))
        seconds = (time.perf_counter() - began) / STEPS
        # another seed each time: the moments differ, and the verdict must not
        seed = random.SystemRandom().randrange(10**6)
        draw = random.Random(seed)
        report |= {"seed": seed, "ends": killed_again_and_again(paths[0], kind, draw, seconds)}
        report["finished"] = end_of(fork(lambda: run(paths[0], kind)))
    else:
        other = folder / "other.safetensors"
        save_checkpoint(other, new_model("gpt"), step=1)
        report["lines"] = killed_at_every_line(paths[2], other)
        report["within"] = killed_within_the_file(paths[3], other)
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
