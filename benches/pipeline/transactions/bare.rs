//! Transactions by a bare loop over librdkafka, as its documentation has them, but for one thing: it awaits the deliveries
//! before it commits, without which a commit takes 100 ms and more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use crate::changes::unique;
use crate::rig::records::{NOTE_BYTES, decision};
use crate::rig::times::Times;
use crate::rig::{Failure, clock};

const PATIENCE: Duration = Duration::from_secs(60);
/// The time between two records.
const EACH: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Reports {
    delivered: AtomicUsize,
    failed: AtomicUsize,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = match result {
            Ok(_) => &self.delivered,
            Err(_) => &self.failed,
        };
        count.fetch_add(1, Ordering::Release);
    }
}

/// Returns what the commits of 1,000 records a second take, from the last record of a transaction until its commit is answered: the
/// deliveries, the offsets of `from`, and the commit.
pub(super) fn commits_of_a_bare_loop(
    bootstrap: &str,
    from: &str,
    to: &str,
    interval: Duration,
    seconds: usize,
) -> Result<Times, Failure> {
    let member = member(bootstrap, from)?;
    let mut offsets = TopicPartitionList::new();
    for element in member.assignment()?.elements() {
        offsets.add_partition_offset(element.topic(), element.partition(), Offset::Offset(0))?;
    }
    let producer: ThreadedProducer<Reports> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", unique("bare"))
        .set("linger.ms", "5")
        .create_with_context(Reports::default())?;
    producer.init_transactions(PATIENCE)?;
    let mut times = Times::default();
    let mut number = 0;
    let began = clock::instant();
    while began.elapsed() < Duration::from_secs(seconds as u64) {
        producer.begin_transaction()?;
        let cut = clock::instant() + interval;
        let mut next = clock::instant();
        while clock::instant() < cut {
            next += EACH;
            let event = decision(number, NOTE_BYTES);
            let json = serde_json::to_vec(&event)?;
            let record = BaseRecord::to(to).key(&event.customer).payload(&json);
            producer.send(record).map_err(|(error, _)| error)?;
            number += 1;
            clock::sleep_until(next);
        }
        let cut = clock::instant();
        let reports = producer.context();
        while reports.delivered.load(Ordering::Acquire) < number {
            if reports.failed.load(Ordering::Acquire) > 0 || cut.elapsed() > PATIENCE {
                return Err("a record of the bare loop was not delivered".into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        // It is another one after each rebalance.
        let metadata = member.group_metadata().ok_or("no member of a group")?;
        producer.send_offsets_to_transaction(&offsets, &metadata, PATIENCE)?;
        producer.commit_transaction(PATIENCE)?;
        times.add(cut.elapsed());
        // The member stays one by its heartbeats; it has nothing to read but is to be polled.
        member.pause(&member.assignment()?)?;
        let _ = member.poll(Duration::ZERO);
    }
    Ok(times)
}

/// Returns a member of a group that has all partitions of the topic.
fn member(bootstrap: &str, topic: &str) -> Result<BaseConsumer, Failure> {
    let member: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", unique("bare"))
        .set("enable.auto.commit", "false")
        .create()?;
    member.subscribe(&[topic])?;
    let began = clock::instant();
    while member.assignment()?.count() == 0 {
        let _ = member.poll(Duration::from_millis(10));
        if began.elapsed() > PATIENCE {
            return Err("a consumer was given no partitions".into());
        }
    }
    Ok(member)
}
