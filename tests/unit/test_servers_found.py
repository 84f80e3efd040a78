"""Which server is used: what a setting names, what is on PATH, what was built."""

from __future__ import annotations

import os
import shutil

import pytest
from inline_snapshot import snapshot

from af_otel.local import servers

PROMETHEUS = servers.KNOWN["prometheus"]


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """A machine without servers: no settings, an empty PATH, an empty cache."""
    for kind in servers.KNOWN.values():
        monkeypatch.delenv(kind.setting, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def program(path, answer):
    """A program that answers `--version` with these words."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return path


def message(error, *paths):
    """What a person reads, with this test's directories named."""
    text = str(error.value)
    for path, name in paths:
        text = text.replace(str(path), name)
    return text


def test_setting_comes_first(bare, monkeypatch):
    """A server that a setting names is used, whatever else there is."""
    program(bare / "bin" / "prometheus", "prometheus, version 3.2.0 (branch: HEAD)")
    named = program(bare / "mine", "prometheus, version 3.1.0 (branch: HEAD)")
    monkeypatch.setenv("AF_OTEL_PROMETHEUS", str(named))

    assert servers.find("prometheus") == servers.Server("prometheus", named, "3.1.0", "setting")


def test_setting_may_be_a_name_on_path(bare, monkeypatch):
    """A setting need not be a whole path."""
    found = program(bare / "bin" / "my-tempo", "tempo, version 2.8.1 (branch: HEAD)")
    monkeypatch.setenv("AF_OTEL_TEMPO", "my-tempo")

    assert servers.find("tempo").path == found


def test_setting_that_does_not_fit_is_an_error(bare, monkeypatch):
    """The error names what was found, what is needed, and the two ways out."""
    named = program(bare / "mine", "prometheus, version 2.45.0 (branch: HEAD)")
    monkeypatch.setenv("AF_OTEL_PROMETHEUS", str(named))

    with pytest.raises(servers.ServerUnfit) as error:
        servers.find("prometheus")

    assert message(error, (bare, "TMP")) == snapshot(
        """\
`AF_OTEL_PROMETHEUS` names prometheus 2.45.0; needed is >=3.0,<4
  where: `TMP/mine`
  hint:  unset `AF_OTEL_PROMETHEUS` and run `make servers`, or name another\
"""
    )


def test_setting_that_names_something_else_is_an_error(bare, monkeypatch):
    """A program that is no such server is told apart from a wrong version."""
    monkeypatch.setenv("AF_OTEL_TEMPO", str(program(bare / "other", "GNU true 9.1")))

    with pytest.raises(servers.ServerUnfit, match="names what is no tempo"):
        servers.find("tempo")


def test_setting_that_names_nothing_is_an_error(bare, monkeypatch):
    """A path that does not exist is told as it is."""
    monkeypatch.setenv("AF_OTEL_TEMPO", str(bare / "nowhere"))

    with pytest.raises(servers.ServerUnfit, match="`AF_OTEL_TEMPO` names no program"):
        servers.find("tempo")


@pytest.mark.parametrize(
    ("name", "called", "answer", "version"),
    [
        ("collector", "af-otelcol", "af-otelcol version 0.159.0", "0.159.0"),
        ("collector", "otelcol-contrib", "otelcol-contrib version 0.160.0", "0.160.0"),
        ("prometheus", "prometheus", "prometheus, version 3.5.0 (branch: HEAD)", "3.5.0"),
        ("prometheus", "prometheus", "prometheus, version  (branch: , revision: u)", ""),
        ("tempo", "tempo", "tempo, version 2.8.0-dev (branch: x)", "2.8.0-dev"),
        ("configurable-http-proxy", "configurable-http-proxy", "5.3.0", "5.3.0"),
        ("grafana", "grafana", "grafana version 12.1.0", "12.1.0"),
        ("grafana", "grafana-server", "Version 11.0.0 (commit: 1234)", "11.0.0"),
    ],
)
def test_server_on_path_is_used(bare, name, called, answer, version):
    """Each server is known by its usual names, and by what it says of itself."""
    found = program(bare / "bin" / called, answer)

    assert servers.find(name) == servers.Server(name, found, version, "PATH")


def test_unfit_server_on_path_is_passed_over(bare):
    """An old server on PATH is no error: our own is used instead."""
    program(bare / "bin" / "prometheus", "prometheus, version 2.45.0 (branch: HEAD)")
    built = program(servers.target(PROMETHEUS) / "prometheus", "")

    found = servers.find("prometheus")

    assert (found.path, found.source) == (built, "cache")
    assert found.version == servers.recipe(PROMETHEUS)["version"]


def test_missing_server_says_what_to_run(bare):
    """Without any, the error says where was looked and what to do."""
    program(bare / "bin" / "prometheus", "prometheus, version 2.45.0 (branch: HEAD)")

    with pytest.raises(servers.ServerNotFound) as error:
        servers.find("prometheus")

    assert message(error, (bare, "TMP")) == snapshot(
        """\
Server `prometheus` (>=3.0,<4) was not found
  where: `TMP/bin/prometheus` is 2.45.0, not in `TMP/cache/af-otel/servers`
  hint:  run `make servers`, or set `AF_OTEL_PROMETHEUS` to its path\
"""
    )


def test_unknown_server_lists_the_known():
    """A typing error is answered with the names there are."""
    with pytest.raises(servers.ServerNotFound) as error:
        servers.find("promethius")

    assert str(error.value) == snapshot(
        """\
Server `promethius` is unknown
  hint:  known are `collector`, `prometheus`, `tempo`, `jaeger`, `configurable-http-proxy`, \
`grafana`, `etcd`, `coredns`, `kubernetes`, `chromium`, `nginx`, `traceql`\
"""
    )


def test_checkout_uses_its_own_pins_only():
    """What another checkout has built from other pins is not used by this one."""
    program(servers.cache() / "prometheus" / "3.99.0-0123456789ab" / "prometheus", "")

    with pytest.raises(servers.ServerNotFound):
        servers.find("prometheus")


def test_installed_package_uses_the_newest_that_fits(bare, monkeypatch):
    """Without a checkout there are no pins: the newest build that fits is used."""
    for name in ("3.9.0-0123456789ab", "3.10.0-0123456789ab", "4.0.0-0123456789ab"):
        program(servers.cache() / "prometheus" / name / "prometheus", "")
    monkeypatch.setattr(servers, "CHECKOUT", bare / "site-packages")

    assert servers.find("prometheus").version == "3.10.0"


def test_a_changed_pin_is_another_build(bare, monkeypatch):
    """Each pinned file counts, by content and by name."""
    checkout = bare / "checkout"
    for pin in PROMETHEUS.pins:
        shutil.copytree(servers.CHECKOUT / pin, checkout / pin)
    before = servers.target(PROMETHEUS)
    monkeypatch.setattr(servers, "CHECKOUT", checkout)
    assert servers.target(PROMETHEUS) == before

    with (checkout / PROMETHEUS.pins[0] / "go.sum").open("a") as file:
        file.write(os.linesep)

    assert servers.target(PROMETHEUS) != before
