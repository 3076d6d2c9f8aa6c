"""Which messages a subscription wants, told by the tags code in the consume queue.

TAG expressions only: `*`, or tags separated by `||`, compared by hash; the client compares the strings
again (ExpressionMessageFilter).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from remoting.errors import CommandError
from remoting.protocol.heartbeat import SubscriptionData
from remoting.protocol.message import java_string_hash
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["inline_subscription", "is_tag_type", "match_of"]

SUB_ALL = "*"
_TAG = "TAG"


def is_tag_type(expression_type: str | None) -> bool:
    """Whether an expression type means tags; none given means tags."""
    return not expression_type or expression_type == _TAG


def match_of(subscription: SubscriptionData) -> Callable[[int], bool] | None:
    """Says of a tags code whether `subscription` wants the message; None stands for all messages."""
    if subscription.sub_string == SUB_ALL or subscription.class_filter_mode:
        return None
    return frozenset(subscription.code_set).__contains__


def inline_subscription(
    topic: str, expression: str | None, expression_type: str | None, sub_version: int
) -> SubscriptionData:
    """The subscription that a pull brings along (Java: FilterAPI.build).

    Raises:
        CommandError: 23, the expression holds no tag at all.
    """
    text = expression or SUB_ALL
    if not is_tag_type(expression_type) or text == SUB_ALL:
        return SubscriptionData(
            topic=topic, sub_string=text, sub_version=sub_version, expression_type=expression_type or _TAG
        )
    tags, codes = _tags(text)
    return SubscriptionData(
        topic=topic,
        sub_string=text,
        tags_set=tags,
        code_set=codes,
        sub_version=sub_version,
        expression_type=_TAG,
    )


@functools.lru_cache(maxsize=1024)
def _tags(expression: str) -> tuple[frozenset[str], frozenset[int]]:
    tags = frozenset([tag for part in expression.split("||") if (tag := part.strip())])
    if not tags and not expression.replace("|", ""):
        raise CommandError(ResponseCode.SUBSCRIPTION_PARSE_FAILED, "parse the consumer's subscription failed")
    return tags, frozenset([java_string_hash(tag) for tag in tags])
