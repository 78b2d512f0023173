//! Pipelines from a topic to a topic while their partitions move: no old value is written over a new one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::kafka::{
    KafkaSinkSettings, KafkaSource, KafkaSourceSettings, Message, ProducerRecord,
};
use dynamodb_connector::pipeline::{
    Enrichment, KafkaOutput, Pipeline, PipelineError, PipelineReport, PipelineSettings,
};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::{Topic, unique};
use crate::kafka::soon;

const PARTITIONS: i32 = 4;

/// Writes the values of each key, those of a key into one partition.
async fn fill(topic: &Topic, keys: u32, values: std::ops::Range<u32>) {
    let sink = topic.sink(&KafkaSinkSettings::default()).await;
    for value in values {
        for key in 0..keys {
            let partition = i32::try_from(key).expect("small") % PARTITIONS;
            let record = ProducerRecord::new(topic.name.as_str(), value.to_string())
                .key(format!("k{key}"))
                .partition(partition);
            drop(soon(sink.send(record)).await.expect("accepted"));
        }
    }
    soon(sink.close()).await.expect("delivered");
}

fn number(message: &Message) -> u32 {
    let text = std::str::from_utf8(message.payload.as_deref().expect("a value"));
    text.expect("text").parse().expect("a number")
}

fn key(message: &Message) -> String {
    let key = message.key.as_deref().expect("a key");
    String::from_utf8(key.to_vec()).expect("text")
}

struct Member {
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<PipelineReport, PipelineError>>,
}

impl Member {
    /// Copies each record of a topic to another, after a lookup.
    async fn start<F>(
        from: &Topic,
        to: &Topic,
        group: &str,
        drain: Duration,
        lookup: impl Fn(u32) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let own = KafkaSourceSettings::new(group, [from.name.as_str()])
            .commit_interval(Duration::from_millis(100))
            .drain_timeout(drain);
        let source = soon(
            KafkaSource::builder(&from.settings())
                .settings(own.clone())
                .open(),
        )
        .await
        .expect("a source");
        let sink = to
            .sink(&KafkaSinkSettings::default().linger(Duration::ZERO))
            .await;
        let out = to.name.clone();
        let lookups = Enrichment::new(move |value: u32| {
            let found = lookup(value);
            async move {
                found.await;
                Ok::<_, std::io::Error>(Some(()))
            }
        })
        .capacity(0)
        .timeout(Duration::from_secs(600));
        let job = Pipeline::from(source)
            .settings(PipelineSettings::default().stop_timeout(Duration::from_secs(60)))
            .enrich(number, lookups, |message, ()| message)
            .to(KafkaOutput::new(&sink, move |message: &Message| {
                let partition = message.partition;
                let record = ProducerRecord::new(out.as_str(), number(message).to_string());
                Ok::<_, String>(Some(record.key(key(message)).partition(partition)))
            }));
        let (stop, stopped) = oneshot::channel();
        let run = tokio::spawn(job.run_until(async move {
            let _ = stopped.await;
        }));
        Self { stop, run }
    }

    async fn stop(self) -> PipelineReport {
        self.stop.send(()).expect("it runs");
        let ended = soon(self.run).await.expect("no panic");
        ended.expect("it ends well")
    }
}

