package mqbc;

import com.alibaba.fastjson.JSONObject;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.zip.CRC32;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;

/** Everything that sends. One producer per producer group lives as long as the driver. */
final class Sending {
    private final String nameServer;
    private final Map<String, DefaultMQProducer> producers = new ConcurrentHashMap<>();
    private final Map<String, Load> loads = new ConcurrentHashMap<>();

    Sending(String nameServer) {
        this.nameServer = nameServer;
    }

    void register(Map<String, Driver.Command> commands) {
        commands.put("send", this::send);
        commands.put("sendAsync", this::sendAsync);
        commands.put("sendOneway", this::sendOneway);
        commands.put("sendOrdered", this::sendOrdered);
        commands.put("sendBatch", this::sendBatch);
        commands.put("loadStart", this::loadStart);
        commands.put("loadAwait", arguments -> loads.get(arguments.getString("name")).await(arguments));
        commands.put("loadStop", arguments -> loads.remove(arguments.getString("name")).stop());
    }

    private synchronized DefaultMQProducer producer(JSONObject arguments) throws Exception {
        String group = arguments.getString("producerGroup") == null
            ? "driver_producers" : arguments.getString("producerGroup");
        DefaultMQProducer producer = producers.get(group);
        if (producer == null) {
            producer = new DefaultMQProducer(group);
            producer.setNamesrvAddr(nameServer);
            producer.setInstanceName("driver-" + group);
            producer.setVipChannelEnabled(arguments.getBooleanValue("vipChannel"));
            producer.start();
            producers.put(group, producer);
        }
        return producer;
    }

    private static List<Message> messages(JSONObject arguments) {
        List<Message> messages = new ArrayList<>();
        for (String body : arguments.getJSONArray("bodies").toJavaList(String.class)) {
            Message message = new Message(arguments.getString("topic"), body.getBytes(StandardCharsets.UTF_8));
            if (arguments.containsKey("tags")) {
                message.setTags(arguments.getString("tags"));
            }
            if (arguments.containsKey("keys")) {
                message.setKeys(arguments.getString("keys"));
            }
            if (arguments.containsKey("delayLevel")) {
                message.setDelayTimeLevel(arguments.getIntValue("delayLevel"));
            }
            JSONObject properties = arguments.getJSONObject("properties");
            if (properties != null) {
                properties.forEach((key, value) -> message.putUserProperty(key, value.toString()));
            }
            messages.add(message);
        }
        return messages;
    }

