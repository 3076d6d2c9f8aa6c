"""The configuration of a running program: shown to peers, changed by them, written back to its file.

Serves the request codes 26 (GET_BROKER_CONFIG), 25 (UPDATE_BROKER_CONFIG), 319 and 318. The rules beyond
Java's: everything is validated before anything changes, a key that nobody knows is refused by name, a key
that only works from the next start on is written to the file without touching the running value, and a file
that the next start would refuse is not written.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from configuration.build import check_inert, nearest_name
from configuration.convert import convert
from configuration.edit import Change, edited
from configuration.errors import ConfigError, ForbiddenKeyError
from configuration.fields import settings_of, to_text
from configuration.java_keys import is_secret, java_keys, known_elsewhere
from configuration.names import to_camel_case, to_snake_case
from configuration.properties import decode_text, parse_properties, write_properties
from configuration.read import RawConfig, parse_text
from configuration.replace_file import FileContent, read_content, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from configuration.build import Report
    from configuration.fields import Setting
    from configuration.java_keys import JavaKey

__all__ = ["Configuration", "Update", "plan_update", "properties_text"]

MASK = "******"
"""Stands for every value that is a secret."""

_BLACK_LISTED = "Can not update config in black list."
_NOT_PROPERTIES = "string2Properties error"
_MOST_ATTEMPTS = 5


def properties_text(objects: Iterable[object], extra: Mapping[str, str] | None = None) -> str:
    """The body of code 26: `key=value` lines sorted by key.

    Args:
        objects: config objects; of a key that several have, the first one's value is shown, secrets are not.
        extra: inert and unknown keys of the file.
    """
    values = {key: MASK if text and is_secret(key) else text for key, text in (extra or {}).items()}
    for key, (setting, text) in _texts(objects).items():
        values[key] = MASK if text and setting.secret else text
    return write_properties(values)


def _texts(objects: Iterable[object]) -> dict[str, tuple[Setting, str]]:
    """What every key has in force, by Java's name; of a key that several objects have, the first one's."""
    found: dict[str, tuple[Setting, str]] = {}
    for config in objects:
        for setting in settings_of(type(config)).values():
            if setting.wire not in found:
                found[setting.wire] = setting, to_text(getattr(config, setting.name), setting.separator)
    return found


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
    secret: frozenset[str] = frozenset()
    """Keys whose values no log and no answer may show."""

    @property
    def shown(self) -> dict[str, str]:
        """All keys of the request, for a log."""
        return {key: MASK if key in self.secret else text for key, text in self.accepted.items()}

    def remark(self, whom: str) -> str | None:
        """What the answer says besides success, None if everything is in force.

        Args:
            whom: what has to be started again for the pending keys: `DefaultCluster_broker-a_0`.
        """
        parts = []
        if self.pending:
            parts.append(f"needs a restart of {whom} to take effect: {', '.join(self.pending)}")
        if self.inert:
            parts.append(f"kept without effect: {', '.join(self.inert)}")
        return "; ".join(parts) or None

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
    without_effect: Collection[str] = (),
    at_once: bool = False,
) -> Update:
    """Check the keys and values of an update request; nothing is changed yet.

    Args:
        objects: live config objects.
        changes: texts by Java's keys.
        extra: inert and unknown keys of the file.
        black_list: keys that must not be named.
        without_effect: keys of `objects` that do nothing where this program runs.
        at_once: whether keys that take effect at the next start only are changed in memory, too.

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
    secret: list[str] = []
    wrong: list[str] = []
    for key, text in changes.items():
        owners = [
            (config, setting)
            for config in objects
            for setting in settings_of(type(config)).values()
            if setting.wire == key
        ]
        try:
            if any(setting.secret for _, setting in owners) or (not owners and is_secret(key)):
                secret.append(key)
                if text == MASK:
                    raise ValueError(f"{MASK} stands for the value, it is not the value")
            for config, setting in owners:
                value = convert(setting, text)
                if setting.runtime or at_once:
                    planned.append((config, setting, value))
                elif value != getattr(config, setting.name) and key not in without_effect:
                    pending.append(key)
            if not owners:
                _check_other(key, text, inert_keys, extra or {}, objects)
            if not owners or key in without_effect:
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
        secret=frozenset(secret),
    )


