"""The exercises of notebook 8: fine-tuning to classify."""

from __future__ import annotations

import torch

from llmlab.exercises.exercise import Exercise

# --- splitting ----------------------------------------------------------------------------------

split = Exercise(
    "classification.split",
    prompt="""
**1. Split without a leak.** `messages` is a list of pairs `(label, text)`. Some texts come more
than once, perhaps with other capitals or other spaces: `"Call NOW"` and `"call  now"` are copies of
each other. Return two lists of pairs, those to train on and those to test on:

1. of all copies of a message, only the first in the list stays, as it stands there;
2. the last `n_test` of what is left are for the test, the others for training. Both keep the order.

Two texts are copies if they are equal once both are written in small letters and each run of
spaces is a single one: `" ".join(text.lower().split())`. Leave `messages` as it is. `n_test` is at
least 1, and there are more different messages than that.

With the messages `("spam", "Call NOW")`, `("ham", "Ok")`, `("spam", "call  now")`, `("ham", "Bye")`
and `n_test` = 1, three different ones are left. The training gets *Call NOW* and *Ok*, the test
*Bye*.
""",
    stub='''
def my_split(messages, n_test):
    """Return the messages to train on and those to test on, without copies."""
    training = ...
    testing = ...
    return training, testing
''',
    hints=(
        "Two steps, in this order: first a list without copies, then cut it in two.",
        "Go through the messages one by one and remember, in a set, the keys that you have met: "
        "the text in small letters, with single spaces.",
        "With the list of the messages kept, the training is kept[:-n_test] and the test "
        "kept[-n_test:].",
    ),
    fixed=(
        ([("spam", "Call NOW"), ("ham", "Ok"), ("spam", "call  now"), ("ham", "Bye")], 1),
        ([("ham", "Ok"), ("ham", "Yes"), ("ham", "Ok")], 1),
        ([("ham", "a"), ("spam", "b"), ("ham", "c"), ("spam", "B"), ("spam", "d")], 2),
        ([("ham", "No"), ("ham", "no"), ("spam", "WIN"), ("ham", "So so"), ("spam", "Win")], 1),
        ([("spam", "x y"), ("ham", "z"), ("spam", "X  Y"), ("ham", "w"), ("ham", "z")], 2),
    ),
)


def _key(text):
    return " ".join(text.lower().split())


def _first_copies(messages, key=_key):
    kept = {}
    for label, text in messages:
        kept.setdefault(key(text), (label, text))
    return list(kept.values())


@split.reference
def my_split(messages, n_test):
    met, kept = set(), []
    for label, text in messages:
        key = " ".join(text.lower().split())
        if key not in met:
            met.add(key)
            kept.append((label, text))
    training, testing = kept[:-n_test], kept[-n_test:]
    return training, testing


