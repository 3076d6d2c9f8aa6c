"""The configuration of a running program: shown to peers, changed by them, written back to its file.

Serves the request codes 26 (GET_BROKER_CONFIG), 25 (UPDATE_BROKER_CONFIG), 319 and 318. The rules beyond
Java's: everything is validated before anything changes, a key that nobody knows is refused by name, and a key
that only works from the next start on is written to the file without touching the running value.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from configuration.build import Report, check_inert, nearest_name
from configuration.convert import convert
from configuration.errors import ConfigError, ForbiddenKeyError
from configuration.fields import settings_of, to_text
from configuration.java_keys import java_keys
from configuration.names import to_snake_case
from configuration.properties import decode_text, parse_properties, split_lines, write_line, write_properties
from configuration.read import parse_text
from configuration.toml import write_toml_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from configuration.fields import Setting
    from configuration.java_keys import JavaKey

__all__ = ["Configuration", "Update", "plan_update", "properties_text"]

_BLACK_LISTED = "Can not update config in black list."


def properties_text(objects: Iterable[object], extra: Mapping[str, str] | None = None) -> str:
    """The body of code 26: `key=value` lines sorted by key.

    Args:
        objects: config objects; of a key that several have, the first one's value is shown, secrets are not.
        extra: inert and unknown keys of the file.
    """
    values = dict(extra or {})
    shown: set[str] = set()
    for config in objects:
        for setting in settings_of(type(config)).values():
            if setting.wire not in shown:
                shown.add(setting.wire)
                value = to_text(getattr(config, setting.name), setting.separator)
                values[setting.wire] = "******" if setting.secret and value else value
    return write_properties(values)


@attrs.frozen(kw_only=True)
class Update:
    """A request to change keys, found valid as a whole. Texts are as the request wrote them."""

    changes: tuple[tuple[object, Setting, Any], ...]
    """Config object, field and new value of everything that takes effect at once."""
    accepted: Mapping[str, str]
    """All keys of the request, by Java's name."""
    pending: tuple[str, ...]
    """Keys that take effect at the next start only."""
    inert: tuple[str, ...]
    """Keys without effect."""

    def apply(self) -> None:
        """Set the new values; cannot fail."""
        for config, setting, value in self.changes:
            setattr(config, setting.name, value)


def plan_update(
    objects: Sequence[object],
    changes: Mapping[str, str],
    *,
    extra: Mapping[str, str] | None = None,
    black_list: Collection[str] = (),
) -> Update:
    """Check the keys and values of an update request; nothing is changed yet.

    Raises:
        ForbiddenKeyError: a key is on the black list (answer 16).
        ConfigError: keys are unknown or values are wrong; the message names each of them.
    """
    for key in changes:
        if key in black_list:
            raise ForbiddenKeyError(None, None, None, _BLACK_LISTED)
    inert_keys = {name: key for config in objects for name, key in java_keys(type(config)).items()}
    planned: list[tuple[object, Setting, Any]] = []
    pending: list[str] = []
    inert: list[str] = []
    wrong: list[str] = []
    for key, text in changes.items():
        owners = [
            (config, setting)
            for config in objects
            for setting in settings_of(type(config)).values()
            if setting.wire == key
        ]
        try:
            for config, setting in owners:
                value = convert(setting, text)
                if setting.runtime:
                    planned.append((config, setting, value))
                elif value != getattr(config, setting.name):
                    pending.append(key)
            if not owners:
                _check_other(key, text, inert_keys, extra or {}, objects)
                inert.append(key)
        except ValueError as refused:
            wrong.append(f"key '{key}': {refused}")
    if wrong:
        raise ConfigError(None, None, None, "; ".join(wrong))
    return Update(
        changes=tuple(planned),
        accepted=dict(changes),
        pending=tuple(dict.fromkeys(pending)),
        inert=tuple(inert),
    )


