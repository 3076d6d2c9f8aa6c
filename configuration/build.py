"""From a file to config objects, and what had to be said about its keys."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import attrs

from configuration.convert import convert
from configuration.errors import ConfigError
from configuration.fields import settings_of, to_text
from configuration.java_keys import REFUSED, java_keys, known_elsewhere
from configuration.names import to_camel_case, to_snake_case
from configuration.read import RawConfig

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Mapping, Sequence

    from configuration.java_keys import JavaKey
    from configuration.properties import Entry

__all__ = ["Report", "build", "check_inert", "nearest_name"]


@attrs.frozen
class Report:
    """What a file said that is not in the config objects. Keys are Java's, values texts."""

    warnings: tuple[str, ...] = ()
    """One sentence for each key without effect, with file and line, in the order of the file."""
    inert: Mapping[str, str] = attrs.field(factory=dict)
    """Keys that Java knows and this program accepts without effect."""
    unknown: Mapping[str, str] = attrs.field(factory=dict)
    """Keys that nobody knows."""
    mistakes: tuple[str, ...] = ()
    """Those of the warnings that speak of a probable slip: unknown keys, keys that are set twice."""

    @property
    def extras(self) -> dict[str, str]:
        """Inert and unknown keys together: what a peer that asks for the configuration sees besides."""
        return {**self.inert, **self.unknown}

    def log(self, logger: logging.Logger) -> None:
        """Write the warnings to a log."""
        for warning in self.warnings:
            logger.warning("%s", warning)


def build(
    classes: Sequence[type[Any]], raw: RawConfig | None = None, defaults: Mapping[str, object] | None = None
) -> tuple[tuple[Any, ...], Report]:
    """Fill one object of each config class from the entries of one file.

    A key that several classes have fills all of them, as in Java. Keys that are no field are reported.

    Args:
        classes: config classes; the objects come in the same order.
        raw: the file, or None for defaults alone.
        defaults: values by field name for keys that the file lacks, instead of the class's own.

    Raises:
        ConfigError: a value has the wrong type or range, or an inert key asks for something that must not be
            ignored. Of several, the first one in the file.
    """
    raw = raw or RawConfig()
    wrong: list[ConfigError] = []
    taken: set[str] = set()
    objects = []
    for cls in classes:
        values: dict[str, object] = {}
        for setting in settings_of(cls).values():
            key = setting.name if raw.is_toml else setting.wire
            entry = raw.by_key.get(key)
            if entry is None:
                if defaults is not None and setting.name in defaults:
                    values[setting.name] = defaults[setting.name]
                continue
            taken.add(key)
            try:
                values[setting.name] = convert(setting, entry.value)
            except ValueError as refused:
                wrong.append(ConfigError(raw.path, entry.line or None, key, str(refused)))
        if not wrong:
            objects.append(cls(**values))
    report = _report(classes, raw, taken, wrong)
    if wrong:
        raise min(wrong, key=lambda error: error.line or 0)
    return tuple(objects), report


def nearest_name(key: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `key`, whatever its capitals, or None."""
    by_fold = {name.replace("_", "").lower(): name for name in known}
    close = difflib.get_close_matches(key.replace("_", "").lower(), by_fold, n=1, cutoff=0.75)
    return by_fold[close[0]] if close else None


def check_inert(key: JavaKey, text: str) -> None:
    """Refuse a value of an inert key that Java's type does not take, or that must not be ignored.

    Raises:
        ValueError: says why.
    """
    if text.strip() and not key.accepts(text):
        raise ValueError(f"'{text}' is not {key.allowed()}")
    refused, reason = REFUSED.get(key.key, (None, ""))
    if text.strip().lower() == refused:
        raise ValueError(f"'{text}' is refused: {reason}")


def _report(
    classes: Sequence[type[Any]], raw: RawConfig, taken: set[str], wrong: list[ConfigError]
) -> Report:
    inert_keys = {name: key for cls in classes for name, key in java_keys(cls).items()}
    if raw.is_toml:
        inert_keys = {to_snake_case(name): key for name, key in inert_keys.items()}
    warnings: list[str] = []
    mistakes: list[str] = []
    inert: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for entry in raw.entries:
        in_force = raw.by_key[entry.key]
        if entry is not in_force:
            mistakes.append(_say(raw, entry, f"is set again in line {in_force.line}, which counts"))
            warnings.append(mistakes[-1])
            continue
        if entry.key in taken:
            continue
        text = to_text(entry.value)
        java_key = inert_keys.get(entry.key)
        if java_key is not None:
            try:
                check_inert(java_key, text)
            except ValueError as refused:
                wrong.append(ConfigError(raw.path, entry.line or None, entry.key, str(refused)))
            inert[java_key.key] = text
            warnings.append(_say(raw, entry, "is known, but has no effect in this program"))
            continue
        wire = to_camel_case(entry.key) if raw.is_toml else entry.key
        elsewhere = known_elsewhere(wire)
        if elsewhere is not None:
            inert[wire] = text
            warnings.append(_say(raw, entry, f"belongs to {elsewhere.java_class} and has no effect here"))
            continue
        unknown[wire] = text
        known = [s.name if raw.is_toml else s.wire for cls in classes for s in settings_of(cls).values()]
        near = nearest_name(entry.key, [*inert_keys, *known])
        hint = "" if near is None else f"; did you mean '{near}'?"
        mistakes.append(_say(raw, entry, f"is not known and has no effect{hint}"))
        warnings.append(mistakes[-1])
    return Report(tuple(warnings), inert, unknown, tuple(mistakes))


def _say(raw: RawConfig, entry: Entry, text: str) -> str:
    place = "" if raw.path is None else f"{raw.path}:{entry.line}: "
    return f"{place}key '{entry.key}' {text}"
