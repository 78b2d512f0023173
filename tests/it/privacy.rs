//! No item's contents in logs, errors, metrics or `Debug`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use parking_lot::Mutex;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::sink::{Snapshot, TableSettings};
use dynamodb_connector::test_util::{Fault, Throttle};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde::Serialize;

use crate::setup::{TABLE, builder, fake, on_writes, one_by_one, open_with, settle};

const SECRET: &str = "hush-7731";

#[derive(Serialize)]
struct Told {
    pk: String,
    secret: String,
}

fn told(pk: &str) -> Told {
    Told {
        pk: format!("{SECRET}-{pk}"),
        secret: SECRET.to_owned(),
    }
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    fn add(&self, text: &str) {
        writeln!(self.clone(), "{text}").unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

impl std::io::Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Recorder for Seen {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.add(&key.to_string());
        Counter::noop()
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.add(&key.to_string());
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.add(&key.to_string());
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn no_failure_of_any_kind_tells_what_was_written() {
    // With one dispatcher alone, tracing asks the thread that reaches a callsite first whether it is
    // of interest; that may be another test's.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let seen = Seen::default();
    let out = seen.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("dynamodb_connector=trace")
        .with_writer(move || out.clone())
        .finish();
    let _subscriber = tracing::subscriber::set_default(subscriber);
    let _recorder = metrics::set_default_local_recorder(&seen);
    macro_rules! look {
        ($value:expr) => {{
            let value = $value;
            seen.add(&format!("{value:?} {value:#?}"));
            value
        }};
    }
    let validation = format!("One or more values were invalid: {SECRET}");
    for fault in [
        Fault::validation(&validation).always(),
        Fault::error(400, "ItemCollectionSizeLimitExceededException", SECRET).always(),
        Fault::error(400, "SomethingNew", SECRET).always(),
        Fault::error(500, "InternalServerError", SECRET).always(),
        Fault::error(400, "AccessDeniedException", SECRET).always(),
        Fault::error(400, SECRET.repeat(20), SECRET).always(),
        Fault::throttled(Throttle::ProvisionedThroughput).always(),
        Fault::close_after().always(),
        Fault::garbage_body().always(),
        Fault::truncated_body().always(),
        Fault::never_answer().after_applying().always(),
        Fault::too_large().always(),
        Fault::bad_gateway().always(),
        Fault::expired_token().always(),
        Fault::unprocessed_all().always(),
    ] {
        let fake = fake();
        let settings = TableSettings::default().deadline(Duration::from_secs(100));
        let letters = seen.clone();
        let sink = builder(&fake, settings).dead_letters(move |letter| {
            letters.add(&format!("{letter} {letter:?}"));
            async { Ok(()) }
        });
        let table = sink.open().await.unwrap().table(TABLE).unwrap();
        fake.inject(fault);
        let mut receipts = Vec::new();
        let condition = format!("secret = {SECRET}");
        let update = || {
            let set = table.update(&told("u"), "ADD n :n");
            set.value(":n", SECRET).name("#s", SECRET)
        };
        let transaction = look!(
            table
                .transaction()
                .add(look!(table.put(&told("t"))).condition(&condition))
        );
        for write in [
            look!(table.put(&told("a"))),
            look!(table.put(&told("b")).condition(&condition)),
            look!(update()),
            look!(table.delete(&told("d"))),
        ] {
            receipts.push(look!(write.await.unwrap()));
        }
        receipts.push(transaction.await.unwrap());
        settle().await;
        let snapshot: Snapshot = look!(table.snapshot().await.unwrap());
        drop(snapshot);
        for receipt in receipts {
            let outcome = look!(receipt.await);
            seen.add(&outcome.to_string());
            if let Err(error) = outcome.into_result() {
                seen.add(&look!(error).to_string());
            }
        }
        if let Err(error) = look!(table.close().await) {
            seen.add(&error.to_string());
        }
    }
    // Refused at submit, unclaimed, and handed back.
    let fake = fake();
    let table = open_with(&fake, one_by_one()).await;
    for _ in 0..2 {
        drop(table.put(&told("before")).confirm().await.unwrap());
        settle().await;
    }
    fake.inject(on_writes(Fault::validation(&validation)).times(2));
    let mut long = told("long");
    long.secret = SECRET.repeat(60_000);
    for error in [
        look!(table.put(&long)).await.unwrap_err(),
        table.put(SECRET).await.unwrap_err(),
        table.put(&told("a")).newer_by("absent").await.unwrap_err(),
        table.delete(&vec![SECRET]).await.unwrap_err(),
    ] {
        seen.add(&look!(error).to_string());
    }
    drop(table.put(&told("unclaimed")).await.unwrap());
    let error = look!(table.flush().await.unwrap_err());
    seen.add(&error.to_string());
    fake.inject(Fault::never_answer().always());
    drop(
        table
            .update(&told("u"), "ADD n :n")
            .value(":n", SECRET)
            .await
            .unwrap(),
    );
    let taken = look!(table.snapshot().await.unwrap());
    let mut bytes = taken.to_bytes();
    for place in (0..bytes.len()).step_by(7) {
        bytes[place] ^= 4;
        if let Err(error) = look!(Snapshot::from_bytes(&bytes)) {
            seen.add(&error.to_string());
        }
        bytes[place] ^= 4;
    }
    for outcome in look!(table.abort().await) {
        for part in outcome_parts(&outcome) {
            look!(part);
        }
    }
    let text = seen.text();
    assert!(text.contains("request failed"), "the log was not caught");
    assert!(text.contains("dynamodb_sink_written_total"));
    if let Some(at) = text.find(SECRET) {
        let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
        panic!("told: {}", text[from..].lines().next().unwrap());
    }
    // Debug of bytes in decimal would hide it from the search above.
    let decimal = format!("{:?}", SECRET.as_bytes());
    assert!(!text.contains(decimal.trim_matches(['[', ']'])));
}

fn outcome_parts(
    outcome: &dynamodb_connector::sink::Outcome,
) -> Vec<dynamodb_connector::sink::WritePart> {
    match outcome {
        dynamodb_connector::sink::Outcome::Unwritten {
            record: Some(record),
            ..
        } => record.parts().to_vec(),
        _ => Vec::new(),
    }
}
