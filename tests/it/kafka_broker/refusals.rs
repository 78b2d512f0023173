//! A batch that the broker refuses costs no record but the one that is at fault, and no record its place in the order.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use dynamodb_connector::ErrorKind;
use dynamodb_connector::kafka::{
    KafkaError, KafkaReceipt, KafkaSink, KafkaSinkSettings, KafkaSource, KafkaSourceSettings,
    OffsetReset, ProducerRecord,
};

use super::{Topic, unique};
use crate::kafka::soon;

const RECORDS: usize = 5_000;

/// Reads what the topic holds, partition by partition, up to so many records.
async fn read(topic: &Topic, count: usize) -> Vec<String> {
    let own = KafkaSourceSettings::new(unique("group"), [topic.name.as_str()])
        .start(OffsetReset::Earliest);
    let mut source = soon(
        KafkaSource::builder(&topic.settings())
            .settings(own.clone())
            .open(),
    )
    .await
    .expect("a source");
    let mut partitions: HashMap<i32, Vec<String>> = HashMap::new();
    let mut seen = 0;
    while seen < count {
        let batch = soon(source.next_batch(1_000)).await;
        for message in batch.expect("more").expect("records") {
            let text = String::from_utf8(message.payload.expect("a value").to_vec());
            let text = text.expect("text").trim_end().to_owned();
            partitions.entry(message.partition).or_default().push(text);
            message.ack.done();
            seen += 1;
        }
    }
    soon(source.close()).await.expect("closed");
    let mut ids: Vec<_> = partitions.keys().copied().collect();
    ids.sort_unstable();
    ids.iter()
        .flat_map(|id| partitions.remove(id))
        .flatten()
        .collect()
}

/// A record of 100 bytes that holds its number.
fn numbered(topic: &Topic, n: usize) -> ProducerRecord {
    ProducerRecord::new(topic.name.as_str(), format!("{n:<100}"))
}

/// Sends them all as fast as they are taken, and gives which failed.
async fn send_all(
    topic: &Topic,
    own: &KafkaSinkSettings,
    records: impl Iterator<Item = ProducerRecord>,
) -> Vec<(usize, KafkaError)> {
    let sink = topic.sink(own).await;
    let mut receipts: Vec<KafkaReceipt> = Vec::new();
    for record in records {
        receipts.push(sink.send(record).await.expect("accepted"));
    }
    let mut failed = Vec::new();
    for (n, receipt) in receipts.into_iter().enumerate() {
        if let Err(error) = soon(receipt).await {
            failed.push((n, error));
        }
    }
    soon(sink.close()).await.expect("all was given out");
    failed
}