/// Reads this many records of a topic, and returns the values of each key in their order.
async fn read(
    topic: &Topic,
    is_enough: impl Fn(&BTreeMap<String, Vec<u32>>) -> bool,
) -> BTreeMap<String, Vec<u32>> {
    let own = KafkaSourceSettings::new(unique("check"), [topic.name.as_str()]);
    let mut source = soon(
        KafkaSource::builder(&topic.settings())
            .settings(own.clone())
            .open(),
    )
    .await
    .expect("a source");
    let mut values: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    while !is_enough(&values) {
        let batch = soon(source.next_batch(1_000)).await.expect("more");
        for message in batch.expect("records") {
            values
                .entry(key(&message))
                .or_default()
                .push(number(&message));
            message.ack.done();
        }
    }
    soon(source.close()).await.expect("committed");
    values
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_that_outlasts_its_partition_writes_nothing() {
    let Some(from) = Topic::new("pipelines", PARTITIONS, &[]).await else {
        return;
    };
    let to = Topic::new("pipelines", PARTITIONS, &[])
        .await
        .expect("a topic");
    fill(&from, 4, 1..6).await;
    let group = unique("group");
    let answers = Arc::new(Semaphore::new(0));
    let asked = Arc::new(Semaphore::new(0));
    let (waits, asks) = (Arc::clone(&answers), Arc::clone(&asked));
    let first = Member::start(&from, &to, &group, Duration::from_millis(500), move |_| {
        asks.add_permits(1);
        let waits = Arc::clone(&waits);
        async move {
            let permit = waits.acquire_owned().await.expect("open");
            permit.forget();
        }
    })
    .await;
    // A lookup for each value is on its way.
    let all = soon(asked.acquire_many(5)).await.expect("open");
    all.forget();
    let second = Member::start(&from, &to, &group, Duration::from_secs(5), |_| async {}).await;
    // The partitions that moved are written by the second member.
    let moved = |values: &BTreeMap<String, Vec<u32>>| {
        values.values().filter(|of| of.ends_with(&[5])).count() == 2
    };
    drop(read(&to, moved).await);
    answers.add_permits(1_000);
    let report = first.stop().await;
    let withdrawn: u64 = report
        .operators
        .iter()
        .map(|operator| operator.withdrawn)
        .sum();
    assert_eq!(withdrawn, 10, "two partitions went while in work: {report}");
    second.stop().await;
    let all = |values: &BTreeMap<String, Vec<u32>>| {
        values.values().filter(|of| of.ends_with(&[5])).count() == 4
    };
    let values = read(&to, all).await;
    for (key, values) in &values {
        assert!(is_in_order(values, 1, 5), "{key}: {values:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_come_and_go_during_lookups_keep_each_keys_order_and_lose_nothing() {
    const KEYS: u32 = 8;
    let Some(from) = Topic::new("pipelines", PARTITIONS, &[]).await else {
        return;
    };
    let to = Topic::new("pipelines", PARTITIONS, &[])
        .await
        .expect("a topic");
    let group = unique("group");
    let member = async || {
        Member::start(
            &from,
            &to,
            &group,
            Duration::from_secs(20),
            |value| async move {
                tokio::time::sleep(Duration::from_millis(u64::from(value * 37 % 300))).await;
            },
        )
        .await
    };
    let mut rng = fastrand::Rng::with_seed(7);
    let mut members = vec![member().await];
    let seconds = std::env::var("KAFKA_CHURN_SECONDS").ok();
    let rounds = seconds.map_or(8, |seconds| seconds.parse::<u32>().expect("a number") / 3);
    let each = 15;
    for round in 0..rounds {
        fill(&from, KEYS, round * each..(round + 1) * each).await;
        if members.len() < 2 || (members.len() < 3 && rng.bool()) {
            members.push(member().await);
        } else {
            let leaver = members.swap_remove(rng.usize(..members.len()));
            leaver.stop().await;
        }
    }
    let last = rounds * each - 1;
    let all = |values: &BTreeMap<String, Vec<u32>>| {
        let ended = values.values().filter(|of| of.ends_with(&[last]));
        ended.count() == usize::try_from(KEYS).expect("small")
    };
    let values = read(&to, all).await;
    for member in members {
        member.stop().await;
    }
    let wrong: HashMap<_, _> = values
        .iter()
        .filter(|(_, values)| !is_in_order(values, 0, last))
        .collect();
    assert!(wrong.is_empty(), "out of order or lost: {wrong:?}");
}

/// Whether values are whole and in order. Where a commit took too long, some come again, with all behind them.
fn is_in_order(values: &[u32], first: u32, last: u32) -> bool {
    let mut next = first;
    let in_order = values.iter().all(|value| {
        let is_known = *value <= next;
        next = next.max(*value + 1);
        is_known
    });
    in_order && next == last + 1 && values.last() == Some(&last)
}
