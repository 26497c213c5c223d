"""Reader: what was read before is not read again, and changes no score."""

import copy
import threading

import pytest
import torch

from llmlab.inference import Chat, Reader, generate


def scores(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]))[0, -1]


@pytest.fixture
def counted(tiny, monkeypatch):
    """The tiny model, counting the tokens it has to read."""
    read = []
    whole = tiny.hidden_states

    def hidden_states(ids_BT, **options):
        read.append(ids_BT.shape[1])
        return whole(ids_BT, **options)

    monkeypatch.setattr(tiny, "hidden_states", hidden_states)
    return tiny, read


def test_a_text_that_goes_on_is_read_once(counted):
    model, read = counted
    reader = Reader(model)
    for length in (5, 6, 9, 9):
        torch.testing.assert_close(
            reader.last_logits(list(range(length))), scores(model, list(range(length)))
        )
    assert read[::2] == [5, 1, 3, 1]


def test_generating_with_a_reader_gives_the_same_text_and_reads_less(counted):
    model, read = counted
    plain = list(generate(model, [1, 2, 3, 4, 5], max_new_tokens=6, temperature=0))
    reader = Reader(model)
    reader.last_logits([1, 2, 3, 4])
    read.clear()
    assert (
        list(generate(model, [1, 2, 3, 4, 5], max_new_tokens=6, temperature=0, reader=reader))
        == plain
    )
    assert read == [1] * 6


def test_after_an_interruption_the_scores_are_right_again(tiny, monkeypatch):
    reader = Reader(tiny)
    reader.last_logits([1, 2, 3])

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tiny.blocks[1], "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            reader.last_logits([1, 2, 4, 5])
    for ids in ([1, 2, 4, 5, 6], [1, 2, 3, 9]):
        torch.testing.assert_close(reader.last_logits(ids), scores(tiny, ids))


def test_training_is_noticed(tiny):
    model = copy.deepcopy(tiny)
    reader = Reader(model)
    reader.last_logits([1, 2, 3])
    with torch.no_grad():
        model.blocks[0].attention.key.weight.add_(0.5)  # in place, as optimizers do it
    torch.testing.assert_close(reader.last_logits([1, 2, 3, 4]), scores(model, [1, 2, 3, 4]))
    state = {name: tensor * 1.5 for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, assign=True)  # by other tensors, as loading may do it
    torch.testing.assert_close(reader.last_logits([1, 2, 3, 5]), scores(model, [1, 2, 3, 5]))


def test_a_reader_of_another_model_is_refused(tiny):
    with pytest.raises(ValueError, match="another model"):
        generate(tiny, [1], reader=Reader(copy.deepcopy(tiny)))


def test_nothing_cannot_be_read(tiny):
    with pytest.raises(ValueError, match="at least one"):
        Reader(tiny).last_logits([])


def test_threads_do_not_disturb_each_other(tiny):
    reader, wrong = Reader(tiny), []

    def ask(ids):
        expected = scores(tiny, ids)
        for _ in range(30):
            if not torch.allclose(reader.last_logits(ids), expected, atol=1e-4):
                wrong.append(ids)

    threads = [threading.Thread(target=ask, args=([n, n + 1, 3, n + 7],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_chat_answers_as_if_it_read_everything_again(smollm2):
    model, tokenizer = smollm2
    remembering, forgetful = (
        Chat(model, tokenizer, temperature=0, max_new_tokens=8) for _ in range(2)
    )
    for question in ("What is the capital of Peru?", "And of France?"):
        expected = "".join(forgetful.answer(question))
        assert "".join(remembering.answer(question)) == expected
        forgetful._reader = Reader(model)