fn numbers(except: Option<usize>) -> Vec<String> {
    let all = (0..RECORDS).filter(|n| Some(*n) != except);
    all.map(|n| n.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topics_limit_below_the_clients_costs_no_record_and_no_order() {
    for own in settings() {
        let limit = [("max.message.bytes", "10000")];
        let Some(topic) = Topic::new("refusals", 1, &limit).await else {
            return;
        };
        let records = (0..RECORDS).map(|n| numbered(&topic, n));
        let failed = send_all(&topic, &own, records).await;
        assert_eq!(failed.len(), 0, "{:?}", failed.first());
        assert_eq!(read(&topic, RECORDS).await, numbers(None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_record_over_the_topics_limit_is_refused_alone() {
    for own in settings() {
        let limit = [("max.message.bytes", "10000")];
        let Some(topic) = Topic::new("refusals", 1, &limit).await else {
            return;
        };
        let large = RECORDS / 2;
        let records = (0..RECORDS).map(|n| match n == large {
            true => ProducerRecord::new(topic.name.as_str(), vec![b'x'; 20_000]),
            false => numbered(&topic, n),
        });
        let failed = send_all(&topic, &own, records).await;
        assert_eq!(failed.len(), 1, "{:?}", failed.first());
        assert_eq!(failed[0].0, large);
        assert!(matches!(failed[0].1, KafkaError::TooLarge { .. }));
        assert_eq!(read(&topic, RECORDS - 1).await, numbers(Some(large)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_a_key_in_a_compacted_topic_are_refused_alone() {
    let compacted = [("cleanup.policy", "compact")];
    let Some(topic) = Topic::new("refusals", 3, &compacted).await else {
        return;
    };
    let keyless = |n: usize| n % 1_000 == 500;
    let records = (0..RECORDS).map(|n| {
        let record = numbered(&topic, n).partition(i32::try_from(n % 3).expect("small"));
        if keyless(n) {
            record
        } else {
            record.key(n.to_string())
        }
    });
    let own = KafkaSinkSettings::default().linger(Duration::from_millis(2));
    let failed = send_all(&topic, &own, records).await;
    let bad: Vec<usize> = failed.iter().map(|(n, _)| *n).collect();
    assert_eq!(
        bad,
        (0..RECORDS).filter(|n| keyless(*n)).collect::<Vec<_>>()
    );
    assert!(
        failed
            .iter()
            .all(|(_, error)| error.kind() == ErrorKind::Invalid)
    );
    let expected: Vec<String> = (0..3)
        .flat_map(|partition| (0..RECORDS).filter(move |n| n % 3 == partition))
        .filter(|n| !keyless(*n))
        .map(|n| n.to_string())
        .collect();
    assert_eq!(read(&topic, RECORDS - bad.len()).await, expected);
}

/// By default, and for a client that may not ask for the topic's limit.
fn settings() -> [KafkaSinkSettings; 2] {
    let own = KafkaSinkSettings::default();
    [own.clone(), own.ask_topic_limits(false)]
}

/// Any topic that the broker refuses all records of: this one it writes itself.
const REFUSED: &str = "__consumer_offsets";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_refused_again_and_again_holds_back_no_other() {
    let Some(topic) = Topic::new("refusals", 1, &[]).await else {
        return;
    };
    let own = KafkaSinkSettings::default().delivery_timeout(Duration::from_secs(10));
    let sink = topic.sink(&own).await;
    let first = sink.send(numbered(&topic, 0)).await.expect("accepted");
    soon(first).await.expect("delivered");
    // A group's commit makes the broker's own topic.
    read(&topic, 1).await;

    let of_another = sink.separate();
    let refused = tokio::spawn(async move {
        loop {
            let record = ProducerRecord::new(REFUSED, "x").partition(0);
            let error = match of_another.send(record).await {
                Ok(receipt) => receipt.await.expect_err("refused"),
                Err(error) => error,
            };
            assert!(error.is_topic(), "{error}");
        }
    });
    let mut receipts = VecDeque::new();
    for n in 1..RECORDS {
        receipts.push_back(
            soon(sink.send(numbered(&topic, n)))
                .await
                .expect("accepted"),
        );
        if receipts.len() == 100
            && let Some(oldest) = receipts.pop_front()
        {
            soon(oldest).await.expect("delivered");
        }
    }
    for receipt in receipts {
        soon(receipt).await.expect("delivered");
    }
    assert!(
        !refused.is_finished(),
        "each record is refused for its topic"
    );
    refused.abort();
    assert_eq!(read(&topic, RECORDS).await, numbers(None));
}

/// Sends records to each partition in turn, some of them too large, as they would come in: not all at
/// once. Returns how many were delivered.
async fn trickle(sink: KafkaSink, topic: String, caller: usize) -> usize {
    const RECORDS: usize = 500;
    let mut receipts = Vec::new();
    for n in 0..RECORDS {
        let size = if n % 50 == caller { 20_000 } else { 100 };
        let record = ProducerRecord::new(topic.as_str(), vec![b'x'; size]);
        let partition = i32::try_from(n % 4).expect("small");
        receipts.push(
            sink.send(record.partition(partition))
                .await
                .expect("accepted"),
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut delivered = 0;
    for receipt in receipts {
        match receipt.await {
            Ok(_) => delivered += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error}"),
        }
    }
    delivered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn records_that_come_in_while_batches_are_refused_are_all_settled() {
    let limit = [("max.message.bytes", "10000")];
    let Some(topic) = Topic::new("refusals", 4, &limit).await else {
        return;
    };
    for own in settings() {
        let sink = topic.sink(&own).await;
        let callers = [0, 1, 2, 3];
        let callers = callers.map(|n| tokio::spawn(trickle(sink.clone(), topic.name.clone(), n)));
        for caller in callers {
            assert_eq!(soon(caller).await.expect("no panic"), 490);
        }
        soon(sink.close()).await.expect("all was given out");
    }
}
