"""The references against other libraries, closed forms and plain searches: are they right?"""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch.nn.functional import (
    cosine_similarity,
    cross_entropy,
    logsigmoid,
    scaled_dot_product_attention,
)
from torch.nn.utils.rnn import pad_sequence

from llmlab.exercises import attention, embeddings, tokens, translation
from llmlab.exercises.checking import judge
from llmlab.exercises.shelf import NOTEBOOKS, exercises, find
from llmlab.text.bpe import learn_merges, merge
from llmlab.train.batches import pair_batches


@pytest.fixture(params=[(seed, size) for seed in range(5) for size in range(1, 9)], ids=str)
def drawn(request):
    """Draw the random input of an exercise."""
    seed, size = request.param
    return lambda exercise: exercise.draw(np.random.default_rng(seed), size)


def test_most_frequent_pair_is_the_first_that_training_merges(drawn):
    (pieces,) = drawn(tokens.most_frequent_pair)
    learned = next(iter(learn_merges(Counter(bytes(piece) for piece in pieces), 1)))
    assert tokens.my_most_frequent_pair(pieces) == learned


def test_apply_merge_is_the_merge_of_the_trainer(drawn):
    ids, pair, new_id = drawn(tokens.apply_merge)
    assert tokens.my_apply_merge(ids, pair, new_id) == merge(ids, pair, new_id)


def test_encode_is_replacing_in_a_string(drawn):
    text, merges = drawn(tokens.encode)
    signs = text.encode("utf-8").decode("latin-1")
    for number, (left, right) in enumerate(merges):
        signs = signs.replace(chr(left) + chr(right), chr(256 + number))
    assert tokens.my_encode(text, merges) == [ord(sign) for sign in signs]


def test_round_trip_holds_for_good_tokenizers_only(drawn):
    tokenizer, text = drawn(tokens.round_trip)
    broken = list(tokenizer.decode(tokenizer.encode(text))) != list(text)
    assert tokens.my_round_trip(tokenizer, text) is not broken


def test_tokens_per_word_times_words_is_the_number_of_tokens(drawn):
    tokenizer, text = drawn(tokens.tokens_per_word)
    n_words = len(text.split())
    n_tokens = len(tokenizer.encode(text)) if n_words else 0
    assert tokens.my_tokens_per_word(tokenizer, text) * n_words == pytest.approx(n_tokens)


def test_cosine_against_torch(drawn):
    a, b = drawn(embeddings.cosine)
    theirs = cosine_similarity(torch.tensor(a), torch.tensor(b), dim=0).item()
    assert embeddings.my_cosine(a, b) == pytest.approx(theirs)


def angle(a, b):
    """Between two vectors; the larger the cosine, the smaller it is."""
    cosine = cosine_similarity(torch.tensor(a), torch.tensor(b), dim=0).item()
    return math.acos(max(-1.0, min(1.0, cosine)))


def test_nearest_by_sorting_angles(drawn):
    query, words, vectors, k = drawn(embeddings.nearest)
    wanted = vectors[words.index(query)]
    angles = {w: angle(v, wanted) for w, v in zip(words, vectors, strict=True) if w != query}
    assert embeddings.my_nearest(query, words, vectors, k) == sorted(angles, key=angles.get)[:k]


def test_analogy_by_the_smallest_angle(drawn):
    a, b, c, words, vectors = drawn(embeddings.analogy)
    row = dict(zip(words, vectors, strict=True))
    target = row[b] - row[a] + row[c]
    angles = {w: angle(v, target) for w, v in row.items() if w not in (a, b, c)}
    assert embeddings.my_analogy(a, b, c, words, vectors) == min(angles, key=angles.get)


def test_pairs_are_all_places_that_are_near(drawn):
    words, window = drawn(embeddings.pairs)
    n = len(words)
    near = [(i, j) for i in range(n) for j in range(n) if i != j and abs(i - j) <= window]
    assert embeddings.my_pairs(words, window) == [(words[i], words[j]) for i, j in near]


