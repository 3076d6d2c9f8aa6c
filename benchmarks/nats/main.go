// Publishes to a JetStream stream on one connection, as the mark beside the RocketMQ brokers.
//
// publish synchronously: each of -workers goroutines waits for the acknowledgement of a message before its next
// one; prints "begin" when -warmup is over and "end MESSAGES SECONDS FAILED" after -seconds more.
//
// publish -count N: N messages with up to 256 unacknowledged; prints "end N SECONDS 0" when the stream has them.
package main

import (
	"flag"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	stream     = "Benchmark"
	subject    = "benchmark.send"
	unanswered = 256
)

func main() {
	url := flag.String("url", "", "of the server")
	workers := flag.Int("workers", 1, "goroutines that publish")
	size := flag.Int("size", 1024, "bytes of a message")
	warmup := flag.Duration("warmup", 2*time.Second, "before the counting begins")
	span := flag.Duration("span", 5*time.Second, "how long messages are counted")
	count := flag.Int("count", 0, "publish so many without waiting for each")
	flag.Parse()

	connection, err := nats.Connect(*url)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	context, err := connection.JetStream(nats.PublishAsyncMaxPending(unanswered), nats.MaxWait(30*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	_, err = context.AddStream(&nats.StreamConfig{
		Name: stream, Subjects: []string{subject}, Storage: nats.FileStorage, Replicas: 1,
	})
	if err != nil {
		log.Fatal(err)
	}
	body := make([]byte, *size)
	for i := range body {
		body[i] = byte('a' + i%26)
	}
	if *count > 0 {
		fill(context, body, *count)
	} else {
		send(context, body, *workers, *warmup, *span)
	}
}

func send(context nats.JetStreamContext, body []byte, workers int, warmup, span time.Duration) {
	var published, failed atomic.Int64
	var running sync.WaitGroup
	var stopping atomic.Bool
	for range workers {
		running.Go(func() {
			for !stopping.Load() {
				if _, err := context.Publish(subject, body); err != nil {
					failed.Add(1)
					log.Print(err)
				} else {
					published.Add(1)
				}
			}
		})
	}
	time.Sleep(warmup)
	before, began := published.Load(), time.Now()
	fmt.Println("begin")
	time.Sleep(span)
	counted, took := published.Load()-before, time.Since(began)
	fmt.Printf("end %d %.6f %d\n", counted, took.Seconds(), failed.Load())
	stopping.Store(true)
	running.Wait()
}

func fill(context nats.JetStreamContext, body []byte, count int) {
	began := time.Now()
	for range count {
		for {
			_, err := context.PublishAsync(subject, body)
			if err == nil {
				break
			}
			if err != nats.ErrTooManyStalledMsgs {
				log.Fatal(err)
			}
		}
	}
	<-context.PublishAsyncComplete()
	info, err := context.StreamInfo(stream)
	if err != nil {
		log.Fatal(err)
	}
	if info.State.Msgs < uint64(count) {
		log.Fatalf("the stream has %d messages of %d", info.State.Msgs, count)
	}
	fmt.Printf("end %d %.6f 0\n", count, time.Since(began).Seconds())
}
