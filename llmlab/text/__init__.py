"""Text to token ids and back.

``clean``              one way to write what reads the same: spaces, quotes, accents
``split_words``        words, numbers and signs of a text
``WordTokenizer``      a vocabulary of whole words: encode, decode, tokens, save, load

``train_bpe``          learn a vocabulary of byte-level BPE from texts
``BPETokenizer``       any byte-level BPE vocabulary: encode, decode, tokens, save, load
``gpt2_tokenizer()``   GPT-2's tokenizer, 50,257 tokens
``read_tokenizer``     the tokenizer of a Hugging Face model folder

``chat_prompt``        an instruction in the form of a conversation, as ids
``chat_example``       the same with its answer, and which tokens to learn
"""

from llmlab.text.bpe import train_bpe
from llmlab.text.cleaning import clean
from llmlab.text.huggingface import read_tokenizer
from llmlab.text.templates import chat_example, chat_prompt
from llmlab.text.tokenizers import BPETokenizer, gpt2_tokenizer
from llmlab.text.words import WordTokenizer, split_words

__all__ = [
    "BPETokenizer",
    "WordTokenizer",
    "chat_example",
    "chat_prompt",
    "clean",
    "gpt2_tokenizer",
    "read_tokenizer",
    "split_words",
    "train_bpe",
]
