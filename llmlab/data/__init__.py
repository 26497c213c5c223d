"""Corpora and weights: what exists, how it is brought, how it is read.

::

    catalog()             everything there is: size, licence, source
    fetch(name)           bring one entry into the cache, checked (`FetchError` says how to go on)
    cache_dir()           the folder that keeps it, LLMLAB_CACHE or the user's cache folder

    shakespeare()         38 plays, title -> text
    wikitext(split)       articles of Wikipedia, one string
    sentence_pairs(lang)  English with Spanish, German or French
    number_pairs(lang)    0 to 9,999 in English and German, Spanish or French words
    hold_out(pairs, n)    pairs to learn from, and those of n English texts to test on
    references(pairs)     all translations of each English text
    split_documents(texts)    whole documents to learn from, and others to test on
    sms_spam()            text messages labelled ham or spam
    instructions(seed)    instructions with short answers, in parts to learn from and to test on
    glove(words)          word vectors, most frequent words first

In the order of the data: ``sources`` (the entries), ``fetching`` with ``downloads`` and ``cache``,
``members`` (files inside wheels), then ``plays``, ``corpora`` and ``pairs`` that read them,
``documents``, which splits them, and ``instruction_words``, ``instruction_families`` and
``instruction_pairs``, which make instructions.
Importing this loads neither torch nor numpy.
"""

from llmlab.data.cache import FetchError, cache_dir
from llmlab.data.corpora import Message, glove, sms_spam, wikitext
from llmlab.data.documents import split_documents
from llmlab.data.fetching import fetch
from llmlab.data.instruction_pairs import Instruction, Instructions, instructions
from llmlab.data.pairs import (
    Pair,
    SentencePairs,
    hold_out,
    number_pairs,
    references,
    sentence_pairs,
)
from llmlab.data.plays import shakespeare
from llmlab.data.sources import catalog

__all__ = [
    "FetchError",
    "Instruction",
    "Instructions",
    "Message",
    "Pair",
    "SentencePairs",
    "cache_dir",
    "catalog",
    "fetch",
    "glove",
    "hold_out",
    "instructions",
    "number_pairs",
    "references",
    "sentence_pairs",
    "shakespeare",
    "sms_spam",
    "split_documents",
    "wikitext",
]
