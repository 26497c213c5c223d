"""The exercises of notebook 1: what a large language model is."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from llmlab.exercises.exercise import Exercise
from llmlab.model import GPTConfig, count_parameters

# --- a model that is sure, and one that is not -------------------------------------------------


def _judge_beginnings(given: Any) -> str | None:
    if not isinstance(given, list | tuple) or len(given) != 2:
        return "Return two things, the two beginnings: return sure, unsure."
    if not all(isinstance(text, str) for text in given):
        return "Return the two beginnings themselves, as texts, not what the model says to them."
    (sure, token), (unsure, other) = (_likeliest(text) for text in given)
    if sure < 0.1 and unsure > 0.85:
        return "The two are the wrong way round: the sure one comes first."
    if sure <= 0.85:
        return (
            "The first beginning does not make the model sure enough: the most likely next token, "
            f"{token!r}, has {100 * sure:.0f} %, and more than 85 % are asked for."
        )
    if unsure >= 0.1:
        return (
            "The second beginning leaves the model too sure: the most likely next token, "
            f"{other!r}, has {100 * unsure:.0f} %, and less than 10 % are asked for."
        )
    return None


@cache
def _model():
    from llmlab.inference import NextTokenPredictor
    from llmlab.model import load_pretrained

    model, tokenizer = load_pretrained("SmolLM2-135M-Instruct")
    return NextTokenPredictor(model, tokenizer), tokenizer


def _likeliest(text: str) -> tuple[float, str]:
    """The probability of the most likely token after a text, and the token."""
    predict, tokenizer = _model()
    scores_V = predict(text)
    best = int(scores_V.argmax())
    return float(1 / np.exp(scores_V - scores_V[best]).sum()), tokenizer.token(best)


beginnings = Exercise(
    "llm.beginnings",
    prompt="""
**1. A sure model.** Find a beginning after which the most likely token has a probability above 85
%, and one after which every token stays below 10 %. What makes the difference? Try beginnings in
the widget above, or with `my_softmax(predict(...)).max()`.
""",
    stub='''
def my_beginnings():
    """Return two texts: one that can go on in one way only, one in many ways."""
    sure = ...
    unsure = ...
    return sure, unsure
''',
    hints=(
        "A model is sure where only one token makes sense: think of something everybody knows by "
        "heart, or of a list that can go on in one way only.",
        "It is least sure where anything may come: after the first words of a story, or before "
        "somebody's name.",
        'Try "1, 2, 3, 4, 5, 6," for the first and "Her name was" for the second.',
    ),
    judge=_judge_beginnings,
    seconds=300,  # the model may have to be loaded, on a busy machine
)


@beginnings.reference
def my_beginnings():
    sure = "1, 2, 3, 4, 5, 6,"  # a space, and nothing else, comes after the comma
    unsure = "Her name was"  # there are many names
    return sure, unsure


@beginnings.wrong("The two are the wrong way round")
def swapped():
    return "Her name was", "1, 2, 3, 4, 5, 6,"


@beginnings.wrong("The first beginning does not make the model sure enough")
def not_sure():
    return "The capital of France is", "Her name was"


@beginnings.wrong("The second beginning leaves the model too sure")
def not_unsure():
    return "1, 2, 3, 4, 5, 6,", "The capital of France is"


@beginnings.wrong("Return the two beginnings themselves, as texts")
def probabilities():
    return 0.95, 0.03


@beginnings.wrong("Return two things")
def only_one():
    return "1, 2, 3, 4, 5, 6,"


# --- a model of a given size -------------------------------------------------------------------

_LEAST, _MOST = 0.9e9, 1.1e9


def _judge_billion(given: Any) -> str | None:
    if not isinstance(given, list | tuple) or len(given) != 2:
        return "Return two configs: return model, wider."
    if not all(isinstance(config, GPTConfig) for config in given):
        return "Return the two configs themselves, made with GPTConfig(...), not what they count."
    for name, config in zip(("first", "second"), given, strict=True):
        count = count_parameters(config)
        if name == "second" and config.width != 2 * given[0].width:
            return (
                f"The second is to be twice as wide as the first: width={2 * given[0].width:,}, "
                f"not {config.width:,}."
            )
        if _LEAST <= count <= _MOST:
            continue
        size = f"The {name} model has {count / 1e9:.2f} billion parameters"
        if name == "second" and count > _MOST:
            return (
                f"{size}: twice the width makes every weight matrix four times as large, "
                "so about a quarter of the layers is enough, not half of them."
            )
        more, less = ("less", "fewer") if count > _MOST else ("more", "more")
        return f"{size}, and 0.9 to 1.1 are asked for: give it {more} width or {less} layers."
    return None


billion = Exercise(
    "llm.billion",
    prompt="""
