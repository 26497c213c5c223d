"""A tiny random Translator and its tokenizer, for what translates and what shows it."""

import torch

from llmlab.model.translator import Translator, TranslatorConfig
from llmlab.text import BPETokenizer
from llmlab.text.tokenizers import _BYTE_TO_CHARACTER, GPT2_PATTERN

from .conftest import MERGED, shaken

SPECIAL = ["<pad>", "<start>", "<end>", "<note>"]
# of many lengths and kinds, two of them twice
TEXTS = [
    "abc",
    "ab abc a",
    "x",
    "Ein Satz, etwas länger.",
    "abc",
    "\x00",
    "é\U0001f600",
    " a b",
    "x",
]


def make_tokenizer():
    names = [*_BYTE_TO_CHARACTER.values(), *MERGED, *SPECIAL]
    return BPETokenizer(names, pattern=GPT2_PATTERN, special=SPECIAL)


def make_translator(tokenizer, *, spare=2, **options):
    """A random model in double precision, which likes the end enough to stop sometimes."""
    special = tokenizer.special_tokens
    settings = {
        "vocab_size": tokenizer.vocab_size + spare, "context": 40, "width": 16, "n_heads": 4,
        "n_encoder_layers": 2, "n_decoder_layers": 2, "tied": False,
        "pad_id": special["<pad>"], "start_id": special["<start>"], "end_id": special["<end>"],
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = shaken(Translator(TranslatorConfig(**settings | options))).double()
    with torch.no_grad():
        model.output.weight[special["<end>"]] *= 4
    return model


def liking(tokenizer, *contents):
    """A model that always wants to write these bytes or marks, the first most."""
    model = make_translator(tokenizer)
    with torch.no_grad():
        for block in model.decoder:
            for part in (block.attention, block.cross_attention, block.feed_forward):
                for parameter in part.parameters():
                    parameter.zero_()
        model.token_embedding.weight[:] = 1.0
        model.decoder_norm.weight[:] = 1.0
        model.output.weight.zero_()
        for place, content in enumerate(contents):
            known = tokenizer.special_tokens
            ids = known[content] if content in known else tokenizer.token_bytes.index(content)
            model.output.weight[ids] = 1.0 - place / 20
    return model


def never(model, tokenizer):
    """What the model must not write: marks other than the end, ids the tokenizer lacks."""
    ids = [tokenizer.special_tokens[name] for name in ("<pad>", "<start>", "<note>")]
    return ids + list(range(tokenizer.vocab_size, model.config.vocab_size))


def modes(model):
    return [module.training for module in model.modules()]
