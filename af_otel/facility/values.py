"""The words that a facility.yaml is made of, and what each has to look like.

Everything here can be told without a cluster. A message names what was written and what would do;
a secret that was written by mistake is never repeated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import SplitResult, urlsplit

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Callable

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+")
_INTERVAL = re.compile(r"(?=[0-9])([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?")
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|[MGTPE]|[KMGTPE]i)?")
_IMAGE = re.compile(
    # A number behind a colon is a port where a path follows, and else a tag.
    r"(?P<name>[a-z0-9]+([._-]+[a-z0-9]+)*(:[0-9]+(?=/))?(/[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*)*)"
    r"(:(?P<tag>\w[\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_TEXT = re.compile(r"[\t -~]*")
_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(
    r"(?i)authorization|token|cookie|passw|secret|credential|api[-_]?key|_key$"
)
_SECRET_VALUE = re.compile(
    r"(?i)^(basic|bearer|digest|token)\s+\S+|authorization\s*[=:]|^eyJ[\w-]{10}|^glsa_"
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_MULTIPLES = {"": 1.0, "m": 0.001, "k": 1e3} | {
    name + binary: float(base) ** power
    for binary, base in (("", 1000), ("i", 1024))
    for power, name in enumerate("KMGTPE", 1)
    if name + binary != "K"
}
_MAX_LABEL, _MAX_SUBDOMAIN, _MAX_PORT = 63, 253, 65535


def wrong(what: str, *, write: str = "", kind: str = "af_otel") -> PydanticCustomError:
    """An error; `write` is the YAML that would do: the field's value, or fields of the section."""
    # The message is a template to pydantic: braces in it would be looked up.
    return PydanticCustomError(kind, "{what}", {"what": what, "write": write})


def is_secret(name: str, value: str) -> bool:
    """Whether a header or variable looks like one that only a Secret may hold."""
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))


def seconds(duration: str) -> float:
    """What a `Duration` is in seconds."""
    return sum(
        float(number) * _UNITS[unit]
        for number, unit in re.findall(r"([0-9.]+)(ms|s|m|h)", duration)
    )


def amount(quantity: str) -> float:
    """What a `Quantity` is in bytes or cores."""
    match = _QUANTITY.fullmatch(quantity)
    assert match is not None, quantity
    return float(match[1]) * _MULTIPLES[match[2] or ""]


@dataclass(frozen=True)
class Between:
    """The least and the most that a duration or a quantity may be, as they are written."""

    measure: Callable[[str], float]
    least: str
    most: str

    def __call__(self, value: str) -> str:
        """The value, if it is within."""
        low, here, high = map(self.measure, (self.least, value, self.most))
        if not low <= here <= high:
            raise wrong(
                f"`{value}` is not between `{self.least}` and `{self.most}`",
                write=self.least if here < low else self.most,
            )
        return value


def _dns_label(value: str) -> str:
    if len(value) > _MAX_LABEL or not _DNS_LABEL.fullmatch(value):
        like = re.sub(r"[^a-z0-9]+", "-", value.lower())[:_MAX_LABEL].strip("-")
        raise wrong(
            f"`{value}` is no DNS label: lower-case letters, digits and `-`, at most 63, "
            "a letter or digit at both ends",
            write=like,
        )
    return value


def _object_name(value: str) -> str:
    if len(value) > _MAX_SUBDOMAIN or not _DNS_SUBDOMAIN.fullmatch(value):
        # Not repeated: where a Secret's name belongs, people have written the secret.
        raise wrong(
            "This is no name of an object: lower-case letters, digits, `-` and `.`, "
            "a letter or digit at both ends"
        )
    return value


