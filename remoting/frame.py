"""Frames: bytes in, commands out, and back. No I/O.

    total    int32   4 + header length + body length; does not count itself
    word     int32   top byte: header serialization (0 JSON, 1 ROCKETMQ); low 24 bits: header length
    header   ...
    body     the rest

Java: `NettyDecoder`, `RemotingCommand.decode`, `RocketMQSerializable`. A frame says itself how its header is
serialized, so both forms are read at any time; which one is written is the sender's configuration.

Theory of the reader: it holds back at most one incomplete frame, as the list of the reads that brought it
(small ones run together, so that a trickle does not cost an object a byte), and joins them once, when the
last byte is there. Nothing is reserved on the word of a length field. Bodies are views over the joined bytes.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import attrs
import msgspec

from remoting.command import RemotingCommand, SerializeType
from remoting.errors import FrameFault, LocalFault
from remoting.protocol.language import LANGUAGES, ORDINALS, OTHER, name_of

MAX_HEADER_LENGTH = 0xFFFFFF
_SMALL_READ = 16 * 1024

_PREFIX = struct.Struct(">iI")
_FIXED = struct.Struct(">hBhiii")
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_FIXED_SIZE = _FIXED.size + _INT32.size


@attrs.frozen(kw_only=True)
class FrameLimits:
    """What a peer may send.

    Attributes:
        frame_bytes: longest frame with its leading length field; Java's
            `com.rocketmq.remoting.frameMaxLength` = 16 MiB.
        header_bytes: longest header. Headers are decoded into many small objects, so this bounds them.
    """

    frame_bytes: int = 16 * 1024 * 1024
    header_bytes: int = 1024 * 1024


class FrameReader:
    """Cuts a stream of bytes into commands.

    After a `FrameFault` the stream has no frame boundary any more and the reader refuses to go on.
    """

    __slots__ = ("_broken", "_chunks", "_max_header", "_max_total", "_needed", "_size")

    def __init__(self, limits: FrameLimits | None = None) -> None:
        limits = limits or FrameLimits()
        self._max_total = limits.frame_bytes - 4
        self._max_header = min(limits.header_bytes, MAX_HEADER_LENGTH)
        self._chunks: list[bytes | bytearray] = []
        self._size = 0
        self._needed = 0
        self._broken = False

    @property
    def buffered_bytes(self) -> int:
        """Bytes of the incomplete frame at the end of what was fed; below the frame limit plus one read."""
        return self._size

    def feed(self, data: bytes) -> list[RemotingCommand]:
        """Takes the bytes of one read and returns the commands that they complete, in order.

        Raises:
            FrameFault: the bytes are no frame or exceed the limits; its `decoded` has the commands before.
        """
        if self._broken:
            raise FrameFault("the stream was broken before")
        if self._chunks:
            self._hold(data)
            self._size += len(data)
            if self._size < self._needed:
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
        commands: list[RemotingCommand] = []
        at = 0
        end = len(data)
        needed = 8
        view: memoryview | None = None
        try:
            while end - at >= 8:
                total, word = _PREFIX.unpack_from(data, at)
                header_length = word & 0xFFFFFF
                if not 4 <= total <= self._max_total:
                    raise FrameFault(f"frame length {total}, the limit is {self._max_total}")
                if header_length > self._max_header or header_length > total - 4:
                    raise FrameFault(f"header length {header_length} in a frame of length {total}")
                frame_end = at + 4 + total
                if frame_end > end:
                    needed = 4 + total
                    break
                body_at = at + 8 + header_length
                command = decode_header(word >> 24, data[at + 8 : body_at])
                if body_at != frame_end:
                    if view is None:
                        view = memoryview(data)
                    command.body = view[body_at:frame_end]
                commands.append(command)
                at = frame_end
        except FrameFault as fault:
            self._broken = True
            self._size = 0
            fault.decoded = commands
            raise
        self._size = end - at
        if at != end:
            self._chunks.append(data[at:] if at else data)
            self._needed = needed
        return commands

    def _hold(self, data: bytes) -> None:
        if len(data) >= _SMALL_READ:
            self._chunks.append(data)
        elif isinstance(self._chunks[-1], bytearray):
            self._chunks[-1] += data
        else:
            self._chunks.append(bytearray(data))


def decode_header(serialize_type: int, header: bytes) -> RemotingCommand:
    """One header. `serialize_type` is the top byte of the frame's second word.

    Raises:
        FrameFault: not a header.
    """
    if serialize_type == 0:
        return _decode_json(header)
    if serialize_type == 1:
        return _decode_rocketmq(header)
    raise FrameFault(f"unknown header serialization {serialize_type}")


_strict_decode = msgspec.json.Decoder(RemotingCommand).decode


def _decode_json(header: bytes) -> RemotingCommand:
    try:
        command = _strict_decode(header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_json_liberally(header)
    # A header that happens to have keys of these names must not set them.
    command.body = b""
    command.serialize_type = 0
    command.tally = 0
    return command


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _decode_json_liberally(header: bytes) -> RemotingCommand:
    """Numbers stay text, because that is what they become in `ext_fields`."""
    try:
        fields = json.loads(header, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
        if not isinstance(fields, dict):
            raise TypeError("not an object")
        remark = fields.get("remark")
        language = fields.get("language")
        return RemotingCommand(
            _int32(fields.get("code")),
            _text_map(fields.get("extFields")),
            b"",
            _int32(fields.get("opaque")),
            _int32(fields.get("flag")),
            _int32(fields.get("version")),
            language if isinstance(language, str) and language in ORDINALS else OTHER,
            None if remark is None else _text(remark),
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise FrameFault(f"not a JSON header: {str(error)[:200]}") from error


def _int32(value: Any) -> int:
    number = 0 if value is None else int(value)
    if not -(2**31) <= number < 2**31:
        raise ValueError("not an int32")
    return number


def _text_map(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError("extFields is not an object")
    return {_well_formed(name): _text(item) for name, item in value.items() if item is not None}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return _well_formed(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _well_formed(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def _well_formed(text: str) -> str:
    """Lone surrogates, which Java strings can hold and UTF-8 cannot, become U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _decode_rocketmq(header: bytes) -> RemotingCommand:
    try:
        code, language, version, opaque, flag, remark_length = _FIXED.unpack_from(header)
        at = _FIXED.size + remark_length
        if remark_length < 0:
            raise ValueError("negative remark length")
        remark = str(header[_FIXED.size : at], "utf-8") if remark_length else None
        (ext_length,) = _INT32.unpack_from(header, at)
        at += 4
        if ext_length < 0 or ext_length != len(header) - at:
            raise ValueError(f"{ext_length} bytes of fields, {len(header) - at} bytes there")
        ext_fields = _decode_pairs(header, at) if ext_length else {}
    except (struct.error, ValueError, IndexError) as error:
        raise FrameFault(f"not a ROCKETMQ header: {error}") from error
    return RemotingCommand(code, ext_fields, b"", opaque, flag, version, name_of(language), remark, 1)


