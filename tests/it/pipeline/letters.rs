//! A dead letter can be written to Kafka or a file, read back, and its record sent again as it was.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use dynamodb_connector::embedded::EmbeddedKafka;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::kafka::{
    KafkaSettings, KafkaSink, KafkaSource, KafkaSourceSettings, Message, ProducerRecord,
};
use dynamodb_connector::pipeline::{DeadLetter, KafkaOutput, LetterFile, Pipeline, RawMessage};
use dynamodb_connector::streams::{
    Change, EventKind, RawChange, Record, StreamsSettings, StreamsSource,
};
use dynamodb_connector::test_util::FaultyDynamoDb;
use dynamodb_connector::test_util::{CollectSink, IterSource};
use dynamodb_connector::{StreamView, TableSpec};
use tokio::sync::oneshot;
use tokio::time::timeout;

const MINUTE: Duration = Duration::from_secs(60);

/// A file of this test alone, which is removed at its end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}.jsonl", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "whole lines");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Reads so many messages of a topic.
async fn read(settings: &KafkaSettings, topic: &str, count: usize) -> Vec<RawMessage> {
    let own = KafkaSourceSettings::new("reader", [topic]);
    let mut source = KafkaSource::builder(settings)
        .settings(own.clone())
        .open()
        .await
        .unwrap();
    let mut messages = Vec::new();
    while messages.len() < count {
        let batch = timeout(MINUTE, source.next_batch(100)).await.unwrap();
        for message in batch.unwrap().unwrap() {
            messages.push(RawMessage::of(&message));
            message.ack.done();
        }
    }
    source.close().await.unwrap();
    messages
}

fn originals() -> Vec<ProducerRecord> {
    let binary = Bytes::from_static(b"\0\xff\n\"\x80");
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let record = ProducerRecord::new("orders", binary.clone());
    vec![
        record
            .key(binary.clone())
            .header("trace", binary)
            .header("trace", "")
            .header_without_value("none")
            .timestamp(at),
        ProducerRecord::tombstone("orders").key("gone"),
        ProducerRecord::new("orders", "").key(""),
        ProducerRecord::new("orders", "no key"),
    ]
}

