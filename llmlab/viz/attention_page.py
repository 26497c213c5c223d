"""The attention explorer as one HTML file, which works without a kernel and without a network."""

import base64
import hashlib
import html
import json
import re
import zlib
from pathlib import Path

from llmlab.viz.next_token import readable

_MODULE = Path(__file__).with_name("attention_explorer.js")
_MODEL = Path(__file__).with_name("attention_page.js")
_SHOWN_CHARACTERS = 80

_STYLE = """
:root { color-scheme: light dark; }
body { max-width: 75rem; margin: 0 auto; padding: 1rem; background: #ffffff; color: #212121;
       font: 14px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.25rem; font-weight: 600; overflow-wrap: anywhere; }
img { max-width: 100%; }
@media (prefers-color-scheme: dark) { body { background: #1e1e1e; color: #eeeeee; } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<div id="explorer"></div>
<noscript><img alt="{alt}" src="data:image/png;base64,{picture}"></noscript>
</main>
<script type="application/json" id="saved">{saved}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def page(
    traits: dict, arrays: dict[str, bytes], *, texts: list[str], alt: str, picture: bytes
) -> str:
    """Write the page that shows `traits` and `arrays`, the state of an explorer by trait.

    `texts` are what was read, for the title, `picture` a PNG for where scripts do not run, and
    `alt` says what that shows. The page's content security policy allows this page's own script
    and nothing else: no request, no form, no other script.
    """
    script = f"{_as_block(_MODULE.read_text('utf-8'))}\n{_MODEL.read_text('utf-8')}"
    saved = {"traits": traits, "arrays": {name: _packed(data) for name, data in arrays.items()}}
    return _PAGE.format(
        policy=_policy(script),
        title=html.escape("Attention in " + " and ".join(f"“{_shortened(t)}”" for t in texts)),
        style=_STYLE,
        alt=html.escape(alt),
        picture=base64.b64encode(picture).decode("ascii"),
        saved=_harmless(saved),
        script=script,
    )


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _as_block(module: str) -> str:
    """The module as a part of a larger script: its default export becomes ``makeExplorer``."""
    for mark in ("</script", "<!--", "\r"):
        assert mark not in module.lower(), (
            f"{mark!r} in {_MODULE.name} would end or change the page"
        )
    module = re.sub(
        r"^export (?=(async |function|class|const|let))", "", module, flags=re.MULTILINE
    )
    module, count = re.subn(r"^export default\b", "makeExplorer =", module, flags=re.MULTILINE)
    assert count == 1, f"{_MODULE.name} has {count} default exports"
    assert not re.search(r"^(export|import)\b", module, flags=re.MULTILINE)
    return f"let makeExplorer;\n{{\n{module}\n}}"


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6 if len(data) < 10_000_000 else 1)).decode("ascii")


def _harmless(saved: dict) -> str:
    """JSON in which nothing can end the script element it stands in."""
    text = json.dumps(saved, ensure_ascii=True, allow_nan=False)
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _shortened(text: str) -> str:
    shown = readable(text).replace("␣", " ")
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"
