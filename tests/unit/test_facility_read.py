"""A facility.yaml is read, or all that is wrong in it is said, with what to write instead."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading

import jsonschema
import pytest
import yaml
from written import LEAST, mistakes, only

from af_otel.errors import AfOtelError
from af_otel.facility import FacilityInvalid, dump, json_schema, parse_text, read


def test_the_least_that_says_a_facility_is_enough():
    """Users and Dask are where the hub is; everything else has a default."""
    facility = parse_text(LEAST + "dask: [{selector: {app: dask}}]\n")
    assert facility.namespace == "af-otel"
    assert facility.hub.selector == {"component": "hub"}
    assert facility.users.namespaces == ["jhub"]
    assert facility.users.selector == {"component": "singleuser-server"}
    assert facility.dask[0].namespaces == ["jhub"]
    assert facility.injected_namespaces == ["jhub"]
    assert facility.destinations.traces.store.protocol == "http"
    assert facility.backends.jaeger is False


def test_own_backends_are_the_destinations_that_are_left_out():
    """A facility that has nothing can still send somewhere."""
    facility = parse_text(OWN)
    traces = facility.destinations.traces
    assert traces.kind == "jaeger"
    assert traces.store.endpoint == "http://af-otel-jaeger.af-otel:4318"
    assert traces.store.query == "http://af-otel-jaeger.af-otel:16686"
    assert facility.destinations.metrics.query == "http://af-otel-prometheus.af-otel:9090"


def test_with_backends_turns_on_what_has_no_destination():
    """What the file names is kept."""
    text = "name: a\nhub: {namespace: j}\n"
    traces = "destinations: {traces: {tempo: {endpoint: 'http://tempo:4318'}}}\n"
    facility = parse_text(text + traces, with_backends=True)
    assert (facility.backends.jaeger, facility.backends.prometheus) == (False, True)
    assert facility.destinations.traces.store.endpoint == "http://tempo:4318"
    backends = parse_text(text, with_backends=True).backends
    assert (backends.jaeger, backends.prometheus, backends.grafana) == (True, True, False)


def test_what_was_read_can_be_written_and_read():
    """`dump` leaves out the defaults, and loses nothing."""
    text = LEAST + (
        "collector:\n  storage: {class: fast}\n"
        "  tolerations: [{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]\n"
        "injection: {env: {AF_OTEL_SCHEDULE_DELAY: '1000'}}\n"
    )
    facility = parse_text(text)
    assert facility.collector.storage.storage_class == "fast"
    assert parse_text(dump(facility)) == facility
    assert "sampling" not in dump(facility)


def test_every_mistake_is_told_in_one_run_with_its_line():
    """Who mends a file wants to hear everything at once, in the order of the file."""
    found = mistakes(
        "Name: a\n"
        "hub:\n"
        "  namespaec: jhub\n"
        "sampling: {share: 2, slow: 5}\n"
        "destinations:\n"
        "  traces: {jaeger: {endpoint: 'jaeger:4318', tls: {cert: {secret: a, key: b}}}}\n"
        "  metrics: {scrape: service_monitor, remote_write: {endpoint: 'http://p/api/v1/write'}}\n"
        "collector: {image: otelcol, resources: {requests: {memory: 3Gi}}}\n"
    )
    assert [(item.place.line, item.place.column, item.field) for item in found] == [
        (1, 1, "Name"),
        (3, 3, "hub.namespaec"),
        (4, 12, "sampling.share"),
        (4, 22, "sampling.slow"),
        (6, 21, "destinations.traces.jaeger.endpoint"),
        (6, 52, "destinations.traces.jaeger.tls.cert"),
        (7, 13, "destinations.metrics.scrape"),
        (8, 13, "collector.image"),
        (8, 52, "collector.resources.requests.memory"),
    ]


def test_a_mistake_names_file_line_field_and_what_to_write():
    """As compilers do, so that editors can jump there."""
    found = only(LEAST.replace("  namespace: jhub", "  namespaec: jhub\n  namespace: jhub"))
    assert str(found) == (
        "`hub` has no field `namespaec`; the nearest is `namespace`\n"
        "  where: facility.yaml:3:3, `hub.namespaec`\n"
        "  write: hub:\n"
        "           namespace: jhub"
    )


@pytest.mark.parametrize(
    ("section", "name", "nearest"),
    [
        ("", "destination", "destinations"),
        ("", "Collector", "collector"),
        ("collector", "nodeSelector", "node_selector"),
        ("collector", "imagePullPolicy", "pull_policy"),
        ("collector", "affinity", ""),
        ("sampling", "keepErrors", "keep_errors"),
        ("scrape", "intervals", "interval"),
    ],
)
def test_an_unknown_field_is_answered_with_the_nearest(section, name, nearest):
    """And where nothing is near, with the names that there are."""
    line = f"{section}: {{{name}: x}}\n" if section else f"{name}: x\n"
    found = next(
        item for item in mistakes(LEAST + line) if item.field == f"{section}.{name}".lstrip(".")
    )
    assert f"nearest is `{nearest}`" in found.what if nearest else "it has `image`" in found.what


def test_the_advice_for_a_misspelt_field_has_its_value():
    """So that it can be pasted."""
    found = only(LEAST + "collector: {nodeSelector: {pool: core}}\n")
    assert yaml.safe_load(found.write) == {"collector": {"node_selector": {"pool": "core"}}}


def test_a_field_in_the_wrong_section_is_told_where_it_belongs():
    """`endpoint` is a field, and not of the facility."""
    found = only(LEAST + "endpoint: http://tempo:4318\n")
    assert "`destinations.traces.tempo`" in found.what


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("name: a", "is there already, in line 1"),
        ("users:\n\tnamespaces: [a]", "A tab where YAML wants spaces"),
        ("\tusers: {}", "A tab where YAML wants spaces"),
        ("users: {namespaces: [a}", "This is no YAML"),
        ("---\nname: b", "A second document"),
        ("users: !!python/object:os.system {}", "a tag that means nothing here"),
        ("users: &a {selector: *a}", "An alias that is inside of what it names"),
        ("? [a, b]\n: c", "A key has to be one word"),
        ("users: [a]", "`users` has to be a section"),
        ("dask: {namespaces: [a]}", "`dask` has to be a list"),
        ("sampling: {keep_errors: perhaps}", "`true` or `false`"),
        ("namespace: no", "To YAML `no` is a yes or no, and `namespace` is a text: quote it"),
        ("hub: 5", "is there already"),
        ("injection: {env: {A: 1.10}}", "To YAML `1.10` is a number"),
        ("users: {selector: {a: on}}", "To YAML `on` is a yes or no"),
        ("users: {selector: {a: }}", "`users.selector.a` has no value"),
        ("namespace: [a]", "has to be a single text"),
        ("namespace: a: b", "A second `: ` in one line"),
        ("limits: {traces: 1:30}", "has to be a whole number"),
        ("users: {selector: {}}", "An empty selector would choose every pod"),
        ("dask: [{selector: {a: []}}]", "An empty list matches nothing"),
        ("injection: {route: webhook}", "`injection.route` is one of `auto`, `policy`"),
        ("hub2: \x07", "A character that no YAML may have: U+0007"),
        ("limits: {traces: " + "9" * 5000 + "}", "`limits.traces`"),
    ],
)
def test_yaml_has_pitfalls_and_each_is_named(lines, what):
    """What the parser, or YAML 1.1 itself, makes of them silently is a mistake here."""
    assert any(what in item.what for item in mistakes(LEAST + lines + "\n")), [
        str(item) for item in mistakes(LEAST + lines + "\n")
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "There is nothing in this file"),
        ("# only a comment\n", "There is nothing in this file"),
        ("- name: a\n", "This is a list"),
        ("hello\n", "This is a single text"),
        ("[" * 5000, "Nested too deeply"),
        ('name: "\\uD800"\n', "U+D800"),
        ('{"\\uDFFF": 1}\n', "U+DFFF"),
    ],
)
def test_what_is_no_mapping_is_answered_with_the_least(text, what):
    """Whatever the file is, the answer is a sentence."""
    assert what in only(text).what


def test_a_section_whose_lines_are_comments_is_none():
    """`users:` with everything below it commented out means the defaults."""
    assert parse_text(LEAST + "users:\n  # namespaces: [a]\ndask:\n").users.namespaces == ["jhub"]


def test_anchors_and_merges_work_as_in_any_yaml():
    """A mistake in what is merged is told where it stands."""
    text = LEAST + (
        "collector: {resources: {requests: &r {cpu: 200m, memory: 1Gi}, limits: {<<: *r}}}\n"
    )
    assert parse_text(text).collector.resources.limits.cpu == "200m"
    found = mistakes(text.replace("200m", "lots"))
    assert {item.place.line for item in found} == {11}


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("name", "Coffea Casa", "coffea-casa"),
        ("name", "-a", "a"),
        ("name", "a" * 64, "a" * 63),
        ("namespace", "af_otel", "af-otel"),
        ("hub.namespace", "JHub", "jhub"),
        ("sampling.slow", "5 seconds", None),
        ("sampling.slow", "0s", None),
        ("sampling.slow", 5, "5s"),
        ("scrape.interval", "1.5m", "90000ms"),
        ("scrape.interval", "30s1m", "90000ms"),
        ("collector.storage.size", "5GB", "5Gi"),
        ("collector.storage.size", "500m", "500Mi"),
        ("collector.storage.size", "5", "100Mi"),
        ("backends.size", "9" * 400 + "Gi", "1Pi"),
        ("collector.resources.limits.memory", "10Ti", "1Ti"),
        ("collector.resources.requests.memory", "0.5", "1Mi"),
        ("collector.resources.requests.cpu", "0.0001", "1m"),
        ("limits.traces", 10**12, 1_000_000),
        ("limits.series", 10**19, 100_000),
        ("limits.request", "1Ki", "1Mi"),
        ("sampling.wait", "999999999999h", "1h"),
        ("sampling.wait", "0.001ms", "1s"),
        ("sampling.slow", "9" * 400 + "h", "24h"),
        ("scrape.interval", "1h", "5m"),
        ("collector.storage.size", "-1Gi", None),
        ("collector.resources.requests.cpu", "lots", None),
        ("collector.image", "otel/collector", "otel/collector:1.2.3"),
        ("collector.image", "Otel/Collector:1", None),
        ("collector.image", "http://registry/collector:1", None),
        ("collector.image", "a@sha256:12", None),
        (
            "destinations.traces.tempo.endpoint",
            "tempo.monitoring:4318",
            "http://tempo.monitoring:4318",
        ),
        ("destinations.traces.tempo.endpoint", "http://", None),
        ("destinations.traces.tempo.endpoint", "http://tempo:99999", "http://host:4318"),
        ("destinations.traces.tempo.endpoint", "http://tempo:4318/v1/traces", "http://tempo:4318"),
        ("destinations.traces.tempo.endpoint", "ftp://tempo", None),
        (
            "collector.tolerations",
            [{"key": "a", "tolerationSeconds": 5}],
            [{"effect": "NoExecute"}],
        ),
        ("hub.selector", {"a b": "c"}, None),
        ("hub.selector", {"a": "c d"}, None),
        ("users.namespaces", ["A"], ["a"]),
        ("injection.exclude_images", ["a b"], None),
        ("injection.env", {"A-B": "c"}, None),
        ("injection.env", {"PYTHONPATH": "/x"}, None),
        ("hub.port", 0, 1),
        ("hub.base_url", "jupyter", None),
        ("hub.base_url", "/${HOME}/", None),
        ("collector.storage.size", "0Gi", None),
        ("limits.traces", 1e30, None),
        ("destinations.traces.tempo.endpoint", "http://tempo\\x", None),
        ("destinations.traces.tempo.endpoint", "http://tempo/\x01", None),
        ("destinations.traces.tempo.headers", {"A": "b\nc"}, None),
        ("destinations.traces.tempo.headers", {"A": "b", "a": "c"}, None),
        ("destinations.traces.tempo.headers", {"A": {"secret": "b", "key": "c d"}}, None),
        ("limits.traces", 1, 100),
        ("sampling.share", 1.5, 1),
        ("sampling.share", -1, 0),
    ],
)
def test_values_that_cannot_be_are_refused(field, value, right):
    """And where it can be guessed, the right one is written out, ready to paste."""
    data = yaml.safe_load(LEAST)
    section = data
    *path, last = field.split(".")
    for step in path:
        section = section.setdefault(step, {})
    section[last] = value
    found = [item for item in mistakes(yaml.safe_dump(data)) if item.field.startswith(field)]
    assert len(found) == 1
    if right is not None:
        made = yaml.safe_load(found[0].write)
        for step in field.split("."):
            made = made[step]
        assert made == right


@pytest.mark.parametrize(
    "value",
    [
        "otel/opentelemetry-collector-contrib:0.159.0",
        "localhost:5000/a/b_c/d-e:v1",
        "registry.cern.ch/af/collector@sha256:" + "a" * 64,
        "a:1@sha256:" + "0" * 64,
        "otelcol:0.159",
        "otelcol:dev",
        "my-mirror.example.org/otelcol:7",
    ],
)
def test_images_by_tag_or_digest_from_any_registry_are_fine(value):
    """A mirror has a port, a digest no tag, and what a node was given by hand no registry."""
    assert parse_text(LEAST + f"collector: {{image: '{value}'}}\n").collector.image == value


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        ("tls: {cert: {secret: a, key: b}}", "tls.cert"),
        ("tls: {key: {secret: a, key: b}}", "tls.key"),
        ("tls: {ca: {secret: a, config_map: b}}", "tls.ca"),
        ("tls: {ca: {}}", "tls.ca"),
        ("auth: {}", "auth"),
        ("auth: {basic: {secret: a}, bearer: {secret: b}}", "auth"),
        ("headers: {A: {secret: b}}", "headers.A.key"),
    ],
)
def test_what_goes_together_is_there_together(lines, field):
    """Both, none, or exactly one of them."""
    text = LEAST.replace(
        "      endpoint: http://tempo.monitoring:4318\n",
        f"      endpoint: https://tempo:4318\n      {lines}\n",
    )
    assert only(text).field == f"destinations.traces.tempo.{field}"


def test_a_backend_that_nothing_would_send_to_is_refused():
    """A destination and a backend for the same data are one too many."""
    found = only(LEAST + "backends: {jaeger: true}\n")
    assert found.field == "backends.jaeger"
    assert yaml.safe_load(found.write) == {"backends": {"jaeger": False}}


def test_what_the_errors_say_to_write_is_right():
    """Following every advice in turn ends in a file that can be read."""
    data = {"names": "x", "hub": {"namespace": "J"}, "sampling": {"slow": 5}}
    for _ in range(20):
        try:
            facility = parse_text(yaml.safe_dump(copy.deepcopy(data)))
            break
        except FacilityInvalid as error:
            mistake = error.mistakes[0]
            _merge(data, yaml.safe_load(mistake.write))
            if "has no field" in mistake.what:
                data.pop(mistake.field)
    assert facility.hub.namespace == "j"
    assert facility.sampling.slow == "5s"


def _merge(data, advice):
    for key, value in advice.items():
        if isinstance(value, dict) and isinstance(data.get(key), dict):
            _merge(data[key], value)
        else:
            data[key] = value


FULL = """\
name: casa
namespace: telemetry
hub: {namespace: jhub, selector: {component: hub}, port: 8081, base_url: /cms/}
users: {namespaces: [jhub, b], selector: {component: singleuser-server, x: [a, b]}}
dask:
  - {namespaces: [jhub], selector: {a: [b, c]}}