def _decode_pairs(header: bytes, at: int) -> dict[str, str]:
    """Pairs of int16 key length, key, int32 value length, value.

    One Latin-1 decode of the whole header makes every ASCII field a plain slice; the rare header with other
    text is repaired afterwards. One-letter keys and values below 64 KiB have the short way.
    """
    text = header.decode("latin-1")
    fields: dict[str, str] = {}
    end = len(header)
    while at < end:
        if header[at + 1] == 1 and not header[at]:
            name = text[at + 2]
            at += 3
        else:
            name_end = at + 2 + _INT16.unpack_from(header, at)[0]
            name = text[at + 2 : name_end]
            if name_end < at + 2:
                raise ValueError("negative key length")
            at = name_end
        if header[at] or header[at + 1]:
            length = _INT32.unpack_from(header, at)[0]
            if length < 0:
                raise ValueError("negative value length")
        else:
            length = header[at + 2] << 8 | header[at + 3]
        at += 4
        if length:
            fields[name] = text[at : at + length]
            at += length
    if at != end:
        raise ValueError("a field runs over the end")
    if not text.isascii() and not ("".join(fields).isascii() and "".join(fields.values()).isascii()):
        return {
            name.encode("latin-1").decode("utf-8"): value.encode("latin-1").decode("utf-8")
            for name, value in fields.items()
        }
    return fields


class _JsonHeader(msgspec.Struct):
    """The written form: Java's keys in Java's (alphabetical) order, absent ones left out."""

    code: int
    extFields: dict[str, str] | msgspec.UnsetType  # noqa: N815 - the wire name
    flag: int
    language: str
    opaque: int
    remark: str | msgspec.UnsetType
    serializeTypeCurrentRPC: str  # noqa: N815 - the wire name
    version: int


_json_encode = msgspec.json.Encoder().encode
_UNSET = msgspec.UNSET


def encode(command: RemotingCommand, serialize_type: int = SerializeType.JSON) -> bytes:
    """Length prefix and header of a command's frame. The body has to follow it on the wire.

    Raises:
        LocalFault: a field does not fit the serialization: a code above 32767 in a ROCKETMQ header, a value
            that is not a string, a frame of 2 GiB.
    """
    try:
        if serialize_type == 0:
            ext_fields = command.ext_fields
            remark = command.remark
            header = _json_encode(
                _JsonHeader(
                    command.code,
                    ext_fields or _UNSET,
                    command.flag,
                    command.language,
                    command.opaque,
                    _UNSET if remark is None else remark,
                    "JSON",
                    command.version,
                )
            )
        else:
            header = _encode_rocketmq(command)
        length = len(header)
        if length > MAX_HEADER_LENGTH:
            raise ValueError(f"a header of {length} bytes")
        return _PREFIX.pack(4 + length + len(command.body), serialize_type << 24 | length) + header
    except (struct.error, ValueError, TypeError, AttributeError) as error:
        raise LocalFault(f"code {command.code} cannot be encoded: {error}") from error


def _encode_rocketmq(command: RemotingCommand) -> bytes:
    pairs: list[bytes] = []
    for name, value in command.ext_fields.items():
        raw_name = name.encode()
        raw_value = value.encode()
        pairs += (_INT16.pack(len(raw_name)), raw_name, _INT32.pack(len(raw_value)), raw_value)
    fields = b"".join(pairs)
    remark = command.remark.encode() if command.remark else b""
    fixed = _FIXED.pack(
        command.code,
        ORDINALS.get(command.language, LANGUAGES.index(OTHER)),
        command.version,
        command.opaque,
        command.flag,
        len(remark),
    )
    return b"".join((fixed, remark, _INT32.pack(len(fields)), fields))


def encode_buffers(
    command: RemotingCommand, serialize_type: int = SerializeType.JSON
) -> list[bytes | memoryview]:
    """The whole frame as buffers for one gathering write: the header's, and the body's if there is one.

    Raises:
        LocalFault: as `encode`.
    """
    head = encode(command, serialize_type)
    return [head, command.body] if command.body else [head]
