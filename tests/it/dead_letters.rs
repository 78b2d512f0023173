//! Records that can't be written take one way, and a letter can be kept in a file and sent again.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::DeadLetterFormatError;
use dynamodb_connector::ErrorKind;
use dynamodb_connector::sink::{
    DrainError, Outcome, RejectReason, Snapshot, SubmitError, TableSettings, TableSink, WriteRecord,
};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use futures::{SinkExt as _, StreamExt as _, stream};
use serde_json::{Value, json};

use crate::setup::{TABLE, builder, fake, id, is_pk, row, stored, stored_n};

/// One letter of each kind, as this version writes them.
const FIXTURE: &str = include_str!("fixtures/dead-letter-v1.jsonl");

type Lines = Arc<Mutex<Vec<String>>>;

/// The table, and the lines of its dead letters.
async fn with_lines(fake: &FaultyDynamoDb) -> (TableSink, Lines) {
    let lines = Lines::default();
    let kept = Arc::clone(&lines);
    let sink = builder(fake, TableSettings::default()).dead_letters(move |letter| {
        kept.lock().push(letter.to_json_line());
        async { Ok(()) }
    });
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    (table, lines)
}

async fn failing(fake: &FaultyDynamoDb, message: &'static str) -> TableSink {
    let settings = TableSettings::default();
    let sink = builder(fake, settings).dead_letters(move |_| async move { Err(message.into()) });
    sink.open().await.unwrap().table(TABLE).unwrap()
}

