"""A RocketMQ client on trio: administration, sending and reading, over `remoting`."""

from client.admin import AdminClient
from client.errors import AnswerError, ClientError, NotFound, SendFailed
from client.message import Message, message_id, plain_body
from client.message_query import KeyKind, MessageTrack, TrackType, track_message
from client.producer import Producer, SendResult, SendStatus
from client.pull import Puller, PullResult, PullStatus
from client.remote import Remote, parse_name_servers

__all__ = [
    "AdminClient",
    "AnswerError",
    "ClientError",
    "KeyKind",
    "Message",
    "MessageTrack",
    "NotFound",
    "Producer",
    "PullResult",
    "PullStatus",
    "Puller",
    "Remote",
    "SendFailed",
    "SendResult",
    "SendStatus",
    "TrackType",
    "message_id",
    "parse_name_servers",
    "plain_body",
    "track_message",
]
