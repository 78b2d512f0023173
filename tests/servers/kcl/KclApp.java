import com.amazonaws.services.dynamodbv2.streamsadapter.AmazonDynamoDBStreamsAdapterClient;
import com.amazonaws.services.dynamodbv2.streamsadapter.StreamsSchedulerFactory;
import com.amazonaws.services.dynamodbv2.streamsadapter.polling.DynamoDBStreamsPollingConfig;
import java.net.URI;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.model.BillingMode;
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.metrics.NullMetricsFactory;

/**
 * A worker of the KCL on a stream of DynamoDB Local, for tests that share a lease table with it.
 *
 * <p>Arguments: ENDPOINT STREAM_ARN APPLICATION WORKER CHECKPOINT_EVERY TRIM_HORIZON|LATEST KEY_ATTRIBUTE. The lease
 * table is named as the application. What happens goes to standard output, a line each, see {@link Processor}; the
 * KCL's own log goes to standard error. It stops gracefully on SIGTERM or when its standard input ends, so that it
 * does not outlive a test that was killed.
 */
public final class KclApp {
    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 7) {
            System.err.println("usage: KclApp ENDPOINT STREAM_ARN APPLICATION WORKER CHECKPOINT_EVERY"
                    + " TRIM_HORIZON|LATEST KEY_ATTRIBUTE");
            System.exit(2);
        }
        URI endpoint = URI.create(arguments[0]);
        String stream = RegionOfArn.forAdapter(arguments[1]);
        String application = arguments[2];
        String worker = arguments[3];
        int checkpointEvery = Integer.parseInt(arguments[4]);
        InitialPositionInStreamExtended start = InitialPositionInStreamExtended.newInitialPosition(
                InitialPositionInStream.valueOf(arguments[5]));
        String key = arguments[6];

        Region region = Region.US_EAST_1;
        AwsCredentialsProvider anybody =
                StaticCredentialsProvider.create(AwsBasicCredentials.create("AKIDLOCAL", "none"));
        DynamoDbStreamsClient streams = DynamoDbStreamsClient.builder()
                .endpointOverride(endpoint).region(region).credentialsProvider(anybody)
                .overrideConfiguration(o -> o.addExecutionInterceptor(new RegionOfArn())).build();
        AmazonDynamoDBStreamsAdapterClient adapter = new AmazonDynamoDBStreamsAdapterClient(streams, region);
        DynamoDbAsyncClient leases = DynamoDbAsyncClient.builder()
                .endpointOverride(endpoint).region(region).credentialsProvider(anybody).build();
        // The builder wants one. With the null metrics below nothing is ever sent with it, and nothing could be:
        // it leads to the test's own server.
        CloudWatchAsyncClient silent = CloudWatchAsyncClient.builder()
                .endpointOverride(endpoint).region(region).credentialsProvider(anybody).build();

        ConfigsBuilder configs = new ConfigsBuilder(
                StreamsSchedulerFactory.createSingleStreamTracker(stream, start),
                application, adapter, leases, silent, worker, () -> new Processor(key, checkpointEvery));
        DynamoDBStreamsPollingConfig polling = new DynamoDBStreamsPollingConfig(stream, adapter);
        polling.idleTimeBetweenReadsInMillis(200);
        // All else that another worker sees, such as the failover time, stays at its default.
        Scheduler scheduler = StreamsSchedulerFactory.createScheduler(
                configs.checkpointConfig(),
                configs.coordinatorConfig().parentShardPollIntervalMillis(1_000),
                configs.leaseManagementConfig()
                        .billingMode(BillingMode.PAY_PER_REQUEST)
                        .leaseAssignmentIntervalMillis(2_000L),
                configs.lifecycleConfig(),
                configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
                configs.processorConfig(),
                configs.retrievalConfig().retrievalSpecificConfig(polling),
                adapter);

        Thread running = new Thread(scheduler, "scheduler");
        Thread stopping = new Thread(() -> stop(scheduler), "stop");
        Runtime.getRuntime().addShutdownHook(stopping);
        Thread input = new Thread(KclApp::exitAtEndOfInput, "input");
        input.setDaemon(true);
        input.start();
        running.start();
        running.join();
        // It gave up by itself, or was stopped: then this waits for the hook.
        System.exit(scheduler.hasGracefulShutdownStarted() ? 0 : 1);
    }

    private static void exitAtEndOfInput() {
        try {
            while (System.in.read() >= 0) {}
        } catch (java.io.IOException closed) {
            // As good as its end.
        }
        System.exit(0);
    }

    private static void stop(Scheduler scheduler) {
        try {
            // Bounded: the future never completes while a shard waits for its parent.
            scheduler.startGracefulShutdown().get(15, TimeUnit.SECONDS);
            Processor.say("STOPPED");
        } catch (TimeoutException slow) {
            Processor.say("STOPPED without an end of the graceful shutdown");
        } catch (Exception failed) {
            failed.printStackTrace();
        }
    }
}
