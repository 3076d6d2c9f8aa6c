"""Config fields: what one key is called, what it may hold, when a change of it takes effect.

A config class is an attrs class whose fields come from :func:`setting`; :func:`settings_of` reads back what
was said there, as data, for the file reader, the update request and the documentation.
"""

from __future__ import annotations

import enum
import types
import typing
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from configuration.errors import ConfigError
from configuration.java_keys import java_keys
from configuration.names import to_camel_case

if TYPE_CHECKING:
    from configuration.forms import Form

__all__ = ["Setting", "setting", "settings_of"]

T = TypeVar("T")

_METADATA = "configuration.setting"


@attrs.frozen(kw_only=True)
class _Terms:
    help: str
    ge: float | None
    le: float | None
    choices: tuple[str, ...] | None
    form: Form | None
    runtime: bool
    wire: str | None
    secret: bool
    separator: str


@attrs.frozen(kw_only=True)
class Setting:
    """One key of a config class."""

    name: str
    """Name of the field, snake_case; the key in TOML files."""
    wire: str
    """Name of the key in Java's files and requests."""
    kind: type
    """int, float, bool, str, list (of strings) or a subclass of Enum."""
    optional: bool
    """Whether None (in a file: an empty value) is allowed."""
    default: Any
    help: str
    ge: float | None
    le: float | None
    choices: tuple[str, ...] | None
    form: Form | None
    """What a text must look like, for keys where not every text will do."""
    runtime: bool
    """Whether a change of the running process takes effect."""
    secret: bool
    """Whether the value must not be shown."""
    separator: str
    """What separates the items of a list in a properties file."""

    def allowed(self) -> str:
        """The values that this key takes, as the end of a sentence: `an integer between 1 and 65535`."""
        if self.choices is not None:
            return "one of " + ", ".join(self.choices)
        if self.kind is bool:
            if self.le is not None and not self.le:
                return "false (true is not supported)"
            return "true or false"
        if self.kind is int:
            return "an integer" + _bounds(self.ge, self.le)
        if self.kind is float:
            return "a number" + _bounds(self.ge, self.le)
        if self.kind is list:
            return f"a list separated by '{self.separator}'"
        return "a text" if self.form is None else self.form.allowed

    def check(self, value: Any) -> None:
        """Raise `ValueError` saying what is allowed, unless `value` (of the right type) is."""
        if value is None:
            return
        if isinstance(value, (int, float)):
            inside = (self.ge is None or value >= self.ge) and (self.le is None or value <= self.le)
        elif self.form is not None:
            inside = self.form.accepts(to_text(value, self.separator))
        else:
            items = value if isinstance(value, list) else [value]
            inside = self.choices is None or all(_text(item) in self.choices for item in items)
        if not inside:
            shown = "the value" if self.secret else f"'{to_text(value)}'"
            raise ValueError(f"{shown} is not {self.allowed()}")


def setting(
    default: T,
    *,
    help: str,
    ge: float | None = None,
    le: float | None = None,
    choices: typing.Sequence[str] | None = None,
    form: Form | None = None,
    runtime: bool = False,
    wire: str | None = None,
    secret: bool = False,
    separator: str = ";",
) -> T:
    """Declare one key of a config class.

    The annotation of the field says its type: int, float, bool, str, `str | None`, `list[str]` or an Enum of
    strings. Values out of range raise `ConfigError` already when the object is built or the field is set.

    Args:
        default: value when nothing else is said; a list is copied for each object.
        help: one sentence for the documentation: meaning and unit.
        ge: smallest value.
        le: greatest value.
        choices: the only texts allowed.
        form: what a text must look like.
        runtime: a change by an update request takes effect in the running process.
        wire: Java's key, if it is not the camelCase of the field's name.
        secret: never shown in texts made for people or peers.
        separator: between the items of a list in a properties file.
    """
    terms = _Terms(
        help=help,
        ge=ge,
        le=le,
        choices=None if choices is None else tuple(choices),
        form=form,
        runtime=runtime,
        wire=wire,
        secret=secret,
        separator=separator,
    )
    if isinstance(default, list):
        items = list(default)
        field = attrs.field(
            factory=lambda: list(items), validator=_validate, repr=not secret, metadata={_METADATA: terms}
        )
    else:
        field = attrs.field(
            default=default, validator=_validate, repr=not secret, metadata={_METADATA: terms}
        )
    return cast("T", field)


def settings_of(cls: type[Any]) -> dict[str, Setting]:
    """The keys of a config class by field name, in the order of their declaration."""
    found = _settings.get(cls)
    if found is None:
        found = _settings[cls] = _read_settings(cls)
    return found


_settings: dict[type, dict[str, Setting]] = {}


def _read_settings(cls: type[Any]) -> dict[str, Setting]:
    hints = typing.get_type_hints(cls)
    java = java_keys(cls)
    found: dict[str, Setting] = {}
    for field in attrs.fields(cls):
        terms: _Terms | None = field.metadata.get(_METADATA)
        if terms is None:
            continue
        kind, optional = _kind(hints[field.name])
        wire = terms.wire or to_camel_case(field.name)
        choices = terms.choices
        if choices is None and issubclass(kind, enum.Enum):
            choices = tuple(str(member.value) for member in kind)
        ge, le = terms.ge, terms.le
        if kind is int and wire in java and java[wire].is_integer:
            low, high = java[wire].range
            ge = low if ge is None else ge
            le = high if le is None else le
        default = field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]
        found[field.name] = Setting(
            name=field.name,
            wire=wire,
            kind=kind,
            optional=optional,
            default=default,
            help=terms.help,
            ge=ge,
            le=le,
            choices=choices,
            form=terms.form,
            runtime=terms.runtime,
            secret=terms.secret,
            separator=terms.separator,
        )
    return found


def to_text(value: Any, separator: str = ";") -> str:
    """A value as Java's files and requests write it; None is the empty text."""
    if value is None:
        return ""
    if isinstance(value, list):
        return separator.join(map(_text, value))
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, enum.Enum):
        return str(value.value)
    return str(value)


def _validate(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    cls: type[Any] = type(instance)
    checked = settings_of(cls)[attribute.name]
    try:
        checked.check(value)
    except ValueError as wrong:
        raise ConfigError(None, None, checked.wire, str(wrong)) from None


def _kind(hint: Any) -> tuple[type, bool]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        if len(members) == 1:
            return _kind(members[0])[0], True
    elif typing.get_origin(hint) is list:
        return list, False
    elif isinstance(hint, type) and (hint in (int, float, bool, str) or issubclass(hint, enum.Enum)):
        return hint, False
    raise TypeError(f"a setting cannot be annotated with {hint!r}")


def _bounds(ge: float | None, le: float | None) -> str:
    if ge is not None and le is not None:
        return f" between {ge} and {le}"
    if ge is not None:
        return f" of at least {ge}"
    if le is not None:
        return f" of at most {le}"
    return ""
