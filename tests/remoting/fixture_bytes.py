"""Bytes that Java made.

`fixtures/` was written once by a Java program on the class path of RocketMQ 5.5.0: frames by
`RemotingCommand.encode` with both serialize types, messages by `MessageDecoder` (`message-v2` by the store's
`MessageExtEncoder`, with its two offsets filled in), and bodies by `RemotingSerializable` (fastjson2) into
`rocketmq-5.5.0/`. `fastjson-1.2.83/` has the same objects written by `com.alibaba.fastjson.JSON`, as older
releases do. Files named `-standard` used the features of the answer to 105 for newer clients, those named
`-pretty` the pretty form of the config files.
"""

from pathlib import Path

DIRECTORY = Path(__file__).parent / "fixtures"
ROCKETMQ = DIRECTORY / "rocketmq-5.5.0"
FASTJSON = DIRECTORY / "fastjson-1.2.83"


def fixture(name: str) -> bytes:
    return (DIRECTORY / name).read_bytes()


def json_fixtures(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.json"))