@split.fresh
def some_messages(rng, size):
    words = ["call", "now", "ok", "free", "home"]
    texts = {(words[place % 5], words[place // 5]) for place in rng.integers(0, 25, 2 + size)}
    texts |= {("so", "long"), ("see", "you")}
    messages = []
    for first, second in sorted(texts) * 2:
        writings = (f"{first} {second}", f"{first.title()} {second}", f"{first}  {second.upper()}")
        label = "spam" if first in ("call", "free") else "ham"
        messages.append((label, writings[rng.integers(3)]))
    messages = [messages[place] for place in rng.permutation(len(messages))]
    return messages, int(rng.integers(1, len(texts)))


@split.wrong(
    "You split first and remove the copies on each side afterwards. A message with one copy on "
    "either side then stays on both: the test leaks into the training. Remove the copies of the "
    "whole list first."
)
def copies_on_both_sides(messages, n_test):
    return _first_copies(messages[:-n_test]), _first_copies(messages[-n_test:])


@split.wrong(
    "Only texts that are equal letter by letter count as copies for you. Call NOW and call  now "
    "are the same message: compare them in small letters and with single spaces."
)
def exact_copies_alone(messages, n_test):
    kept = _first_copies(messages, key=lambda text: text)
    return kept[:-n_test], kept[-n_test:]


@split.wrong(
    "Capitals make no difference for you, but spaces do. Split the text at its spaces and join "
    "the words with single ones before you compare."
)
def spaces_matter(messages, n_test):
    kept = _first_copies(messages, key=str.lower)
    return kept[:-n_test], kept[-n_test:]


@split.wrong(
    "Of copies you keep the last one. A dictionary that is filled as {key: message} remembers what "
    "came last; keep a message only if its key has not been met."
)
def the_last_copy(messages, n_test):
    kept = list({_key(text): (label, text) for label, text in messages}.values())
    return kept[:-n_test], kept[-n_test:]


@split.wrong(
    "A message that has a copy is thrown away altogether. The first of the copies stays: it is a "
    "message like any other."
)
def none_of_the_copies(messages, n_test):
    keys = [_key(text) for _, text in messages]
    kept = [pair for pair, key in zip(messages, keys) if keys.count(key) == 1]
    return kept[:-n_test], kept[-n_test:]


@split.wrong(
    "You return the texts in small letters. That is for comparing alone: the model shall read "
    "them as they were sent."
)
def in_small_letters(messages, n_test):
    kept = [(label, _key(text)) for label, text in _first_copies(messages)]
    return kept[:-n_test], kept[-n_test:]


@split.wrong("The copies stay where they are: you only cut the list in two. Remove them first.")
def copies_stay(messages, n_test):
    return messages[:-n_test], messages[-n_test:]


@split.wrong(
    "The two sides have changed places: first the messages to train on, then those to test on."
)
def sides_swapped(messages, n_test):
    kept = _first_copies(messages)
    return kept[-n_test:], kept[:-n_test]


@split.wrong(
    "You take the first messages for the test. It gets the last n_test of those that are left."
)
def the_first_for_the_test(messages, n_test):
    kept = _first_copies(messages)
    return kept[n_test:], kept[:n_test]


@split.wrong(
    "The messages are no longer in their order. A set has none; go through the list and keep what "
    "is new."
)
def sorted_by_text(messages, n_test):
    kept = sorted(_first_copies(messages), key=lambda pair: _key(pair[1]))
    return kept[:-n_test], kept[-n_test:]


@split.law
def on_one_side_only(given, messages, n_test):
    if not isinstance(given, list | tuple) or len(given) != 2:
        return "Return two lists: return training, testing."
    training, testing = ({_key(text) for _, text in side} for side in given)
    if training & testing:
        return f"A message stands on both sides: {sorted(training & testing)[0]!r}."
    return None


# --- the last real token ------------------------------------------------------------------------

last_real = Exercise(
    "classification.last_real",
    prompt="""
**2. The last real token.** A batch of texts has been filled up with padding, and the model has made
a vector of every position. `x` has the shape (B, T, C): texts, positions, numbers in a vector.
`real` has the shape (B, T) and is True where there is a token and False where there is padding.
Return the vector of each text's last real token, (B, C).

The padding may be on the right, on the left, or on both sides, and may differ from text to text.
What stands in the vectors of the padding must not matter. Every text has a real token, and between
its real tokens there is no padding.

With one text of four positions, `real = [[True, True, False, False]]`, return `x[0, 1]` as the only
row; with `real = [[False, False, True, True]]`, it is `x[0, 3]`.
""",
    stub='''
def my_last_real(x, real):
    """Return the vector of the last real token of each text, (B, C)."""
    return ...
''',
    hints=(
        "First find, for each text, the *place* of its last real token. Then take the vectors.",
        "Places are 0, 1, 2, … Multiply real by torch.arange(real.shape[1]): padding becomes 0, "
        "and the place that you look for is the largest number of a row.",
        "x[torch.arange(len(x)), place] takes from text number b the vector at place[b].",
    ),
    fixed=(
        (
            torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]),
            torch.tensor([[True, True, False]]),
        ),
        (
            torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]),
            torch.tensor([[False, True, True]]),
        ),
        (
            torch.tensor([[[1.0], [7.0], [3.0], [4.0]], [[9.0], [6.0], [5.0], [8.0]]]),
            torch.tensor([[True, True, True, True], [False, True, True, False]]),
        ),
        (
            torch.tensor(
                [[[1.0, 0.5], [2.0, 1.5], [4.0, 3.0]], [[8.0, 1.0], [-1.0, 0.0], [6.0, 2]]]
            ),
            torch.tensor([[True, False, False], [True, True, False]]),
        ),
    ),
)