def test_negative_sampling_against_autograd(drawn):
    word, context, noise = (torch.tensor(value) for value in drawn(embeddings.negative_sampling))
    word.requires_grad_()
    theirs = -logsigmoid(word @ context) - logsigmoid(-(noise @ word)).sum()
    theirs.backward()
    arrays = (value.detach().numpy() for value in (word, context, noise))
    loss, gradient = embeddings.my_negative_sampling(*arrays)
    assert loss == pytest.approx(theirs.item())
    assert gradient == pytest.approx(word.grad.numpy())


def test_sinusoidal_number_by_number(drawn):
    n_positions, width = drawn(embeddings.sinusoidal)
    table = embeddings.my_sinusoidal(n_positions, width)
    for p in range(n_positions):
        for column in range(width):
            wave = math.cos if column % 2 else math.sin
            expected = wave(p / 10_000 ** ((column - column % 2) / width))
            assert table[p, column] == pytest.approx(expected)


def test_scores_number_by_number(drawn):
    q, k = drawn(attention.scores)
    table = [[sum(a * b for a, b in zip(query, key, strict=True)) for key in k] for query in q]
    assert attention.my_scores(q, k).tolist() == table


def test_scaled_scores_are_those_of_pytorch_s_attention(drawn):
    q, k = drawn(attention.scale)
    weights = scaled_dot_product_attention(q, k, torch.eye(len(k)))  # mixes the rows of eye
    ours = attention.my_scaled_scores(q, k).numpy()
    assert softmax(ours, axis=-1) == pytest.approx(weights.numpy(), abs=1e-6)
    assert ours * math.sqrt(q.shape[1]) == pytest.approx((q @ k.T).numpy())


def test_weights_against_scipy(drawn):
    (scores,) = drawn(attention.softmax)
    theirs = softmax(scores.numpy().astype(float), axis=-1)
    assert attention.my_weights(scores).numpy() == pytest.approx(theirs, abs=1e-6)


@pytest.fixture
def inputs_of_masks(drawn):
    return [*attention.masks.fixed, drawn(attention.masks)]


def may_look(real, query, key):
    """The rule of the exercise, for one text."""
    return key == query or (key < query and bool(real[key]))


def test_masked_weights_query_by_query(inputs_of_masks):
    for scores, real in inputs_of_masks:
        given = attention.my_masked_weights(scores, real)
        for text, query in np.ndindex(*real.shape):
            keys = [key for key in range(real.shape[1]) if may_look(real[text], query, key)]
            wanted = np.zeros(real.shape[1])
            wanted[keys] = softmax(scores[text, query, keys].numpy().astype(float))
            assert given[text, query].numpy() == pytest.approx(wanted, abs=1e-6)


def test_what_is_hidden_does_not_move_the_masked_weights(inputs_of_masks):
    for scores, real in inputs_of_masks:
        other = scores.clone()
        for text, query, key in np.ndindex(*scores.shape):
            if not may_look(real[text], query, key):
                other[text, query, key] = 1000 * (key + 1)
        right, moved = (attention.my_masked_weights(each, real) for each in (scores, other))
        assert torch.equal(right, moved)


def test_the_inputs_of_masks_change_the_future_and_the_padding_alone():
    """So that the law about hidden scores has what it compares."""
    for seed in range(20):
        scores, real = attention.padded_texts(np.random.default_rng(seed), 6)
        assert torch.equal(real[0], real[1])
        assert torch.equal(real[0], real[2])
        later = (scores[0] != scores[1]).nonzero().tolist()
        padding = (scores[0] != scores[2]).nonzero().tolist()
        assert later
        assert all(key > query for query, key in later)
        assert all(key < query and not real[0, key] for query, key in padding)
        assert bool(padding) == (not real[0, :-1].all())  # at the very end nobody could see it


def test_merge_heads_number_by_number(drawn):
    (x,) = drawn(attention.merge_heads)
    merged = attention.my_merge_heads(x)
    assert merged.shape == (x.shape[0], x.shape[2], x.shape[1] * x.shape[3])
    for text, head, token, place in np.ndindex(*x.shape):
        assert merged[text, token, head * x.shape[3] + place] == x[text, head, token, place]