**2. A model of your own.** Choose sizes for a model of the classic design with between 0.9 and
1.1 billion parameters. Estimate on paper first; `count_parameters` from `llmlab.model` then
counts for you. (The width must be a multiple of `n_heads`; notebook 4 shows why.) Then find a
second model of the same size with *twice the width*. How many layers has it, and why so few?
""",
    stub='''
from llmlab.model import GPTConfig  # the sizes of a model, by name


def my_billion():
    """Return two configs, the second of them twice as wide as the first."""
    # GPTConfig(vocab_size=50_257, context=1024, width=…, n_layers=…, n_heads=16)
    model = ...
    wider = ...
    return model, wider
''',
    hints=(
        "Most parameters stand in the layers: about 12 × width × width in each. The table of "
        "tokens adds 50,257 × width.",
        "With width=1536 a layer has 12 × 1536 × 1536, about 28 million parameters. How many "
        "layers make 0.9 billion?",
        "With twice the width a layer has four times as many parameters, so a quarter of the "
        "layers is enough.",
    ),
    judge=_judge_billion,
)


@billion.reference
def my_billion():
    def sizes(width, n_layers):
        return GPTConfig(
            vocab_size=50_257, context=1024, width=width, n_layers=n_layers, n_heads=16
        )

    model = sizes(1536, 32)  # 32 × 12 × 1536² + 50,257 × 1536 = 0.98 billion
    wider = sizes(3072, 7)  # 7 × 12 × 3072² + 50,257 × 3072 = 0.95 billion
    return model, wider


def _sizes(width: int, n_layers: int) -> GPTConfig:
    return GPTConfig(vocab_size=50_257, context=1024, width=width, n_layers=n_layers, n_heads=16)


@billion.wrong("so about a quarter of the layers is enough, not half of them")
def half_the_layers():
    return _sizes(1536, 32), _sizes(3072, 16)


@billion.wrong("give it more width or more layers")
def gpt2_medium():
    return _sizes(1024, 24), _sizes(2048, 6)


@billion.wrong("give it less width or fewer layers")
def forgot_what_a_layer_has():
    return _sizes(4096, 48), _sizes(8192, 12)


@billion.wrong("The second is to be twice as wide as the first")
def same_width():
    return _sizes(1536, 32), _sizes(1536, 32)


@billion.wrong("Return the two configs themselves")
def counts():
    return 980_000_000, 950_000_000


# --- a classifier out of two scores ------------------------------------------------------------

_WEATHER = (
    "Heavy rain is expected in the north tomorrow.",
    "It will be sunny and warm all week.",
    "A cold wind brought snow to the mountains.",
    "The storm passed during the night, and the clouds cleared.",
    "Temperatures may fall below zero this evening.",
    "Fog covered the valley until noon.",
)
_SPORTS = (
    "She scored two goals in the final minutes.",
    "The team won the championship for the third time.",
    "He ran the marathon in less than three hours.",
    "Our goalkeeper saved a penalty in extra time.",
    "The tennis player lost the match in three sets.",
    "They signed a new coach for next season.",
)


def choice(text: str, one: str, other: str) -> float:
    """The probability of the token `one` against the token `other` after a text."""
    predict, tokenizer = _model()
    ids = []
    for token in (one, other):
        found = tokenizer.encode(token)
        if len(found) != 1:
            raise ValueError(
                f"{token!r} is {len(found)} tokens, and choice compares single tokens; "
                'write the space too, as in " weather"'
            )
        ids += found
    first, second = predict(text)[ids]
    return float(1 / (1 + np.exp(second - first)))


def _judge_topics(given: Any, choice: Callable, sentences: list[str]) -> str | None:
    if not isinstance(given, list | tuple) or len(given) != len(sentences):
        return "Return a list with one word for each sentence."
    if not all(isinstance(word, str) and word in ("weather", "sports") for word in given):
        return 'Every item has to be the text "weather" or the text "sports".'
    if len(set(given)) == 1:
        return (
            f"You say {given[0]!r} to every sentence. As with spam above, the likelier word wins "
            "whatever the text says, unless the text leads up to the topic: try another ending."
        )
    right = sum((word == "weather") == (s in _WEATHER) for word, s in zip(given, sentences))
    if right <= 0.25 * len(sentences):
        return "Your words are the wrong way round: choice gives the probability of its first word."
    if right < 0.8 * len(sentences):
        return (
            f"{right} of {len(sentences)} sentences are right, and 8 of 10 are asked for. Change "
            "the text around the sentence, so that the topic is what comes next."
        )
    return None


topics = Exercise(
    "llm.topics",
    prompt="""
