package mqbc;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;

/** How a received message looks in an answer. */
final class Received {
    private Received() {
    }

    static Map<String, Object> describe(MessageExt message) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("topic", message.getTopic());
        fields.put("queueId", message.getQueueId());
        fields.put("queueOffset", message.getQueueOffset());
        fields.put("body", new String(message.getBody(), StandardCharsets.UTF_8));
        fields.put("commitLogOffset", message.getCommitLogOffset());
        fields.put("storeSize", message.getStoreSize());
        fields.put("sysFlag", message.getSysFlag());
        fields.put("msgId", message.getMsgId());
        fields.put("offsetMsgId",
            message instanceof MessageClientExt ? ((MessageClientExt) message).getOffsetMsgId() : null);
        fields.put("tags", message.getTags());
        fields.put("keys", message.getKeys());
        fields.put("reconsumeTimes", message.getReconsumeTimes());
        fields.put("storeTimestamp", message.getStoreTimestamp());
        fields.put("bornTimestamp", message.getBornTimestamp());
        fields.put("bornHost", String.valueOf(message.getBornHost()));
        fields.put("storeHost", String.valueOf(message.getStoreHost()));
        fields.put("receivedAt", System.currentTimeMillis());
        fields.put("properties", message.getProperties());
        return fields;
    }

    /** Where it lies, for answers about many messages: queue, offset there, offset in the log. */
    static Object[] place(MessageExt message) {
        return new Object[] {message.getQueueId(), message.getQueueOffset(), message.getCommitLogOffset()};
    }
}
