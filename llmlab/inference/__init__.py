"""A trained model at work.

``generate``                   continue a text, token by token
``greedy_answers``             the likeliest continuations of many texts, computed together
``next_token_probabilities``   scores to probabilities: temperature, top-k, top-p
``NextTokenPredictor``         the scores of all next tokens, for a text that changes as you type
``Reader``                     a model that does not read again what it has read before
``trace``                      what attention computes: weights, queries, keys, values, residual
``ablate``                     switch attention heads off
``head_statistics``            what a head does in a few numbers: entropy, where it looks
``induction_scores``           how much each head looks for what followed the last time
``AttentionReader``            all of that at once, for a text that changes as you type
``Chat``                       a conversation with an instruction-tuned model
``load_translator``            a trained translator and its tokenizer
``translate``                  translate texts with a Translator
``beam_search``                find probable texts by following several beginnings at once
``TranslationReader``          a translation and how it came about, for a text that changes
``corpus_bleu``                how close translations come to those of people, from 0 to 100
``exact_match``                the share of texts that are right to the letter
``bare_answer``                an answer without what is no part of it: quotes, a full stop
``token_surprises``            how surprised a model is by each token of a text
``perplexity``                 among how many equally likely tokens it seems to choose
``bits_per_byte``              its surprise in a unit that does not depend on the tokens
``compressed_bits_per_byte``   the same of a file compressor
``NgramModel``                 a language model that only counts
``class_probabilities``        what a classifier says of many texts
``kept_outputs``               what its frozen layers give, to be computed once
``leave_one_out``              which words move what it says
``longest_common_run``         the longest stretch of a text that was copied
"""

from llmlab.inference.ablate import ablate
from llmlab.inference.answers import greedy_answers
from llmlab.inference.attention_reader import AttentionReader
from llmlab.inference.chat import Chat
from llmlab.inference.classify import class_probabilities, kept_outputs, leave_one_out
from llmlab.inference.copying import longest_common_run
from llmlab.inference.evaluate import bare_answer, corpus_bleu, exact_match
from llmlab.inference.heads import head_statistics, induction_scores
from llmlab.inference.ngrams import NgramModel
from llmlab.inference.predict import NextTokenPredictor
from llmlab.inference.reader import Reader
from llmlab.inference.sample import generate, next_token_probabilities
from llmlab.inference.search import beam_search
from llmlab.inference.surprise import (
    bits_per_byte,
    compressed_bits_per_byte,
    perplexity,
    token_surprises,
)
from llmlab.inference.trace import trace
from llmlab.inference.translation import translate
from llmlab.inference.translation_reader import TranslationReader
from llmlab.inference.translators import load_translator

__all__ = [
    "AttentionReader",
    "Chat",
    "NextTokenPredictor",
    "NgramModel",
    "Reader",
    "TranslationReader",
    "ablate",
    "bare_answer",
    "beam_search",
    "bits_per_byte",
    "class_probabilities",
    "compressed_bits_per_byte",
    "corpus_bleu",
    "exact_match",
    "generate",
    "greedy_answers",
    "head_statistics",
    "induction_scores",
    "kept_outputs",
    "leave_one_out",
    "load_translator",
    "longest_common_run",
    "next_token_probabilities",
    "perplexity",
    "token_surprises",
    "trace",
    "translate",
]
