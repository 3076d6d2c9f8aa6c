package mqbc;

import java.io.InputStream;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Properties;
import org.apache.rocketmq.common.MixAll;

/** Reads a configuration file as RocketMQ's programs do and prints what the config objects hold then. */
public final class ReadConfig {
    private ReadConfig() {
    }

    /** Arguments: the file, then the full names of config classes; prints `Class.key=value`, value URL-encoded. */
    public static void main(String[] arguments) throws Exception {
        Properties file = new Properties();
        try (InputStream in = Files.newInputStream(Paths.get(arguments[0]))) {
            file.load(in);
        }
        for (int at = 1; at < arguments.length; at++) {
            Object config = Class.forName(arguments[at]).getDeclaredConstructor().newInstance();
            MixAll.properties2Object(file, config);
            Properties held = MixAll.object2Properties(config);
            for (String key : held.stringPropertyNames()) {
                String value = URLEncoder.encode(held.getProperty(key), StandardCharsets.UTF_8);
                System.out.println("held " + config.getClass().getSimpleName() + "." + key + "=" + value);
            }
        }
        System.out.println("all read");
    }
}
