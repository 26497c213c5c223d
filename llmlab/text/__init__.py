"""Text to token ids and back.

``gpt2_tokenizer()``   GPT-2's tokenizer, 50,257 tokens
``BPETokenizer``       any byte-level BPE vocabulary: encode, decode, tokens, save, load
``read_tokenizer``     the tokenizer of a Hugging Face model folder
"""

from llmlab.text.huggingface import read_tokenizer
from llmlab.text.tokenizers import BPETokenizer, gpt2_tokenizer

__all__ = ["BPETokenizer", "gpt2_tokenizer", "read_tokenizer"]
