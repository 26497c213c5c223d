"""Run the benchmarks and write their table: ``python benchmarks [loading bpe …]``."""

from __future__ import annotations

import datetime
import sys
from importlib import import_module
from pathlib import Path

from measure import machine
from tqdm import tqdm

from llmlab.threads import share_cores

NAMES = (
    "loading",
    "bpe",
    "decoding",
    "keystroke",
    "strip",
    "explorer",
    "translation",
    "pretraining",
    "throughput",
    "scaling",
    "gpu",
)
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def main(names: list[str]) -> None:
    """Measure, print the table, and put it into the README when all benchmarks ran."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        sys.exit(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    share_cores()
    rows = []
    for name in (bar := tqdm(names or NAMES, unit=" benchmarks")):
        bar.set_postfix_str(name)
        rows += import_module(name).rows()
    lines = ["| what | measured | target | met |", "|---|---|---|---|"]
    table = "\n".join(lines + [row.markdown() for row in rows])
    table += f"\n\n{datetime.date.today().isoformat()}, {machine()}."
    print(table)
    if not names:
        before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        README.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