@pytest.mark.parametrize("n", [2, 3, 10, 70])
def test_previous_token_in_pytorch_s_attention(n):
    q, k = attention.my_previous_token(n)
    weights = scaled_dot_product_attention(q, k, torch.eye(n), is_causal=True)
    assert weights[0, 0] == 1
    assert weights.diagonal(-1).min() > 0.99


def test_shift_is_what_the_batches_of_training_hold(drawn):
    target, start_id, end_id = drawn(translation.shift)
    target = target or [7]  # an empty text is no pair
    pairs = [([5], target)]
    batches = pair_batches(pairs, batch_size=1, pad_id=99, start_id=start_id, end_id=end_id)
    batch = next(batches)
    reads, answers = translation.my_shift(target, start_id, end_id)
    assert [reads] == batch.inputs[1].tolist()
    assert [answers] == batch.targets_BT.tolist()


def test_each_answer_is_read_next(drawn):
    target, start_id, end_id = drawn(translation.shift)
    reads, answers = translation.my_shift(target, start_id, end_id)
    assert [*reads, end_id] == [start_id, *answers]


def test_padding_against_torch(drawn):
    sentences, pad_id, n_queries = drawn(translation.padding_mask)
    source, visible = translation.my_padding_mask(sentences, pad_id, n_queries)
    rows = [torch.tensor(ids) for ids in sentences]
    theirs = pad_sequence(rows, batch_first=True, padding_value=pad_id)
    assert torch.equal(source, theirs)
    assert visible.dtype == torch.bool
    assert visible.shape == (len(sentences), n_queries, theirs.shape[1])
    for text, query, key in np.ndindex(*visible.shape):
        assert bool(visible[text, query, key]) == (key < len(sentences[text]))


def test_greedy_step_by_sorting_the_tokens(drawn):
    model, source, written, start_id = drawn(translation.greedy_step)
    *_, last = model(torch.tensor([source]), torch.tensor([[start_id, *written]]))[0].tolist()
    ranked = sorted(range(model.n_tokens), key=last.__getitem__)
    assert translation.my_greedy_step(model, source, written, start_id) == ranked[-1]


def all_sentences(lattice, words=(), log_p=0.0):
    """Every sentence of a lattice with the logarithm of its probability."""
    if words[-1:] == ("<end>",):
        return {words: log_p}
    return {
        sentence: found
        for word, p in lattice[words].items()
        for sentence, found in all_sentences(lattice, (*words, word), log_p + math.log(p)).items()
    }


def by_ranks(lattice, n):
    """Beam search the other way round: cut all sentences to a length, rank the beginnings."""
    alive = every = all_sentences(lattice)
    for length in range(1, 1 + max(map(len, every))):
        ranks = Counter()  # a beginning's probability is the sum of those of its sentences
        for words in alive:
            start = words[:length]
            same = [log_p for other, log_p in every.items() if other[:length] == start]
            ranks[start] = float(np.logaddexp.reduce(same))
        kept = {start for start, _ in ranks.most_common(n)}
        alive = {words: log_p for words, log_p in alive.items() if words[:length] in kept}
    best = max(alive, key=alive.get)
    return best, math.exp(alive[best])


@pytest.mark.parametrize("n", [1, 2, 3, 1000])
def test_beam_search_against_ranks_of_all_sentences(drawn, n):
    for lattice, _ in [*translation.beam.fixed, drawn(translation.beam)]:
        words, p = by_ranks(lattice, n)
        given, probability = translation.my_beam_search(lattice, n)
        assert given == words
        assert probability == pytest.approx(p)
        if n == 1000:
            assert probability == pytest.approx(math.exp(max(all_sentences(lattice).values())))


def test_greedy_misses_the_best_sentence_and_the_beam_finds_it():
    for (lattice, n), best, greedy in [
        (translation.beam.fixed[1], ("hello", "<end>"), ("good", "day", "<end>")),
        (translation.beam.fixed[-1], ("the", "cat", "<end>"), ("my", "old", "cat", "<end>")),
    ]:
        assert translation.my_beam_search(lattice, n)[0] == best
        assert translation.my_beam_search(lattice, 1)[0] == greedy
        found = all_sentences(lattice)
        assert max(found, key=found.get) == best