injection: {route: helm, exclude_images: ["a/*"], env: {A: b}}
destinations:
  traces:
    tempo:
      endpoint: https://tempo:4317
      protocol: grpc
      tls: {ca: {config_map: a}, cert: {secret: a, key: b}, key: {secret: a, key: c}}
      headers: {X-A: b, X-B: {secret: a, key: b}}
      auth: {bearer: {secret: a}}
      query: http://tempo:3200
  metrics:
    scrape: service_monitor
    monitor: {labels: {a: b}, namespace: x, interval: 1m30s}
collector:
  image: a/b:1
  resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 2Gi}}
  storage: {size: 5Gi, class: x}
  tolerations: [{key: a, operator: Exists, effect: NoSchedule}]
sampling: {share: 0.5, slow: 500ms}
scrape: {hub_token: {secret: a, key: b}}
"""
OWN = "name: a\nhub: {namespace: j}\nbackends: {jaeger: true, prometheus: true}\n"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (LEAST, True),
        (FULL, True),
        (OWN, True),
        (LEAST + "nowhere: 1\n", False),
        (LEAST + "sampling: {share: 2}\n", False),
        (LEAST + "sampling: {slow: 5}\n", False),
        (LEAST + "namespace: A\n", False),
        (LEAST.replace("http://tempo", "http://bob:secret@tempo"), False),
    ],
)
def test_editors_and_the_reader_agree(text, right):
    """What the JSON schema underlines is what `read` refuses, as far as a schema can tell."""
    try:
        jsonschema.validate(yaml.safe_load(text), json_schema())
        accepted = True
    except jsonschema.ValidationError:
        accepted = False
    assert accepted is right
    if right:
        parse_text(text)
    else:
        mistakes(text)


def test_every_field_is_documented():
    """The reference and the schema have a sentence for each."""
    schema = json_schema()
    for section in [schema, *schema["$defs"].values()]:
        assert section["description"]
        for name, field in section["properties"].items():
            assert "description" in field or "$ref" in field, name


def test_files_that_are_none(tmp_path):
    """Missing, a directory, not UTF-8, endless: each is one sentence with the path in it."""
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: a\nhub: {namespace: Zürich}\n".encode("latin-1"))
    for path, what in (
        (tmp_path / "none.yaml", "There is no such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (latin, "This is no UTF-8"),
        (type(tmp_path)("/dev/zero"), "More than a megabyte"),
    ):
        with pytest.raises(AfOtelError, match=what) as caught:
            read(path)
        assert str(path) in caught.value.where
    assert "latin.yaml:2:" in _where(latin)


def _where(path):
    with pytest.raises(AfOtelError) as caught:
        read(path)
    return caught.value.where


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path):
    """Editors on other systems write them."""
    path = tmp_path / "facility.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + LEAST.replace("\n", "\r\n").encode())
    assert read(path).name == "coffea-casa"


def test_a_pipe_is_a_file(tmp_path):
    """`-f <(helm-like-tool)` is how shells hand over what was made on the fly."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text(LEAST))
    writer.start()
    assert read(path).name == "coffea-casa"
    writer.join(10)


def test_aliases_that_multiply_end_soon():
    """A file of nine lines that is a billion values when it is spelled out."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    script = (
        "import sys; from af_otel.facility import parse_text, FacilityInvalid\n"
        "try: parse_text(sys.stdin.read())\n"
        "except FacilityInvalid as error: print(len(error.mistakes))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        input=LEAST + "\n".join(lines),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 1


def test_a_field_that_is_misspelt_is_not_said_to_be_missing():
    """One mistake gives one error, with the value that was written."""
    with pytest.raises(AfOtelError) as error:
        parse_text("name: x\nhub: {namespaec: foo}\n", with_backends=True)
    assert str(error.value) == (
        "`hub` has no field `namespaec`; the nearest is `namespace`\n"
        "  where: facility.yaml:2:7, `hub.namespaec`\n"
        "  write: hub:\n"
        "           namespace: foo"
    )
