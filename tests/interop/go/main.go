// Drives the Go client as a black box.
//
//	client send    NAME_SERVER TOPIC GROUP COUNT TAG
//	client batch   NAME_SERVER TOPIC GROUP COUNT TAG
//	client ordered NAME_SERVER TOPIC GROUP COUNT TAG
//	client consume NAME_SERVER TOPIC GROUP EXPRESSION FAILURES
//
// Prints one "event {json}" line per thing that happened. A consumer fails the first FAILURES deliveries of
// each message and ends in good order with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

var output sync.Mutex

func event(kind string, fields map[string]interface{}) {
	fields["event"] = kind
	text, err := json.Marshal(fields)
	check(err)
	output.Lock()
	defer output.Unlock()
	fmt.Printf("event %s\n", text)
}

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func messages(topic, prefix, tag string, count int) []*primitive.Message {
	list := make([]*primitive.Message, 0, count)
	for i := 0; i < count; i++ {
		list = append(list, primitive.NewMessage(topic, []byte(prefix+strconv.Itoa(i))).
			WithTag(tag).WithKeys([]string{"key" + strconv.Itoa(i)}))
	}
	return list
}

func send(how, nameServer, topic, group, tag string, count int) {
	options := []producer.Option{
		producer.WithNameServer(primitive.NamesrvAddr{nameServer}),
		producer.WithGroupName(group),
		producer.WithRetry(2),
	}
	if how == "ordered" {
		options = append(options, producer.WithQueueSelector(producer.NewHashQueueSelector()))
	}
	client, err := rocketmq.NewProducer(options...)
	check(err)
	check(client.Start())
	report := func(result *primitive.SendResult, err error) {
		check(err)
		event("sent", map[string]interface{}{
			"msgId": result.MsgID, "offsetMsgId": result.OffsetMsgID, "status": int(result.Status),
			"queueId": result.MessageQueue.QueueId, "queueOffset": result.QueueOffset,
		})
	}
	list := messages(topic, "m", tag, count)
	switch how {
	case "batch":
		report(client.SendSync(context.Background(), list...))
	default:
		for i, message := range list {
			if how == "ordered" {
				message.WithShardingKey("shard" + strconv.Itoa(i%4))
			}
			report(client.SendSync(context.Background(), message))
		}
	}
	check(client.Shutdown())
}

func consume(nameServer, topic, group, expression string, failures int32) {
	client, err := rocketmq.NewPushConsumer(
		consumer.WithNameServer(primitive.NamesrvAddr{nameServer}),
		consumer.WithGroupName(group),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	)
	check(err)
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: expression}
	check(client.Subscribe(topic, selector,
		func(ctx context.Context, list ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			result := consumer.ConsumeSuccess
			for _, message := range list {
				event("received", map[string]interface{}{
					"body": string(message.Body), "tags": message.GetTags(), "keys": message.GetKeys(),
					"reconsumeTimes": message.ReconsumeTimes, "topic": message.Topic, "msgId": message.MsgId,
					"queueId": message.Queue.QueueId, "queueOffset": message.QueueOffset,
				})
				if message.ReconsumeTimes < failures {
					if retry, found := primitive.GetConcurrentlyCtx(ctx); found {
						retry.DelayLevelWhenNextConsume = 1
					}
					result = consumer.ConsumeRetryLater
				}
			}
			return result, nil
		}))
	check(client.Start())
	event("ready", map[string]interface{}{})
	_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
	check(client.Shutdown())
}

func main() {
	rlog.SetLogLevel("warn")
	arguments := os.Args[1:]
	if len(arguments) != 6 {
		fmt.Println("six arguments, see the head of main.go")
		os.Exit(2)
	}
	switch arguments[0] {
	case "consume":
		failures, err := strconv.Atoi(arguments[5])
		check(err)
		consume(arguments[1], arguments[2], arguments[3], arguments[4], int32(failures))
	default:
		count, err := strconv.Atoi(arguments[4])
		check(err)
		send(arguments[0], arguments[1], arguments[2], arguments[3], arguments[5], count)
	}
	event("done", map[string]interface{}{})
}