class Configuration:
    """The config objects of one program together with the file they came from.

    Args:
        objects: the live config objects; they are changed in place.
        report: what :func:`configuration.build` said about the file; its extras are shown and kept.
        path: the file that updates are written to (created if missing); None keeps them in memory only.
        always_forbidden: keys that no update may name, besides those on the objects' own black list.
        black_list: reads the configured black list (`;` between keys) at each update.
    """

    def __init__(
        self,
        objects: Sequence[object],
        *,
        report: Report | None = None,
        path: Path | str | None = None,
        always_forbidden: Collection[str] = (),
        black_list: Callable[[], str] = str,
    ) -> None:
        self.objects = tuple(objects)
        self.path = None if path is None else Path(path)
        self.extra = {} if report is None else report.extras
        self._always_forbidden = frozenset(always_forbidden)
        self._black_list = black_list

    def __repr__(self) -> str:
        return f"<Configuration {self.path} of {len(self.objects)} objects>"

    def text(self) -> str:
        """The body of code 26 or 319: values in force, then inert and unknown keys, sorted together."""
        return properties_text(self.objects, self.extra)

    def update(self, body: bytes | bytearray | memoryview) -> Update:
        """Serve code 25 or 318: check, write the file, change the values in force. All or nothing.

        Blocks while the file is written.

        Args:
            body: properties text; UTF-8.

        Raises:
            ForbiddenKeyError: a key is on the black list (answer 16).
            ConfigError: the body, a key or a value is wrong, or the file cannot be written.
        """
        entries = parse_properties(decode_text(bytes(body)))
        forbidden = self._always_forbidden.union(key.strip() for key in self._black_list().split(";"))
        update = plan_update(
            self.objects,
            {entry.key: str(entry.value).strip() for entry in entries},
            extra=self.extra,
            black_list=forbidden,
        )
        if self.path is not None and update.accepted:
            self._write(self.path, update.accepted)
        update.apply()
        self.extra.update({key: update.accepted[key] for key in update.inert})
        return update

    def _write(self, path: Path, changes: Mapping[str, str]) -> None:
        try:
            old = decode_text(path.read_bytes()) if path.exists() else ""
            new = _edited(old, path, changes, self._toml_value)
            path.parent.mkdir(parents=True, exist_ok=True)
            if old:
                _replace(path.with_name(path.name + ".bak"), old)
            _replace(path, new)
        except OSError as wrong:
            raise ConfigError(path, None, None, f"cannot be written: {wrong.strerror}") from wrong

    def _toml_value(self, key: str, text: str) -> tuple[str, object]:
        for config in self.objects:
            for setting in settings_of(type(config)).values():
                if setting.wire == key:
                    value = convert(setting, text)
                    return setting.name, value if isinstance(value, (int, float, list)) else to_text(value)
        java_key = next((k[key] for c in self.objects if key in (k := java_keys(type(c)))), None)
        if java_key is not None and text and java_key.is_integer:
            return to_snake_case(key), int(text)
        if java_key is not None and java_key.java_type == "boolean":
            return to_snake_case(key), text.lower() == "true"
        return to_snake_case(key), text


def _check_other(
    key: str,
    text: str,
    inert_keys: Mapping[str, JavaKey],
    extra: Mapping[str, str],
    objects: Iterable[object],
) -> None:
    if key in inert_keys:
        check_inert(inert_keys[key], text)
    elif key not in extra:
        known = [setting.wire for config in objects for setting in settings_of(type(config)).values()]
        near = nearest_name(key, [*inert_keys, *known])
        raise ValueError("is not known" if near is None else f"is not known; did you mean '{near}'?")


def _edited(
    text: str, path: Path, changes: Mapping[str, str], toml_value: Callable[[str, str], tuple[str, object]]
) -> str:
    """The text with the values of some keys replaced where they stand, or added at the end."""
    raw = parse_text(text, path)
    lines = split_lines(text)
    added: list[str] = []
    replaced: list[tuple[int, int, str]] = []
    for key, value in changes.items():
        if raw.is_toml:
            key, typed = toml_value(key, value)
            line = write_toml_line(key, typed)
        else:
            line = write_line(key, value)
        entry = raw.by_key.get(key)
        if entry is None:
            added.append(line)
        else:
            replaced.append((entry.line - 1, entry.last_line, line))
    for first, last, line in sorted(replaced, reverse=True):
        lines[first:last] = [line]
    if lines and added and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += "\n"
    return "".join([*lines, *added])


def _replace(path: Path, text: str) -> None:
    """Write a file so that at any moment either the old or the new content is there, whole."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        Path(temporary).chmod(mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
