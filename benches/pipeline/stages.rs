//! CPU of a change, by stage: the same changes, with the later stages cut off.
//!
//! CPU time is this process's, user and system, so librdkafka's threads are in it. The cut-off pipelines take turns, each second
//! rotation backwards; what a stage adds is the median of the differences within a rotation.

use std::future::ready;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dynamodb_connector::kafka::{KafkaSettings, KafkaSink, KafkaSinkSettings, ProducerRecord};
use dynamodb_connector::pipeline::{
    Chain, FnSink, KafkaOutput, NoDeadLetters, Pipeline, PipelineReport,
};
use dynamodb_connector::streams::{Change, Delivery, Record, RecordStream};
use tokio::sync::Notify;

use crate::broker::{Broker, Topic};
use crate::changes::decision::Decision;
use crate::changes::server::{ChangeServer, Contents};
use crate::changes::{Clients, beside_server, unique};
use crate::event::{self, KeyAndJson};
use crate::report::{Bound, Cell, Report};
use crate::rig::quantiles::Quantiles;
use crate::rig::{Failure, clock};

const SHARDS: usize = 4;
/// What a change may cost, in microseconds.
const BAR: f64 = 20.0;

/// How far changes go. Each stage has all those before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Read,
    Decode,
    Pipeline,
    Operators,
    Serialise,
    Produce,
}

const STAGES: [(Stage, &str); 6] = [
    (Stage::Read, "read"),
    (Stage::Decode, "+ decode both images"),
    (Stage::Pipeline, "+ pipeline without operators"),
    (Stage::Operators, "+ validate, enrich, key_by"),
    (Stage::Serialise, "+ serialise to JSON"),
    (Stage::Produce, "+ produce: all of it"),
];

#[derive(Clone, Copy)]
struct Round {
    cpu_us: f64,
    rate: f64,
}

/// Counts what came to the end.
struct Goal {
    left: AtomicUsize,
    reached: Notify,
}

pub(crate) fn run(report: &mut Report, broker: &Broker, quick: bool) -> Result<(), Failure> {
    let (rotations, changes) = if quick { (2, 20_000) } else { (7, 100_000) };
    let topic = broker.topic(Topic::Stages)?;
    let server = ChangeServer::start(Contents {
        shards: SHARDS,
        changes,
    })?;
    let rounds = beside_server(|| {
        let kafka = KafkaSink::open(
            &KafkaSettings::new(broker.bootstrap()),
            &KafkaSinkSettings::default(),
        )?;
        let bench = Bench {
            server,
            kafka,
            topic: topic.into(),
            changes,
        };
        bench.rotate(rotations)
    })?;

    let mut before: Option<&Vec<Round>> = None;
    for ((_, name), own) in STAGES.iter().zip(&rounds) {
        let cpu: Quantiles = own.iter().map(|round| round.cpu_us).collect();
        let added: Quantiles = before.map_or_else(
            || cpu.clone(),
            |before| {
                let pairs = own.iter().zip(before);
                pairs.map(|(own, cut)| own.cpu_us - cut.cpu_us).collect()
            },
        );
        report.row([
            Cell::text(format!("CPU: {name}")),
            Cell::text("us"),
            Cell::Number(cpu.at(0.5), 2),
            Cell::Number(cpu.at(0.1), 2),
            Cell::Number(cpu.at(0.9), 2),
            Cell::NOTHING,
            Cell::Number(added.at(0.5), 2),
            Cell::Number(cpu.count() as f64, 0),
        ]);
        before = Some(own);
    }
    let all = rounds.last().ok_or("there are stages")?;
    let rate: Quantiles = all.iter().map(|round| round.rate).collect();
    report.row([
        Cell::text("rate of all of it"),
        Cell::text("changes/s"),
        Cell::Number(rate.at(0.5), 0),
        Cell::Number(rate.at(0.1), 0),
        Cell::Number(rate.at(0.9), 0),
        Cell::NOTHING,
        Cell::NOTHING,
        Cell::Number(rate.count() as f64, 0),
    ]);
    let cpu: Quantiles = all.iter().map(|round| round.cpu_us).collect();
    report.bar(
        "CPU of the pipeline for a change, us",
        cpu.at(0.5),
        Bound::AtMost(BAR),
    );
    Ok(())
}

struct Bench {
    server: ChangeServer,
    kafka: KafkaSink,
    topic: Arc<str>,
    changes: usize,
}

impl Bench {
    /// The rounds by stage, after one to warm up.
    fn rotate(&self, rotations: usize) -> Result<Vec<Vec<Round>>, Failure> {
        let mut rounds = vec![Vec::new(); STAGES.len()];
        for rotation in 0..=rotations {
            let mut order: Vec<usize> = (0..STAGES.len()).collect();
            if rotation % 2 == 1 {
                order.reverse();
            }
            for place in order {
                let round = self.round(STAGES[place].0)?;
                if rotation > 0 {
                    rounds[place].push(round);
                }
            }
        }
        Ok(rounds)
    }

    /// From opening the source to its close, in a single-threaded runtime.
    fn round(&self, stage: Stage) -> Result<Round, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // Of its own: connections end with the runtime that they were made in.
        let clients = self.server.clients();
        let (began, before) = (clock::instant(), clock::cpu_time());
        runtime.block_on(self.pass(stage, &clients))?;
        let used = clock::cpu_time() - before;
        let changes = self.changes as f64;
        Ok(Round {
            cpu_us: used.as_secs_f64() * 1e6 / changes,
            rate: changes / began.elapsed().as_secs_f64(),
        })
    }

    async fn pass(&self, stage: Stage, clients: &Clients) -> Result<(), Failure> {
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
            .next_chunk()
            .await
            .ok_or("the source ended early")??;
        for Delivery { record, ack, .. } in chunk {
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
