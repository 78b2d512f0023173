import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.TopicCollection;

/**
 * Prints topics' ids as Kafka's own client reads and writes them, a line for each: {@code name id}.
 *
 * <p>java -cp 'JARS/*' TopicIds.java BOOTSTRAP TOPIC...
 */
public final class TopicIds {
    public static void main(String[] arguments) throws Exception {
        List<String> topics = List.of(arguments).subList(1, arguments.length);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", arguments[0]))) {
            var described = admin.describeTopics(TopicCollection.ofTopicNames(topics)).allTopicNames().get();
            topics.forEach(topic -> System.out.println(topic + " " + described.get(topic).topicId()));
        }
    }
}
