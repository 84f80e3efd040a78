"""YAML for readers in Go, which take for numbers and truth values what to PyYAML are words."""

from __future__ import annotations

import re

import yaml


class Dumper(yaml.SafeDumper):
    """Quotes `1e3`, `0o17` and `y` as well."""


Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?0o[0-7]+$"),
    list("-+.0123456789"),
)
Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))
