"""What an administrator asks of a broker container, on its own port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from client.errors import AnswerError
from remoting.protocol import headers
from remoting.protocol.container_body import ContainerStatus
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from client.remote import Remote

__all__ = ["Added", "Containers"]

_CHANGE_TIMEOUT_MS = 120_000
"""A Java container answers an add when the broker is recovered and registered, however long that takes."""

_STATE, _STARTING = "state", "starting"


@attrs.frozen
class Added:
    """How far an added broker is.

    Attributes:
        serves: False while it still starts; the same question again waits for the outcome.
        remark: What the container has to say about it, or "".
    """

    serves: bool
    remark: str


class Containers:
    """Asks containers, ours and Java's; only `status` is a question that Java's does not know.

    Args:
        remote: Asks them.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def add_broker(self, address: str, config_path: str) -> Added:
        """Adds the broker of a file on the container's machine, or waits for one that is being added.

        Cancelled, the container goes on with it.

        Raises:
            AnswerError: The container refused, or the broker could not start.
            RemotingError: No answer within two minutes; the broker may be starting all the same.
        """
        answer = await self._remote.ask(
            address,
            RequestCode.ADD_BROKER,
            headers.AddBrokerRequestHeader(config_path=config_path),
            accept=(ResponseCode.SUCCESS, ResponseCode.SYSTEM_ERROR),
            timeout_ms=_CHANGE_TIMEOUT_MS,
        )
        if answer.code == ResponseCode.SUCCESS:
            return Added(serves=True, remark=answer.remark or "")
        if answer.ext_fields.get(_STATE) == _STARTING:
            return Added(serves=False, remark=answer.remark or "")
        raise AnswerError(answer.code, answer.remark, address)

    async def remove_broker(self, address: str, cluster: str, broker_name: str, broker_id: int) -> str:
        """Stops a broker and takes it out of its container; its data stays.

        Returns:
            What the container has to say about it, or "".

        Raises:
            AnswerError: With 211, there is no such broker; with 1, it is still stopping.
            RemotingError: No answer within two minutes.
        """
        header = headers.RemoveBrokerRequestHeader(
            broker_name=broker_name, broker_cluster_name=cluster, broker_id=broker_id
        )
        answer = await self._remote.ask(
            address, RequestCode.REMOVE_BROKER, header, timeout_ms=_CHANGE_TIMEOUT_MS
        )
        return answer.remark or ""

    async def status(self, address: str) -> ContainerStatus:
        """The process and its brokers, failed ones as well.

        Raises:
            AnswerError: With 3, what answers there is no container.
            RemotingError: No answer; a Java container leaves unknown questions without one.
        """
        answer = await self._remote.ask(address, RequestCode.GET_CONTAINER_STATUS)
        return ContainerStatus.decode(answer.body)