**3. Another classifier.** Tell weather from sports as we told praise from complaint. Write six
test sentences of your own *before* you try, and count how many your function gets right. What
does it say to an empty sentence?

Your function gets the sentences and `choice`, which does what `my_choice` does. (`" weather"` and
`" sports"` are single tokens, each with its space.) At least 8 of 10 sentences have to come out
right.
""",
    stub='''
def my_topics(choice, sentences):
    """Return "weather" or "sports" for each of the sentences.

    choice(text, one, other) is the probability of the token `one` against `other`.
    """
    return ...
''',
    hints=(
        "Look at my_sentiment: what stands around the review, and what are the two words?",
        "The text has to end where the topic comes next: after the word Topic and a colon, say.",
        'For each sentence, compare choice(f"{sentence}\\nTopic:", " weather", " sports") with a '
        "half.",
    ),
    fixed=((choice, [*_WEATHER, *_SPORTS]),),
    judge=_judge_topics,
    seconds=300,
)


@topics.reference
def my_topics(choice, sentences):
    words = []
    for sentence in sentences:
        p = choice(f"{sentence}\nTopic:", " weather", " sports")
        words.append("weather" if p > 0.5 else "sports")
    return words


@topics.wrong("Your words are the wrong way round")
def swapped_words(choice, sentences):
    p = [choice(f"{sentence}\nTopic:", " weather", " sports") for sentence in sentences]
    return ["sports" if each > 0.5 else "weather" for each in p]


@topics.wrong("Change the text around the sentence")
def only_the_sentence(choice, sentences):
    p = [choice(sentence, " weather", " sports") for sentence in sentences]
    return ["weather" if each > 0.5 else "sports" for each in p]


@topics.wrong("to every sentence. As with spam above")
def every_time_the_same(choice, sentences):
    return ["weather" for _ in sentences]


@topics.wrong('Every item has to be the text "weather" or the text "sports"')
def bare_probabilities(choice, sentences):
    return [choice(f"{sentence}\nTopic:", " weather", " sports") for sentence in sentences]


@topics.wrong("Return a list with one word for each sentence")
def first_sentence_only(choice, sentences):
    p = choice(f"{sentences[0]}\nTopic:", " weather", " sports")
    return "weather" if p > 0.5 else "sports"
