"""Compare what a model wrote with what people wrote: BLEU and exact matches."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping

References = Iterable[str | Iterable[str]]


def corpus_bleu(hypotheses: Iterable[str], references: References) -> float:
    """Measure how much of the translations stands in the references: BLEU, from 0 to 100.

    `references` has one reference for each hypothesis or a list of them, of any length. It is
    sacrebleu's ``corpus_bleu`` with all its defaults, so that the number can be compared with
    others'; its signature is ``nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp``. Compare only
    what was measured on the same texts with the same references. BLEU counts runs of up to four
    words, so that texts which are all shorter get 0; for those there is `exact_match`.

    Raises ``ValueError`` where the numbers do not match or nothing is given, ``TypeError`` for
    what is no list of texts. Sources: Papineni et al. 2002, "BLEU"; Post 2018, "A Call for
    Clarity in Reporting BLEU Scores".

    >>> round(corpus_bleu(["a cat sat on the mat"], [["the cat sat on the mat", "a cat sat"]]), 1)
    90.4
    """
    from sacrebleu import corpus_bleu as sacrebleu_corpus_bleu  # takes a tenth of a second

    hypotheses, references = _checked(hypotheses, references)
    # sacrebleu wants the first references of all sentences, then all the second ones ...
    longest = max(map(len, references))
    streams = [
        [texts[place] if place < len(texts) else None for texts in references]
        for place in range(longest)
    ]
    return sacrebleu_corpus_bleu(hypotheses, streams).score


def exact_match(
    hypotheses: Iterable[str],
    references: References,
    *,
    normalise: Callable[[str], str] = str.strip,
) -> float:
    """Give the share of texts, from 0 to 1, that equal their reference, or any one of several.

    Both are compared after `normalise`, which by default drops white space at the ends and
    nothing else; `bare_answer` is for answers in a chat. Raises as `corpus_bleu` does.

    >>> exact_match(["zwei", "elf "], [["zwei", "zwo"], ["zwölf"]])
    0.5
    """
    hypotheses, references = _checked(hypotheses, references)
    right = [
        normalise(text) in {normalise(reference) for reference in known}
        for text, known in zip(hypotheses, references, strict=True)
    ]
    return sum(right) / len(right)


_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "`": "`"}


def bare_answer(text: str) -> str:
    """Leave out what is no part of a short answer: outer spaces and quotes, one full stop.

    Spaces in a row become one, and characters that can be written in two ways are written in one
    (Unicode's NFC). Capitals stay: they may be what was asked for. Doing it twice changes nothing
    more. For `exact_match`.

    >>> bare_answer(' "Madrid". '), bare_answer("two  words"), bare_answer("...")
    ('Madrid', 'two words', '...')
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    while (shorter := _without_wrapping(text)) != text:
        text = shorter
    return text


def _without_wrapping(text: str) -> str:
    if len(text) > 2 and _QUOTES.get(text[0]) == text[-1]:
        return text[1:-1].strip()
    if text.endswith(".") and not text.endswith("..") and len(text) > 1:
        return text[:-1].rstrip()
    return text


def _checked(hypotheses: Iterable[str], references: References) -> tuple[list[str], list]:
    hypotheses = _texts(hypotheses, "hypotheses")
    if isinstance(references, str) or not _is_list(references):
        raise TypeError(
            f"references={references!r:.60} is no list; give one reference for each hypothesis, "
            "or a list of them"
        )
    known = [
        [texts] if isinstance(texts, str) else _texts(texts, f"references[{number}]")
        for number, texts in enumerate(references)
    ]
    if len(hypotheses) != len(known):
        raise ValueError(
            f"{len(hypotheses):,} hypotheses and references for {len(known):,} texts do not "
            "match; give for each hypothesis one reference or a list of them"
        )
    return hypotheses, known


def _texts(texts: Iterable[str], name: str) -> list[str]:
    if isinstance(texts, str) or not _is_list(texts):
        raise TypeError(f"{name}={texts!r:.60} is no list of texts; give a list of str")
    texts = list(texts)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{number}] is no text but {type(text).__name__}; give a str")
    if not texts:
        raise ValueError(f"{name} is empty; give at least one text")
    return texts


def _is_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, Mapping | bytes)
