import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]


def name(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement).group().lower().replace("_", "-")


def conda_requirements():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    [from_index] = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    plain = [part for part in environment["dependencies"] if isinstance(part, str)]
    return plain, [line for line in from_index if not line.startswith("-")], from_index


def test_conda_and_pip_install_the_same_requirements():
    plain, from_index, _ = conda_requirements()
    beside_pip = [requirement for requirement in NEEDED if name(requirement) != "pip"]
    assert sorted(from_index) == sorted(beside_pip)
    assert "pip" + next(r for r in NEEDED if name(r) == "pip").removeprefix("pip") in plain


def test_conda_uses_the_same_python_and_the_same_constraints():
    plain, _, from_index = conda_requirements()
    [python] = [part for part in plain if part.startswith("python")]
    assert PROJECT["requires-python"] in python
    assert "--constraint constraints.txt" in from_index
    assert "--editable ." in from_index


@pytest.mark.parametrize("requirement", NEEDED)
def test_every_requirement_has_an_exact_version_that_satisfies_it(requirement):
    from packaging.requirements import Requirement

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    pinned = {name(key): version for key, version in pinned.items()}
    if name(requirement) == "pip":  # pip does not replace itself while it runs
        assert "pip" not in pinned
        return
    assert Requirement(requirement).specifier.contains(pinned[name(requirement)])
