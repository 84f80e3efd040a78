"""Options of a Jaeger in the cluster: flags and variables of version 1, configuration of 2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from af_otel.facility.discovery.look import variables_of, words_of
from af_otel.facility.discovery.servers import mounted_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from af_otel.facility.discovery.look import Look, Object

_QUERY = "jaeger_query"
_FLAGS = {"--query.base-path", f"--set=extensions.{_QUERY}.base_path"}
_VARIABLE = re.compile(r"\$\{(?:env:)?(\w+)(?::-([^}]*))?\}")
_PATH = re.compile(r"(/[\w.~%@+-]+)*/?")


def is_jaeger(config: Mapping[str, Any]) -> bool:
    """Return whether a Collector's configuration serves Jaeger's query API."""
    return bool(_query_extensions(config))


def base_path(
    look: Look,
    workload: Object,
    container: Mapping[str, Any],
    config: Mapping[str, Any] | None,
    *,
    version: tuple[int, int] | None,
) -> str | None:
    """Return the base path of the query API, by default an empty text; None if it is not known.

    Parameters
    ----------
    config
        The configuration, if it was found already; by default it is read from the ConfigMaps that
        the workload mounts.
    """
    words, variables = words_of(container), variables_of(container)
    path = next((value for name, value in _options(words) if name in _FLAGS), None)
    if path is None and (version is None or version < (2, 0)):
        path = variables.get("QUERY_BASE_PATH")
    if path is None:
        configs = [config] if config else list(_configs(mounted_texts(look, workload)))
        extensions = [item for each in configs for item in _query_extensions(each)]
        if not extensions and any(word.startswith("--config") for word in words):
            return None
        path = next((str(item["base_path"]) for item in extensions if item.get("base_path")), "")
    path = _expanded(path, variables)
    # Only what is certainly a path leaves the configuration, which may have secrets.
    return path.rstrip("/") if _PATH.fullmatch(path) else None


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with its `${env:NAME:-default}` replaced, as far as the values are known."""

    def value(match: re.Match[str]) -> str:
        default = match[0] if match[2] is None else match[2]
        return variables.get(match[1], default)

    return _VARIABLE.sub(value, text)


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the flags of a command line with their values; `--set` includes the key it sets."""
    for number, word in enumerate(words):
        name, has_value, value = word.partition("=")
        if not has_value:
            value = words[number + 1] if number + 1 < len(words) else ""
        if name == "--set":
            key, _, value = value.partition("=")
            name = f"--set={key}"
        yield name, value


def _configs(texts: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    for text in texts:
        if _QUERY in text:
            try:
                config = yaml.safe_load(text)
            except yaml.YAMLError:
                continue
            if isinstance(config, dict):
                yield config


def _query_extensions(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    extensions = config.get("extensions")
    if not isinstance(extensions, dict):
        return []
    return [
        value if isinstance(value, dict) else {}
        for name, value in extensions.items()
        if str(name).partition("/")[0] == _QUERY
    ]
