"""Drives the C++ client, which the wheel `rocketmq` wraps, as a black box.

    client.py send    NAME_SERVER TOPIC GROUP COUNT TAG
    client.py ordered NAME_SERVER TOPIC GROUP COUNT TAG
    client.py consume NAME_SERVER TOPIC GROUP EXPRESSION FAILURES

Prints one "event {json}" line per thing that happened. A consumer fails the first FAILURES deliveries of
each message and ends in good order with its standard input.
"""

import json
import os
import sys
import threading

from rocketmq.client import Message, Producer, PushConsumer, RecvMessage
from rocketmq.ffi import _CConsumeStatus

output = threading.Lock()


def event(kind, **fields):
    line = "event " + json.dumps({"event": kind, **fields}) + "\n"
    with output:
        # The library prints too, and past Python's buffer.
        os.write(1, line.encode())


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def send(name_server, topic, group, count, tag, *, ordered):
    producer = Producer(group, timeout=5000)
    producer.set_namesrv_addr(name_server)
    producer.start()
    for number in range(count):
        message = Message(topic)
        message.set_tags(tag)
        message.set_keys(f"key{number}")
        message.set_body(f"m{number}")
        result = producer.send_orderly(message, number % 4) if ordered else producer.send_sync(message)
        event("sent", msgId=result.msg_id, status=int(result.status), queueOffset=result.offset)
    producer.shutdown()


def consume(name_server, topic, group, expression, failures):
    consumer = PushConsumer(group)
    consumer.set_namesrv_addr(name_server)
    consumer.set_instance_name(f"{group}-{os.getpid()}")

    def on_message(_, handle):
        message = RecvMessage(handle)
        event(
            "received",
            body=text(message.body),
            tags=text(message.tags),
            keys=text(message.keys),
            reconsumeTimes=message.reconsume_times,
            topic=message.topic,
            msgId=message.id,
            queueId=message.queue_id,
            queueOffset=message.queue_offset,
        )
        again = message.reconsume_times < failures
        return (_CConsumeStatus.RECONSUME_LATER if again else _CConsumeStatus.CONSUME_SUCCESS).value

    # `subscribe` turns an exception into a retry but prints its trace; this is the same without.
    consumer.subscribe(topic, lambda message: None, expression)
    consumer._register_callback(on_message)
    consumer.start()
    event("ready")
    sys.stdin.read()
    consumer.shutdown()


def main(command, name_server, topic, group, fourth, fifth):
    if command == "consume":
        consume(name_server, topic, group, fourth, int(fifth))
    else:
        send(name_server, topic, group, int(fourth), fifth, ordered=command == "ordered")
    event("done")
    # Python's end would race the library's threads.
    os._exit(0)


main(*sys.argv[1:])