@last_real.reference
def my_last_real(x, real):
    places = torch.arange(real.shape[1])
    place = (real * places).max(dim=1).values
    return x[torch.arange(len(x)), place]


@last_real.fresh
def a_padded_batch(rng, size):
    n_texts, n_places, width = int(rng.integers(1, 4)), size + 2, int(rng.integers(1, 4))
    x = torch.from_numpy(rng.normal(size=(n_texts, n_places, width)).round(2)).float()
    first = torch.from_numpy(rng.integers(0, n_places, (n_texts, 1)))
    last = first + torch.from_numpy(rng.integers(0, n_places, (n_texts, 1))) % (n_places - first)
    places = torch.arange(n_places)
    return x, (places >= first) & (places <= last)


@last_real.wrong(
    "You read the last position of each row. In a text that is filled up on the right, that is "
    "padding, and the same message gets another score in another batch."
)
def the_last_position(x, real):
    return x[:, -1]


@last_real.wrong(
    "You count the real tokens and take the position of that number. That is right for padding on "
    "the right only: with padding on the left, the text ends at the end of the row. Look for the "
    "largest place that is real."
)
def as_many_as_there_are(x, real):
    return x[torch.arange(len(x)), real.sum(dim=1) - 1]


@last_real.wrong(
    "You read the first real token. A causal model has seen nothing there but that token; only the "
    "last one has seen the whole text."
)
def the_first_real(x, real):
    return x[torch.arange(len(x)), real.int().argmax(dim=1)]


@last_real.wrong(
    "You read position 0. There the model has seen at most the first token, and with padding on "
    "the left not even that."
)
def the_first_position(x, real):
    return x[:, 0]


@last_real.wrong(
    "You take the mean over all positions, and padding counts as if it were text. Asked for is the "
    "vector of one position, the last real one."
)
def mean_of_all(x, real):
    return x.mean(dim=1)


@last_real.wrong(
    "You take the mean of the real tokens. That does not depend on the padding, and some "
    "classifiers do it; here the last real token alone is asked for."
)
def mean_of_the_real(x, real):
    weights = real.float().unsqueeze(-1)
    return (x * weights).sum(dim=1) / weights.sum(dim=1)


@last_real.wrong(
    "You are one place too far to the left: a row of n real tokens that begins at place a ends at "
    "place a + n - 1."
)
def one_before(x, real):
    place = (real * torch.arange(real.shape[1])).max(dim=1).values
    return x[torch.arange(len(x)), place - 1]


@last_real.wrong(
    "x[:, place] takes all these places from every text, so there is one axis too many. Say from "
    "which text each place is: x[torch.arange(len(x)), place]."
)
def every_place_of_every_text(x, real):
    place = (real * torch.arange(real.shape[1])).max(dim=1).values
    return x[:, place]


@last_real.law
def a_vector_of_a_real_token(given, x, real):
    shape = tuple(getattr(given, "shape", ()))
    if shape != (len(x), x.shape[-1]):
        return (
            f"The result has to have the shape ({len(x)}, {x.shape[-1]}), a vector for each text; "
            f"yours has {shape}."
        )
    for text, vector in enumerate(torch.as_tensor(given)):
        if not (x[text, real[text]] == vector).all(dim=-1).any():
            return f"Your vector of text {text} is not that of any of its real tokens."
    return None


# --- class weights ------------------------------------------------------------------------------