def test_every_lattice_shares_out_a_probability_of_one(drawn):
    for lattice, _ in [*translation.beam.fixed, drawn(translation.beam)]:
        assert sum(map(math.exp, all_sentences(lattice).values())) == pytest.approx(1)
        assert all(sum(following.values()) == pytest.approx(1) for following in lattice.values())


def test_label_smoothing_is_pytorch_s(drawn):
    for p, right, epsilon in [*translation.smoothing.fixed, drawn(translation.smoothing)]:
        theirs = cross_entropy(p.log(), torch.tensor(right), label_smoothing=epsilon)
        assert p.sum() == pytest.approx(1)
        given = translation.my_smoothed_loss(p, right, epsilon)
        assert float(given) == pytest.approx(float(theirs), abs=1e-6)


def test_one_billion_is_what_it_says():
    from llmlab.exercises import llm
    from llmlab.model import GPT, count_parameters

    for config in llm.my_billion():
        with torch.device("meta"):
            built = GPT(config)
        assert sum(p.numel() for p in built.parameters()) == count_parameters(config)
        assert 0.9e9 < count_parameters(config) < 1.1e9


BREAKING = {  # what to do to the right result
    "tokens.most_frequent_pair": lambda right: (9, 9),
    "embeddings.cosine": lambda right: 1.5,
    "embeddings.pairs": lambda right: right[::-1],
    "embeddings.negative_sampling": lambda right: (right[0] + 1, right[1]),
    "attention.scores": lambda right: right[:, :-1],
    "attention.scale": lambda right: right * 3,
    "attention.softmax": lambda right: right / 2,
    "attention.masks": lambda right: right.flip(-1),
    "attention.merge_heads": lambda right: right.flip(-1),
    "translation.shift": lambda right: (right[0], right[1][::-1]),
    "translation.padding_mask": lambda right: (right[0], right[1].flip(-1)),
    "translation.greedy_step": lambda right: right + 1,
    "translation.beam": lambda right: (right[0], right[1] / 2),
    "translation.smoothing": lambda right: right / 2,
    "gpt.block": lambda right: right[:-1],
    "gpt.parameters": lambda right: right + 0.5,
    "gpt.temperature": lambda right: right / 2,
    "gpt.top_p": lambda right: right / 2,
    "gpt.step": lambda right: (right[0] + 1000, *right[1:]),
    "pretraining.pack": lambda right: [[(r, a[1:]) for r, a in side] for side in right],
    "pretraining.first_loss": lambda right: (-right[0], right[1]),
    "pretraining.schedule": lambda right: right + 1,
    "pretraining.overfit": lambda right: right[1:],
    "classification.split": lambda right: (right[0] + right[1], right[1]),
    "classification.last_real": lambda right: right + 100,
    "classification.class_weights": lambda right: [2 * weight for weight in right],
    "classification.f1": lambda right: (right[0], right[1], right[2] + 1),
    "classification.threshold": lambda right: right + 1,
    "instructions.template": lambda right: right + right,
    "instructions.mask": lambda right: (right[0], right[1][:-1]),
    "instructions.lora": lambda right: right[:, :, :, None],
    "instructions.exact_match": lambda right: right + 2,
}


def test_every_law_is_broken_below():
    with_laws = [e.id for module in NOTEBOOKS for e in exercises(module) if e.laws]
    assert with_laws == list(BREAKING)


@pytest.mark.parametrize("id", BREAKING)
def test_laws_speak_of_what_breaks_them_and_of_nothing_else(id):
    exercise = find(id)
    rng = np.random.default_rng(0)
    for arguments in exercise.inputs(rng):
        assert not any(law(exercise.answer(*arguments), *arguments) for law in exercise.laws)
    result = judge(exercise, lambda *given: BREAKING[id](exercise.answer(*given)), rng)
    assert result.status == "not yet"
    first, *more = result.text.split("\n")
    assert more  # the law, and then the difference
    said = [
        law(BREAKING[id](exercise.answer(*a)), *a) for a in exercise.fixed for law in exercise.laws
    ]
    assert first in said
