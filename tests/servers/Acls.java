import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/**
 * Grants rights at a broker that has the user {@code admin}.
 *
 * <p>java -cp 'JARS/*' Acls.java BOOTSTRAP USER RESOURCE:NAME:OPERATION..., such as {@code topic:orders:write}
 */
public final class Acls {
    public static void main(String[] arguments) throws Exception {
        String login = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"admin\" password=\"admin\";";
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", arguments[0],
                "security.protocol", "SASL_PLAINTEXT",
                "sasl.mechanism", "PLAIN",
                "sasl.jaas.config", login);
        List<AclBinding> rights = new ArrayList<>();
        for (String right : List.of(arguments).subList(2, arguments.length)) {
            String[] parts = right.toUpperCase(Locale.ROOT).split(":");
            ResourceType resource = ResourceType.valueOf(parts[0]);
            String name = right.split(":")[1];
            AclOperation operation = AclOperation.valueOf(parts[2]);
            String user = "User:" + arguments[1];
            rights.add(new AclBinding(
                    new ResourcePattern(resource, name, PatternType.LITERAL),
                    new AccessControlEntry(user, "*", operation, AclPermissionType.ALLOW)));
        }
        try (Admin admin = Admin.create(settings)) {
            admin.createAcls(rights).all().get();
        }
    }
}
