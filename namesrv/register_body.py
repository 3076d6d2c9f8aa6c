"""The body of REGISTER_BROKER (103): what topics a broker has, in either of two forms.

Plain, it is the JSON of Java's `RegisterBrokerBody`. With the header `compressed=true` it is one deflate
stream of:

    int32 length, DataVersion as JSON
    int32 number of topics, for each: int32 length, "name readQueues writeQueues perm filterType [attributes]"
    int32 length, filter servers as JSON list
    since V5_0_0: int32 number of mappings, for each: int32 length, TopicQueueMappingInfo as JSON

The compressed form does not carry `topicSysFlag`; it counts as 0.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import attrs

from remoting.errors import BodyFault
from remoting.json_dialect import loads
from remoting.protocol import mq_version
from remoting.protocol.admin_body import RegisterBrokerBody, TopicConfigAndMappingSerializeWrapper
from remoting.protocol.body import DataVersion
from remoting.protocol.route import QueueData

__all__ = ["MAX_INFLATED_BYTES", "RegisterBody", "decode_register_body"]

MAX_INFLATED_BYTES = 128 * 1024 * 1024
"""Most bytes that a compressed body may unpack to: about half a million topics."""

_INT = struct.Struct(">i")


@attrs.frozen
class RegisterBody:
    """The part of the body that routes are made of."""

    data_version: DataVersion = attrs.field(factory=DataVersion)
    queues: Mapping[str, QueueData] = attrs.field(factory=dict)
    """Queues by topic."""
    mappings: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    filter_servers: tuple[str, ...] | None = None


def decode_register_body(
    body: bytes | memoryview, *, broker_name: str, compressed: bool, version: int
) -> RegisterBody:
    """Decode either form.

    Args:
        body: as received; empty is an empty body.
        broker_name: whose queues these are.
        compressed: which form.
        version: version of the request, an `MQVersion` ordinal.

    Raises:
        BodyFault: it is not of that form.
    """
    if not body:
        return RegisterBody()
    if not compressed:
        if version < mq_version.V3_0_11:
            wrapper = TopicConfigAndMappingSerializeWrapper.decode(body)
            return _from_wrapper(wrapper, broker_name, None)
        found = RegisterBrokerBody.decode(body)
        return _from_wrapper(
            found.topic_config_serialize_wrapper, broker_name, tuple(found.filter_server_list)
        )
    try:
        return _decode_compressed(body, broker_name, version)
    except (KeyError, TypeError, ValueError, struct.error, zlib.error) as wrong:
        raise BodyFault(f"not a registration: {wrong}") from wrong


def _from_wrapper(
    wrapper: TopicConfigAndMappingSerializeWrapper, broker_name: str, servers: tuple[str, ...] | None
) -> RegisterBody:
    mappings = wrapper.topic_queue_mapping_info_map
    if not all(isinstance(mapping, Mapping) for mapping in mappings.values()):
        raise BodyFault("a static topic mapping is not an object")
    queues = {
        config.topic_name or topic: QueueData(
            broker_name=broker_name,
            read_queue_nums=config.read_queue_nums,
            write_queue_nums=config.write_queue_nums,
            perm=config.perm,
            topic_sys_flag=config.topic_sys_flag,
        )
        for topic, config in wrapper.topic_config_table.items()
    }
    return RegisterBody(wrapper.data_version, queues, mappings, servers)


def _decode_compressed(body: bytes | memoryview, broker_name: str, version: int) -> RegisterBody:
    inflater = zlib.decompressobj()
    data = inflater.decompress(body, MAX_INFLATED_BYTES)
    if not inflater.eof:
        raise ValueError(f"cut short, or above {MAX_INFLATED_BYTES} bytes")
    at = 0

    def take() -> bytes:
        nonlocal at
        size = count()
        if size < 0 or at + size > len(data):
            raise ValueError("length beyond the end")
        at += size
        return data[at - size : at]

    def count() -> int:
        nonlocal at
        (number,) = _INT.unpack_from(data, at)
        at += 4
        return int(number)

    data_version = DataVersion.from_json_object(loads(take()))
    queues = {}
    for _ in range(count()):
        topic, read, write, perm, _filter_type, *_attributes = str(take(), "utf-8").split(" ")
        queues[topic] = QueueData(
            broker_name=broker_name,
            read_queue_nums=int(read),
            write_queue_nums=int(write),
            perm=int(perm),
            topic_sys_flag=0,
        )
    servers = tuple(map(str, loads(take()) or ()))
    mappings: dict[str, Mapping[str, Any]] = {}
    if version >= mq_version.V5_0_0:
        for _ in range(count()):
            mapping = loads(take())
            mappings[str(mapping["topic"])] = mapping
    return RegisterBody(data_version, queues, mappings, servers)
