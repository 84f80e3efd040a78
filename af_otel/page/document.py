"""A session as one file that needs no server and no network to be looked at."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from typing import TYPE_CHECKING

from af_otel.page.files import joined, text
from af_otel.page.serialize import serialize

if TYPE_CHECKING:
    from af_otel.backends.story import Story

MOST_SPANS = 20_000  # nobody fetches this file again and again
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the spans</a>
<main id="main" tabindex="-1"></main>
<div id="said" class="unseen" role="status"></div>
<noscript><p>This file draws its spans with a script that it brings along.</p></noscript>
<script type="application/json" id="story">{story}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def document(story: Story) -> str:
    """The story as HTML; a name with markup in it is text, and no other script than ours runs."""
    content = serialize(story, most=MOST_SPANS)
    style, script = text("page.css"), joined("file.js")
    policy = (
        f"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(style)}; script-src {_hash(script)}"
    )
    return _PAGE.format(
        policy=policy,
        title=html.escape(content["title"]),
        style=style,
        # `</script>` and `<!--` end or change a script element, whatever its type.
        story=json.dumps(content, ensure_ascii=False).replace("<", "\\u003c"),
        script=script,
    )


def _hash(source: str) -> str:
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return f"'sha256-{digest}'"