def _duration(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise wrong(f"`{value}` has no unit; one of `ms`, `s`, `m`, `h`", write=f"{value}s")
    if isinstance(value, str) and (not _DURATION.fullmatch(value) or seconds(value) == 0):
        raise wrong(f"`{value}` is no duration above zero, such as `30s`, `500ms` or `1m30s`")
    return value


def _interval(value: str) -> str:
    if not _INTERVAL.fullmatch(value):
        raise wrong(
            f"`{value}` is no interval to Prometheus: whole numbers, the largest unit first",
            write=f"{max(1, round(seconds(value) * 1000))}ms",
        )
    return value


def _quantity(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and (not _QUANTITY.fullmatch(value) or amount(value) == 0):
        like = re.fullmatch(r"(?i)([0-9.]*[1-9][0-9.]*)\s*([kmgtpe])i?b?", value)
        raise wrong(
            f"`{value}` is no quantity above zero as Kubernetes has them: `500m`, `2`, `1Gi`",
            write=f"{like[1]}{like[2].upper()}i" if like else "",
        )
    return value


def _memory(value: str) -> str:
    if value.endswith("m"):
        raise wrong(
            f"`{value}` is in thousandths of a byte; `Mi` is the unit of megabytes",
            write=f"{value[:-1]}Mi",
        )
    return value


def _split(value: str) -> SplitResult:
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError as error:
        # Not the address itself: a password with an unescaped `/` or `#` ends up here.
        raise wrong(
            "This is no address: its host or port cannot be read", write="http://host:4318"
        ) from error
    if not url.scheme or url.scheme not in {"http", "https"} or not url.hostname:
        safe = value if "@" not in value and "?" not in value else "…"
        guess = (
            value.removeprefix("//") if re.fullmatch(r"(//)?[\w.-]+(:\d+)?(/\S*)?", value) else ""
        )
        raise wrong(
            f"`{safe}` is no address: it begins with `http://` or `https://` and names a host",
            write=f"http://{guess}" if guess else "",
        )
    if port == 0 or re.search(r"[\s\x00-\x1f\x7f\\]", value):
        raise wrong("This is no address: no port is 0, and none has spaces or `\\`")
    return url


def _url(value: str) -> str:
    url = _split(value)
    if url.username is not None or url.password is not None:
        raise wrong("Holds a user name or password", kind="secret_in_url")
    if url.query:
        raise wrong("Holds a query (`?…`), where credentials tend to be", kind="secret_in_url")
    if url.fragment:
        raise wrong(
            "Ends in a fragment (`#…`), which no server gets", write=value.partition("#")[0]
        )
    return value.rstrip("/") if url.path in {"", "/"} else value


def _image(value: str) -> str:
    match = _IMAGE.fullmatch(value)
    if match is None:
        raise wrong(
            f"`{value}` is no image reference: `registry/name:tag` or `…@sha256:…`, in lower case"
        )
    if not match["tag"] and not match["digest"]:
        raise wrong(
            f"`{value}` names neither tag nor digest, so that a restart may run another version",
            write=f"{value}:1.2.3",
        )
    return value


def _image_pattern(value: str) -> str:
    if not value or not _IMAGE.fullmatch(value.replace("*", "x")):
        raise wrong(f"`{value}` is no image reference; `*` in it stands for any text")
    return value


def _label_key(value: str) -> str:
    prefix, _, name = value.rpartition("/")
    fits = len(name) <= _MAX_LABEL and _LABEL_NAME.fullmatch(name)
    if not fits or (("/" in value) and not _DNS_SUBDOMAIN.fullmatch(prefix)):
        raise wrong(f"`{value}` is no key of a label, such as `app` or `app.kubernetes.io/name`")
    return value


def _label_value(value: str) -> str:
    if value and (len(value) > _MAX_LABEL or not _LABEL_NAME.fullmatch(value)):
        raise wrong(
            f"`{value}` is no value of a label: letters, digits, `-`, `_` and `.`, at most 63, "
            "a letter or digit at both ends"
        )
    return value


def _any_of(value: list[str]) -> list[str]:
    if not value:
        raise wrong("An empty list matches nothing: name the values, or leave the label out")
    return value


def _selector(value: dict[str, Any]) -> dict[str, Any]:
    if not value:
        raise wrong(
            "An empty selector would choose every pod of the namespace", write="component: hub"
        )
    return value


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise wrong(f"`{value}` is no name of an HTTP header")
    return value


def _header_text(value: str) -> str:
    if not HEADER_TEXT.fullmatch(value):
        raise wrong("This is no value of an HTTP header: one line of ASCII characters")
    return value


def _key(value: str) -> str:
    if not _KEY.fullmatch(value):
        # Not repeated: where the key belongs, people have written what is behind it.
        raise wrong("This is no key of a Secret or ConfigMap: letters, digits, `-`, `_` and `.`")
    return value


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise wrong(f"`{value}` is no name of an environment variable")
    return value


# No `Field` in what follows: it would be one for all fields that are annotated with it.
Name = Annotated[
    str,
    AfterValidator(_dns_label),
    WithJsonSchema({"type": "string", "pattern": f"^{_LABEL}$", "maxLength": _MAX_LABEL}),
]
ObjectName = Annotated[str, AfterValidator(_object_name)]
Duration = Annotated[
    str,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$"}),
]
Interval = Annotated[
    Duration,
    AfterValidator(_interval),
    WithJsonSchema({"type": "string", "pattern": f"^{_INTERVAL.pattern}$"}),
]
Quantity = Annotated[
    str,
    BeforeValidator(_quantity),
    WithJsonSchema({"type": ["string", "number"], "pattern": f"^{_QUANTITY.pattern}$"}),
]
# Prometheus takes a series for ended after five minutes without a value.
Every = Annotated[Interval, AfterValidator(Between(seconds, "1s", "5m"))]
Bytes = Annotated[Quantity, AfterValidator(_memory)]
Cores = Annotated[Quantity, AfterValidator(Between(amount, "1m", "1k"))]
Volume = Annotated[Bytes, AfterValidator(Between(amount, "100Mi", "1Pi"))]
Url = Annotated[
    str, AfterValidator(_url), WithJsonSchema({"type": "string", "pattern": "^https?://[^@?#]+$"})
]
Image = Annotated[str, AfterValidator(_image)]
ImagePattern = Annotated[str, AfterValidator(_image_pattern)]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, AfterValidator(_label_value)]
Labels = dict[LabelKey, LabelValue]
_Values = Annotated[list[LabelValue], AfterValidator(_any_of)]
Selector = Annotated[
    dict[
        LabelKey,
        Annotated[
            # Without tags, a mistake in the one was told as a mistake in both.
            Annotated[LabelValue, Tag("=value")] | Annotated[_Values, Tag("=values")],
            Discriminator(lambda value: "=values" if isinstance(value, list) else "=value"),
        ],
    ],
    AfterValidator(_selector),
]
HeaderName = Annotated[str, AfterValidator(_header)]
HeaderText = Annotated[str, AfterValidator(_header_text)]
Key = Annotated[
    str, AfterValidator(_key), WithJsonSchema({"type": "string", "pattern": f"^{_KEY.pattern}$"})
]
VariableName = Annotated[str, AfterValidator(_variable)]
Port = Annotated[int, Ge(1), Le(_MAX_PORT)]
