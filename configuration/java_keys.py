"""Every configuration key that Java's RocketMQ 5.5.0 knows, with its type and default.

The table `java_keys.tsv` beside this module lists them by Java class. A key of the Java class behind one of
our config classes that is not a field there is *inert*: accepted, checked for its type, without effect. Our
class has the simple name of Java's, except for the two of the transport.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import attrs

__all__ = ["REFUSED", "JavaKey", "is_secret", "java_class_of", "java_keys", "known_elsewhere"]

_JAVA_NAMES = {"RemotingServerConfig": "NettyServerConfig", "RemotingClientConfig": "NettyClientConfig"}

_COMPANIONS = {"BrokerConfig": ("AuthConfig",), "NamesrvConfig": ("ControllerConfig",)}
"""Java classes filled from the same file whose features have no config class here."""

_INTEGER_BITS = {"int": 32, "long": 64}
_MOST_DIGITS = 40
_DOUBLE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[dDfF]?|NaN|[+-]?Infinity", re.ASCII)

_SECRETS = frozenset(
    {"initAuthenticationUser", "innerClientAuthenticationCredentials", "metricsGrpcExporterHeader"}
)
_SECRET_WORDS = re.compile(r"password|secret|credential", re.IGNORECASE)

_ENUMS = {
    "BrokerRole": ("ASYNC_MASTER", "SYNC_MASTER", "SLAVE"),
    "FlushDiskType": ("SYNC_FLUSH", "ASYNC_FLUSH"),
    "MessageRequestMode": ("PULL", "POP"),
    "MetricsExporterType": ("DISABLE", "OTLP_GRPC", "PROM", "LOG"),
}

REFUSED: dict[str, tuple[str, str]] = {
    "aclEnable": ("true", "access control is not supported: the broker would be open to everybody"),
    "authenticationEnabled": (
        "true",
        "authentication is not supported: the broker would be open to everybody",
    ),
    "authorizationEnabled": ("true", "authorization is not supported: the broker would be open to everybody"),
    "enableDLegerCommitLog": ("true", "DLedger is not supported: the messages would not be replicated"),
    "enableControllerMode": ("true", "controller mode is not supported: no master would be elected"),
    "enableControllerInNamesrv": ("true", "the controller is not supported"),
}
"""Inert keys with a value that must not be ignored: accepting it would promise what nobody keeps."""


@attrs.frozen
class JavaKey:
    """One key as Java has it."""

    java_class: str
    key: str
    java_type: str
    default: str
    """As text; `<…>` where it depends on the machine, `~` for the home directory, empty for null."""

    def allowed(self) -> str:
        """The values that Java's type takes, as the end of a sentence."""
        if self.java_type in _INTEGER_BITS:
            low, high = self.range
            return f"an integer between {low} and {high}"
        if self.java_type == "double":
            return "a number"
        if self.java_type == "boolean":
            return "true or false"
        return "one of " + ", ".join(_ENUMS[self.java_type]) if self.java_type in _ENUMS else "a text"

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and greatest value of an integer key."""
        half = 1 << (_INTEGER_BITS[self.java_type] - 1)
        return -half, half - 1

    @property
    def is_integer(self) -> bool:
        """Whether Java's type is int or long."""
        return self.java_type in _INTEGER_BITS

    def accepts(self, text: str) -> bool:
        """Whether a text is a value of Java's type."""
        text = text.strip()
        if self.is_integer:
            digits = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
            low, high = self.range
            plain = digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
            return plain and low <= int(text) <= high
        if self.java_type == "double":
            return _DOUBLE.fullmatch(text) is not None
        if self.java_type == "boolean":
            return text.lower() in ("true", "false")
        return text in _ENUMS[self.java_type] if self.java_type in _ENUMS else True


@cache
def _table() -> dict[str, dict[str, JavaKey]]:
    found: dict[str, dict[str, JavaKey]] = {}
    text = Path(__file__).with_name("java_keys.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        key = JavaKey(*line.split("\t"))
        found.setdefault(key.java_class, {})[key.key] = key
    return found


def java_class_of(cls: type[Any]) -> str:
    """Simple name of the Java class that a config class stands for."""
    return _JAVA_NAMES.get(cls.__name__, cls.__name__)


def java_keys(cls: type[Any]) -> dict[str, JavaKey]:
    """The keys of the Java class behind a config class, and of the classes that Java reads beside it."""
    name = java_class_of(cls)
    keys = dict(_table().get(name, {}))
    for companion in _COMPANIONS.get(name, ()):
        keys = {**_table()[companion], **keys}
    return keys


def is_secret(key: str) -> bool:
    """Whether the value of an inert or unknown key must not be shown; our own fields say it themselves."""
    return key in _SECRETS or _SECRET_WORDS.search(key) is not None


def known_elsewhere(key: str) -> JavaKey | None:
    """The key in whatever Java class has it, or None: it is well known but belongs to another file."""
    for keys in _table().values():
        if key in keys:
            return keys[key]
    return None