class_weights = Exercise(
    "classification.class_weights",
    prompt="""
**3. Class weights.** Where one class is rare, a model can be right nearly always and never find it.
So the surprise at each example is multiplied by a weight of its class, larger for rare classes.
Return these weights, a list with one number for each class, in their order, such that

- all classes together have the same say: weight times number of examples is the same for each;
- the mean of the weights over all *examples* is 1, so that the loss stays of the same size.

`labels` is a list of the classes of all examples, numbers from 0 to `n_classes` - 1; each class
occurs.

With the labels 0, 0, 0, 1 and two classes the weights are 2/3 and 2: three times 2/3 are 2, and
once 2 is 2. The mean over the four examples is (2/3 + 2/3 + 2/3 + 2) / 4 = 1.
""",
    stub='''
def my_class_weights(labels, n_classes):
    """Return a weight for each class: the rarer it is, the larger."""
    weights = ...
    return weights
''',
    hints=(
        "Count how many examples each class has: labels.count(k).",
        "Weight times count is to be the same number for every class. If N examples have the mean "
        "weight 1, their weights add up to N, and each of the K classes gets its share of that.",
        "So weight times count is N / K, and the weight is N / (K · count).",
    ),
    fixed=(
        ([0, 0, 0, 1], 2),
        ([1, 0], 2),
        ([2, 0, 1, 2, 2], 3),
        ([1] * 7 + [0], 2),
        ([0, 0, 3, 1, 2, 0, 3, 0], 4),
        ([0, 0], 1),
    ),
)


def _counts(labels, n_classes):
    return [labels.count(k) for k in range(n_classes)]


@class_weights.reference
def my_class_weights(labels, n_classes):
    weights = []
    for k in range(n_classes):
        weights.append(len(labels) / (n_classes * labels.count(k)))
    return weights


@class_weights.fresh
def some_labels(rng, size):
    n_classes = int(rng.integers(1, 5))
    labels = [*range(n_classes), *(int(k) for k in rng.integers(0, n_classes, 2 * size))]
    return [labels[place] for place in rng.permutation(len(labels))], n_classes


@class_weights.wrong(
    "Your weights are how frequent each class is, so the frequent one becomes more important "
    "still. It has to be the other way round: divide by the count."
)
def the_frequencies(labels, n_classes):
    return [count / len(labels) for count in _counts(labels, n_classes)]


@class_weights.wrong(
    "The classes have the same say, but the weights are too small: 1 / count adds up to 1 for each "
    "class, and the loss shrinks with the number of examples. Weight times count has to be N / K."
)
def one_over_the_count(labels, n_classes):
    return [1 / count for count in _counts(labels, n_classes)]


@class_weights.wrong(
    "Your weights are N / count: the mean over the examples is then the number of classes, not 1. "
    "Divide by that number as well."
)
def without_the_number_of_classes(labels, n_classes):
    return [len(labels) / count for count in _counts(labels, n_classes)]


@class_weights.wrong(
    "Your weights of the classes add up to 1. Asked for is that their mean over the examples is 1: "
    "a weight counts as often as its class occurs."
)
def that_add_up_to_one(labels, n_classes):
    weights = one_over_the_count(labels, n_classes)
    return [weight / sum(weights) for weight in weights]


@class_weights.wrong(
    "Your weights have the mean 1 over the classes. Over the examples, where the frequent class "
    "counts often, it is below that."
)
def mean_of_the_classes(labels, n_classes):
    return [n_classes * weight for weight in that_add_up_to_one(labels, n_classes)]


@class_weights.wrong(
    "1 minus the frequency is larger for rare classes, but not large enough: a class that is seven "
    "times as rare needs a weight seven times as large. Divide by the count."
)
def one_minus_the_frequency(labels, n_classes):
    return [1 - count / len(labels) for count in _counts(labels, n_classes)]


@class_weights.wrong(
    "The most frequent class has the weight 1 and the others more, so the mean over the examples "
    "is above 1, and so is every loss."
)
def against_the_most_frequent(labels, n_classes):
    counts = _counts(labels, n_classes)
    return [max(counts) / count for count in counts]


