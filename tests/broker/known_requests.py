"""For every code that a broker serves: a request that it answers, as the start of malformed ones."""

from __future__ import annotations

import json
from typing import Any

from remoting.protocol import headers
from tests.broker.malformed import Known

BROKER_NAME = "broker-a"
PROPERTIES = "UNIQ_KEY\x010A0B0C\x02KEYS\x01k1\x02TAGS\x01a\x02"
QUEUE = {"topic": "Known", "brokerName": BROKER_NAME, "queueId": 0}
SUBSCRIPTION = {
    "topic": "Known",
    "subString": "a||b",
    "expressionType": "TAG",
    "tagsSet": ["a", "b"],
    "codeSet": [97, 98],
    "subVersion": 1,
}
TOPIC = {
    "topicName": "Other",
    "readQueueNums": 4,
    "writeQueueNums": 4,
    "perm": 6,
    "topicFilterType": "SINGLE_TAG",
    "topicSysFlag": 0,
    "order": False,
    "attributes": {"+message.type": "NORMAL"},
}
GROUP = {
    "groupName": "other",
    "consumeEnable": True,
    "retryQueueNums": 1,
    "retryMaxTimes": 16,
    "brokerId": 0,
    "whichBrokerWhenConsumeSlowly": 1,
    "groupSysFlag": 0,
    "consumeTimeoutMinute": 15,
    "groupRetryPolicy": {"type": "CUSTOMIZED"},
    "subscriptionDataSet": [],
    "attributes": {},
}
HEARTBEAT = {
    "clientID": "client",
    "producerDataSet": [{"groupName": "producers"}],
    "consumerDataSet": [
        {
            "groupName": "g",
            "consumeType": "CONSUME_PASSIVELY",
            "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
            "subscriptionDataSet": [SUBSCRIPTION],
            "unitMode": False,
        }
    ],
    "heartbeatFingerprint": 0,
}
LOCK = {"consumerGroup": "g", "clientId": "client", "mqSet": [QUEUE], "onlyThisBroker": False}

SEND = {
    "producerGroup": "producers",
    "topic": "Known",
    "defaultTopic": "TBW102",
    "defaultTopicQueueNums": "4",
    "queueId": "0",
    "sysFlag": "0",
    "bornTimestamp": "1699999999999",
    "flag": "0",
    "properties": PROPERTIES,
    "reconsumeTimes": "0",
    "unitMode": "false",
    "batch": "false",
}
SEND_V2 = dict(zip("abcdefghijkm", SEND.values(), strict=True))
PULL = {
    "consumerGroup": "g",
    "topic": "Known",
    "queueId": "0",
    "queueOffset": "0",
    "maxMsgNums": "32",
    "sysFlag": "5",
    "commitOffset": "0",
    "suspendTimeoutMillis": "10",
    "subVersion": "1",
    "subscription": "*",
    "expressionType": "TAG",
    "maxMsgBytes": "1000",
}
COMMIT = {"consumerGroup": "g", "topic": "Known", "queueId": "0", "commitOffset": "0"}
CREATE_TOPIC = {
    "topic": "Other",
    "defaultTopic": "TBW102",
    "readQueueNums": "4",
    "writeQueueNums": "4",
    "perm": "6",
    "topicFilterType": "SINGLE_TAG",
    "topicSysFlag": "0",
    "order": "false",
    "attributes": "+message.type=NORMAL",
}
LENIENT = frozenset({"suspendTimeoutMillis", "subVersion", "maxMsgBytes", "requestSource"})
"""What pulls may leave out or empty."""
IN_QUEUE = {"topic": "Known", "queueId": "0"}
BATCH = bytes.fromhex("0000001a000000000000000000000000000000026869") + b"\x00\x02" + b"\x01\x02"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


