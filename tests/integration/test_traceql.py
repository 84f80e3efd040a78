"""Syntax of all TraceQL queries of the dashboards and of our own code, by Grafana's grammar.

The grammar (`tools/traceql`) differs from Tempo in string literals. Tempo reads them like Go; the
grammar accepts line breaks, and no escapes except those of quotes and backslashes. So `errors`
checks literals by Go's rules and the rest of a query with the grammar.
"""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
import urllib.parse
from functools import partial

import pytest
from rendered import needs_dashboards

from af_otel.backends.tempo import Tempo
from af_otel.grafana.dashboards import dashboards
from af_otel.grafana.queries import queries
from servers import ROOT, program

ANSWERS = ROOT / "tests" / "contract" / "tempo" / "answers.json"

# A string literal, and Go's rules for one in double quotes.
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`', re.DOTALL)
_GO_STRING = re.compile(
    r"""
    " (?: [^"\\\n\0]
        | \\ (?: [abfnrtv\\"]
               | [0-3][0-7]{2}
               | x[0-9a-fA-F]{2}
               | u (?![dD][89abAB]|[dD][c-fC-F]) [0-9a-fA-F]{4}
               | U00 (?!00[dD][89a-fA-F]) (?:0[0-9a-fA-F]|10) [0-9a-fA-F]{4} )
    )* "
    """,
    re.VERBOSE,
)
_VARIABLE = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\$(?P<plain>\w+)")
_REGEX_SYNTAX = re.compile(r"[\\^$*+?.()|\[\]{}/]")  # escaped by Grafana's `:regex`

# Names that users and their code may choose.
AWKWARD = {
    "plain": "4ec38ace69b04f628964c74f482e69b5",
    "empty": "",
    "quotes": "say \"x\" or 'y' or `z`",
    "injection": '" || name = "spawn server',
    "backslash": r"C:\new\x \" \\",
    "last backslash": "ends with \\",
    "lines": "two\nlines\r\n\tand a tab",
    "control": "\x00\x01\x1f\x7f",
    "accents": "Grüße aus Zürich",
    "CJK": "日本語",
    "emoji": "done 😀",
    "separators": "a\u2028b\u00a0c",
    "braces": "} | select(name) { ",
    "variable": "$facility ${session:regex}",
    "comments": "// not a comment /* either",
}


def errors(texts):
    """Return the syntax errors of each query; a valid query has an empty list."""
    masked = "".join(json.dumps(_LITERAL.sub(_masked, query)) + "\n" for query in texts)
    parsed = subprocess.run(
        [program("traceql", "AF_OTEL_TRACEQL")],
        input=masked,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    by_grammar = [json.loads(line) for line in parsed.stdout.splitlines()]
    return [
        [f"invalid string: {literal}" for literal in _invalid_literals(query)] + result
        for query, result in zip(texts, by_grammar, strict=True)
    ]


def _masked(literal):
    """Replace the content of a literal, to hide its escapes from the grammar."""
    text = literal[0]
    return text[0] + "_" * (len(text) - 2) + text[-1]


def _invalid_literals(query):
    literals = _LITERAL.findall(query)
    return [text for text in literals if text[0] == '"' and not _GO_STRING.fullmatch(text)]


def skeleton(query):
    """Return the query with empty string literals."""
    return _LITERAL.sub('""', query)


def literals(query):
    """Return the values of the string literals in double quotes."""
    return [json.loads(text) for text in _LITERAL.findall(query) if text[0] == '"']


def assert_valid(texts):
    """Check that there are queries, and that none has a syntax error."""
    assert texts
    assert dict(zip(texts, errors(texts), strict=True)) == {query: [] for query in texts}


@pytest.mark.parametrize(
    "query",
    [
        "{ }",
        "{ } with (most_recent=true)",
        '{ name = "x" } | select(span.a, span.b.c) with (most_recent=true)',
        '{ span.a =~ "x|y" && span.b !~ "z" }',
        "{ span.a != nil }",
        "{ duration > 100ms || duration > 1.5s }",
        '{ status = error && name != "queue" }',
        "{ resource.service.name =~ `a\\.b` }",
        r'{ span.a = "\"\\\n\t\r\b\f\u00fc\U0001f600\x41" }',
    ],
)
def test_parser_accepts_what_tempo_accepts(query):
    """The parser accepts hints, `select`, `nil`, durations and Go's string literals."""
    assert errors([query]) == [[]]


@pytest.mark.parametrize(
    "query",
    [
        "nonsense",
        "{ span.session.id = ",
        '{ span.a = "x }',
        '{ span.a = ""x" }',
        '{ span.a = "two\nlines" }',
        r'{ span.a = "\." }',
        r'{ span.a = "\/" }',
        r'{ span.a = "\ud83d\ude00" }',  # surrogates, which are valid in JSON only
        "{ duration > 100 ms }",
        "{ duration > $slower }",
        "{ span.a =~ ${facility:regex} }",
        "{ span.${name} = 1 }",
        '{ name = "x" } | select()',
    ],
)
def test_parser_refuses_what_tempo_refuses(query):
    """The parser refuses invalid strings, unresolved variables and incomplete queries."""
    assert errors([query]) != [[]]


def interpolated(text, values):
    """Replace variables like Grafana's Tempo data source.

    A list, which stands for the selected values, becomes `a|b`. Values are escaped only where the
    query asks for `:regex`. A string, such as a text or the custom value of `All`, never is.
    """

    def value(match):
        chosen = values[match["braced"] or match["plain"]]
        if isinstance(chosen, str):
            return chosen
        if match["format"] != "regex":
            return "|".join(chosen)
        escaped = [_REGEX_SYNTAX.sub(r"\\\g<0>", item) for item in chosen]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    return _VARIABLE.sub(value, text)


def of_dashboards(**chosen):
    """Return the TraceQL queries of all dashboards, with these values of their variables."""
    texts = []
    for board in dashboards(traces="tempo").values():
        variables = board["templating"]["list"]
        values = {item["name"]: item.get("allValue") or item.get("query") for item in variables}
        texts += [
            interpolated(query.text, values | chosen)
            for query in queries(board)
            if query.source == "tempo"
        ]
    return texts


@needs_dashboards
@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"facility": ["state"], "session": AWKWARD["plain"], "slower": "100ms"},
        {"facility": ["coffea-casa.example", "lxplus"], "session": ".+", "slower": "1.5s"},
        {"session": "[0-9a-f]{32}|(x+)", "slower": "2m"},
    ],
    ids=["as opened", "one", "several", "patterns"],
)
def test_queries_of_dashboards_parse(chosen):
    """The query of each panel is valid with usual values of the variables."""
    assert_valid(of_dashboards(**chosen))


# Grafana inserts "$facility" as it is: these would end the string that it stands in.
_ENDS_A_STRING = set('"\\\n\0')


@needs_dashboards
@pytest.mark.parametrize(
    "name", [name for name, text in AWKWARD.items() if text and not set(text) & _ENDS_A_STRING]
)
def test_names_of_facilities_stay_strings_in_dashboards(name):
    """A facility's name without quotes or backslashes changes one string of a query only."""
    texts = of_dashboards(facility=[AWKWARD[name]])

    assert_valid(texts)
    assert [skeleton(query) for query in texts] == [skeleton(query) for query in of_dashboards()]


def recorded_queries(*calls):
    """Return the queries that reach a Tempo without traces when each call is given its client."""
    sent = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            parameters = urllib.parse.parse_qs(url.query, keep_blank_values=True)
            if url.path == "/api/search":
                sent.extend(parameters["q"])
            body = b'{"traces": []}'
            self.send_response(200 if url.path == "/api/search" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        client = Tempo(f"http://127.0.0.1:{server.server_port}")
        for call in calls:
            call(client)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    return sent


# The searches of the client that contain a name.
SEARCHES = {
    "session": lambda tempo, name: tempo.session_traces(name, start=0),
    "service": lambda tempo, name: tempo.spans(name, "run cell", start=0),
    "span": lambda tempo, name: tempo.spans("jupyter-kernel", name, start=0),
    "service of a facility": lambda tempo, name: tempo.last_seen(name, "state", start=0),
    "facility": lambda tempo, name: tempo.last_seen("jupyter-kernel", name, start=0),
}


def test_queries_of_the_client_parse():
    """Each search of the client is valid and asks for the newest results."""
    sent = recorded_queries(
        lambda tempo: tempo.search("{ }"),
        lambda tempo: tempo.sessions(0, 1),
        lambda tempo: tempo.newest_trace(0, in_session=True),
        lambda tempo: tempo.newest_trace(0, in_session=False),
        *(partial(search, name=AWKWARD["plain"]) for search in SEARCHES.values()),
    )

    assert len(sent) >= 3 + len(SEARCHES)
    assert_valid(sent)
    assert all("with (most_recent=true)" in query for query in sent)


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_names_stay_strings(search):
    """A name of any characters is one string of a query and changes nothing else in it."""
    sent = recorded_queries(*(partial(search, name=name) for name in AWKWARD.values()))

    assert_valid(sent)
    assert len({skeleton(query) for query in sent}) == 1
    for name, query in zip(AWKWARD.values(), sent, strict=True):
        assert name in literals(query)


def test_parser_agrees_with_recorded_answers():
    """A real Tempo answered 200 to each query that is valid here, and 400 to each that is not."""
    recorded = [item for item in json.loads(ANSWERS.read_text()) if "q" in item["params"]]
    results = errors([item["params"]["q"] for item in recorded])

    statuses = {item["params"]["q"]: item["status"] for item in recorded}
    assert set(statuses.values()) == {200, 400}
    assert statuses == {
        item["params"]["q"]: 400 if result else 200
        for item, result in zip(recorded, results, strict=True)
    }
