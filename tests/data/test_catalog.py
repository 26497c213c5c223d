import dataclasses
import re

import pytest

from llmlab.data import FetchError, catalog
from llmlab.data.entries import Catalog, WebFile, Wheel

from .toys import wheel_entry

NAMES = [
    "smollm2-135m-instruct",
    "gpt2-tokenizer",
    "tatoeba-en-es",
    "wikitext-2",
    "glove-6b-50d",
    "sms-spam",
    "shakespeare",
    "multi30k-en-de",
    "multi30k-en-fr",
    "gpt2-124m",
]


def test_every_entry_is_there_and_tells_what_it_is():
    assert [entry.name for entry in catalog()] == NAMES
    for entry in catalog():
        for field in ("title", "what", "licence", "attribution", "source"):
            assert getattr(entry, field).strip(), (entry.name, field)
        assert entry.source.startswith("https://")


def test_web_files_are_pinned_to_a_revision():
    for entry in catalog():
        for file in entry.web_files:
            assert re.match(r"https://[^/]+/.*/[0-9a-f]{40}/.+", file.url)
            assert file.url.endswith("/" + file.filename)
    assert catalog()["gpt2-124m"].download_size == 548_105_171 + 665
    assert [f.filename for f in catalog()["multi30k-en-fr"].web_files] == [
        f"{part}.{language}.gz"
        for language in ("en", "fr")
        for part in ("train", "val", "test_2016_flickr")
    ]


def test_an_unknown_name_names_the_close_ones():
    with pytest.raises(FetchError, match=r"'smollm'.*Did you mean smollm2-135m-instruct\?"):
        catalog()["smollm"]
    with pytest.raises(FetchError, match=r"Did you mean .*wikitext-2"):
        catalog()["wikitxt2"]
    with pytest.raises(FetchError, match="Use one of smollm2-135m-instruct, gpt2-tokenizer"):
        catalog()["???"]


def test_it_is_a_sequence():
    assert catalog()["SMS-Spam"] is catalog()[5]
    assert [entry.name for entry in catalog()[:2]] == NAMES[:2]
    assert isinstance(catalog()[:2], Catalog)


def test_tables_have_a_line_for_each_entry():
    lines = repr(catalog()).splitlines()
    assert len(lines) == len(catalog()) + 1
    assert re.match(r"sms-spam +SMS Spam Collection +0\.2 MB +CC BY 4\.0 +package index", lines[6])
    table = catalog()._repr_html_()
    assert table.count("<tr>") == len(catalog()) + 1


def test_html_is_escaped():
    table = Catalog([wheel_entry(title="<script>alert('&')</script>")])._repr_html_()
    assert "<script>" not in table
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)" in table


@pytest.mark.parametrize(
    ("field", "value"),
    [("filename", "../x"), ("filename", "a\\b"), ("size", 0), ("sha256", "ABC"), ("sha256", "")],
)
def test_nonsense_is_refused_at_construction(field, value):
    good = {"filename": "x", "size": 1, "sha256": "0" * 64}
    WebFile(url="https://x/x", **good)
    with pytest.raises(ValueError, match=field):
        WebFile(url="https://x/x", **(good | {field: value}))
    with pytest.raises(ValueError, match="pin one version"):
        Wheel(requirement="name>=1", **good)
    with pytest.raises(ValueError, match="either a wheel or web_files"):
        dataclasses.replace(wheel_entry(), wheel=None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        wheel_entry().name = "other"
