import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from llmlab.cli import main
sys.modules["torch"] = None  # whoever loads it from here on fails: the setting would come too late
try:
    main(["--version"])
except SystemExit:
    print(os.environ["GOMP_SPINCOUNT"])
"""


@pytest.mark.parametrize(("chosen", "expected"), [(None, "2000"), ("77", "77")])
def test_the_command_shares_the_cores_before_torch_is_loaded(chosen, expected):
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    if chosen:
        environment["GOMP_SPINCOUNT"] = chosen
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == expected


def test_tests_and_the_kernels_of_notebooks_share_them_too():
    assert "GOMP_SPINCOUNT" in os.environ
