"""Frames by template are those of the general encoder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.reply_frames import frame_template, is_plain
from remoting.command import RemotingCommand, SerializeType
from remoting.frame import FrameReader, encode

CONSTANTS = {"MSG_REGION": "DefaultRegion", "TRACE_ON": "true"}
NAMES = ("msgId", "queueId", "queueOffset")
VALUES = ("0A000001", "3", "99")


@pytest.mark.parametrize("serialize_type", list(SerializeType))
@pytest.mark.parametrize("remark", [None, "FOUND"])
@pytest.mark.parametrize("constants", [{}, CONSTANTS])
def test_a_template_gives_what_the_encoder_gives(
    serialize_type: SerializeType, remark: str | None, constants: dict[str, str]
) -> None:
    request = RemotingCommand.request(310)
    answer = request.response(0, remark, {**constants, **dict(zip(NAMES, VALUES, strict=True))}, b"x" * 7)
    template = frame_template(serialize_type, 0, remark, constants, NAMES)
    assert template.frame(request.opaque, VALUES, 7) == encode(answer, serialize_type)


@pytest.mark.parametrize("serialize_type", list(SerializeType))
@given(opaque=st.integers(0, 2**31 - 1), values=st.tuples(*[st.text(alphabet="0aZ-_.:", max_size=8)] * 3))
def test_what_a_template_makes_can_be_read(
    serialize_type: SerializeType, opaque: int, values: tuple[str, ...]
) -> None:
    frame = frame_template(serialize_type, 0, None, CONSTANTS, NAMES).frame(opaque, values, 3) + b"abc"
    (answer,) = FrameReader().feed(frame)
    assert answer.opaque == opaque
    assert answer.is_response
    assert bytes(answer.body) == b"abc"
    pairs = dict(zip(NAMES, values, strict=True))
    if serialize_type is SerializeType.ROCKETMQ:
        pairs = {name: value for name, value in pairs.items() if value}
    assert answer.ext_fields == {**CONSTANTS, **pairs}


@pytest.mark.parametrize("value", ['a"b', "a\\b", "é", "a\nb", "\x01"])
def test_values_that_need_an_escape_are_told(value: str) -> None:
    assert not is_plain(value)


@pytest.mark.parametrize("value", ["AC11", "a-b_c.d:1", ""])
def test_ordinary_values_are_plain(value: str) -> None:
    assert is_plain(value)
