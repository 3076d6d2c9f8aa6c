package mqbc;

import com.alibaba.fastjson.JSONObject;
import java.util.Arrays;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.common.ServiceThread;

/**
 * Spares commands a wait of Java's clients. {@code NettyRemotingClient.shutdown} joins the client's event thread,
 * which looks whether it shall end only when its poll of three seconds is over. An interrupt ends the poll; a thread
 * that shall go on notes it in its log and polls again.
 */
final class EventThreads {
    private static final String NAME = "NettyEventExecutor";
    private static final long LOOK_EVERY_MS = 20;
    private static final ScheduledExecutorService WATCH = Executors.newSingleThreadScheduledExecutor(task -> {
        Thread thread = new Thread(task, "watch of event threads");
        thread.setDaemon(true);
        return thread;
    });

    private EventThreads() {
    }

    /** Runs {@code command} in the calling thread; whenever that waits for the end of a thread, polls are ended. */
    static Object endPollsWhile(Driver.Command command, JSONObject arguments) throws Exception {
        Thread runner = Thread.currentThread();
        ScheduledFuture<?> watch = WATCH.scheduleWithFixedDelay(
            () -> endPollsFor(runner), LOOK_EVERY_MS, LOOK_EVERY_MS, TimeUnit.MILLISECONDS);
        try {
            return command.run(arguments);
        } finally {
            watch.cancel(false);
        }
    }

    private static void endPollsFor(Thread runner) {
        if (isIn(runner, ServiceThread.class, "shutdown")) {
            Thread[] threads = new Thread[Thread.activeCount() + 32];
            int count = Thread.enumerate(threads);
            Arrays.stream(threads, 0, count)
                .filter(thread -> thread.getName().equals(NAME) && isIn(thread, LinkedBlockingQueue.class, "poll"))
                .forEach(Thread::interrupt);
        }
    }

    private static boolean isIn(Thread thread, Class<?> type, String method) {
        return Arrays.stream(thread.getStackTrace()).anyMatch(
            frame -> frame.getClassName().equals(type.getName()) && frame.getMethodName().equals(method));
    }
}