    private static Map<String, Object> describe(SendResult result) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("status", result.getSendStatus().name());
        fields.put("msgId", result.getMsgId());
        fields.put("offsetMsgId", result.getOffsetMsgId());
        fields.put("queueId", result.getMessageQueue().getQueueId());
        fields.put("brokerName", result.getMessageQueue().getBrokerName());
        fields.put("queueOffset", result.getQueueOffset());
        return fields;
    }

    private Object send(JSONObject arguments) throws Exception {
        DefaultMQProducer producer = producer(arguments);
        List<Object> results = new ArrayList<>();
        for (Message message : messages(arguments)) {
            results.add(describe(producer.send(message)));
        }
        return results;
    }

    private Object sendAsync(JSONObject arguments) throws Exception {
        DefaultMQProducer producer = producer(arguments);
        List<Message> messages = messages(arguments);
        Map<Integer, Object> results = new ConcurrentHashMap<>();
        CountDownLatch answered = new CountDownLatch(messages.size());
        for (int i = 0; i < messages.size(); i++) {
            final int index = i;
            producer.send(messages.get(i), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    results.put(index, describe(result));
                    answered.countDown();
                }

                @Override
                public void onException(Throwable fault) {
                    results.put(index, fault.toString());
                    answered.countDown();
                }
            });
        }
        answered.await();
        return new ArrayList<>(results.values());
    }

    private Object sendOneway(JSONObject arguments) throws Exception {
        DefaultMQProducer producer = producer(arguments);
        for (Message message : messages(arguments)) {
            producer.sendOneway(message);
        }
        return null;
    }

    /** Bodies {@code key:0}, {@code key:1}, … of several keys, interleaved, each key in one queue. */
    private Object sendOrdered(JSONObject arguments) throws Exception {
        DefaultMQProducer producer = producer(arguments);
        int keys = arguments.getIntValue("keys");
        List<Object> results = new ArrayList<>();
        for (int i = 0; i < arguments.getIntValue("perKey"); i++) {
            for (int key = 0; key < keys; key++) {
                Message message = new Message(arguments.getString("topic"),
                    (key + ":" + i).getBytes(StandardCharsets.UTF_8));
                results.add(describe(producer.send(message,
                    (queues, sent, argument) -> queues.get((Integer) argument % queues.size()), key)));
            }
        }
        return results;
    }

    private Object sendBatch(JSONObject arguments) throws Exception {
        return describe(producer(arguments).send(messages(arguments)));
    }

    private Object loadStart(JSONObject arguments) throws Exception {
        Load load = new Load(producer(arguments), arguments);
        loads.put(arguments.getString("name"), load);
        load.start();
        return null;
    }

    /**
     * Senders that go on whatever happens and keep what was acknowledged. Messages are numbered from {@code first} on;
     * each sender rests for {@code pauseMs} after a send, sends {@code batch} messages at a time when that is more than
     * 1, and with {@code keys} gives number n the key {@code <keys>-<n>}, the tag {@code Tag<n % 3>} and the property
     * {@code note}, which is {@code № <n>}.
     */
    private static final class Load {
        private final DefaultMQProducer producer;
        private final String topic;
        private final int pauseMs;
        private final int batch;
        private final int delayLevel;
        private final String keys;
        private final AtomicReference<String> firstFailure = new AtomicReference<>();
        private final AtomicInteger next;
        private final AtomicInteger failed = new AtomicInteger();
        private final AtomicBoolean stopping = new AtomicBoolean();
        private final List<Thread> threads = new ArrayList<>();
        private final List<Object[]> acknowledged = new ArrayList<>();

        Load(DefaultMQProducer producer, JSONObject arguments) {
            this.producer = producer;
            this.topic = arguments.getString("topic");
            this.pauseMs = arguments.getIntValue("pauseMs");
            this.batch = Math.max(1, arguments.getIntValue("batch"));
            this.delayLevel = arguments.getIntValue("delayLevel");
            this.keys = arguments.getString("keys");
            this.next = new AtomicInteger(arguments.getIntValue("first"));
            for (int i = 0; i < arguments.getIntValue("threads"); i++) {
                this.threads.add(new Thread(this::run, "load-" + i));
            }
        }

        void start() {
            threads.forEach(Thread::start);
        }

        private void run() {
            while (!stopping.get()) {
                int number = next.getAndAdd(batch);
                try {
                    SendResult result = batch == 1 ? producer.send(message(number)) : producer.send(messages(number));
                    if (result.getSendStatus() == SendStatus.SEND_OK) {
                        acknowledge(number, result);
                    } else {
                        fail(result.toString());
                    }
                } catch (Exception fault) {
                    fail(fault.toString());
                }
                LockSupport.parkNanos(pauseMs * 1_000_000L);
            }
        }

        private Message message(int number) {
            Message message = new Message(topic, body(number));
            if (keys != null) {
                message.setKeys(keys + "-" + number);
                message.setTags("Tag" + number % 3);
                message.putUserProperty("note", "№ " + number);
            }
            if (delayLevel > 0) {
                message.setDelayTimeLevel(delayLevel);
            }
            return message;
        }

        private List<Message> messages(int first) {
            List<Message> messages = new ArrayList<>();
            for (int number = first; number < first + batch; number++) {
                messages.add(message(number));
            }
            return messages;
        }

        /** The ids of a batch come in one text, its offset is that of its first message. */
        private void acknowledge(int number, SendResult result) {
            String[] ids = result.getMsgId().split(",");
            String[] offsetIds = result.getOffsetMsgId().split(",");
            synchronized (acknowledged) {
                for (int i = 0; i < batch; i++) {
                    acknowledged.add(new Object[] {
                        number + i, ids[i], result.getMessageQueue().getQueueId(), result.getQueueOffset() + i,
                        offsetIds[i], result.getMessageQueue().getBrokerName()});
                }
                acknowledged.notifyAll();
            }
        }

        private void fail(String reason) {
            failed.incrementAndGet();
            firstFailure.compareAndSet(null, reason);
        }

        /** {@code <number>:<filling>:<crc32 of what stands before>}, between 100 and 2,100 bytes. */
        private static byte[] body(int number) {
            StringBuilder text = new StringBuilder().append(number).append(':');
            int length = 100 + number * 37 % 2000;
            for (int i = 0; i < length; i++) {
                text.append((char) ('a' + (number + i) % 26));
            }
            CRC32 crc = new CRC32();
            crc.update(text.toString().getBytes(StandardCharsets.US_ASCII));
            return text.append(':').append(crc.getValue()).toString().getBytes(StandardCharsets.US_ASCII);
        }

        /** Returns when there are {@code more} acknowledgements beyond those there are now. */
        Object await(JSONObject arguments) throws InterruptedException {
            long deadline = System.currentTimeMillis() + arguments.getLongValue("timeoutMs");
            synchronized (acknowledged) {
                int goal = acknowledged.size() + arguments.getIntValue("more");
                while (acknowledged.size() < goal) {
                    long left = deadline - System.currentTimeMillis();
                    if (left <= 0) {
                        throw new IllegalStateException("only " + acknowledged.size() + " of " + goal
                            + " messages acknowledged, " + failed + " sends failed");
                    }
                    acknowledged.wait(left);
                }
                return acknowledged.size();
            }
        }

        Object stop() throws InterruptedException {
            stopping.set(true);
            for (Thread thread : threads) {
                thread.join();
            }
            Map<String, Object> fields = new LinkedHashMap<>();
            fields.put("acknowledged", acknowledged);
            fields.put("next", next.get());
            fields.put("failed", failed.get());
            fields.put("firstFailure", firstFailure.get());
            return fields;
        }
    }
}