@class_weights.wrong(
    "You return a weight for each example. Asked for is one for each class; the loss looks it up."
)
def one_for_each_example(labels, n_classes):
    weights = my_class_weights(labels, n_classes)
    return [weights[label] for label in labels]


@class_weights.law
def the_same_say(given, labels, n_classes):
    given = [float(weight) for weight in given]
    if len(given) != n_classes:
        return f"Return {n_classes} numbers, one for each class."
    says = [weight * count for weight, count in zip(given, _counts(labels, n_classes))]
    if max(says) - min(says) > 1e-6 * max(says):
        return "Weight times number of examples is not the same for all classes."
    mean = sum(given[label] for label in labels) / len(labels)
    if abs(mean - 1) > 1e-6:
        return f"The mean of the weights over the examples is {mean:.4g}, not 1."
    return None


# --- precision, recall, F1 ----------------------------------------------------------------------

f1 = Exercise(
    "classification.f1",
    prompt="""
**4. Precision, recall, F1.** `is_spam` and `called_spam` are lists of True and False, one for each
message: what it is, and what the classifier says. Return three numbers:

- **precision**: of those that were *called* spam, the share that *is* spam;
- **recall**: of those that *are* spam, the share that was *called* spam;
- **F1**: their harmonic mean, 2 · precision · recall / (precision + recall).

Where one would have to divide by 0, the number is 0: a classifier that calls nothing spam has
precision 0.

With `is_spam = [True, True, True, False, False]` and `called_spam = [True, False, False, True,
False]`, two are called spam and one of them is, so precision is 1/2; three are spam and one of them
was found, so recall is 1/3; F1 is 2 · 1/6 / (5/6) = 0.4.
""",
    stub='''
def my_f1(is_spam, called_spam):
    """Return precision, recall and F1 of a spam filter."""
    precision = ...
    recall = ...
    f1 = ...
    return precision, recall, f1
''',
    hints=(
        "You need three counts: how many are spam, how many are called spam, how many are both.",
        "sum(a and b for a, b in zip(is_spam, called_spam)) counts those that are both.",
        "Precision divides that number by sum(called_spam), recall by sum(is_spam). Ask before "
        "each division whether the divisor is 0.",
    ),
    fixed=(
        ([True, True, True, False, False], [True, False, False, True, False]),
        ([True, True, False, False, False], [True, True, True, True, True]),
        ([True, True, True, True, False], [True, False, False, False, False]),
        ([True, False], [False, False]),
        ([False, False, False], [True, False, False]),
        ([True, False, True], [True, False, True]),
        ([True, False], [False, True]),
    ),
)


def _by_counts(both, called, real):
    precision = both / called if called else 0.0
    recall = both / real if real else 0.0
    both_rates = precision + recall
    return precision, recall, 2 * precision * recall / both_rates if both_rates else 0.0


def _three_counts(is_spam, called_spam):
    return sum(a and b for a, b in zip(is_spam, called_spam)), sum(called_spam), sum(is_spam)


@f1.reference
def my_f1(is_spam, called_spam):
    both = sum(a and b for a, b in zip(is_spam, called_spam))
    precision = both / sum(called_spam) if any(called_spam) else 0
    recall = both / sum(is_spam) if any(is_spam) else 0
    f1 = 2 * precision * recall / (precision + recall) if both else 0
    return precision, recall, f1


@f1.fresh
def some_answers(rng, size):
    n = int(rng.integers(2, 4 + 3 * size))
    spam, called = (rng.random(n) < share for share in rng.uniform(0.2, 0.8, 2))
    return [bool(a) for a in spam], [bool(b) for b in called]


@f1.wrong(
    "Precision and recall have changed places. Precision asks those that were called spam, recall "
    "those that are spam."
)
def swapped(is_spam, called_spam):
    both, called, real = _three_counts(is_spam, called_spam)
    return _by_counts(both, real, called)


@f1.wrong(
    "Your F1 is the ordinary mean of the two. A filter that calls everything spam has recall 1 and "
    "would look good; the harmonic mean stays near the smaller one."
)
def ordinary_mean(is_spam, called_spam):
    precision, recall, _ = my_f1(is_spam, called_spam)
    return precision, recall, (precision + recall) / 2


