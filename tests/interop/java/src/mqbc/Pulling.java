package mqbc;

import com.alibaba.fastjson.JSONObject;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.impl.MQAdminImpl;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.ResponseCode;

/** The consumers that ask: the classic pull consumer and the lite one. */
@SuppressWarnings("deprecation")
final class Pulling {
    private final String nameServer;
    private final Map<String, DefaultMQPullConsumer> consumers = new ConcurrentHashMap<>();

    Pulling(String nameServer) {
        this.nameServer = nameServer;
    }

    void register(Map<String, Driver.Command> commands) {
        commands.put("pullAll", this::pullAll);
        commands.put("pullOnce", this::pullOnce);
        commands.put("offsets", this::offsets);
        commands.put("commit", this::commit);
        commands.put("viewMessage", this::viewMessage);
        commands.put("viewAll", this::viewAll);
        commands.put("query", this::query);
        commands.put("litePull", this::litePull);
    }

    private synchronized DefaultMQPullConsumer consumer(JSONObject arguments) throws Exception {
        String group = arguments.getString("group");
        DefaultMQPullConsumer consumer = consumers.get(group);
        if (consumer == null) {
            consumer = new DefaultMQPullConsumer(group);
            consumer.setNamesrvAddr(nameServer);
            consumer.setInstanceName("driver-" + group);
            consumer.start();
            consumers.put(group, consumer);
        }
        return consumer;
    }

    private static List<MessageQueue> queues(DefaultMQPullConsumer consumer, String topic) throws Exception {
        List<MessageQueue> queues = new ArrayList<>(consumer.fetchSubscribeMessageQueues(topic));
        queues.sort(null);
        return queues;
    }

    /** Every message of a topic from each queue's smallest to its greatest offset. */
    private Object pullAll(JSONObject arguments) throws Exception {
        DefaultMQPullConsumer consumer = consumer(arguments);
        String expression = arguments.containsKey("expression") ? arguments.getString("expression") : "*";
        List<Object> messages = new ArrayList<>();
        for (MessageQueue queue : queues(consumer, arguments.getString("topic"))) {
            long end = consumer.maxOffset(queue);
            for (long offset = consumer.minOffset(queue); offset < end;) {
                PullResult result = consumer.pull(queue, expression, offset, 32);
                if (result.getPullStatus() == PullStatus.FOUND) {
                    for (MessageExt message : result.getMsgFoundList()) {
                        messages.add(Received.describe(message));
                    }
                }
                if (result.getNextBeginOffset() <= offset) {
                    throw new IllegalStateException("no progress at " + offset + " of " + queue + ": " + result);
                }
                offset = result.getNextBeginOffset();
            }
        }
        return messages;
    }

    private static MessageQueue queue(DefaultMQPullConsumer consumer, JSONObject arguments) throws Exception {
        for (MessageQueue queue : queues(consumer, arguments.getString("topic"))) {
            if (queue.getQueueId() == arguments.getIntValue("queueId")) {
                return queue;
            }
        }
        throw new IllegalArgumentException("no such queue");
    }

    private Object pullOnce(JSONObject arguments) throws Exception {
        DefaultMQPullConsumer consumer = consumer(arguments);
        PullResult result = consumer.pull(queue(consumer, arguments), "*", arguments.getLongValue("offset"), 32);
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("status", result.getPullStatus().name());
        fields.put("nextBeginOffset", result.getNextBeginOffset());
        fields.put("minOffset", result.getMinOffset());
        fields.put("maxOffset", result.getMaxOffset());
        fields.put("count", result.getMsgFoundList() == null ? 0 : result.getMsgFoundList().size());
        return fields;
    }

    /** Per queue: min, max, committed offset of the group, and the offset at {@code timestamp} when given. */
    private Object offsets(JSONObject arguments) throws Exception {
        DefaultMQPullConsumer consumer = consumer(arguments);
        Map<Integer, Object> table = new TreeMap<>();
        for (MessageQueue queue : queues(consumer, arguments.getString("topic"))) {
            Map<String, Object> fields = new LinkedHashMap<>();
            fields.put("min", consumer.minOffset(queue));
            fields.put("max", consumer.maxOffset(queue));
            fields.put("committed", consumer.fetchConsumeOffset(queue, true));
            if (arguments.containsKey("timestamp")) {
                fields.put("atTime", consumer.searchOffset(queue, arguments.getLongValue("timestamp")));
            }
            table.put(queue.getQueueId(), fields);
        }
        return new ArrayList<>(table.values());
    }

