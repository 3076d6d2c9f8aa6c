"""The frame codec, against bytes of Java and against garbage."""

import struct

import attrs
import pytest
from fixture_bytes import fixture
from hypothesis import given
from hypothesis import strategies as st

from remoting import FrameFault, FrameLimits, FrameReader, LocalFault, RemotingCommand, SerializeType
from remoting.frame import encode, encode_buffers
from remoting.protocol.language import LANGUAGES

SMALL = FrameLimits(frame_bytes=4096, header_bytes=1024)


def whole(command: RemotingCommand, serialize_type: SerializeType = SerializeType.JSON) -> bytes:
    return b"".join(encode_buffers(command, serialize_type))


def frame(header: bytes, body: bytes = b"", kind: int = 0) -> bytes:
    return struct.pack(">iI", 4 + len(header) + len(body), kind << 24 | len(header)) + header + body


def one(data: bytes) -> RemotingCommand:
    (command,) = FrameReader().feed(data)
    return command


def values(command: RemotingCommand) -> tuple[object, ...]:
    return (
        command.code,
        command.ext_fields,
        bytes(command.body),
        command.opaque,
        command.flag,
        command.version,
        command.language,
        command.remark or None,
    )


@pytest.mark.parametrize("kind", ["JSON", "ROCKETMQ"])
class TestBytesOfJava:
    def test_a_send_request(self, kind: str) -> None:
        command = one(fixture(f"frame-send-v2-{kind}"))
        assert (command.code, command.opaque, command.flag, command.language) == (310, 17, 0, "JAVA")
        assert command.serialize_type == SerializeType[kind]
        assert bytes(command.body) == b"body"
        assert command.ext_fields == {
            "a": "pg",
            "b": "TopicTest",
            "c": "TBW102",
            "d": "4",
            "e": "1",
            "f": "0",
            "g": "1700000000123",
            "h": "0",
            "i": "KEYS\x01k\x02TAGS\x01Tagé\x02",
            "j": "0",
            "k": "false",
            "l": "16",
            "m": "false",
            "n": "broker-a",
        }

    def test_a_response(self, kind: str) -> None:
        command = one(fixture(f"frame-response-{kind}"))
        assert (command.code, command.opaque, command.flag) == (17, 18, 1)
        assert command.is_response
        assert command.remark == 'No topic route é中 "quoted" \\ /\n\t\x01'
        assert command.ext_fields == {}

    def test_a_one_way_request(self, kind: str) -> None:
        command = one(fixture(f"frame-oneway-{kind}"))
        assert (command.code, command.opaque) == (40, -5)
        assert command.is_oneway
        assert command.ext_fields == {"consumerGroup": "g"}

    @pytest.mark.parametrize("name", ["send-v2", "response", "oneway"])
    def test_written_again_they_are_the_same(self, kind: str, name: str) -> None:
        data = fixture(f"frame-{name}-{kind}")
        command = one(data)
        if kind == "JSON":
            assert values(one(whole(command))) == values(command)
            assert len(whole(command)) == len(data)
        else:
            again = whole(command, SerializeType.ROCKETMQ)
            assert values(one(again)) == values(command)
            assert len(again) == len(data)

    def test_a_stream_cut_at_every_byte(self, kind: str) -> None:
        data = fixture(f"frame-send-v2-{kind}") + fixture(f"frame-response-{kind}")
        expected = [values(command) for command in FrameReader().feed(data)]
        for cut in range(len(data) + 1):
            reader = FrameReader()
            commands = reader.feed(data[:cut]) + reader.feed(data[cut:])
            assert [values(command) for command in commands] == expected
            assert reader.buffered_bytes == 0

    def test_a_stream_that_trickles(self, kind: str) -> None:
        data = fixture(f"frame-send-v2-{kind}") * 3
        reader = FrameReader()
        commands = [command for byte in data for command in reader.feed(bytes((byte,)))]
        assert [command.code for command in commands] == [310, 310, 310]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = texts.filter(bool)
int32s = st.integers(-(2**31), 2**31 - 1)
commands = st.builds(
    RemotingCommand,
    code=st.integers(-(2**15), 2**15 - 1),
    ext_fields=st.dictionaries(names, names, max_size=20),
    body=st.binary(max_size=200),
    opaque=int32s,
    flag=int32s,
    version=st.integers(0, 2**15 - 1),
    language=st.sampled_from(LANGUAGES),
    remark=st.none() | names,
)


@given(st.lists(st.tuples(commands, st.sampled_from(SerializeType)), max_size=5), st.data())
def test_what_is_written_can_be_read_in_any_pieces(
    pairs: list[tuple[RemotingCommand, SerializeType]], data: st.DataObject
) -> None:
    stream = b"".join(whole(command, kind) for command, kind in pairs)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    reader = FrameReader()
    read: list[RemotingCommand] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += reader.feed(stream[start:end])
    assert [values(command) for command in read] == [values(command) for command, _ in pairs]
    assert [command.serialize_type for command in read] == [kind for _, kind in pairs]


