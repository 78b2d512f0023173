//! A pipeline ends in the handle of a table or a topic as it is, in a branch as well, and in a topic of JSON.

use dynamodb_connector::embedded::EmbeddedKafka;
use dynamodb_connector::kafka::{KafkaSinkSettings, KafkaSource, ProducerRecord};
use dynamodb_connector::pipeline::{KafkaOutput, Pipeline};
use dynamodb_connector::test_util::{CollectSink, IterSource};
use serde::{Serialize, Serializer};

use crate::kafka::{settings, sink, soon};
use crate::setup::{fake, large, open, row, stored_n};

/// The keys and values of so many records of a topic, in the order of its one partition.
async fn read(kafka: &EmbeddedKafka, topic: &str, count: usize) -> Vec<(String, String)> {
    let mut source = soon(KafkaSource::open(&settings(kafka), "readers", [topic]))
        .await
        .unwrap();
    let text = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or_default()).into_owned();
    let mut seen = Vec::new();
    while seen.len() < count {
        for message in soon(source.next_batch(100)).await.unwrap().unwrap() {
            seen.push((
                text(message.key.as_deref()),
                text(message.payload.as_deref()),
            ));
            message.ack.done();
        }
    }
    soon(source.close()).await.unwrap();
    seen
}

#[tokio::test(start_paused = true)]
async fn a_table_is_a_sink_of_items_in_a_branch_too_and_is_flushed_by_the_end() {
    let fake = fake();
    let table = open(&fake).await;
    let dead = CollectSink::new();
    let source = IterSource::new([10_usize, 500_000, 20]);
    let acks = source.acks();
    let report = Pipeline::from(source)
        .dead_letter(dead.clone())
        .tee(
            |every| {
                every
                    .map(|bytes| large(format!("k{bytes}"), bytes))
                    .to_named("items", table.clone())
            },
            |every| {
                every
                    .map(|bytes| row("last", bytes as u64))
                    .to_named("last", table.clone())
            },
        )
        .run()
        .await
        .unwrap();
    assert_eq!((report.acknowledged, acks.done().len()), (3, 3));
    assert_eq!(stored_n(&fake, "last"), Some(20));
    let letters = dead.take();
    assert_eq!(
        (letters.len(), &*letters[0].operator, letters[0].record),
        (1, "items", 500_000)
    );
    let job = Pipeline::from(IterSource::new([30_u64]))
        .map(|n| row("last", n))
        .to(table.clone());
    job.boxed().run().await.unwrap();
    assert_eq!(stored_n(&fake, "last"), Some(30));
    table.close().await.unwrap();
}

#[tokio::test]
async fn a_topic_is_a_sink_of_records_and_stays_open() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).unwrap();
    let sink = sink(&kafka, &KafkaSinkSettings::default()).await;
    for values in [0..50_u32, 50..60] {
        let source = IterSource::new(values.clone());
        let acks = source.acks();
        let job = Pipeline::from(source)
            .map(|n| ProducerRecord::new("events", n.to_string()).key("k"))
            .to_named("events", sink.clone());
        let report = soon(job.run()).await.unwrap();
        assert_eq!(
            (report.acknowledged, acks.done().len()),
            (u64::from(values.end - values.start), values.len())
        );
    }
    let got = read(&kafka, "events", 60).await;
    let expected: Vec<_> = (0..60).map(|n| ("k".to_owned(), n.to_string())).collect();
    assert_eq!(got, expected);
    soon(sink.close()).await.unwrap();
}

/// A value that is no JSON where it is negative, and whose key panics where it is 13.
struct Amount(i64);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0.. => serializer.serialize_i64(self.0),
            secret => Err(serde::ser::Error::custom(format!("secret {secret}"))),
        }
    }
}

#[tokio::test]
async fn a_value_that_is_no_json_is_a_letter_that_shows_nothing_of_it() {
    let kafka = EmbeddedKafka::start(&[("amounts", 1)]).unwrap();
    let sink = sink(&kafka, &KafkaSinkSettings::default()).await;
    let dead = CollectSink::new();
    let output = KafkaOutput::json(&sink, "amounts", |amount: &Amount| {
        assert!(amount.0 != 13, "secret");
        amount.0.to_string()
    });
    let report = soon(
        Pipeline::from(IterSource::new([1_i64, -7_777, 13, 4]))
            .map(Amount)
            .dead_letter(dead.clone())
            .to_named("amounts", output)
            .run(),
    )
    .await
    .unwrap();
    assert_eq!((report.acknowledged, report.dead_letters), (4, 2));
    let letters = dead.take();
    let texts: Vec<_> = letters.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "amounts: records@1: the value cannot be serialized as JSON",
            "amounts: records@2: the operator's closure panicked"
        ]
    );
    let shown = format!("{letters:?} {texts:?}");
    assert!(
        !shown.contains("secret") && !shown.contains("7777"),
        "{shown}"
    );
    let text = |n: &str| (n.to_owned(), n.to_owned());
    assert_eq!(read(&kafka, "amounts", 2).await, [text("1"), text("4")]);
    soon(sink.close()).await.unwrap();
}
