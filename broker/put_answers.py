"""What a put's outcome is on the wire: code, remark, and whether the message is stored all the same.

The table of SendMessageProcessor.handlePutMessageResult.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from store import PutStatus

__all__ = ["failure_of", "illegal_message_remark"]

_MESSAGE_ILLEGAL = (
    "the message is illegal, maybe msg body or properties length not matched. "
    "msg body length limit {max_size}B, msg properties length limit 32KB."
)

_CODES: dict[str, tuple[int, str | None, bool]] = {
    "PUT_OK": (ResponseCode.SUCCESS, None, True),
    "FLUSH_DISK_TIMEOUT": (ResponseCode.FLUSH_DISK_TIMEOUT, None, True),
    "FLUSH_SLAVE_TIMEOUT": (ResponseCode.FLUSH_SLAVE_TIMEOUT, None, True),
    "SLAVE_NOT_AVAILABLE": (ResponseCode.SLAVE_NOT_AVAILABLE, None, True),
    "IN_SYNC_REPLICAS_NOT_ENOUGH": (ResponseCode.SYSTEM_ERROR, "in-sync replicas not enough", False),
    "CREATE_MAPPED_FILE_FAILED": (
        ResponseCode.SYSTEM_ERROR,
        "create mapped file failed, server is busy or broken.",
        False,
    ),
    "MESSAGE_ILLEGAL": (ResponseCode.MESSAGE_ILLEGAL, _MESSAGE_ILLEGAL, False),
    "SERVICE_NOT_AVAILABLE": (
        ResponseCode.SERVICE_NOT_AVAILABLE,
        "service not available now. It may be caused by one of the following reasons: "
        "the broker's disk is full {disk}, messages are put to the slave, "
        "message store has been shut down, etc.",
        False,
    ),
    "OS_PAGE_CACHE_BUSY": (
        ResponseCode.SYSTEM_BUSY,
        "[PC_SYNCHRONIZED]broker busy, start flow control for a while",
        False,
    ),
    "UNKNOWN_ERROR": (ResponseCode.SYSTEM_ERROR, "UNKNOWN_ERROR", False),
}
_CODES["PROPERTIES_SIZE_EXCEEDED"] = _CODES["MESSAGE_ILLEGAL"]


def failure_of(status: PutStatus, context: BrokerContext) -> tuple[int, str | None, bool]:
    """Code and remark that answer `status`, and whether the message is stored nevertheless."""
    code, remark, is_stored = _CODES.get(
        status.name, (ResponseCode.SYSTEM_ERROR, "UNKNOWN_ERROR DEFAULT", False)
    )
    if remark is not None and "{" in remark:
        disk = context.store.disk_ratio_text() if "{disk}" in remark else ""
        remark = remark.format(max_size=context.store_config.max_message_size, disk=disk)
    return code, remark, is_stored


def illegal_message_remark(context: BrokerContext) -> str:
    """Remark of code 13."""
    return _MESSAGE_ILLEGAL.format(max_size=context.store_config.max_message_size)