@f1.wrong(
    "You divide by 0 when nothing is called spam, or nothing is spam. The number is 0 then: ask "
    "before you divide."
)
def divided_by_zero(is_spam, called_spam):
    both, called, real = _three_counts(is_spam, called_spam)
    precision, recall = both / called, both / real
    return precision, recall, 2 * precision * recall / (precision + recall)


@f1.wrong(
    "These are the numbers of ham, the frequent class, which look good with any filter. Count "
    "where True is: the messages that are spam, and that were called spam."
)
def those_of_ham(is_spam, called_spam):
    return my_f1([not a for a in is_spam], [not b for b in called_spam])


@f1.wrong(
    "In place of F1 you return the accuracy, the share of right answers. It counts all the ham "
    "that was let through, of which there is plenty."
)
def accuracy(is_spam, called_spam):
    precision, recall, _ = my_f1(is_spam, called_spam)
    right = sum(a == b for a, b in zip(is_spam, called_spam))
    return precision, recall, right / len(is_spam)


@f1.wrong(
    "All right answers count as hits for you, ham that was let through as well. A hit is spam that "
    "was called spam."
)
def all_right_answers_are_hits(is_spam, called_spam):
    _, called, real = _three_counts(is_spam, called_spam)
    right = sum(a == b for a, b in zip(is_spam, called_spam))
    return _by_counts(right, called, real)


@f1.wrong(
    "You divide by the number of all messages. Precision divides by how many were called spam, "
    "recall by how many are spam."
)
def of_all_messages(is_spam, called_spam):
    both, _, _ = _three_counts(is_spam, called_spam)
    return _by_counts(both, len(is_spam), len(is_spam))


@f1.wrong(
    "The 2 is missing in F1: for precision 1 and recall 1 it has to be 1, and yours is one half."
)
def without_the_two(is_spam, called_spam):
    precision, recall, harmonic = my_f1(is_spam, called_spam)
    return precision, recall, harmonic / 2


@f1.law
def between_the_two(given, is_spam, called_spam):
    if not isinstance(given, list | tuple) or len(given) != 3:
        return "Return three numbers: return precision, recall, f1."
    precision, recall, harmonic = map(float, given)
    if min(given) < 0 or max(given) > 1:
        return "All three are shares, from 0 to 1."
    if not min(precision, recall) - 1e-6 <= harmonic <= max(precision, recall) + 1e-6:
        return "F1 is a mean of precision and recall, so it lies between them."
    return None


# --- the threshold ------------------------------------------------------------------------------

threshold = Exercise(
    "classification.threshold",
    prompt="""
**5. A threshold.** A classifier gives each message a probability of spam. From which probability on
should it be called spam? 0.5 is a habit, not a law. Return the threshold with the best F1 on the
messages that you are given, which in real life are those of the validation part.

- A message is called spam if its probability is *at least* the threshold.
- Only the probabilities in the list come into question: between two of them nothing changes.
- If several are equally good, return the highest of them: it calls fewer messages spam.

With the probabilities 0.9, 0.7, 0.4, 0.1 and `is_spam = [True, False, True, False]`: from 0.9 on,
one message is called spam, and rightly, so precision is 1, recall 1/2 and F1 2/3. From 0.7 on F1 is
1/2, from 0.4 on 4/5, from 0.1 on 2/3. Return 0.4.

F1 is also 2 · hits / (called spam + spam), where hits are those that are both. At least one message
is spam.
""",
    stub='''
def my_threshold(probabilities, is_spam):
    """Return the probability from which on it is best to call a message spam."""
    return ...
''',
    hints=(
        "Try each probability of the list as the threshold, and compute F1 for it.",
        "called = [p >= limit for p in probabilities]; with it, F1 is the text's short formula.",
        "max over pairs (F1, limit) takes the best F1, and of equal ones the highest limit.",
    ),
    fixed=(
        ([0.9, 0.7, 0.4, 0.1], [True, False, True, False]),
        ([0.2, 0.3], [False, True]),
        ([0.9, 0.8, 0.2], [True, True, False]),
        ([0.8, 0.6, 0.6, 0.1], [True, True, False, False]),
        ([0.3, 0.1, 0.2, 0.05], [True, True, False, False]),
        ([0.99, 0.98, 0.97, 0.6], [True, False, False, True]),
        ([0.9, 0.5, 0.4, 0.3, 0.2, 0.1], [True, False, False, True, False, False]),
        # equally good from the first and from the fifth on, where not yet all spam is found
        (
            [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5],
            [True, False, False, False, True, False, False, False, False, True],
        ),
    ),
)


