package mqbc;

import com.alibaba.fastjson.JSONObject;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.impl.consumer.ProcessQueue;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/** Push consumers by name; each keeps what it was given until somebody asks. */
final class PushConsuming {
    private static final long SETTLE_MS = 5_000;
    private final String nameServer;
    private final Map<String, Box> boxes = new ConcurrentHashMap<>();

    PushConsuming(String nameServer) {
        this.nameServer = nameServer;
    }

    void register(Map<String, Driver.Command> commands) {
        commands.put("consumeStart", this::start);
        commands.put("consumeWait", arguments -> box(arguments).await(
            arguments.getIntValue("count"), arguments.getLongValue("timeoutMs")));
        commands.put("consumeStop", this::stop);
    }

    private Box box(JSONObject arguments) {
        Box box = boxes.get(arguments.getString("name"));
        if (box == null) {
            throw new IllegalArgumentException("no consumer " + arguments.getString("name") + " in " + boxes.keySet());
        }
        return box;
    }

    private Object start(JSONObject arguments) throws Exception {
        String name = arguments.getString("name");
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(arguments.getString("group"));
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName(name);
        // A second after its start the client's first rebalance and its periodic heartbeat compete for one lock; the
        // loser sends nothing, and until the next heartbeat every broker refuses its pulls with SUBSCRIPTION_NOT_LATEST.
        consumer.setHeartbeatBrokerInterval(2_000);
        consumer.setConsumeFromWhere(ConsumeFromWhere.valueOf(
            arguments.containsKey("startFrom") ? arguments.getString("startFrom") : "CONSUME_FROM_FIRST_OFFSET"));
        if (arguments.containsKey("timestamp")) {
            consumer.setConsumeTimestamp(arguments.getString("timestamp"));
        }
        if (arguments.containsKey("pollNameServerMs")) {
            consumer.setPollNameServerInterval(arguments.getIntValue("pollNameServerMs"));
        }
        if (arguments.containsKey("commitEveryMs")) {
            consumer.setPersistConsumerOffsetInterval(arguments.getIntValue("commitEveryMs"));
        }
        if (arguments.getBooleanValue("broadcast")) {
            consumer.setMessageModel(MessageModel.BROADCASTING);
        }
        if (arguments.containsKey("maxReconsumeTimes")) {
            consumer.setMaxReconsumeTimes(arguments.getIntValue("maxReconsumeTimes"));
        }
        consumer.setConsumeThreadMin(4);
        consumer.setConsumeThreadMax(4);
        consumer.subscribe(arguments.getString("topic"),
            arguments.containsKey("expression") ? arguments.getString("expression") : "*");
        Box box = new Box(consumer);
        int failures = arguments.getIntValue("failures");
        int delayLevel = arguments.getIntValue("retryDelayLevel");
        if (arguments.getBooleanValue("ordered")) {
            consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
                box.add(messages);
                return ConsumeOrderlyStatus.SUCCESS;
            });
        } else {
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                box.add(messages);
                if (messages.get(0).getReconsumeTimes() < failures) {
                    context.setDelayLevelWhenNextConsume(delayLevel);
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        }
        boxes.put(name, box);
        consumer.start();
        return consumer.buildMQClientId();
    }

    private Object stop(JSONObject arguments) throws InterruptedException {
        Box box = box(arguments);
        boxes.remove(arguments.getString("name"));
        settle(box.consumer);
        box.consumer.shutdown();
        return box.copy();
    }

    /** What a listener has returned is settled by its thread a moment later; shutdown() commits without waiting. */
    private static void settle(DefaultMQPushConsumer consumer) throws InterruptedException {
        Collection<ProcessQueue> queues =
            consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().values();
        long deadline = System.currentTimeMillis() + SETTLE_MS;
        while (queues.stream().anyMatch(queue -> queue.getMsgCount().get() > 0)
            && System.currentTimeMillis() < deadline) {
            Thread.sleep(5);
        }
    }

    private static final class Box {
        final DefaultMQPushConsumer consumer;
        private final List<Object> received = new ArrayList<>();

        Box(DefaultMQPushConsumer consumer) {
            this.consumer = consumer;
        }

        synchronized void add(List<MessageExt> messages) {
            for (MessageExt message : messages) {
                received.add(Received.describe(message));
            }
            notifyAll();
        }

        synchronized List<Object> copy() {
            return new ArrayList<>(received);
        }

        /** All messages so far, as soon as there are {@code count}, or after the time whatever there is. */
        synchronized List<Object> await(int count, long timeoutMs) throws InterruptedException {
            long deadline = System.currentTimeMillis() + timeoutMs;
            while (received.size() < count) {
                long left = deadline - System.currentTimeMillis();
                if (left <= 0) {
                    break;
                }
                wait(left);
            }
            return copy();
        }
    }
}