/// All that is sent again, beside the offset and, where none was set, the time.
fn sent(message: &RawMessage) -> impl PartialEq + std::fmt::Debug + use<> {
    let headers: Vec<(String, Option<Bytes>)> = message
        .headers()
        .map(|(name, value)| (name.to_owned(), value.cloned()))
        .collect();
    let (key, value) = (message.key().cloned(), message.value().cloned());
    (
        message.topic().to_owned(),
        key,
        value,
        headers,
        message.timestamp(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_goes_through_a_letter_in_a_topic_and_is_sent_again_as_it_was() {
    let broker = EmbeddedKafka::start(&[("orders", 1), ("letters", 1)]).unwrap();
    let settings = KafkaSettings::new(broker.bootstrap_servers());
    let sink = KafkaSink::open(&settings).await.unwrap();
    for record in originals() {
        sink.send(record).await.unwrap().await.unwrap();
    }
    let own = KafkaSourceSettings::new("orders", ["orders"]);
    let source = KafkaSource::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .unwrap();
    let letters = KafkaOutput::new(&sink, |letter: &DeadLetter<RawMessage>| {
        let line = letter.to_json_line().map_err(|error| error.to_string())?;
        Ok::<_, String>(Some(ProducerRecord::new("letters", line)))
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let job = Pipeline::from(source)
        .validate(|_: &Message| Err::<(), _>("all are wrong"))
        .named("orders")
        .dead_letter_with(RawMessage::of, letters)
        .to(CollectSink::new());
    let running = tokio::spawn(job.run_until(async move {
        let _ = stopped.await;
    }));
    let letters = read(&settings, "letters", originals().len()).await;
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap().dead_letters, 4);

    for letter in &letters {
        let line = std::str::from_utf8(letter.value().unwrap()).unwrap();
        let letter = DeadLetter::<RawMessage>::from_json_line(line).unwrap();
        assert_eq!(&*letter.operator, "orders");
        assert_eq!(letter.reason.text(), "all are wrong");
        assert_eq!(
            letter.position.to_string(),
            format!("orders-0@{}", letter.record.offset())
        );
        let again = letter.record.to_record();
        sink.send(again).await.unwrap().await.unwrap();
    }
    let messages = read(&settings, "orders", 8).await;
    let (first, again) = messages.split_at(4);
    let all = |messages: &[RawMessage]| messages.iter().map(sent).collect::<Vec<_>>();
    assert_eq!(all(first), all(again));
    assert_eq!(first[1].value(), None, "a tombstone");
    assert_eq!(
        first[2].value().map(Bytes::len),
        Some(0),
        "is not an empty value"
    );
}

/// A letter is larger than its message: the client's own limit may refuse it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_is_too_large_ends_the_pipeline_with_its_position_the_limit_and_the_remedy() {
    let broker = EmbeddedKafka::start(&[("orders", 1), ("letters", 1)]).unwrap();
    let settings = KafkaSettings::new(broker.bootstrap_servers());
    let sink = KafkaSink::open(&settings).await.unwrap();
    let large = ProducerRecord::new("orders", vec![0; 900_000]);
    sink.send(large).await.unwrap().await.unwrap();
    let own = KafkaSourceSettings::new("orders", ["orders"]);
    let source = KafkaSource::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .unwrap();
    let letters = KafkaOutput::new(&sink, |letter: &DeadLetter<RawMessage>| {
        let line = letter.to_json_line().map_err(|error| error.to_string())?;
        Ok::<_, String>(Some(ProducerRecord::new("letters", line)))
    });
    let job = Pipeline::from(source)
        .validate(|_: &Message| Err::<(), _>("all are wrong"))
        .dead_letter_with(RawMessage::of, letters)
        .to(CollectSink::new());
    let error = timeout(MINUTE, job.run()).await.unwrap().unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("dead letters: the letter of record orders-0@0 is refused: record of "),
        "{text}"
    );
    assert!(
        text.ends_with("is over message.max.bytes, 1000000B; set a larger one for the sink by KafkaSettings::set"),
        "{text}"
    );
    assert!(!error.is_retryable());
}

fn table() -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    let spec = TableSpec::new("decisions").partition("id", KeyKind::String);
    fake.create_table(spec.stream(StreamView::NewAndOldImages));
    fake
}

async fn source(fake: &FaultyDynamoDb) -> StreamsSource {
    let settings = StreamsSettings::default().poll(Duration::from_millis(10));
    StreamsSource::builder(&fake.client(), &fake.streams_client(), "decisions")
        .settings(settings)
        .open()
        .await
        .unwrap()
}

async fn put(fake: &FaultyDynamoDb, id: &str, text: &str) {
    let put = fake.client().put_item().table_name("decisions");
    put.item("id", AttributeValue::S(id.to_owned()))
        .item("text", AttributeValue::S(text.to_owned()))
        .send()
        .await
        .unwrap();
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Item {
    id: String,
    text: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_goes_through_a_letter_in_a_file_and_is_handled_again_as_it_was() {
    let (fake, file) = (table(), TempFile::new("changes"));
    // A crash has cut a line short.
    std::fs::write(&file.0, "{\"v\":1,\"from").unwrap();
    put(&fake, "a", "\"\n\u{7f}ü").await;
    put(&fake, "a", "second").await;
    let source = source(&fake).await;
    let control = source.control();
    let (seen, records) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let job = Pipeline::from(source.into_stream())
        .inspect(move |record: &Record| seen.send(record.clone()).unwrap())
        .validate(|_| Err::<(), _>("all are wrong"))
        .dead_letter_with(RawChange::of, LetterFile::open(&file.0).unwrap())
        .to(CollectSink::new());
    let stats = job.stats();
    let running = tokio::spawn(job.run_until(async move {
        let _ = stopped.await;
    }));
    let written = async {
        while stats.report().acknowledged < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(MINUTE, written).await.unwrap();
    // The source's own handle goes on telling while the pipeline has the source.
    assert_eq!(control.stats().records, 2);
    assert!(control.health().is_healthy());
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();

    let letters: Vec<DeadLetter<RawChange>> = file
        .lines()
        .iter()
        .map(|line| DeadLetter::from_json_line(line).unwrap())
        .collect();
    let seen: Vec<Record> = records.try_iter().collect();
    assert_eq!((letters.len(), seen.len()), (2, 2));
    for (letter, record) in letters.iter().zip(&seen) {
        let read = letter.record.record();
        assert_eq!(read.keys_json(), record.keys_json());
        assert_eq!(read.new_image_json(), record.new_image_json());
        assert_eq!(read.old_image_json(), record.old_image_json());
        assert_eq!(read.sequence_number(), record.sequence_number());
        assert_eq!(read.shard_id(), record.shard_id());
        assert_eq!(read.size_bytes(), record.size_bytes());
        assert_eq!(
            read.approximate_creation_time(),
            record.approximate_creation_time()
        );
    }
    let again = letters
        .into_iter()
        .map(|letter| letter.record.into_record());
    let changes = CollectSink::new();
    Pipeline::from(IterSource::new(again))
        .try_map(Change::<Item>::read)
        .to(changes.clone())
        .run()
        .await
        .unwrap();
    let changes = changes.take();
    let kinds: Vec<EventKind> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [EventKind::Insert, EventKind::Modify]);
    assert_eq!(changes[1].old, changes[0].new);
    assert_eq!(changes[0].new.as_ref().unwrap().text, "\"\n\u{7f}ü");
}

/// Stops the source that a pipeline has: the pipeline ends as at the end of its source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_within_a_pipeline_is_stopped_by_its_own_control() {
    let fake = table();
    put(&fake, "a", "first").await;
    let source = source(&fake).await;
    let control = source.control();
    let job = Pipeline::from(source.into_stream()).to(CollectSink::new());
    let stats = job.stats();
    let running = tokio::spawn(job.run());
    let read = async {
        while stats.report().acknowledged < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(MINUTE, read).await.unwrap();
    control.stop();
    let report = timeout(MINUTE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(report.acknowledged, 1);
}
