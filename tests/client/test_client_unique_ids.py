"""Ids of producers: layout, month, counter."""

from __future__ import annotations

import datetime

from client.unique_id import UniqueIds, host_address, month_of

HOST = bytes((10, 0, 0, 7))


def _ms(*moment: int) -> int:
    return int(datetime.datetime(*moment).timestamp() * 1000)  # type: ignore[arg-type]


def test_layout_is_host_process_number_span_counter() -> None:
    ids = UniqueIds(HOST, 0x12345, 0xCAFEBABE)
    begin = _ms(2026, 11, 1)
    assert ids.next(begin + 0x1234) == "0A000007" + "2345" + "CAFEBABE" + "00001234" + "0000"
    assert ids.next(begin + 0x1235) == "0A000007" + "2345" + "CAFEBABE" + "00001235" + "0001"


def test_ipv6_host_makes_56_digits() -> None:
    assert len(UniqueIds(bytes(16), 1, 1).next(0)) == 56
    assert len(UniqueIds(HOST, 1, 1).next(0)) == 32


def test_span_starts_again_with_each_month() -> None:
    ids = UniqueIds(HOST, 1, 1)
    last_moment = _ms(2026, 12, 31, 23, 59, 59)
    assert int(ids.next(last_moment)[20:28], 16) == last_moment - _ms(2026, 12, 1)
    assert int(ids.next(_ms(2027, 1, 1))[20:28], 16) == 0
    # A clock that is set back finds its month again.
    assert int(ids.next(last_moment)[20:28], 16) == last_moment - _ms(2026, 12, 1)


def test_counter_wraps_within_its_two_bytes() -> None:
    ids = UniqueIds(HOST, 1, 1)
    seen = [ids.next(0)[-4:] for _ in range(65_537)]
    assert seen[-2] == "FFFF"
    assert seen[-1] == "0000"


def test_two_objects_of_one_process_differ() -> None:
    assert UniqueIds(HOST).next(0) != UniqueIds(HOST).next(0)


def test_month_spans_are_adjacent() -> None:
    for month in range(1, 12):
        assert month_of(_ms(2026, month, 15)).end_ms == month_of(_ms(2026, month + 1, 15)).begin_ms


def test_host_address_is_packed() -> None:
    assert len(host_address()) in (4, 16)
