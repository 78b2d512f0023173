//! Numbers of `serde_json` through the sink, the faulty DynamoDB and its stream, digit for digit.

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::sink::TableSink;
use crate::streams::StreamsSource;
use crate::test_util::{FaultyDynamoDb, TableSpecExt as _};
use crate::{StreamView, TableSpec};

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Row {
    pk: String,
    v: Json,
}

/// Each in the form in which DynamoDB answers it. Those of more than 17 digits are kept by
/// `serde_json` if its feature `arbitrary_precision` is on.
const NUMBERS: [&str; 9] = [
    "0",
    "-1",
    "1.5",
    "18446744073709551615",
    "-9223372036854775808",
    "18446744073709551617",
    "12345678901234567890123456789012345678",
    "-0.12345678901234567890123456789012345678",
    "0.1234567890123456789",
];

#[tokio::test(start_paused = true)]
async fn a_json_number_comes_back_as_it_was_written() {
    let keeps_digits = serde_json::Number::from_u128(u128::MAX).is_some();
    let fake = FaultyDynamoDb::new();
    fake.create_table(
        TableSpec::new("decisions")
            .stream(StreamView::NewAndOldImages)
            .stream_shards(1),
    );
    let table = TableSink::open(&fake.client(), "decisions").await;
    let table = table.expect("opened");
    let mut rows = Vec::new();
    for (place, text) in NUMBERS.into_iter().enumerate() {
        let row = Row {
            pk: place.to_string(),
            v: serde_json::from_str(&format!(r#"[{text},{{"in":{text}}}]"#)).expect("JSON"),
        };
        let outcome = table.put(&row).confirm().await.expect("accepted");
        assert!(outcome.is_written(), "{outcome}");
        rows.push(row);
    }
    for item in fake.items("decisions") {
        let place: usize = item["pk"].as_s().expect("a text").parse().expect("a place");
        let text = NUMBERS[place];
        let list = item["v"].as_l().expect("a list");
        let inner = list[1].as_m().expect("a map");
        for value in [&list[0], &inner["in"]] {
            let stored = value.as_n().expect("a number");
            assert!(!keeps_digits || stored == text, "{stored} for {text}");
        }
    }
    let source = StreamsSource::builder(&fake.client(), &fake.streams_client(), "decisions");
    let mut stream = source.open().await.expect("it opens").into_stream();
    for row in &rows {
        let delivery = stream.next().await.expect("a record").expect("readable");
        let read: Option<Row> = delivery.record.new_image().expect("it reads");
        assert_eq!(read.as_ref(), Some(row));
        delivery.ack.done();
    }
}
