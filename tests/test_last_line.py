"""The last line of a test run, by which `make test` says what was tested."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUNS = "@pytest.mark.browser\ndef test_runs(): pass\n"
SKIPPED = "@pytest.mark.browser\ndef test_skipped(): pytest.skip('no Chromium')\n"
FAILS = "def test_fails(): assert False\n"


def last_line(folder, tests, *options):
    shutil.copy(ROOT / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = browser\n", encoding="utf-8")
    (folder / "test_some.py").write_text("import pytest\n" + tests, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("tests", "line"),
    [
        (RUNS, "everything passed"),
        (RUNS + SKIPPED, "everything passed"),
        (SKIPPED, "passed; the browser tests were skipped, for want of a Chromium"),
    ],
)
@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "shared out"])
def test_a_good_run_says_whether_the_browser_tests_ran(tmp_path, tests, line, options):
    assert last_line(tmp_path, tests, *options) == (0, line)


@pytest.mark.parametrize(("tests", "status"), [(SKIPPED + FAILS, 1), ("def test_a(): pass\n", 0)])
def test_any_other_run_ends_as_pytest_ends_it(tmp_path, tests, status):
    found, line = last_line(tmp_path, tests)
    assert found == status
    assert line.startswith("====")
