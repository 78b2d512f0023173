//! The news of shards that a stream gives beside records: what opens, what is to go, what is lost.

mod guards;
mod progress;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::PartitionGuard;
use dynamodb_connector::pipeline::{Source, SourceEvent};
use dynamodb_connector::streams::{
    FailedChange, RecordStream, SequenceNumber, ShardId, StreamsEvent, StreamsSettings,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::rig::{Log, TABLE, Worker, builder, delete, nth, open_shards, put_each, table};

const SECOND: Duration = Duration::from_secs(1);

fn settings(drain: Duration) -> StreamsSettings {
    StreamsSettings::default()
        .batch_records(1)
        .drain_timeout(drain)
}

/// The events that a caller of `next_event` has seen, with all records done.
#[derive(Default)]
struct Seen {
    opened: Vec<ShardId>,
    records: usize,
    guards: Vec<(ShardId, PartitionGuard)>,
    lost: Vec<ShardId>,
    /// The progress of shards, with the number of records seen by then.
    advanced: Vec<(ShardId, SequenceNumber, usize)>,
    idle: Vec<(ShardId, usize)>,
    /// The shards that are closed or lost at present.
    gone: BTreeSet<ShardId>,
}

impl Seen {
    async fn until(&mut self, stream: &mut RecordStream, is_enough: impl Fn(&Self) -> bool) {
        let seeing = async {
            while !is_enough(self) {
                match stream.next_event().await.expect("more").expect("no error") {
                    StreamsEvent::Records(records) => {
                        self.records += records.len();
                        records.into_iter().for_each(|record| record.ack.done());
                    }
                    StreamsEvent::Opened(shard) => {
                        self.gone.remove(&shard);
                        self.opened.push(shard);
                    }
                    StreamsEvent::Closing(shard, guard) => {
                        self.gone.insert(shard.clone());
                        self.guards.push((shard, guard));
                    }
                    StreamsEvent::Lost(shard) => {
                        self.gone.insert(shard.clone());
                        self.lost.push(shard);
                    }
                    StreamsEvent::Advanced(shard, sequence) => {
                        assert!(
                            !self.gone.contains(&shard),
                            "progress behind the end of {shard}"
                        );
                        self.advanced.push((shard, sequence, self.records));
                    }
                    StreamsEvent::Idle(shard) => {
                        assert!(
                            !self.gone.contains(&shard),
                            "progress behind the end of {shard}"
                        );
                        self.idle.push((shard, self.records));
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        let waited = tokio::time::timeout(120 * SECOND, seeing);
        waited.await.expect("in time");
    }
}
