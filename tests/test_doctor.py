import re
import shutil
import tomllib
import types
from pathlib import Path

import pytest

from llmlab import cli, doctor
from llmlab.doctor import Finding


def one(findings, words):
    (found,) = [finding for finding in findings if words in finding.what]
    return found


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_tested_versions_are_the_projects():
    project = tomllib.loads(
        (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    wanted = {re.split("[<>=]", line)[0]: line for line in project["dependencies"]}
    for package, (lowest, above) in doctor.TESTED.items():
        line = f"{package}>={'.'.join(map(str, lowest))}"
        line += f",<{'.'.join(map(str, above))}" if above else ""
        assert wanted[package] == line
    assert project["requires-python"] == ">=3.11"


def test_an_empty_cache_is_no_failure(empty_cache):
    findings = list(doctor.examine())
    assert one(findings, "sms-spam").status == "note"
    assert one(findings, "sms-spam").fix == "llmlab fetch sms-spam brings it now"
    assert one(findings, "gpt2-124m").status == "note"
    assert one(findings, f"cache folder {empty_cache} (will be made)").status == "ok"
    assert not empty_cache.exists(), "looking changes nothing"
    assert all(finding.fix for finding in findings if finding.status == "FAIL")


def test_python_must_be_new_enough():
    assert doctor.python_version((3, 11, 0)).status == "ok"
    old = doctor.python_version((3, 10, 12))
    assert (old.status, old.what) == ("FAIL", "Python 3.10.12 is older than 3.11")
    assert "3.11 or newer" in old.fix


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("2.8.1", "FAIL"),
        ("2.9", "ok"),
        ("2.13.0+cpu", "ok"),
        ("2.14.0", "note"),
        ("10.0.0", "note"),
    ],
)
def test_versions_are_judged_by_the_tested_range(monkeypatch, written, status):
    monkeypatch.setattr(doctor, "version", lambda package: written)
    found = doctor.package_version("torch")
    assert found.status == status
    assert written in found.what
    assert ("torch>=2.9,<2.14" in found.fix) == (status != "ok")


def test_a_missing_package_and_a_broken_torch(monkeypatch):
    def broken(name):
        raise OSError("libtorch is missing")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    assert "libtorch is missing" in doctor.torch_package().what
    assert doctor.torch_package().status == doctor.device().status == "FAIL"

    def absent(package):
        raise doctor.PackageNotFoundError(package)

    monkeypatch.setattr(doctor, "version", absent)
    found = doctor.package_version("jupyterlab")
    assert (found.status, found.what) == ("FAIL", "jupyterlab is not installed")
    assert 'pip install "jupyterlab>=4.4,<5"' in found.fix
    assert doctor.torch_package().what == "torch is not installed"


def test_the_device_is_named():
    found = doctor.device()
    assert found.status == "ok"
    assert re.match(r"device: (cpu|mps|cuda), ", found.what)


def test_pip_that_does_not_run(monkeypatch):
    assert doctor.pip_command().status == "ok"
    failed = types.SimpleNamespace(returncode=1)
    monkeypatch.setattr(doctor.subprocess, "run", lambda *a, **k: failed)
    assert doctor.pip_command().fix == "python -m ensurepip --upgrade"


def test_a_cache_that_is_a_file_or_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "file"))
    assert doctor.cache_folder().status == "FAIL"
    assert "is a file" in doctor.cache_folder().what

    def refuse(**settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "folder"))
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    found = doctor.cache_folder()
    assert found.status == "FAIL"
    assert "Permission denied" in found.what
    assert "LLMLAB_CACHE" in found.fix
    monkeypatch.setattr(doctor, "state", lambda entry: "here")
    assert doctor.cache_folder().status == "note", "a complete cache need not be written"


def test_a_damaged_entry_fails(empty_cache):
    wheel = doctor.catalog()["sms-spam"].wheel
    (empty_cache / "wheels").mkdir(parents=True)
    (empty_cache / "wheels" / wheel.filename).write_bytes(b"x" * wheel.size)
    found = one(doctor.cached_entries(), "sms-spam")
    assert (found.status, found.fix) == ("FAIL", "llmlab fetch sms-spam")


@pytest.mark.parametrize(
    ("free", "status"), [(100_000_000, "FAIL"), (600_000_000, "note"), (10**11, "ok")]
)
def test_disk_space_is_judged_by_what_is_missing(empty_cache, monkeypatch, free, status):
    usage = shutil.disk_usage(empty_cache.parent)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert doctor.disk().status == status
    assert ("LLMLAB_CACHE" in doctor.disk().fix) == (status != "ok")


def test_the_command_prints_a_line_and_a_fix_each(monkeypatch, capsys):
    good = Finding(status="ok", what="fine")
    bad = Finding(status="FAIL", what="broken", fix="mend it")
    monkeypatch.setattr(doctor, "examine", lambda: iter([good, bad]))
    assert cli.main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert printed == "ok    fine\nFAIL  broken\n      -> mend it\n\n1 to repair\n"
    monkeypatch.setattr(doctor, "examine", lambda: iter([good]))
    assert cli.main(["doctor"]) == 0
    assert "Everything llmlab needs is here" in capsys.readouterr().out