def _f1_at(limit, probabilities, is_spam, at_least=True):
    called = [p >= limit if at_least else p > limit for p in probabilities]
    hits = sum(a and b for a, b in zip(is_spam, called))
    return 2 * hits / (sum(called) + sum(is_spam))


@threshold.reference
def my_threshold(probabilities, is_spam):
    best = []
    for limit in probabilities:
        called = [p >= limit for p in probabilities]
        hits = sum(a and b for a, b in zip(is_spam, called))
        best.append((2 * hits / (sum(called) + sum(is_spam)), limit))
    return max(best)[1]


@threshold.fresh
def some_probabilities(rng, size):
    n = int(rng.integers(2, 4 + 2 * size))
    is_spam = rng.random(n) < 0.5
    is_spam[rng.integers(n)] = True
    p = rng.random(n) * 0.7 + 0.3 * is_spam * rng.random(n)
    return [round(float(each), 1 + size // 5) for each in p], [bool(a) for a in is_spam]


@threshold.wrong(
    "You return 0.5. That is right only if the probabilities are honest and both mistakes cost the "
    "same; try every probability of the list."
)
def one_half(probabilities, is_spam):
    return 0.5


@threshold.wrong(
    "For you a message is spam if its probability is *above* the threshold. With >= the message "
    "that stands at the threshold is called spam as well."
)
def above_it(probabilities, is_spam):
    return max((_f1_at(p, probabilities, is_spam, at_least=False), p) for p in probabilities)[1]


@threshold.wrong(
    "Of equally good thresholds you return the lowest. The highest calls fewer messages spam and "
    "makes no other difference to F1."
)
def the_lowest(probabilities, is_spam):
    return max(sorted(probabilities), key=lambda p: _f1_at(p, probabilities, is_spam))


@threshold.wrong(
    "You return the best F1. Return the threshold that gives it: keep both together as a pair."
)
def the_best_f1(probabilities, is_spam):
    return max(_f1_at(p, probabilities, is_spam) for p in probabilities)


@threshold.wrong(
    "You choose by accuracy, the share of right answers. Where spam is rare, calling nothing spam "
    "is hard to beat by that measure. Choose by F1."
)
def by_accuracy(probabilities, is_spam):
    def right(limit):
        return sum((p >= limit) == a for p, a in zip(probabilities, is_spam))

    return max((right(p), p) for p in probabilities)[1]


@threshold.wrong(
    "You return the place of the threshold in the list. Return the probability itself."
)
def its_place(probabilities, is_spam):
    return probabilities.index(my_threshold(probabilities, is_spam))


@threshold.wrong(
    "You return the lowest probability of any spam message. All spam is found then, and any amount "
    "of ham with it. Weigh both: that is what F1 is for."
)
def all_spam_is_found(probabilities, is_spam):
    return min(p for p, a in zip(probabilities, is_spam) if a)


@threshold.wrong(
    "You return the highest probability of all, so hardly any spam is found. Try all of them, and "
    "keep the one with the best F1."
)
def the_most_certain(probabilities, is_spam):
    return max(probabilities)


@threshold.law
def one_of_the_list(given, probabilities, is_spam):
    if not any(abs(float(given) - p) < 1e-9 for p in probabilities):
        return "The threshold has to be one of the probabilities in the list."
    return None
