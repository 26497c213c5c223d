"""How long `import llmlab` and a warm load of SmolLM2 take, and how much memory a load needs.

Each is measured in processes of their own, as they come at the start of a session.
"""

from __future__ import annotations

import json
import subprocess
import sys

from measure import Row

_IMPORT = """
import time
start = time.perf_counter()
import llmlab
print(time.perf_counter() - start)
"""

# The weights are read from the disk when they are first used, so a load counts only together with
# a first token. The peak is that of the whole process, Python and torch included.
_LOAD = """
import json, time
from llmlab.inference import generate
from llmlab.model import load_pretrained
import psutil

start = time.perf_counter()
model, tokenizer = load_pretrained("SmolLM2-135M-Instruct", device="cpu")
loaded = time.perf_counter() - start
list(generate(model, tokenizer.encode("The capital of France is"), max_new_tokens=1))
used = time.perf_counter() - start
memory = psutil.Process().memory_info()
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
except ImportError:
    peak = memory.peak_wset
print(json.dumps({"loaded": loaded, "used": used, "peak": peak}))
"""


def rows() -> list[Row]:
    """Measure three times each; times are the median."""
    imports = sorted(float(_run(_IMPORT)) for _ in range(5))[2]
    loads = sorted((json.loads(_run(_LOAD)) for _ in range(3)), key=lambda load: load["used"])
    load = loads[1]
    return [
        Row(
            what="`import llmlab`",
            measured=f"{imports:.3f} s",
            target="<= 0.1 s",
            met=imports <= 0.1,
        ),
        Row(
            what="warm load of SmolLM2",
            measured=f"{load['loaded']:.2f} s, with the first token {load['used']:.2f} s",
            target="<= 2.5 s",
            met=load["used"] <= 2.5,
        ),
        Row(
            what="peak memory of a process that loads it and generates",
            measured=f"{load['peak'] / 1e9:.2f} GB",
            target="<= 1.3 GB",
            met=load["peak"] <= 1.3e9,
        ),
    ]


def _run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout


if __name__ == "__main__":
    print(*(row.markdown() for row in rows()), sep="\n")
