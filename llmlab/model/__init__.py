"""Models: attention, GPTs of the GPT-2 and Llama families, pretrained weights, a translator.

``attend``, ``attend_fused``          attention, written out and fused (`llmlab.model.ops`)
``attention_weights``                 how much each query takes from each key
``GPT``, ``GPTConfig``                the decoder-only language model
``Classifier``                        a GPT with a head that sorts whole texts into classes
``Translator``, ``TranslatorConfig``  the encoder-decoder model
``KVCache``                           keys and values of what a model has read (`GPT.new_cache`)
``load_pretrained``                   a real model and its tokenizer, from the catalog or a folder
``lora``                              fine-tuning by small additions: `add`, `merge`, `save`, `load`
``count_parameters``                  of a model, or of a config by formula
``PUBLISHED``                         the configs of GPT-1, GPT-2, GPT-3 and SmolLM2
"""

from llmlab.model import lora
from llmlab.model.caches import KVCache
from llmlab.model.classifier import Classifier
from llmlab.model.configs import count_parameters
from llmlab.model.gpt import GPT, GPTConfig
from llmlab.model.ops import attend, attend_fused, attention_weights
from llmlab.model.pretrained import load_pretrained
from llmlab.model.published import PUBLISHED
from llmlab.model.translator import Translator, TranslatorConfig

__all__ = [
    "GPT",
    "PUBLISHED",
    "Classifier",
    "GPTConfig",
    "KVCache",
    "Translator",
    "TranslatorConfig",
    "attend",
    "attend_fused",
    "attention_weights",
    "count_parameters",
    "load_pretrained",
    "lora",
]
