//! From the kill of a process until all partitions flow again.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dynamodb_connector::kafka::TransactionSettings;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::feed::Feed;
use super::flow::{Flow, exactly_once};
use super::{has_transactions, runtime};
use crate::broker::{Broker, PARTITIONS};
use crate::changes::board::Board;
use crate::changes::unique;
use crate::event::Number;
use crate::figures::row;
use crate::report::{Bound, Report};
use crate::rig::child::{self, Child};
use crate::rig::rounds::most;
use crate::rig::{Failure, clock};

/// The role of a process that runs the pipeline.
const ROLE: &str = "transactions";
const RATE: f64 = 500.0;
/// The events that are counted at once.
const CHUNK: usize = 50;
const SETTLED: Duration = Duration::from_secs(5);
const SESSION: Duration = Duration::from_secs(6);
const TRANSACTION: Duration = Duration::from_secs(3);
/// The longest beyond those two.
const BEYOND: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Task {
    bootstrap: String,
    from: String,
    to: String,
    group: String,
    application: String,
}

/// Runs the pipeline until this process is killed, where it was started for that.
pub(crate) fn work_if_asked() -> Option<Result<(), Failure>> {
    child::run_if_asked(ROLE, |task: Task| {
        child::end_with_parent();
        let mut flow = Flow::new(
            &task.bootstrap,
            &task.from,
            &task.to,
            exactly_once(Duration::from_secs(1)),
        );
        flow.group = task.group;
        flow.settings = TransactionSettings::new(task.application).transaction_timeout(TRANSACTION);
        let session = SESSION.as_millis().to_string();
        flow.reading = flow.reading.set("session.timeout.ms", session);
        runtime()?.block_on(async {
            flow.job(|| {}).await?.run().await?;
            Ok(())
        })
    })
}

pub(crate) fn run(report: &mut Report, broker: &Broker, quick: bool) -> Result<(), Failure> {
    if !has_transactions(broker) {
        return Ok(());
    }
    let rounds = if quick { 1 } else { 5 };
    let (from, to) = (broker.make(&unique("from"))?, broker.make(&unique("to"))?);
    let task = Task {
        bootstrap: broker.bootstrap().to_owned(),
        from: from.clone(),
        to: to.clone(),
        group: unique("group"),
        application: unique("application"),
    };
    let runtime = runtime()?;
    let written = Arc::new(Written::default());
    let (bootstrap, topic, own) = (task.bootstrap.clone(), from.clone(), Arc::clone(&written));
    let writing = runtime.spawn(async move {
        let feed = Feed::open(&bootstrap, &topic).await?;
        let unseen = Board::new(0);
        while !own.is_over.load(Ordering::Relaxed) {
            let next = own.events.load(Ordering::Relaxed);
            feed.write_at(RATE, next..next + CHUNK, &unseen).await?;
            own.events.fetch_add(CHUNK, Ordering::Relaxed);
        }
        Ok::<_, Failure>(())
    });
    let measured = measure(&task, rounds, &written.events);
    written.is_over.store(true, Ordering::Relaxed);
    runtime.block_on(writing)??;
    let times = measured?;
    broker.delete(&[&from, &to])?;
    let bar = (SESSION + TRANSACTION + BEYOND).as_secs_f64();
    row(
        report,
        "one of two killed: all flows again".to_owned(),
        "s",
        2,
        &times,
        f64::NAN,
    );
    report.bar(
        "killed to flowing again, the longest, s",
        most(times),
        Bound::AtMost(bar),
    );
    Ok(())
}

/// The events that are written all the time.
#[derive(Default)]
struct Written {
    events: AtomicUsize,
    is_over: AtomicBool,
}

fn measure(task: &Task, rounds: usize, written: &AtomicUsize) -> Result<Vec<f64>, Failure> {
    // Of the chunk after the present one, all is written later.
    let later = || (written.load(Ordering::Relaxed) + 2 * CHUNK) as u64;
    let view = View::new(task)?;
    let mut members = [Child::start(ROLE, task)?, Child::start(ROLE, task)?];
    let mut times = Vec::new();
    for round in 0..rounds {
        view.flow_from(later())?;
        // Both have partitions by then.
        clock::sleep_until(clock::instant() + SETTLED);
        let member = &mut members[round % 2];
        let killed = member.kill()?;
        times.push((view.flow_from(later())? - killed).as_secs_f64());
        *member = Child::start(ROLE, task)?;
    }
    Ok(times)
}

/// The view of a consumer of what is committed.
struct View(BaseConsumer);

impl View {
    fn new(task: &Task) -> Result<Self, Failure> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &task.bootstrap)
            .set("group.id", unique("view"))
            .set("enable.auto.commit", "false")
            .create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&task.to, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        Ok(Self(consumer))
    }

    /// Waits until each partition has an event of this number or a later one.
    fn flow_from(&self, first: u64) -> Result<Instant, Failure> {
        let began = clock::instant();
        let mut flowing = HashSet::new();
        while began.elapsed() < PATIENCE {
            let Some(message) = self.0.poll(Duration::from_millis(100)) else {
                continue;
            };
            let message = message?;
            let Number { number } = serde_json::from_slice(message.payload().unwrap_or_default())?;
            if number >= first {
                flowing.insert(message.partition());
            }
            if flowing.len() == PARTITIONS as usize {
                return Ok(clock::instant());
            }
        }
        Err("a partition does not flow".into())
    }
}
