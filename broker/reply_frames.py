"""Complete answer frames by template, for the answers that are given a million times: sends and pulls.

A general encoder builds a dictionary, serializes it and copies it; here the constant part of a header is
made once and the few numbers are put between. Both header serializations, JSON and ROCKETMQ, are
here behind one small interface, and a test holds each against the general encoder. Only ASCII values that
need no JSON escape may be given; the callers fall back to `Connection.reply` for anything else.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Protocol

from remoting.command import OUR_LANGUAGE, RESPONSE_FLAG, SerializeType
from remoting.protocol.language import ORDINALS
from remoting.protocol.mq_version import CURRENT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BinaryFrames", "FrameTemplate", "JsonFrames", "frame_template", "is_plain"]

_PREFIX = struct.Struct(">II")
_FIXED = struct.Struct(">hBhii")
_INT = struct.Struct(">i")
_OUR_LANGUAGE_ORDINAL = ORDINALS[OUR_LANGUAGE]
_PLAIN = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-.:@#%|, ")


def is_plain(value: str) -> bool:
    """Whether `value` can stand in a template as it is."""
    return (value.isalnum() and value.isascii()) or _PLAIN.issuperset(value)


class FrameTemplate(Protocol):
    """Makes frames of one answer code, remark and set of constant fields."""

    def frame(self, opaque: int, fields: tuple[str, ...], body_size: int = 0) -> bytes:
        """Length prefix and header; `fields` are the values of the template's variable names, in order.

        `body_size` bytes of body must follow the frame on the connection.
        """


class JsonFrames:
    """Template of JSON headers: keys alphabetical, values as strings."""

    __slots__ = ("_format",)

    def __init__(
        self, code: int, remark: str | None, constants: Mapping[str, str], names: tuple[str, ...]
    ) -> None:
        pairs = {name: f'"{value}"' for name, value in constants.items()}
        pairs.update((name, '"%s"') for name in names)
        if list(names) != sorted(names):
            message = "variable names must be given in alphabetical order"
            raise ValueError(message)
        inner = ",".join([f'"{name}":{pairs[name]}' for name in sorted(pairs)])
        extension = f'"extFields":{{{inner}}},' if pairs else ""
        remark_text = "" if remark is None else f'"remark":"{remark}",'
        self._format = (
            f'{{"code":{code:d},{extension}"flag":{RESPONSE_FLAG},"language":"{OUR_LANGUAGE}",'
            f'"opaque":%d,{remark_text}'
            f'"serializeTypeCurrentRPC":"JSON","version":{CURRENT:d}}}'
        )

    def frame(self, opaque: int, fields: tuple[str, ...], body_size: int = 0) -> bytes:
        header = (self._format % (*fields, opaque)).encode()
        size = len(header)
        return _PREFIX.pack(size + body_size + 4, size) + header


class BinaryFrames:
    """Template of ROCKETMQ headers."""

    __slots__ = ("_code", "_constants", "_names", "_remark")

    def __init__(
        self, code: int, remark: str | None, constants: Mapping[str, str], names: tuple[str, ...]
    ) -> None:
        self._code = code
        remark_bytes = (remark or "").encode()
        self._remark = _INT.pack(len(remark_bytes)) + remark_bytes
        self._constants = b"".join([_pair_head(name) + _value(value) for name, value in constants.items()])
        self._names = tuple([_pair_head(name) for name in names])

    def frame(self, opaque: int, fields: tuple[str, ...], body_size: int = 0) -> bytes:
        parts = [self._constants]
        for head, field in zip(self._names, fields, strict=True):
            parts += (head, _INT.pack(len(field)), field.encode())
        pairs = b"".join(parts)
        fixed = _FIXED.pack(self._code, _OUR_LANGUAGE_ORDINAL, CURRENT, opaque, RESPONSE_FLAG)
        header = b"".join((fixed, self._remark, _INT.pack(len(pairs)), pairs))
        size = len(header)
        return _PREFIX.pack(size + body_size + 4, 1 << 24 | size) + header


def _pair_head(name: str) -> bytes:
    data = name.encode()
    return struct.pack(">h", len(data)) + data


def _value(value: str) -> bytes:
    data = value.encode()
    return _INT.pack(len(data)) + data


def frame_template(
    serialize_type: SerializeType,
    code: int,
    remark: str | None,
    constants: Mapping[str, str],
    names: tuple[str, ...],
) -> FrameTemplate:
    """The template for the header serialization that this server answers with."""
    maker = JsonFrames if serialize_type is SerializeType.JSON else BinaryFrames
    return maker(code, remark, constants, names)
