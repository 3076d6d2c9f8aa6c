package mqbc;

import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.JSONObject;
import com.alibaba.fastjson.serializer.SerializerFeature;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * Runs client scenarios on request: one JSON object per input line, one answer line per command.
 * Usage: {@code mqbc.Driver <name server>}. Ends with its standard input.
 */
public final class Driver {
    interface Command {
        Object run(JSONObject arguments) throws Exception;
    }

    private static final PrintStream ANSWERS = System.out;

    private final Map<String, Command> commands = new TreeMap<>();

    private Driver(String nameServer) {
        new Sending(nameServer).register(commands);
        new PushConsuming(nameServer).register(commands);
        new Pulling(nameServer).register(commands);
        commands.put("admin", arguments -> admin(nameServer, arguments.getObject("arguments", String[].class)));
    }

    public static void main(String[] arguments) throws Exception {
        Driver driver = new Driver(arguments[0]);
        ExecutorService threads = Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task, "command");
            thread.setDaemon(true);
            return thread;
        });
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        answer("driver ready");
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            JSONObject request = JSON.parseObject(line);
            threads.execute(() -> driver.handle(request));
        }
        System.exit(0);
    }

    private void handle(JSONObject request) {
        String number = request.getString("id");
        try {
            Command command = commands.get(request.getString("command"));
            if (command == null) {
                throw new IllegalArgumentException("no such command, there are " + commands.keySet());
            }
            answer("answer " + number + " ok "
                + JSON.toJSONString(EventThreads.endPollsWhile(command, request),
                    SerializerFeature.WriteMapNullValue, SerializerFeature.DisableCircularReferenceDetect));
        } catch (Throwable fault) {
            StringWriter trace = new StringWriter();
            fault.printStackTrace(new PrintWriter(trace));
            answer("answer " + number + " failed " + JSON.toJSONString(trace.toString()));
        }
    }

    private static void answer(String line) {
        byte[] bytes = (line + "\n").getBytes(StandardCharsets.UTF_8);
        synchronized (ANSWERS) {
            ANSWERS.write(bytes, 0, bytes.length);
            ANSWERS.flush();
        }
    }

    /** One mqadmin command; both its output streams are caught, so only one runs at a time. */
    private static synchronized String admin(String nameServer, String[] arguments) {
        PrintStream out = System.out;
        PrintStream err = System.err;
        ByteArrayOutputStream caught = new ByteArrayOutputStream();
        PrintStream catcher = new PrintStream(caught, true, StandardCharsets.UTF_8);
        System.setOut(catcher);
        System.setErr(catcher);
        try {
            System.setProperty("rocketmq.namesrv.addr", nameServer);
            MQAdminStartup.main0(arguments, null);
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
        return caught.toString(StandardCharsets.UTF_8);
    }
}
