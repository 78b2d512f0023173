//! Members come and go while records flow: every record is seen, and each partition's in order.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::kafka::{
    KafkaSettings, KafkaSinkSettings, KafkaSource, KafkaSourceSettings, ProducerRecord,
};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Topic, unique};

const PARTITIONS: i32 = 6;
const LONGEST: Duration = Duration::from_secs(180);

/// What all members saw of each partition, in the order in which they saw it.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<i32, Vec<i64>>>>);

impl Seen {
    fn note(&self, partition: i32, offset: i64) {
        let mut seen = self.0.lock();
        seen.entry(partition).or_default().push(offset);
    }

    /// Distinct records seen.
    fn count(&self) -> usize {
        let seen = self.0.lock();
        seen.values()
            .map(|offsets| usize::try_from(offsets.iter().max().map_or(0, |max| max + 1)))
            .map(|count| count.expect("not negative"))
            .sum()
    }

    /// A record may come again, with all behind it, but is never seen for the first time before one ahead of it.
    fn check(&self) {
        for (partition, offsets) in &*self.0.lock() {
            let mut next = 0;
            for offset in offsets {
                assert!(*offset <= next, "{partition}: {offset} before {next}");
                next = next.max(offset + 1);
            }
        }
    }
}

struct Member {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<usize>,
}

impl Member {
    async fn join(settings: &KafkaSettings, own: &KafkaSourceSettings, seen: &Seen) -> Self {
        let mut source = KafkaSource::builder(settings)
            .settings(own.clone())
            .open()
            .await
            .expect("a source");
        let (stop, mut stopped) = watch::channel(false);
        let seen = seen.clone();
        let task = tokio::spawn(async move {
            let mut count = 0;
            loop {
                let batch = tokio::select! {
                    _ = stopped.changed() => break,
                    batch = source.next_batch(50) => batch,
                };
                for message in batch.expect("no end").expect("records") {
                    seen.note(message.partition, message.offset);
                    count += 1;
                    message.ack.done();
                }
            }
            source.close().await.expect("committed");
            count
        });
        Self { stop, task }
    }

    /// Leaves; gives how many records it saw.
    async fn leave(self) -> usize {
        self.stop.send(true).expect("it runs");
        timeout(LONGEST, self.task)
            .await
            .expect("in time")
            .expect("no panic")
    }
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONGEST, wait).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_come_and_go_lose_nothing_and_keep_each_partitions_order() {
    let Some(topic) = Topic::new("rebalance", PARTITIONS, &[]).await else {
        return;
    };
    let sink = topic.sink(&KafkaSinkSettings::default()).await;
    let (halt, halted) = watch::channel(false);
    let (name, writing) = (topic.name.clone(), sink.clone());
    let writer = tokio::spawn(async move {
        let mut n = 0_usize;
        while !*halted.borrow() {
            for _ in 0..20 {
                let partition = i32::try_from(n % 6).expect("small");
                let record = ProducerRecord::new(name.as_str(), "x").partition(partition);
                drop(writing.send(record).await.expect("accepted"));
                n += 1;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        n
    });

    let settings = topic.settings();
    let own = KafkaSourceSettings::new(unique("group"), [topic.name.as_str()])
        .commit_interval(Duration::from_millis(200));
    let seen = Seen::default();
    let first = Member::join(&settings, &own, &seen).await;
    until(|| seen.count() > 500).await;
    let second = Member::join(&settings, &own, &seen).await;
    until(|| seen.count() > 4_000).await;
    let third = Member::join(&settings, &own, &seen).await;
    until(|| seen.count() > 12_000).await;
    assert!(first.leave().await > 0);
    let now = seen.count();
    until(|| seen.count() > now + 3_000).await;

    halt.send(true).expect("it writes");
    let written = writer.await.expect("no panic");
    sink.close().await.expect("delivered");
    until(|| seen.count() == written).await;
    assert!(second.leave().await > 0, "it had its share");
    assert!(third.leave().await > 0, "it had its share");
    seen.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_in_work_when_its_partition_moves_is_given_to_the_next_member() {
    let Some(topic) = Topic::new("rebalance", 2, &[]).await else {
        return;
    };
    let sink = topic.sink(&KafkaSinkSettings::default()).await;
    for n in 0..20 {
        let record = ProducerRecord::new(topic.name.as_str(), "x").partition(n % 2);
        drop(sink.send(record).await.expect("accepted"));
    }
    sink.close().await.expect("delivered");
    let settings = topic.settings();
    let own = KafkaSourceSettings::new(unique("group"), [topic.name.as_str()]);
    let mut first = KafkaSource::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .expect("a source");
    let mut held = Vec::new();
    while held.len() < 20 {
        let batch = timeout(LONGEST, first.next_batch(20))
            .await
            .expect("in time");
        held.extend(batch.expect("more").expect("records"));
    }
    // Of each partition the first three are done.
    let (done, held): (Vec<_>, Vec<_>) = held.into_iter().partition(|message| message.offset < 3);
    done.into_iter().for_each(|message| message.ack.done());

    let mut second = KafkaSource::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .expect("a source");
    let batch = timeout(LONGEST, second.next_batch(20))
        .await
        .expect("in time");
    let batch = batch.expect("more").expect("records");
    assert_eq!(
        batch[0].offset, 3,
        "what was done was committed before it moved"
    );
    let moved = batch[0].partition;
    assert_eq!(first.stats().partitions, 1);
    // Too late: they belong to the other member, which has not done them.
    for message in held {
        if message.partition == moved {
            message.ack.done();
        }
    }
    drop(batch);
    second.close().await.expect("closed");
    let again = timeout(LONGEST, async {
        loop {
            let batch = first.next_batch(1).await.expect("more").expect("records");
            if batch[0].partition == moved {
                break batch[0].offset;
            }
        }
    });
    assert_eq!(
        again.await.expect("in time"),
        3,
        "a late acknowledgement counts for nothing"
    );
}
