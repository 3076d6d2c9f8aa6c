"""What can go wrong for a client, beside the faults of the wire (`remoting.RemotingError`).

Every text is one sentence that can be shown to a user as it is.
"""

from __future__ import annotations

__all__ = ["AnswerError", "ClientError", "NotFound", "SendFailed", "first_sentence"]


def first_sentence(remark: str | None) -> str:
    """A remark without its later lines: Java appends a link to its FAQ as a second line."""
    lines = (remark or "").strip().splitlines()
    return lines[0].strip() if lines else "no reason given"


class ClientError(Exception):
    """The operation could not be done."""


class AnswerError(ClientError):
    """A peer answered with a code other than success.

    Attributes:
        code: Its response code, see `remoting.protocol.ResponseCode`.
        remark: Its reason, as sent.
        address: `host:port` of the peer.
    """

    def __init__(self, code: int, remark: str | None, address: str) -> None:
        super().__init__(f"{address} answered code {code}: {first_sentence(remark)}")
        self.code = code
        self.remark = remark or ""
        self.address = address


class NotFound(ClientError):  # noqa: N818 - an answer to a question, not a fault
    """What was asked for does not exist: a topic's route, a cluster, a broker, a message."""


class SendFailed(ClientError):  # noqa: N818 - Java: `MQClientException` after the last retry
    """A message could not be stored on any queue that was tried.

    Attributes:
        attempts: One sentence per try, in order.
    """

    def __init__(self, topic: str, attempts: list[str]) -> None:
        tried = f"after {len(attempts)} attempts" if len(attempts) > 1 else "at the only attempt"
        super().__init__(f"topic {topic}: the message was not stored {tried}: {attempts[-1]}")
        self.attempts = attempts