class Configuration:
    """The config objects of one program together with the file they came from.

    Any thread may use it; changes come one after the other.

    Args:
        objects: the live config objects; they are changed in place.
        report: what :func:`configuration.build` said about the file; its extras are shown and kept.
        path: the file that updates are written to (created if missing); None keeps them in memory only.
        always_forbidden: keys that no update may name, besides those on the objects' own black list.
        black_list: reads the configured black list (`;` between keys) at each update.
        without_effect: keys of `objects` that do nothing where this program runs.
        check: raises :class:`ConfigError` for what a start with these entries would refuse; an update that
            would bring it about is refused with the same words.
        on_change: called after each change, in the thread of whoever made it.
    """

    def __init__(
        self,
        objects: Sequence[object],
        *,
        report: Report | None = None,
        path: Path | str | None = None,
        always_forbidden: Collection[str] = (),
        black_list: Callable[[], str] = str,
        without_effect: Collection[str] = (),
        check: Callable[[RawConfig], None] | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.objects = tuple(objects)
        self.path = None if path is None else Path(path)
        self.extra: Mapping[str, str] = {} if report is None else report.extras
        self.pending: Mapping[str, str] = {}
        """Accepted values by Java's keys that wait for the next start."""
        self._always_forbidden = frozenset(always_forbidden)
        self._black_list = black_list
        self._without_effect = frozenset(without_effect)
        self._check = check
        self._on_change = on_change
        self._changing = threading.Lock()
        self._values = threading.Lock()
        self._last_content = FileContent()
        if self.path is not None:
            with contextlib.suppress(OSError):  # an update that needs the file says what is wrong with it
                self._last_content = read_content(self.path) or self._last_content

    def __repr__(self) -> str:
        return f"<Configuration {self.path} of {len(self.objects)} objects>"

    def text(self) -> str:
        """The body of code 26 or 319: values in force, then inert and unknown keys, sorted together."""
        with self._values:
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
        try:
            entries = parse_properties(decode_text(bytes(body)))
        except ConfigError as wrong:
            raise ConfigError(None, None, None, _NOT_PROPERTIES) from wrong
        with self._changing:
            forbidden = self._always_forbidden.union(key.strip() for key in self._black_list().split(";"))
            update = plan_update(
                self.objects,
                {entry.key: str(entry.value).strip() for entry in entries},
                extra=self.extra,
                black_list=forbidden,
                without_effect=self._without_effect,
            )
            self._carry_out(update)
        return update

    def rewrite(self, changes: Mapping[str, str]) -> None:
        """Change keys for the program itself: no black list, and every key takes effect in memory at once.

        Blocks while the file is written.

        Args:
            changes: texts by Java's keys.

        Raises:
            ConfigError: a key or a value is wrong, or the file cannot be written; nothing is changed then.
        """
        with self._changing:
            self._carry_out(plan_update(self.objects, changes, extra=self.extra, at_once=True))

    def _carry_out(self, update: Update) -> None:
        if not update.accepted:
            return
        if self.path is None and update.pending:
            keys = ", ".join(update.pending)
            raise ConfigError(
                None, None, None, f"needs a restart, and no file would keep it until then: {keys}"
            )
        now = {**{key: text for key, (_, text) in _texts(self.objects).items()}, **self.extra}
        at_once = {key: text for key, text in update.accepted.items() if key not in update.pending}
        self._check_start(RawConfig.of(now), RawConfig.of({**now, **at_once}))
        if self.path is not None:
            self._write(self.path, update.accepted)
        accepted = update.accepted
        with self._values:
            update.apply()
            self.extra = {**self.extra, **{key: accepted[key] for key in update.inert}}
            waiting = {key: text for key, text in self.pending.items() if key not in accepted}
            self.pending = {**waiting, **{key: accepted[key] for key in update.pending}}
        if self._on_change is not None:
            self._on_change()

    def _write(self, path: Path, changes: Mapping[str, str]) -> None:
        """Change the file. Somebody who edits it at the same time loses nothing: it is read anew then."""
        try:
            for _ in range(_MOST_ATTEMPTS):
                found = read_content(path)
                # A file that is gone is written as it last was: the next start needs all that it said.
                base = found or self._last_content
                before = parse_text(decode_text(base.data), path)
                spelled = {key: self._spelled(before, key, text) for key, text in changes.items()}
                data, after = edited(base.data, path, spelled)
                self._check_start(before, after)
                content = FileContent(data, base.mode)
                if replace_file(path, content, previous=found):
                    self._last_content = content
                    return
        except OSError as wrong:
            place = "" if wrong.filename is None else f" (in {Path(wrong.filename).parent})"
            raise ConfigError(path, None, None, f"cannot be written: {wrong.strerror}{place}") from wrong
        raise ConfigError(path, None, None, "cannot be written: somebody else is changing it all the time")

    def _check_start(self, before: RawConfig, after: RawConfig) -> None:
        """Refuse what the next start would refuse; what it would have refused before, too, is let pass."""
        if self._check is None:
            return
        try:
            self._check(after)
        except ConfigError as wrong:
            try:
                self._check(before)
            except ConfigError as known:
                if (known.key, known.message) == (wrong.key, wrong.message):
                    return
            raise ConfigError(None, None, wrong.key, wrong.message) from None

    def _spelled(self, raw: RawConfig, key: str, text: str) -> Change:
        """A change as the file would have it: a TOML file has snake_case keys and typed values."""
        if not raw.is_toml:
            return Change(key, text)
        for config in self.objects:
            for setting in settings_of(type(config)).values():
                if setting.wire == key:
                    value = convert(setting, text)
                    return Change(
                        setting.name, value if isinstance(value, (int, float, list)) else to_text(value)
                    )
        java_key = next((k[key] for c in self.objects if key in (k := java_keys(type(c)))), None)
        if java_key is not None:
            return Change(to_snake_case(key), _typed(java_key, text))
        written = {to_camel_case(entry.key): entry.key for entry in raw.entries}
        return Change(written.get(key, to_snake_case(key)), text)


def _typed(java_key: JavaKey, text: str) -> object:
    if text and java_key.is_integer:
        return int(text)
    if java_key.java_type == "boolean":
        return text.lower() == "true"
    return text


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
        elsewhere = known_elsewhere(key)
        if elsewhere is not None:
            raise ValueError(f"belongs to {elsewhere.java_class}, which is not configured here")
        near = nearest_name(key, [*inert_keys, *known])
        raise ValueError("is not known" if near is None else f"is not known; did you mean '{near}'?")
