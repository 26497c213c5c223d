"""Run a piece of JavaScript together with a widget's module: in Node.js, else in Chromium."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

VIZ = Path(__file__).resolve().parents[2] / "llmlab" / "viz"


def run_javascript(module: str, body: str):
    """What the body of an async function returns; it sees the module's exports as ``m``."""
    source = (VIZ / module).read_text("utf-8")
    if node := shutil.which("node"):
        script = (
            f"const url = 'data:text/javascript,' + encodeURIComponent({json.dumps(source)});\n"
            f"const m = await import(url);\nconst body = async () => {{ {body} }};\n"
            "process.stdout.write(JSON.stringify((await body()) ?? null));\n"
        )
        done = subprocess.run(
            [node, "--input-type=module", "-"],
            input=script,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return _run_in_chromium(source, body)


def _run_in_chromium(source: str, body: str):
    try:
        from browser.lab import HOW_TO_GET_ONE, open_chromium
    except ImportError:
        return _missing("playwright is not installed; `python -m pip install playwright`")
    with open_chromium() as browser:
        if browser is None:
            return _missing(HOW_TO_GET_ONE)
        page = browser.new_page()
        script = (
            "async (source) => {"
            " const blob = new Blob([source], { type: 'text/javascript' });"
            " const m = await import(URL.createObjectURL(blob));"
            f" const body = async () => {{ {body} }};"
            " return (await body()) ?? null; }"
        )
        return page.evaluate(script, source)


def _missing(reason: str):
    # In CI a test that does not run must not look like one that passed.
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Node.js, and {reason}")
