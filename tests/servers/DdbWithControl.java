import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.lang.reflect.Field;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import software.amazon.dynamodb.services.local.main.ServerRunner;
import software.amazon.dynamodb.services.local.server.DynamoDBProxyServer;
import software.amazon.dynamodb.services.local.shared.access.AmazonDynamoDBLocal;
import software.amazon.dynamodb.services.local.shared.access.client.LocalDynamoDbStreamsClient;

/**
 * DynamoDB Local with a second port, to make its streams roll over and age on demand: by itself it rolls over every
 * 4 hours and trims after 24.
 *
 * <pre>
 * DdbWithControl CONTROL_PORT ARGUMENTS_OF_SERVERRUNNER...
 * GET /rollover         closes every stream's open shard and opens a child
 * GET /dilate?hours=N   makes every stream record N hours older
 * GET /                 answers that it is there
 * </pre>
 *
 * It reaches into private fields of the version in dynamodb-local.pom.xml; another one may need other names.
 */
public final class DdbWithControl {
    public static void main(String[] arguments) throws Exception {
        int controlPort = Integer.parseInt(arguments[0]);
        DynamoDBProxyServer server = ServerRunner.createServerFromCommandLineArgs(
                Arrays.copyOfRange(arguments, 1, arguments.length));
        Object handler = field(server, DynamoDBProxyServer.class, "serverHandler");
        Object primary = field(handler, handler.getClass().getSuperclass(), "primaryHandler");
        Map<?, ?> databases = (Map<?, ?>) field(primary, primary.getClass(), "dbRequestHandlers");
        HttpServer control = HttpServer.create(new InetSocketAddress("127.0.0.1", controlPort), 0);
        control.createContext("/", exchange -> answer(exchange, databases));
        server.start();
        control.start();
        server.join();
    }

    private static Object field(Object of, Class<?> declaredIn, String name) throws Exception {
        Field field = declaredIn.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(of);
    }

    private static void answer(HttpExchange exchange, Map<?, ?> databases) throws IOException {
        int code = 200;
        String text = "ok\n";
        try {
            for (Object database : databases.values()) {
                LocalDynamoDbStreamsClient streams =
                        (LocalDynamoDbStreamsClient) ((AmazonDynamoDBLocal) database).dynamoDbStreamsClient();
                obey(exchange.getRequestURI().getPath(), exchange.getRequestURI().getQuery(), streams);
            }
        } catch (Throwable failed) {
            code = 500;
            text = failed + "\n";
            failed.printStackTrace();
        }
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(code, bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }

    private static void obey(String path, String query, LocalDynamoDbStreamsClient streams) throws Exception {
        switch (path) {
            case "/" -> {}
            case "/rollover" -> streams.triggerShardRollovers();
            case "/dilate" -> streams.dilateEventTimes(Long.parseLong(query.substring("hours=".length())) * 3_600_000L);
            default -> throw new IllegalArgumentException("no such order: " + path);
        }
    }
}
