import com.amazonaws.services.dynamodbv2.streamsadapter.adapter.DynamoDBStreamsClientRecord;
import com.amazonaws.services.dynamodbv2.streamsadapter.model.DynamoDBStreamsProcessRecordsInput;
import com.amazonaws.services.dynamodbv2.streamsadapter.processor.DynamoDBStreamsShardRecordProcessor;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;

/**
 * Prints what the KCL tells of a shard:
 *
 * <pre>
 * INITIALIZED shard sequence       where it begins: a sequence number, TRIM_HORIZON, LATEST
 * RECORD shard sequence key        one that was delivered, with its key attribute
 * CHECKPOINT shard sequence        stored, after every so many records, and at a graceful stop if some came since
 * SHARD_END shard                  stored
 * LEASE_LOST shard
 * </pre>
 */
final class Processor implements DynamoDBStreamsShardRecordProcessor {
    private final String key;
    private final int checkpointEvery;
    private String shard;
    private String last;
    private int sinceCheckpoint;

    Processor(String key, int checkpointEvery) {
        this.key = key;
        this.checkpointEvery = checkpointEvery;
    }

    /** Whole lines, at once: several shards have a thread each. */
    static void say(String line) {
        synchronized (System.out) {
            System.out.print(line + "\n");
            System.out.flush();
        }
    }

    @Override
    public void initialize(InitializationInput input) {
        shard = input.shardId();
        say("INITIALIZED " + shard + " " + input.extendedSequenceNumber().sequenceNumber());
    }

    @Override
    public void processRecords(DynamoDBStreamsProcessRecordsInput input) {
        for (DynamoDBStreamsClientRecord record : input.records()) {
            last = record.sequenceNumber();
            say("RECORD " + shard + " " + last + " " + text(record.getRecord().dynamodb().keys().get(key)));
            sinceCheckpoint += 1;
            if (sinceCheckpoint == checkpointEvery) {
                checkpoint(input.checkpointer());
            }
        }
    }

    @Override
    public void leaseLost(LeaseLostInput input) {
        say("LEASE_LOST " + shard);
    }

    @Override
    public void shardEnded(ShardEndedInput input) {
        try {
            input.checkpointer().checkpoint();
            say("SHARD_END " + shard);
        } catch (Exception failed) {
            throw new IllegalStateException(failed);
        }
    }

    @Override
    public void shutdownRequested(ShutdownRequestedInput input) {
        if (sinceCheckpoint > 0) {
            checkpoint(input.checkpointer());
        }
    }

    private void checkpoint(RecordProcessorCheckpointer checkpointer) {
        try {
            checkpointer.checkpoint(last);
            sinceCheckpoint = 0;
            say("CHECKPOINT " + shard + " " + last);
        } catch (Exception failed) {
            // As when the lease was lost: the next record tries again, if there is one.
            sinceCheckpoint -= 1;
            say("CHECKPOINT_FAILED " + shard + " " + last + " " + failed.getClass().getSimpleName());
        }
    }

    private static String text(AttributeValue value) {
        return value == null ? "-" : value.s() != null ? value.s() : value.n() != null ? value.n() : value.toString();
    }
}