plausible = st.builds(
    lambda header, body, kind, slip: frame(header, body, kind)[slip:],
    st.binary(max_size=100) | st.just(b'{"code":1}') | st.just(b'{"extFields":{"a":[1]}}'),
    st.binary(max_size=50),
    st.sampled_from([0, 1, 2, 255]),
    st.sampled_from([0, 0, 0, 1]),
)


@given(st.lists(st.binary(max_size=300) | plausible, max_size=12))
def test_garbage_cut_anywhere_parses_or_is_a_remote_fault_within_the_limits(pieces: list[bytes]) -> None:
    reader = FrameReader(SMALL)
    for piece in pieces:
        try:
            reader.feed(piece)
        except FrameFault:
            assert reader.buffered_bytes == 0
            with pytest.raises(FrameFault):
                reader.feed(b"")
            return
        assert reader.buffered_bytes < SMALL.frame_bytes


class TestLimits:
    def test_a_frame_of_exactly_the_limit_is_read(self) -> None:
        command = RemotingCommand(1)
        command.body = bytes(SMALL.frame_bytes - len(encode(command)))
        data = whole(command)
        assert len(data) == SMALL.frame_bytes
        assert len(FrameReader(SMALL).feed(data)) == 1

    def test_one_byte_more_is_refused_by_its_first_eight_bytes(self) -> None:
        header = struct.pack(">iI", SMALL.frame_bytes - 4 + 1, 10)
        with pytest.raises(FrameFault, match="frame length 4093"):
            FrameReader(SMALL).feed(header)

    @pytest.mark.parametrize("total", [-1, 0, 3, -(2**31)])
    def test_impossible_lengths(self, total: int) -> None:
        with pytest.raises(FrameFault, match="frame length"):
            FrameReader().feed(struct.pack(">iI", total, 0))

    def test_a_header_longer_than_its_frame(self) -> None:
        with pytest.raises(FrameFault, match="header length"):
            FrameReader().feed(struct.pack(">iI", 20, 17) + bytes(16))

    def test_a_header_above_its_limit(self) -> None:
        with pytest.raises(FrameFault, match="header length"):
            FrameReader(SMALL).feed(frame(bytes(1025)))

    def test_commands_before_the_garbage_are_not_lost(self) -> None:
        with pytest.raises(FrameFault) as caught:
            FrameReader().feed(frame(b'{"code":1}') + frame(b'{"code":2}') + frame(b"no json"))
        assert [command.code for command in caught.value.decoded] == [1, 2]

    def test_a_long_frame_in_small_reads_keeps_few_objects(self) -> None:
        reader = FrameReader()
        data = frame(b"{}", bytes(100_000))
        for start in range(0, len(data) - 10, 10):
            reader.feed(data[start : start + 10])
        assert len(reader._chunks) <= 2
        assert len(reader.feed(data[len(data) - len(data) % 10 or -10 :])) <= 1


class TestJsonHeadersAreReadLiberally:
    def test_missing_keys_have_defaults(self) -> None:
        assert values(one(frame(b"{}"))) == (0, {}, b"", 0, 0, 0, "OTHER", None)

    def test_order_space_and_trailing_newline(self) -> None:
        command = one(frame(b' {"version" : 63, "code":\t34,\n"extra":[1,{}] } \n'))
        assert (command.code, command.version) == (34, 63)

    @pytest.mark.parametrize("language", [b'"KLINGON"', b"null", b"7"])
    def test_an_unknown_language_is_other(self, language: bytes) -> None:
        assert one(frame(b'{"code":1,"language":%s}' % language)).language == "OTHER"

    def test_ext_fields_of_any_kind_become_texts(self) -> None:
        header = (
            b'{"code":1,"extFields":{"i":1,"f":1.50,"t":true,"n":null,"s":"x","big":9999999999999999999,'
            b'"list":[1,"a"],"neg":-3}}'
        )
        assert one(frame(header)).ext_fields == {
            "i": "1",
            "f": "1.50",
            "t": "true",
            "s": "x",
            "big": "9999999999999999999",
            "list": '["1","a"]',
            "neg": "-3",
        }

    @pytest.mark.parametrize("value", [b"null", b"{}"])
    def test_empty_ext_fields(self, value: bytes) -> None:
        assert one(frame(b'{"extFields":%s}' % value)).ext_fields == {}

    def test_numbers_as_texts(self) -> None:
        assert one(frame(b'{"code":"34","opaque":"-7"}')).opaque == -7

    def test_a_lone_surrogate_becomes_a_replacement_character(self) -> None:
        command = one(frame(b'{"remark":"a\\ud83d"}'))
        assert command.remark == "a\ufffd"
        assert encode(command)

    @pytest.mark.parametrize(
        "key", [b"body", b"tally", b" tally", b" body", b" serializeType", b"serialize_type"]
    )
    @pytest.mark.parametrize("value", [b"1", b"2", b'"x"'])
    def test_no_key_reaches_the_fields_that_do_not_travel(self, key: bytes, value: bytes) -> None:
        command = one(frame(b'{"code":1,"%s":%s}' % (key, value)))
        assert (command.body, command.tally, command.serialize_type) == (b"", 0, 0)

    @pytest.mark.parametrize(
        "header",
        [
            b"",
            b"[]",
            b"1",
            b"{",
            b'{"code":NaN}',
            b'{"code":1e400}',
            b'{"code":2147483648}',
            b'{"code":[1]}',
            b'{"extFields":[]}',
            b'{"remark":"\xff"}',
            b'{"x":' + b"[" * 100_000,
            b'{"code":' + b"9" * 5000 + b"}",
        ],
    )
    def test_what_is_no_header_is_a_remote_fault(self, header: bytes) -> None:
        with pytest.raises(FrameFault):
            FrameReader().feed(frame(header))


