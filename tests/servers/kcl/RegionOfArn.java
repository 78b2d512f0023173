import software.amazon.awssdk.core.SdkRequest;
import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.services.dynamodb.model.DescribeStreamRequest;
import software.amazon.awssdk.services.dynamodb.model.GetShardIteratorRequest;

/**
 * DynamoDB Local puts region {@code ddblocal} into its ARNs and knows streams by these alone; the adapter takes no
 * ARN of a region that AWS does not have. So the adapter gets another one, which is put right again in its requests.
 */
final class RegionOfArn implements ExecutionInterceptor {
    private static final String SERVERS = ":ddblocal:";
    private static final String ADAPTERS = ":us-east-1:";

    static String forAdapter(String arn) {
        return arn.replace(SERVERS, ADAPTERS);
    }

    private static String forServer(String arn) {
        return arn.replace(ADAPTERS, SERVERS);
    }

    @Override
    public SdkRequest modifyRequest(Context.ModifyRequest context, ExecutionAttributes attributes) {
        SdkRequest request = context.request();
        if (request instanceof DescribeStreamRequest describe) {
            return describe.toBuilder().streamArn(forServer(describe.streamArn())).build();
        }
        if (request instanceof GetShardIteratorRequest first) {
            return first.toBuilder().streamArn(forServer(first.streamArn())).build();
        }
        return request;
    }
}
