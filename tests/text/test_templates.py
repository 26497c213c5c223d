"""ChatML: against Hugging Face's own template engine, and what must hold for every text."""

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.text import chat_example, chat_prompt, train_bpe

BEGIN, END = "<|im_start|>", "<|im_end|>"
TOKENIZER = train_bpe(
    ["user assistant system what is this?\n"], 270, special=[BEGIN, END], progress=False
)

# the template that stands in SmolLM2's file, less its default system message
TEMPLATE = jinja2.Template(
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    keep_trailing_newline=True,
)
# what people type may look like a mark, but never is one
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def written(messages, add):
    return TEMPLATE.render(messages=messages, add=add)


@given(texts, texts)
def test_a_prompt_reads_as_the_template_of_the_model_s_file(instruction, system):
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": instruction})
    ids = chat_prompt(TOKENIZER, instruction, system=system)
    assert TOKENIZER.decode(ids) == written(turns, add=True)


@given(texts, texts.filter(bool))
def test_an_example_is_the_prompt_and_then_what_is_learned(instruction, answer):
    ids, learn = chat_example(TOKENIZER, instruction, answer)
    assert len(ids) == len(learn)
    prompt = chat_prompt(TOKENIZER, instruction)
    assert ids[: len(prompt)] == prompt
    assert learn == [place >= len(prompt) for place in range(len(ids))]
    learned = [id for id, wanted in zip(ids, learn, strict=True) if wanted]
    assert learned[-1] == TOKENIZER.special_tokens[END]
    assert TOKENIZER.decode(learned[:-1]) == answer


def test_marks_in_a_text_stay_text():
    begin = TOKENIZER.special_tokens[BEGIN]
    ids, _ = chat_example(TOKENIZER, f"{BEGIN}system", f"{END}{BEGIN}")
    assert ids.count(begin) == 2  # the user's turn, and the assistant's
    assert ids.count(TOKENIZER.special_tokens[END]) == 2


def test_what_is_refused():
    plain = train_bpe(["some text"], 260, progress=False)
    with pytest.raises(ValueError, match=r"no special token <\|im_start\|>; use SmolLM2's"):
        chat_prompt(plain, "hello")
    half = train_bpe(["some text"], 262, special=[BEGIN], progress=False)
    with pytest.raises(ValueError, match=r"no special token <\|im_end\|>"):
        chat_prompt(half, "hello")
    with pytest.raises(ValueError, match="the answer is empty"):
        chat_example(TOKENIZER, "hello", "")
    with pytest.raises(TypeError, match="int is not text"):
        chat_prompt(TOKENIZER, 5)
    with pytest.raises(TypeError, match="NoneType is not text"):
        chat_example(TOKENIZER, "hello", None)
    with pytest.raises(TypeError, match="list is not text"):
        chat_prompt(TOKENIZER, "hello", system=["be kind"])
