// Drives ali-ons as a black box.
//
//   client.js send    NAME_SERVER TOPIC GROUP COUNT TAG
//   client.js consume NAME_SERVER TOPIC GROUP EXPRESSION FAILURES
//
// Prints one "event {json}" line per thing that happened. A consumer fails the first FAILURES deliveries of
// each message and ends in good order with its standard input.
'use strict';

const { Consumer, Message, Producer } = require('ali-ons');

const event = (kind, fields) => console.log('event ' + JSON.stringify({ event: kind, ...fields }));

const quiet = { debug() {}, info() {}, warn: console.warn, error: console.error };

function options(nameServer, extra) {
  // The HTTP client would ask an address server, which a name server list makes needless.
  const httpclient = { request() { throw new Error('no address server'); } };
  return { httpclient, nameSrv: [ nameServer ], logger: quiet, clientIP: '127.0.0.1', ...extra };
}

async function send(nameServer, topic, group, count, tag) {
  const producer = new Producer(options(nameServer, { producerGroup: group }));
  producer.on('error', fault => console.error(fault));
  await producer.ready();
  for (let i = 0; i < count; i++) {
    const message = new Message(topic, tag, 'm' + i);
    message.keys = [ 'key' + i ];
    const result = await producer.send(message);
    event('sent', {
      msgId: result.msgId,
      status: result.sendStatus,
      queueId: result.messageQueue.queueId,
      queueOffset: Number(result.queueOffset),
    });
  }
  await producer.close();
}

async function consume(nameServer, topic, group, expression, failures) {
  const consumer = new Consumer(options(nameServer, {
    consumerGroup: group,
    consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
    rebalanceInterval: 2000,
    persistConsumerOffsetInterval: 1000,
  }));
  consumer.on('error', fault => console.error(fault));
  consumer.subscribe(topic, expression, async message => {
    event('received', {
      body: message.body.toString(),
      tags: message.tags,
      keys: message.keys,
      reconsumeTimes: message.reconsumeTimes,
      topic: message.topic,
      msgId: message.msgId,
      queueId: message.queueId,
      queueOffset: Number(message.queueOffset),
    });
    return message.reconsumeTimes < failures ? Consumer.ACTION_RETRY : undefined;
  });
  await consumer.ready();
  event('ready', {});
  for await (const chunk of process.stdin) { void chunk; }
  await consumer.close();
}

async function main([ command, nameServer, topic, group, fourth, fifth ]) {
  if (command === 'consume') {
    await consume(nameServer, topic, group, fourth, Number(fifth));
  } else {
    await send(nameServer, topic, group, Number(fourth), fifth);
  }
  event('done', {});
}

main(process.argv.slice(2)).then(() => process.exit(0), fault => {
  console.error(fault);
  process.exit(1);
});