KNOWN: dict[int, Known] = {
    10: Known(header=headers.SendMessageRequestHeader, fields=SEND, body=b"hello"),
    310: Known(header=headers.SendMessageRequestHeaderV2, fields=SEND_V2, body=b"hello"),
    320: Known(header=headers.SendMessageRequestHeaderV2, fields={**SEND_V2, "m": "true"}, body=BATCH),
    11: Known(header=headers.PullMessageRequestHeader, fields=PULL, tolerant=LENIENT),
    361: Known(header=headers.PullMessageRequestHeader, fields=PULL, tolerant=LENIENT),
    12: Known(
        header=headers.QueryMessageRequestHeader,
        fields={
            "topic": "Known", "key": "k1", "maxNum": "32", "beginTimestamp": "0",
            "endTimestamp": "9000000000000", "_UNIQUE_KEY_QUERY": "false",
        },
    ),
    33: Known(header=headers.ViewMessageRequestHeader, fields={"offset": "0"}),
    14: Known(header=headers.QueryConsumerOffsetRequestHeader, fields=IN_QUEUE | {"consumerGroup": "g"}),
    15: Known(
        header=headers.UpdateConsumerOffsetRequestHeader,
        fields=COMMIT,
        tolerant=frozenset({"consumerGroup", "topic", "queueId", "commitOffset"}),
    ),
    29: Known(
        header=headers.SearchOffsetRequestHeader,
        fields=IN_QUEUE | {"timestamp": "1", "boundaryType": "LOWER"},
    ),
    30: Known(header=headers.GetMaxOffsetRequestHeader, fields=IN_QUEUE),
    31: Known(header=headers.GetMinOffsetRequestHeader, fields=IN_QUEUE),
    32: Known(header=headers.GetEarliestMsgStoretimeRequestHeader, fields=IN_QUEUE),
    34: Known(body=_json(HEARTBEAT)),
    35: Known(
        header=headers.UnregisterClientRequestHeader,
        fields={"clientID": "client", "producerGroup": "producers", "consumerGroup": "g"},
    ),
    36: Known(
        header=headers.ConsumerSendMsgBackRequestHeader,
        fields={
            "offset": "0", "group": "g", "delayLevel": "17", "originMsgId": "x", "originTopic": "Known",
            "unitMode": "false", "maxReconsumeTimes": "16",
        },
    ),
    38: Known(header=headers.GetConsumerListByGroupRequestHeader, fields={"consumerGroup": "g"}),
    41: Known(body=_json(LOCK)),
    42: Known(body=_json(LOCK)),
    46: Known(body=_json({"clientId": "client", "group": "g", "subscriptionData": SUBSCRIPTION})),
    17: Known(header=headers.CreateTopicRequestHeader, fields=CREATE_TOPIC),
    18: Known(body=_json({"topicConfigList": [TOPIC]})),
    21: Known(
        header=headers.GetAllTopicConfigRequestHeader,
        fields={"topicSeq": "0", "dataVersion": '{"counter":1}', "maxTopicNum": "10"},
    ),
    25: Known(body=b"defaultTopicQueueNums=8\n"),
    26: Known(),
    28: Known(),
    43: Known(),
    45: Known(),
    200: Known(body=_json(GROUP)),
    225: Known(body=_json({"groupConfigList": [GROUP]})),
    201: Known(
        header=headers.GetAllSubscriptionGroupRequestHeader,
        fields={"groupSeq": "0", "dataVersion": '{"counter":1}', "maxGroupNum": "10"},
    ),
    202: Known(header=headers.GetTopicStatsInfoRequestHeader, fields={"topic": "Known"}),
    203: Known(header=headers.GetConsumerConnectionListRequestHeader, fields={"consumerGroup": "g"}),
    204: Known(header=headers.GetProducerConnectionListRequestHeader, fields={"producerGroup": "producers"}),
    207: Known(
        header=headers.DeleteSubscriptionGroupRequestHeader,
        fields={"groupName": "other", "cleanOffset": "true"},
    ),
    208: Known(
        header=headers.GetConsumeStatsRequestHeader,
        fields={"consumerGroup": "g", "topic": "Known", "topicList": "Known;Other"},
    ),
    215: Known(header=headers.DeleteTopicRequestHeader, fields={"topic": "Other"}),
    222: Known(
        header=headers.ResetOffsetRequestHeader,
        fields={
            "topic": "Known", "group": "g", "timestamp": "-1", "isForce": "true", "queueId": "0",
            "offset": "0",
        },
    ),
    300: Known(header=headers.QueryTopicConsumeByWhoRequestHeader, fields={"topic": "Known"}),
    303: Known(header=headers.QueryConsumeTimeSpanRequestHeader, fields={"topic": "Known", "group": "g"}),
    305: Known(),
    306: Known(),
    307: Known(
        header=headers.GetConsumerRunningInfoRequestHeader,
        fields={"consumerGroup": "g", "clientId": "absent", "jstackEnable": "false"},
    ),
    309: Known(
        header=headers.ConsumeMessageDirectlyResultRequestHeader,
        fields={
            "consumerGroup": "g", "clientId": "absent", "msgId": "7F00000100002A9F0000000000000000",
            "brokerName": BROKER_NAME, "topic": "Known", "topicSysFlag": "0", "groupSysFlag": "0",
        },
    ),
    314: Known(
        header=headers.CloneGroupOffsetRequestHeader,
        fields={"srcGroup": "g", "destGroup": "h", "topic": "Known", "offline": "true"},
    ),
    315: Known(
        header=headers.ViewBrokerStatsDataRequestHeader,
        fields={"statsName": "TOPIC_PUT_NUMS", "statsKey": "Known"},
    ),
    316: Known(),
    317: Known(header=headers.GetConsumeStatsInBrokerHeader, fields={"isOrder": "false"}),
    321: Known(
        header=headers.QueryConsumeQueueRequestHeader,
        fields={"topic": "Known", "queueId": "0", "index": "0", "count": "10", "consumerGroup": "g"},
    ),
    328: Known(),
    329: Known(),
    343: Known(header=headers.QueryTopicsByConsumerRequestHeader, fields={"group": "g"}),
    351: Known(header=headers.GetTopicConfigRequestHeader, fields={"topic": "Known"}),
    352: Known(header=headers.GetSubscriptionGroupConfigRequestHeader, fields={"group": "g"}),
}  # fmt: skip
"""Topic `Known` and group `g` must exist; `Other` and `other` come and go."""
