"""The load that Java's client cannot make: raw requests to a long name, from the other address family."""

from __future__ import annotations

import json
import socket
import threading
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from remoting.protocol.message import encode_properties
from tests.checked_load import body_of
from tests.interop.stress_messages import LONG_GROUP, RAW_BORN_AT, Acknowledged, properties_of
from tests.interop.wire import ask_raw
from tests.send_fields import send_fields

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RawLoad", "add_long_group"]

_PAUSE_S = 0.01
_SEND_MESSAGE = 10


def add_long_group(store: Path) -> None:
    """A group with a name that RocketMQ allowed before 120 characters were the most; none is created now."""
    file = store / "config" / "subscriptionGroup.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"subscriptionGroupTable": {LONG_GROUP: {"groupName": LONG_GROUP}}}))


class RawLoad:
    """Sends requests of our own over one connection until that breaks or `stop` is called.

    Args:
        host: IPv4 or IPv6 address of the broker; messages carry this side's address as their born host.
        first: Number of the first message.
    """

    def __init__(self, host: str, port: int, topic: str, first: int) -> None:
        self.acknowledged: dict[int, Acknowledged] = {}
        self.next = first
        self.refused: list[str] = []
        self._topic = topic
        self._stopping = False
        self._answered = threading.Condition()
        self._connection = socket.create_connection((host, port), timeout=10)
        own_host, own_port, *_ = self._connection.getsockname()
        self._born_host = ip_address(own_host), own_port
        self._thread = threading.Thread(target=self._run, name=f"raw load of {topic[:20]}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._connection:
            while not self._stopping:
                number, self.next = self.next, self.next + 1
                try:
                    self._send(number)
                except OSError as fault:  # the broker was killed
                    self._ended(str(fault))
                    return
                time.sleep(_PAUSE_S)  # of the load: it is not to be more than the others
        self._ended("stopped")

    def _ended(self, why: str) -> None:
        with self._answered:
            self._stopping = True
            self.refused.append(why)
            self._answered.notify_all()

    def _send(self, number: int) -> None:
        properties = encode_properties(properties_of(self._topic, number)).decode()
        fields = send_fields(self._topic) | {
            "properties": properties,
            "bornTimestamp": str(RAW_BORN_AT + number),
        }
        header = {"code": _SEND_MESSAGE, "opaque": number, "flag": 0, "version": 479, "language": "JAVA"}
        header["extFields"] = fields
        answer = ask_raw(
            self._connection, json.dumps(header).encode(), body_of(number, 64 + number * 37 % 2000)
        )
        with self._answered:
            if answer.code == 0:
                said = answer.header["extFields"]
                self.acknowledged[number] = Acknowledged(
                    int(said["queueId"]),
                    int(said["queueOffset"]),
                    said["transactionId"],
                    said["msgId"],
                    self._born_host,
                )
            else:
                self.refused.append(f"{answer.code} {answer.header.get('remark')}")
            self._answered.notify_all()

    def wait(self, more: int, timeout_s: float) -> None:
        """Returns when there are `more` acknowledgements beyond those there are now.

        Raises:
            AssertionError: The load ended, or the time is over.
        """
        goal = len(self.acknowledged) + more
        with self._answered:
            done = self._answered.wait_for(
                lambda: self._stopping or len(self.acknowledged) >= goal, timeout_s
            )
            assert done, f"{len(self.acknowledged)} of {goal} messages, refused: {self.refused[-3:]}"
            assert len(self.acknowledged) >= goal, f"the load ended: {self.refused[-3:]}"

    def stop(self) -> None:
        """Ends after the answer that is awaited; fine if the connection broke before."""
        self._stopping = True
        self._thread.join()
