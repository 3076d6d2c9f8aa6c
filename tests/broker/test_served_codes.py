"""Which codes a broker serves on which port, and the figures that tools read from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from remoting.command import RemotingCommand
from remoting.json_dialect import loads
from tests.broker.conftest import asking, running_broker
from tests.broker.known_requests import KNOWN
from tests.broker.malformed import Case, wire

if TYPE_CHECKING:
    from pathlib import Path

CLIENT_CODES = {10, 310, 320, 11, 361, 12, 33, 29, 30, 31, 32, 14, 15, 34, 35, 36, 38, 41, 42, 46}
ADMIN_CODES = {
    17, 18, 21, 25, 26, 28, 43, 45, 200, 201, 202, 203, 204, 207, 208, 215, 222, 225, 300, 303, 305, 306, 307,
    309, 314, 315, 316, 317, 321, 328, 329, 343, 351, 352,
}  # fmt: skip
NOT_ON_FAST_PORT = {11, 361}
RUNTIME_KEYS = [
    "bootTimestamp",
    "runtime",
    "brokerActive",
    "brokerVersion",
    "brokerVersionDesc",
    "msgPutTotalYesterdayMorning",
    "msgPutTotalTodayMorning",
    "msgPutTotalTodayNow",
    "msgGetTotalYesterdayMorning",
    "msgGetTotalTodayMorning",
    "msgGetTotalTodayNow",
    "putTps",
    "getTotalTps",
    "getFoundTps",
    "getMissTps",
    "getTransferredTps",
    "getTransferedTps",
    "putMessageTimesTotal",
    "putMessageSizeTotal",
    "putMessageDistributeTime",
    "putMessageAverageSize",
    "putMessageEntireTimeMax",
    "getMessageEntireTimeMax",
    "commitLogDiskRatio",
    "consumeQueueDiskRatio",
    "commitLogMinOffset",
    "commitLogMaxOffset",
    "commitLogDirCapacity",
    "dispatchBehindBytes",
    "dispatchMaxBuffer",
    "pageCacheLockTimeMills",
    "earliestMessageTimeStamp",
    "startAcceptSendRequestTimeStamp",
    "remainHowManyDataToFlush",
    "remainTransientStoreBufferNumbs",
    "scheduleMessageOffset_1",
    "sendThreadPoolQueueSize",
    "sendThreadPoolQueueCapacity",
    "sendThreadPoolQueueHeadWaitTimeMills",
    "pullThreadPoolQueueSize",
    "pullThreadPoolQueueCapacity",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "litePullThreadPoolQueueSize",
    "litePullThreadPoolQueueCapacity",
    "litePullThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueSize",
    "queryThreadPoolQueueCapacity",
    "queryThreadPoolQueueHeadWaitTimeMills",
    "ackThreadPoolQueueSize",
    "ackThreadPoolQueueCapacity",
    "ackThreadPoolQueueHeadWaitTimeMills",
    "EndTransactionQueueSize",
    "EndTransactionThreadPoolQueueCapacity",
    "timerReadBehind",
    "timerOffsetBehind",
    "timerCongestNum",
    "timerEnqueueTps",
    "timerDequeueTps",
]
THREE_RATES = ["putTps", "getTotalTps", "getFoundTps", "getMissTps", "getTransferredTps", "getTransferedTps"]
STATISTICS = {
    "TOPIC_PUT_NUMS": "Known",
    "TOPIC_PUT_SIZE": "Known",
    "QUEUE_PUT_NUMS": "Known@0",
    "QUEUE_PUT_SIZE": "Known@0",
    "GROUP_GET_NUMS": "Known@g",
    "GROUP_GET_SIZE": "Known@g",
    "QUEUE_GET_NUMS": "Known@0@g",
    "QUEUE_GET_SIZE": "Known@0@g",
    "GROUP_GET_LATENCY": "0@Known@g",
    "SNDBCK_PUT_NUMS": "Known@g",
    "BROKER_PUT_NUMS": "DefaultCluster",
    "BROKER_GET_NUMS": "DefaultCluster",
}


@pytest.mark.parametrize("port", [0, 1], ids=["main", "fast"])
async def test_every_other_code_is_answered_with_3(tmp_path: Path, port: int) -> None:
    served = (CLIENT_CODES | ADMIN_CODES) - (NOT_ON_FAST_PORT if port else set())
    async with running_broker(tmp_path) as broker, wire(broker.ports[port]) as connection:
        codes = [*range(1, 1100), *range(2001, 2005), *range(3001, 3011), *range(200_050, 200_152)]
        opaques = {code: await connection.send(code, {}) for code in codes if code not in served}
        for code, opaque in opaques.items():
            answer = await connection.answer(opaque, str(code))
            assert (answer.code, answer.remark) == (3, f" request type {code} not supported")
        for code in served:
            known = KNOWN[code]
            assert (await connection.ask(Case("known", code, known.fields, known.body))).code != 3


async def test_tools_find_their_figures(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker, asking(broker) as ask:

        async def known(code: int, **changes: str) -> None:
            request = KNOWN[code]
            fields = {**request.fields, **changes}
            answer = await ask.client.invoke(
                ask.address, RemotingCommand.request(code, fields, request.body), 5000
            )
            assert answer.code == 0, (code, answer.remark)

        await known(17, topic="Known")
        await known(34)
        await known(310)
        await known(310, i="UNIQ_KEY\x010A0B0D\x02DELAY\x011\x02")
        await known(11)
        await known(36)
        table = loads((await ask(28)).body)["table"]
        assert not [key for key in RUNTIME_KEYS if key not in table]
        assert [key for key in table if key.startswith("commitLogDiskRatio_")]
        for key in THREE_RATES:
            assert len([float(rate) for rate in table[key].split()]) == 3, key
        for name, key in STATISTICS.items():
            answer = await ask(315, statsName=name, statsKey=key)
            assert answer.code == 0, answer.remark
            assert loads(answer.body).keys() == {"statsDay", "statsHour", "statsMinute"}
            assert loads(answer.body)["statsMinute"].keys() == {"avgpt", "sum", "tps"}
        absent = await ask(315, statsName="NONE", statsKey="x")
        assert (absent.code, absent.remark) == (1, "The stats <NONE> <x> not exist")
