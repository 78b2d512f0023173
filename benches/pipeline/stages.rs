//! The pipeline with its later stages cut off.

use std::future::ready;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dynamodb_connector::kafka::{KafkaSettings, KafkaSink, ProducerRecord};
use dynamodb_connector::pipeline::{
    Chain, FnSink, KafkaOutput, NoDeadLetters, Pipeline, PipelineReport,
};
use dynamodb_connector::streams::{Change, Record, RecordStream, TrackedRecord};
use tokio::sync::Notify;

use crate::changes::decision::Decision;
use crate::changes::{Clients, unique};
use crate::event::{self, KeyAndJson};
use crate::rig::Failure;

/// How far changes go. Each stage has all those before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Read,
    Decode,
    Pipeline,
    Operators,
    Serialise,
    Produce,
}

pub(crate) const STAGES: [(Stage, &str); 6] = [
    (Stage::Read, "read"),
    (Stage::Decode, "+ decode both images"),
    (Stage::Pipeline, "+ pipeline without operators"),
    (Stage::Operators, "+ validate, enrich, key_by"),
    (Stage::Serialise, "+ serialise to JSON"),
    (Stage::Produce, "+ produce: all of it"),
];

/// The pipeline that is cut off, and its output.
pub(crate) struct Stages {
    kafka: KafkaSink,
    topic: Arc<str>,
    changes: usize,
}

/// Counts what came to the end.
struct Goal {
    left: AtomicUsize,
    reached: Notify,
}

impl Stages {
    pub(crate) async fn new(bootstrap: &str, topic: &str, changes: usize) -> Result<Self, Failure> {
        let kafka = KafkaSettings::new(bootstrap);
        Ok(Self {
            kafka: KafkaSink::open(&kafka).await?,
            topic: topic.into(),
            changes,
        })
    }

    /// Takes all changes through the stages up to this one: opens the source, and closes it.
    pub(crate) async fn pass(&self, stage: Stage, clients: &Clients) -> Result<(), Failure> {
        let source = clients.source(&unique("stages")).open().await?;
        let changes = source.into_stream();
        let goal = Goal::new(self.changes);
        match stage {
            Stage::Read => take(changes, self.changes, untouched).await,
            Stage::Decode => {
                let decode = |record| {
                    black_box(Change::<Decision>::read(record)?);
                    Ok(())
                };
                take(changes, self.changes, decode).await
            }
            Stage::Pipeline => goal.consume(event::decoded(changes)).await,
            Stage::Operators => goal.consume(event::keyed(changes)).await,
            Stage::Serialise => goal.consume(event::serialised(changes)).await,
            Stage::Produce => {
                let (topic, counting) = (Arc::clone(&self.topic), Arc::clone(&goal));
                let output = KafkaOutput::new(&self.kafka, move |(key, json): &KeyAndJson| {
                    counting.one();
                    let record = ProducerRecord::new(Arc::clone(&topic), json.clone());
                    Ok::<_, String>(Some(record.key(key.clone())))
                });
                let job = event::serialised(changes).to(output);
                goal.check(&job.run_until(goal.reached.notified()).await?)
            }
        }
    }
}

fn untouched(record: Record) -> Result<(), Failure> {
    black_box(record);
    Ok(())
}

/// Without a pipeline: takes each record and acknowledges it.
async fn take(
    mut changes: RecordStream,
    count: usize,
    mut with: impl FnMut(Record) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut left = count;
    while left > 0 {
        let chunk = changes
            .next_batch()
            .await
            .ok_or("the source ended early")??;
        for TrackedRecord { record, ack, .. } in chunk {
            with(record)?;
            ack.done();
            left = left.saturating_sub(1);
        }
    }
    Ok(changes.close().await?)
}

impl Goal {
    fn new(changes: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(changes),
            reached: Notify::new(),
        })
    }

    fn one(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.reached.notify_one();
        }
    }

    /// Runs a pipeline whose values nobody wants, until all changes have come through it.
    async fn consume<C>(
        self: &Arc<Self>,
        pipeline: Pipeline<RecordStream, C, NoDeadLetters>,
    ) -> Result<(), Failure>
    where
        C: Chain<In = Record>,
    {
        let counting = Arc::clone(self);
        let sink = FnSink::new(move |value: C::Out| {
            drop(black_box(value));
            counting.one();
            ready(Ok(()))
        });
        let job = pipeline.to(sink);
        self.check(&job.run_until(self.reached.notified()).await?)
    }

    /// All of them, and none twice, or the rounds did not do the same work.
    fn check(&self, report: &PipelineReport) -> Result<(), Failure> {
        if self.left.load(Ordering::Relaxed) == 0 && report.dead_lettered() == 0 {
            Ok(())
        } else {
            Err(format!("not every change came through once:\n{report}").into())
        }
    }
}