    private Object commit(JSONObject arguments) throws Exception {
        DefaultMQPullConsumer consumer = consumer(arguments);
        MessageQueue queue = queue(consumer, arguments);
        consumer.getDefaultMQPullConsumerImpl().updateConsumeOffsetToBroker(
            queue, arguments.getLongValue("offset"), false);
        return null;
    }

    private Object viewMessage(JSONObject arguments) throws Exception {
        return Received.describe(consumer(arguments).viewMessage(
            arguments.getString("topic"), arguments.getString("msgId")));
    }

    /** For each of {@code keys}, or of {@code unique} ids of producers, where the messages are that the index gives. */
    private Object query(JSONObject arguments) throws Exception {
        MQAdminImpl queries = consumer(arguments).getDefaultMQPullConsumerImpl().getRebalanceImpl()
            .getmQClientFactory().getMQAdminImpl();
        String topic = arguments.getString("topic");
        Map<String, Object> found = new LinkedHashMap<>();
        for (String key : arguments.getJSONArray("keys").toJavaList(String.class)) {
            List<Object> places = new ArrayList<>();
            try {
                QueryResult result = arguments.getBooleanValue("unique")
                    ? queries.queryMessageByUniqKey(topic, key, 64, 0, Long.MAX_VALUE)
                    : queries.queryMessage(topic, key, 64, 0, Long.MAX_VALUE);
                for (MessageExt message : result.getMessageList()) {
                    places.add(Received.place(message));
                }
            } catch (MQClientException fault) {
                if (fault.getResponseCode() != ResponseCode.NO_MESSAGE) {
                    throw fault;
                }
            }
            found.put(key, places);
        }
        return found;
    }

    /** For each of the offset {@code ids} where the message is that the broker gives. */
    private Object viewAll(JSONObject arguments) throws Exception {
        DefaultMQPullConsumer consumer = consumer(arguments);
        Map<String, Object> found = new LinkedHashMap<>();
        for (String id : arguments.getJSONArray("ids").toJavaList(String.class)) {
            found.put(id, Received.place(consumer.viewMessage(arguments.getString("topic"), id)));
        }
        return found;
    }

    /**
     * Polls until {@code count} messages came or the time is over; commits and leaves. After a seek the client
     * may still give out what it had asked for before; that does not count.
     */
    private Object litePull(JSONObject arguments) throws Exception {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(arguments.getString("group"));
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName("lite-" + arguments.getString("id"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setAutoCommit(false);
        String topic = arguments.getString("topic");
        boolean assign = arguments.getBooleanValue("assign");
        List<Object> messages = new ArrayList<>();
        // A pull that was under way when seek() came may give its messages a second time.
        Set<String> places = new HashSet<>();
        if (!assign) {
            consumer.subscribe(topic, arguments.containsKey("expression") ? arguments.getString("expression") : "*");
        }
        consumer.start();
        try {
            if (assign) {
                Collection<MessageQueue> queues = consumer.fetchMessageQueues(topic);
                consumer.assign(queues);
                for (MessageQueue queue : queues) {
                    consumer.seek(queue, arguments.getLongValue("seek"));
                }
            }
            long deadline = System.currentTimeMillis() + arguments.getLongValue("timeoutMs");
            while (messages.size() < arguments.getIntValue("count") && System.currentTimeMillis() < deadline) {
                for (MessageExt message : consumer.poll(1000)) {
                    if (message.getQueueOffset() >= arguments.getLongValue("seek")
                        && (!assign || places.add(message.getQueueId() + " " + message.getQueueOffset()))) {
                        messages.add(Received.describe(message));
                    }
                }
            }
            consumer.commit();
        } finally {
            consumer.shutdown();
        }
        return messages;
    }
}