/// What a record without a key is rejected for.
fn assert_misfit(outcome: &Outcome) {
    let Outcome::Rejected { reason, record, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(matches!(reason, RejectReason::Invalid(_)), "{reason:?}");
    assert_eq!(reason.kind(), ErrorKind::Invalid);
    let text = r#"table "decisions": key attribute `pk` is missing"#;
    assert_eq!(reason.to_string(), text);
    assert_eq!(record.row().unwrap(), br#"{"n":1}"#);
    assert!(record.parts().is_empty());
    assert!(!outcome.may_have_applied());
}

#[tokio::test(start_paused = true)]
async fn letters_are_lines_of_the_documented_form() {
    let fake = fake();
    let (table, lines) = with_lines(&fake).await;
    // The first refusals of all may be for the sake of what else a request asks for.
    for n in 0..2 {
        let before = table.put(&row("before", n)).confirm().await.unwrap();
        assert!(before.is_written());
    }
    fake.inject(Fault::poison(is_pk("bad")));
    let _ = table.put(&row("bad", 1)).confirm().await.unwrap();
    fake.inject(Fault::close_after().on(Operation::UpdateItem));
    let add = table.update(&id("n"), "ADD n :one").value(":one", &1);
    let _ = add.confirm().await.unwrap();
    fake.inject(
        Fault::validation("no")
            .on(Operation::TransactWriteItems)
            .times(2),
    );
    let transaction = table
        .transaction()
        .add(table.put(&row("a", 1)))
        .add(table.delete(&id("b")).condition("attribute_exists(pk)"));
    let _ = transaction.confirm().await.unwrap();
    let late = table.put(&row("late", 1)).deadline(Duration::from_secs(1));
    fake.inject(
        Fault::internal_error()
            .on(Operation::BatchWriteItem)
            .always(),
    );
    let _ = late.confirm().await.unwrap();
    drop(table.put_or_dead_letter(&json!({"n": 1})).await.unwrap());
    let no_json = HashMap::from([((1, 2), 3)]);
    drop(table.put_or_dead_letter(&no_json).await.unwrap());

    let lines = lines.lock();
    let written: Vec<String> = lines.iter().map(|line| with_fixed_token(line)).collect();
    let fixture: Vec<&str> = FIXTURE.lines().collect();
    assert_eq!(written, fixture, "{}", written.join("\n"));
}

/// The line with the token of its transaction replaced, which is drawn at random.
fn with_fixed_token(line: &str) -> String {
    const TOKEN: &str = r#""token":""#;
    let Some((before, rest)) = line.split_once(TOKEN) else {
        return line.to_owned();
    };
    let (_, after) = rest.split_once('"').unwrap();
    format!("{before}{TOKEN}token\"{after}")
}

#[tokio::test(start_paused = true)]
async fn letters_are_read_back_and_sent_again() {
    let fake = fake();
    let (table, _) = with_lines(&fake).await;
    let b = table.put(&row("b", 1)).confirm().await.unwrap();
    assert!(b.is_written());
    let mut never = 0;
    for line in FIXTURE.lines() {
        let record = WriteRecord::from_dead_letter(line).unwrap();
        assert_eq!(record.table(), TABLE);
        let letter: Value = serde_json::from_str(line).unwrap();
        assert_eq!(u64::from(record.attempts()), letter["attempts"]);
        match table.resubmit(&record).await {
            Ok(receipt) => {
                let outcome = receipt.await;
                assert!(outcome.is_written(), "{line}: {outcome:?}");
            }
            Err(error) => {
                assert!(matches!(error, SubmitError::Invalid { .. }), "{error:?}");
                assert!(record.parts().is_empty());
                never += 1;
            }
        }
    }
    assert_eq!(never, 2, "rows that were never writes");
    for pk in ["bad", "n", "a", "late"] {
        assert_eq!(stored_n(&fake, pk), Some(1), "{pk}");
    }
    assert!(stored(&fake, "b").is_none(), "its condition held");
}

#[tokio::test(start_paused = true)]
async fn a_letter_is_one_line_whatever_breaks_its_json_has() {
    let fake = fake();
    let (table, lines) = with_lines(&fake).await;
    let pretty = serde_json::value::RawValue::from_string("{\n \"n\":\r\n 1}".to_owned());
    drop(table.put_or_dead_letter(&pretty.unwrap()).await.unwrap());
    let line = lines.lock()[0].clone();
    assert!(!line.contains(['\n', '\r']), "{line}");
    let row = WriteRecord::from_dead_letter(&line).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(row.row().unwrap()).unwrap(),
        json!({"n": 1})
    );

    // Edited by hand, and queued again: a snapshot of it has a line a write.
    let letter: Value = serde_json::from_str(FIXTURE.lines().nth(2).unwrap()).unwrap();
    let record = WriteRecord::from_dead_letter(&serde_json::to_string_pretty(&letter).unwrap());
    let receipt = table.resubmit(&record.unwrap()).await.unwrap();
    let snapshot = table.snapshot().await.unwrap();
    assert_eq!(Snapshot::from_bytes(&snapshot.to_bytes()).unwrap().len(), 1);
    drop(receipt);
}

#[tokio::test(start_paused = true)]
async fn wrong_rows_that_nobody_looks_at_stop_the_table() {
    let fake = fake();
    let sink = builder(&fake, TableSettings::default());
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    let mut taken = 0;
    let error = loop {
        match table.put_or_dead_letter(&json!({"n": 1})).await {
            Ok(receipt) => drop(receipt),
            Err(error) => break error,
        }
        taken += 1;
        assert!(taken < 2_000, "more and more of them are held");
    };
    assert!(matches!(error, SubmitError::Stopped(_)), "{error:?}");
    let reported = table.close().await.unwrap_err();
    assert_eq!(reported.outcomes().len(), taken);
    let closed = table.put_or_dead_letter(&json!({"n": 1})).await;
    assert!(closed.is_err(), "it takes nothing more");
}

#[test]
fn what_is_no_letter_is_refused_and_never_quoted() {
    let letter = FIXTURE.lines().next().unwrap();
    for (line, wanted) in [
        (letter.replace(r#""v":1"#, r#""v":2"#), "version 2"),
        (letter.replace(r#""v":1"#, r#""v":0"#), "version 0"),
        (letter.replace(r#""batch""#, r#""bunch""#), "something else"),
        (
            letter.replace(r#""attempts""#, r#""tries""#),
            "something else",
        ),
        (letter[..letter.len() - 3].to_owned(), "cut short"),
        (
            letter.replace(r#""dynamodb""#, r#""kafka""#),
            "another part",
        ),
        ("secret".to_owned(), "it is not JSON"),
        ("{}".to_owned(), "something else"),
        (String::new(), "cut short"),
    ] {
        let error = WriteRecord::from_dead_letter(&line).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(wanted), "{line}: {text}");
        assert!(!text.contains("secret") && !text.contains("bunch"));
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let more = letter.replace(r#""attempts""#, r#""host":"h1","attempts""#);
    assert!(WriteRecord::from_dead_letter(&more).is_ok());
    let later = WriteRecord::from_dead_letter(r#"{"v":2}"#).unwrap_err();
    assert!(
        matches!(later, DeadLetterFormatError::Version { found: 2, .. }),
        "{later}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wrong_row_goes_to_the_handler_and_others_go_on() {
    let fake = fake();
    let (table, lines) = with_lines(&fake).await;
    let good = table.put_or_dead_letter(&row("good", 1)).await.unwrap();
    let misfit = table.put_or_dead_letter(&json!({"n": 1})).await.unwrap();
    assert_eq!(lines.lock().len(), 1, "before the outcome is asked for");
    assert!(good.await.is_written());
    assert_misfit(&misfit.await);
    // A dropped receipt is nobody's error: the handler has the record.
    drop(table.put_or_dead_letter(&json!({"n": 1})).await.unwrap());
    table.flush().await.unwrap();
    assert_eq!(table.stats().rejected, 2);
    table.close().await.unwrap();
    assert_eq!(lines.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_handler_a_wrong_row_is_in_its_outcome() {
    let fake = fake();
    let sink = builder(&fake, TableSettings::default());
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    let misfit = table.put_or_dead_letter(&json!({"n": 1})).await.unwrap();
    assert_misfit(&misfit.await);
    table.flush().await.unwrap();
    drop(table.put_or_dead_letter(&json!({"n": 1})).await.unwrap());
    let error = table.flush().await.unwrap_err();
    assert!(matches!(error, DrainError::Unobserved { .. }), "{error:?}");
    assert_misfit(&error.outcomes()[0]);
    assert_eq!(error.kind(), ErrorKind::Invalid);
    table.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_leaves_the_wrong_row_to_its_caller() {
    let fake = fake();
    let table = failing(&fake, "the disk is full").await;
    let error = table
        .put_or_dead_letter(&json!({"n": 1}))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Handler);
    assert_eq!(
        error.to_string(),
        r#"table "decisions": key attribute `pk` is missing; the dead-letter handler failed: the disk is full"#
    );
    let good = table.put(&row("good", 1)).confirm().await.unwrap();
    assert!(good.is_written(), "the table goes on");
    table.close().await.unwrap();

    let sink =
        builder(&fake, TableSettings::default()).dead_letters(|_| async { panic!("secret") });
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    let error = table
        .put_or_dead_letter(&json!({"n": 1}))
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with("failed: it panicked"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_does_not_interrupt_the_handler() {
    let fake = fake();
    let (kept, mut letters) = tokio::sync::mpsc::unbounded_channel();
    let sink = builder(&fake, TableSettings::default()).dead_letters(move |letter| {
        let kept = kept.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            kept.send(letter.to_json_line())?;
            Ok(())
        }
    });
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    let wrong = json!({"n": 1});
    let put = table.put_or_dead_letter(&wrong);
    let given_up = tokio::time::timeout(Duration::from_secs(1), put).await;
    assert!(given_up.is_err());
    assert!(letters.recv().await.unwrap().contains(r#"{"row":{"n":1}}"#));
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_records_goes_on_past_wrong_rows() {
    let fake = fake();
    let (table, lines) = with_lines(&fake).await;
    let rows = (0..100).map(|n| {
        if n % 10 == 0 {
            json!({"n": n})
        } else {
            json!({"pk": format!("k{n}"), "n": n})
        }
    });
    let forwarded = stream::iter(rows).map(Ok).forward(table.records()).await;
    forwarded.unwrap();
    assert_eq!(lines.lock().len(), 10);
    assert_eq!(fake.items(TABLE).len(), 90);

    let table = failing(&fake, "the disk is full").await;
    let mut records = table.records();
    records.feed(json!({"n": 1})).await.unwrap();
    let error = records.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Handler);

    let sink = builder(&fake, TableSettings::default());
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    let error = table.records().feed(json!({"n": 1})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "no handler: as before");
}