class TestBinaryHeaders:
    def header(self, fields: bytes = b"", remark: bytes = b"", ext_length: int | None = None) -> bytes:
        fixed = struct.pack(">hBhiii", 10, 3, 479, 5, 0, len(remark))
        return fixed + remark + struct.pack(">i", len(fields) if ext_length is None else ext_length) + fields

    def pair(self, name: bytes, value: bytes) -> bytes:
        return struct.pack(">h", len(name)) + name + struct.pack(">i", len(value)) + value

    def test_an_empty_value_is_an_absent_field(self) -> None:
        fields = self.pair(b"a", b"") + self.pair(b"long name", b"v" * 70_000)
        assert one(frame(self.header(fields), kind=1)).ext_fields == {"long name": "v" * 70_000}

    def test_an_unknown_language_byte_is_other(self) -> None:
        data = bytearray(self.header())
        data[2] = 200
        assert one(frame(bytes(data), kind=1)).language == "OTHER"

    @pytest.mark.parametrize("cut", range(1, 33))
    def test_a_torn_header_is_a_remote_fault(self, cut: int) -> None:
        header = self.header(self.pair(b"b", b"topic"), b"text")
        with pytest.raises(FrameFault):
            FrameReader().feed(frame(header[:-cut], kind=1))

    def test_more_behind_the_fields_is_a_remote_fault(self) -> None:
        with pytest.raises(FrameFault):
            FrameReader().feed(frame(self.header() + b"x", kind=1))

    @pytest.mark.parametrize(
        "fields",
        [b"\xff\xffk\0\0\0\1v", b"\0\1k\xff\xff\xff\xffv", b"\0\1k\0\0\0\2\xff\xfe", b"\0\1\xff\0\0\0\1v"],
    )
    def test_impossible_fields(self, fields: bytes) -> None:
        with pytest.raises(FrameFault):
            FrameReader().feed(frame(self.header(fields), kind=1))

    def test_a_pop_code_cannot_be_written(self) -> None:
        with pytest.raises(LocalFault, match="200050"):
            encode(RemotingCommand(200050), SerializeType.ROCKETMQ)
        assert one(encode(RemotingCommand(200050))).code == 200050

    def test_an_unknown_serialization_is_a_remote_fault(self) -> None:
        with pytest.raises(FrameFault, match="serialization 2"):
            FrameReader().feed(frame(b"{}", kind=2))


class TestWriting:
    def test_the_json_form_is_javas(self) -> None:
        response = RemotingCommand(opaque=7).response(0, "é", {"queueId": "1"})
        assert encode(response)[8:].decode() == (
            '{"code":0,"extFields":{"queueId":"1"},"flag":1,"language":"PYTHON","opaque":7,"remark":"é",'
            '"serializeTypeCurrentRPC":"JSON","version":479}'
        )

    def test_what_is_absent_is_left_out(self) -> None:
        assert b"extFields" not in encode(RemotingCommand(0))
        assert b"remark" not in encode(RemotingCommand(0))

    def test_a_body_is_its_own_buffer(self) -> None:
        body = memoryview(b"payload")
        head, tail = encode_buffers(RemotingCommand(0, body=body))
        assert tail is body
        assert struct.unpack(">i", head[:4])[0] == len(head) - 4 + len(body)

    @pytest.mark.parametrize("kind", SerializeType)
    def test_a_value_that_is_no_text_is_our_fault(self, kind: SerializeType) -> None:
        command = RemotingCommand(0, {"a": "\ud800"})
        with pytest.raises(LocalFault):
            encode(command, kind)

    def test_requests_have_numbers_of_their_own(self) -> None:
        assert RemotingCommand.request(1).opaque != RemotingCommand.request(1).opaque


def test_limits_are_data() -> None:
    assert attrs.asdict(FrameLimits()) == {"frame_bytes": 16_777_216, "header_bytes": 1_048_576}
