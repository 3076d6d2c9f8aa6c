"""One request or response of the protocol, as data.

`RemotingCommand` is a `msgspec.Struct` for one reason: the JSON header decoder builds it directly, without a
second object in between. Its three fields that never travel (`body`, `serialize_type`, `tally`) have JSON
names that no header uses, and the frame reader overwrites them after each decode.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from remoting.protocol.language import LanguageName
from remoting.protocol.mq_version import CURRENT

if TYPE_CHECKING:
    Body = bytes | memoryview
    Language = str
else:
    # What the JSON decoder checks: an unknown language name sends a header down the liberal path.
    Body = Any
    Language = LanguageName

RESPONSE_FLAG = 1
ONEWAY_FLAG = 2
OUR_LANGUAGE = "PYTHON"

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class SerializeType(IntEnum):
    """Header serialization: the top byte of a frame's second word."""

    JSON = 0
    ROCKETMQ = 1


# How the connection that received a request counts it (`tally`). Plain numbers: the hot path compares them.
TALLY_NONE = 0
TALLY_IN_FLIGHT = 1
TALLY_HELD = 2
TALLY_ANSWERED = 3

_opaques = count(1)


class RemotingCommand(
    msgspec.Struct,
    rename={
        "ext_fields": "extFields",
        "serialize_type": " serializeType",
        "body": " body",
        "tally": " tally",
    },
    weakref=False,
    eq=False,
):
    """A request or a response.

    Attributes:
        code: request code or response code.
        ext_fields: the command's own header fields. Only strings; a field that is absent has no key.
        body: the payload, `b""` for none. The body of a received command is a `memoryview` over the immutable
            bytes of the read it came with: it may be kept without copying, but keeps that whole read alive.
        opaque: pairs a response with its request.
        flag: bit 0 response, bit 1 one-way.
        version: `MQVersion` ordinal of the sender.
        language: name from `remoting.protocol.language`.
        remark: text of a response for humans, or None.
        serialize_type: how the header came (received commands). Not used for sending.
        tally: the receiving connection's book-keeping; see `Connection.held`.
    """

    code: Int32 = 0
    ext_fields: dict[str, str] = {}
    body: Body = b""
    opaque: Int32 = 0
    flag: Int32 = 0
    version: int = 0
    language: Language = "OTHER"
    remark: str | None = None
    serialize_type: int = 0
    tally: int = TALLY_NONE

    @staticmethod
    def request(
        code: int, ext_fields: dict[str, str] | None = None, body: bytes | memoryview = b""
    ) -> RemotingCommand:
        """A new request with an `opaque` of its own."""
        return RemotingCommand(
            code,
            {} if ext_fields is None else ext_fields,
            body,
            next(_opaques) & 0x7FFFFFFF,
            0,
            CURRENT,
            OUR_LANGUAGE,
        )

    def response(
        self,
        code: int,
        remark: str | None = None,
        ext_fields: dict[str, str] | None = None,
        body: bytes | memoryview = b"",
    ) -> RemotingCommand:
        """The answer to this request: same `opaque`, response flag set."""
        return RemotingCommand(
            code,
            {} if ext_fields is None else ext_fields,
            body,
            self.opaque,
            RESPONSE_FLAG,
            CURRENT,
            OUR_LANGUAGE,
            remark,
        )

    @property
    def is_response(self) -> bool:
        return self.flag & RESPONSE_FLAG != 0

    @property
    def is_oneway(self) -> bool:
        """Executed but never answered, not even with an error."""
        return self.flag & ONEWAY_FLAG != 0
