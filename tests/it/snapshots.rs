//! A snapshot holds what has no outcome, and gives it back.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue as V;
use dynamodb_connector::TableSpec;
use dynamodb_connector::sink::{DynamoDbSink, Outcome, Snapshot, SnapshotError, TableSettings};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb};
use proptest::prelude::*;

use crate::setup::{
    TABLE, fake, id, large, one_by_one, open, open_with, row, settle, stored, stored_n,
};

/// A service that answers nothing.
fn silent() -> FaultyDynamoDb {
    let fake = fake();
    fake.inject(Fault::never_answer().always());
    fake
}

fn every_type(pk: &str) -> HashMap<String, V> {
    let text = |s: &str| V::S(s.to_owned());
    HashMap::from([
        ("pk".to_owned(), text(pk)),
        ("s".to_owned(), text("\u{0}\"\\\n\u{1f980}")),
        ("n".to_owned(), V::N("-12345678901234567890.5".to_owned())),
        ("b".to_owned(), V::B(Blob::new([0, 1, 255]))),
        ("bool".to_owned(), V::Bool(true)),
        ("null".to_owned(), V::Null(true)),
        ("ss".to_owned(), V::Ss(vec!["x".into(), "y".into()])),
        ("ns".to_owned(), V::Ns(vec!["1".into(), "2.5".into()])),
        ("bs".to_owned(), V::Bs(vec![Blob::new([7]), Blob::new([8])])),
        ("l".to_owned(), V::L(vec![text("a"), V::Null(true)])),
        (
            "m".to_owned(),
            V::M(HashMap::from([("in".to_owned(), V::L(vec![]))])),
        ),
    ])
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_write_survives_the_round_trip() {
    let source = silent();
    let table = open_with(&source, one_by_one()).await;
    // The first is in flight; none of the others has been sent.
    drop(table.put(&large("most", 409_590)).await.unwrap());
    settle().await;
    drop(table.put_item(&every_type("types")).await.unwrap());
    drop(table.put(&row("gone", 1)).await.unwrap());
    drop(table.delete(&id("gone")).await.unwrap());
    drop(table.put(&row("a", 1)).await.unwrap());
    let add = table.update(&id("a"), "ADD n :n").value(":n", &5);
    drop(add.await.unwrap());
    let once = table.update(&id("a"), "ADD n :n").value(":n", &5);
    drop(once.exactly_once().await.unwrap());
    let both = table.transaction().add(table.put(&row("t", 1)));
    let both = both.add(table.check(&id("none"), "attribute_not_exists(pk)"));
    drop(both.await.unwrap());
    let new = table
        .put(&row("new", 3))
        .condition("n = :n OR attribute_not_exists(pk)");
    drop(new.value(":n", &3).await.unwrap());
    let snapshot = table.snapshot().await.unwrap();
    assert_eq!((snapshot.len(), snapshot.is_empty()), (9, false));
    assert_eq!(snapshot.tables().collect::<Vec<_>>(), [TABLE]);
    let bytes = snapshot.to_bytes();
    let read = Snapshot::from_bytes(&bytes).unwrap();
    assert_eq!(read.to_bytes(), bytes);

    let target = fake();
    let table = open(&target).await;
    let restored = table.restore(&read).await.unwrap();
    assert!(restored.handed_back.is_empty());
    for receipt in restored.receipts {
        assert!(receipt.await.is_written());
    }
    assert_eq!(
        stored(&target, "most").unwrap()["text"]
            .as_s()
            .unwrap()
            .len(),
        409_590
    );
    let types = stored(&target, "types").unwrap();
    for (name, value) in every_type("types") {
        if !["ss", "ns", "bs"].contains(&name.as_str()) {
            assert_eq!(types[&name], value, "{name}");
        }
    }
    assert_eq!(types.len(), 11);
    assert_eq!(stored(&target, "gone"), None);
    assert_eq!(stored_n(&target, "a"), Some(11));
    assert_eq!(stored_n(&target, "t"), Some(1));
    assert_eq!(stored_n(&target, "new"), Some(3));
    // The first sink was not stopped by it.
    source.heal();
    assert_eq!(table.snapshot().await.unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_taken_while_writing_leads_to_the_same_table() {
    let fake = fake();
    let table = open_with(&fake, one_by_one()).await;
    fake.inject(Fault::delay_before(Duration::from_millis(10)).always());
    let mut snapshots = Vec::new();
    for n in 0..100 {
        drop(table.put(&row(format!("k{}", n % 10), n)).await.unwrap());
        if n % 20 == 19 {
            tokio::time::sleep(Duration::from_millis(35)).await;
            let snapshot = table.snapshot().await.unwrap();
            snapshots.push((n, fake.items(TABLE), snapshot));
        }
    }
    table.close().await.unwrap();
    for (last, held, snapshot) in snapshots {
        let target = crate::setup::fake();
        let table = open(&target).await;
        for item in held {
            drop(table.put_item(&item).await.unwrap());
        }
        table.restore(&snapshot).await.unwrap();
        table.close().await.unwrap();
        for n in last - 9..=last {
            assert_eq!(stored_n(&target, &format!("k{}", n % 10)), Some(n));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_applied_and_must_not_be_sent_twice_is_handed_back() {
    let source = silent();
    let table = open_with(&source, TableSettings::default().concurrency(8)).await;
    drop(
        table
            .update(&id("a"), "ADD n :n")
            .value(":n", &1)
            .await
            .unwrap(),
    );
    drop(
        table
            .transaction()
            .add(table.put(&row("t", 1)))
            .await
            .unwrap(),
    );
    drop(
        table
            .update(&id("s"), "SET n = :n")
            .value(":n", &1)
            .await
            .unwrap(),
    );
    drop(table.put(&row("p", 1)).await.unwrap());
    settle().await;
    let snapshot = table.snapshot().await.unwrap();
    let target = fake();
    let table = open(&target).await;
    let restored = table.restore(&snapshot).await.unwrap();
    assert_eq!(
        (restored.handed_back.len(), restored.receipts.len()),
        (2, 2)
    );
    let unknown = |outcome: &Outcome| matches!(outcome, Outcome::Unknown { .. });
    assert!(restored.handed_back.iter().all(unknown));
    table.close().await.unwrap();
    assert_eq!((stored(&target, "a"), stored(&target, "t")), (None, None));
    assert_eq!(stored_n(&target, "s"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn snapshots_of_several_sinks_merge() {
    let mut all = Snapshot::default();
    for n in 0..3 {
        let source = silent();
        let table = open_with(&source, one_by_one()).await;
        drop(table.put(&row("a", n)).await.unwrap());
        drop(table.put(&row(format!("k{n}"), n)).await.unwrap());
        all = all.merge(table.snapshot().await.unwrap());
    }
    assert_eq!(all.len(), 6);
    let target = fake();
    let table = open(&target).await;
    table.restore(&all).await.unwrap();
    table.close().await.unwrap();
    assert_eq!(target.item_count(TABLE), 4);
    assert_eq!(
        stored_n(&target, "a"),
        Some(2),
        "the later snapshot's comes later"
    );
}

const HEAD: &str = "{\"format\":\"dynamodb-connector/sink-snapshot\",\"version\":1}\n";

/// A snapshot of these lines, with a right end.
fn of_lines(lines: &str, writes: usize) -> Vec<u8> {
    let mut out = format!("{HEAD}{lines}").into_bytes();
    let crc32 = crc32fast::hash(&out);
    out.extend_from_slice(
        format!("{{\"end\":{{\"writes\":{writes},\"crc32\":{crc32}}}}}\n").as_bytes(),
    );
    out
}

#[test]
fn what_is_no_snapshot_is_refused_by_line_and_without_its_contents() {
    let one = "{\"table\":\"decisions\",\"writes\":1}\n";
    let part = r#"{"kind":"put","data":{"pk":{"S":"hush"}}}"#;
    for (line, says) in [
        (format!(r#"{{"call":"nudge","parts":[{part}]}}"#), "line 3"),
        (
            r#"{"call":"batch","parts":[{"kind":"hush","data":{}}]}"#.to_owned(),
            "line 3",
        ),
        (
            format!(r#"{{"call":"batch","parts":[{part},{part}]}}"#),
            "line 3: this call has one part",
        ),
        (
            format!(r#"{{"call":"transaction","parts":[{part}]}}"#),
            "line 3: a transaction needs",
        ),
        (
            r#"{"call":"batch","parts":[{"kind":"update","data":{"pk":{"S":"hush"}}}]}"#.to_owned(),
            "line 3",
        ),
        (
            r#"{"call":"single","parts":[{"kind":"check","data":{"pk":{"S":"hush"}}}]}"#.to_owned(),
            "line 3",
        ),
        (
            r#"{"call":"batch","parts":[{"kind":"put","data":{},"conditional":true}]}"#.to_owned(),
            "line 3",
        ),
        (
            r#"{"call":"single","parts":[{"kind":"put","data":{},"expressions":"hush"}]}"#
                .to_owned(),
            "line 3",
        ),
        (r#"{"hush":1}"#.to_owned(), "line 3"),
        ("hush".to_owned(), "line 3"),
    ] {
        let error = Snapshot::from_bytes(&of_lines(&format!("{one}{line}\n"), 1)).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(says), "{line}: {text}");
        assert!(!text.contains("hush"), "{text}");
    }
    let later = of_lines("", 0);
    let later = String::from_utf8(later)
        .unwrap()
        .replace("\"version\":1", "\"version\":2");
    let error = Snapshot::from_bytes(later.as_bytes()).unwrap_err();
    assert!(matches!(error, SnapshotError::Version { found: 2, .. }));
    let error = Snapshot::from_bytes(b"{\"format\":\"other\",\"version\":1}\n").unwrap_err();
    assert!(matches!(error, SnapshotError::Malformed { line: 1, .. }));
}

const FIXTURE: &[u8] = include_bytes!("fixtures/snapshot-v1.jsonl");

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_version_1_is_read() {
    let snapshot = Snapshot::from_bytes(FIXTURE).unwrap();
    assert_eq!(snapshot.to_bytes(), FIXTURE, "and is still what is written");
    let fake = fake();
    let table = open(&fake).await;
    drop(table.put(&row("gone", 1)).await.unwrap());
    let restored = table.restore(&snapshot).await.unwrap();
    assert_eq!(restored.receipts.len(), 3);
    table.close().await.unwrap();
    assert_eq!((fake.item_count(TABLE), stored_n(&fake, "a")), (1, Some(2)));
}

#[test]
fn a_cut_or_changed_snapshot_is_refused() {
    for end in 0..FIXTURE.len() {
        Snapshot::from_bytes(&FIXTURE[..end]).expect_err("cut");
    }
    for place in 0..FIXTURE.len() {
        for bit in [1, 4, 128] {
            let mut bytes = FIXTURE.to_vec();
            bytes[place] ^= bit;
            Snapshot::from_bytes(&bytes).expect_err("changed");
        }
    }
    let behind = [FIXTURE, b"x"].concat();
    assert!(matches!(
        Snapshot::from_bytes(&behind),
        Err(SnapshotError::Damaged(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fits_no_more_fails_and_nothing_is_submitted() {
    let fake = fake();
    fake.create_table(TableSpec::new("others"));
    let sink = DynamoDbSink::builder(&fake.client())
        .table(TABLE, TableSettings::default())
        .table("others", TableSettings::default())
        .open();
    let sink = sink.await.unwrap();
    let text = "x".repeat(409_600);
    let put = |data: String| {
        format!("{{\"call\":\"batch\",\"parts\":[{{\"kind\":\"put\",\"data\":{data}}}]}}\n")
    };
    let good = put(r#"{"pk":{"S":"a"}}"#.to_owned());
    let bad = put(format!(r#"{{"pk":{{"S":"b"}},"t":{{"S":"{text}"}}}}"#));
    for (first, second) in [(TABLE, "others"), ("others", TABLE)] {
        let lines = format!(
            "{{\"table\":\"{first}\",\"writes\":1}}\n{good}{{\"table\":\"{second}\",\"writes\":2}}\n{good}{bad}"
        );
        let snapshot = Snapshot::from_bytes(&of_lines(&lines, 3)).unwrap();
        let error = sink.restore(&snapshot).await.unwrap_err();
        let SnapshotError::Write { table, place, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((table.as_str(), *place), (second, 1));
        sink.flush().await.unwrap();
        assert_eq!((fake.item_count(TABLE), fake.item_count("others")), (0, 0));
    }
    let lines = format!("{{\"table\":\"third\",\"writes\":1}}\n{good}");
    let unknown = Snapshot::from_bytes(&of_lines(&lines, 1)).unwrap();
    let error = sink.restore(&unknown).await.unwrap_err();
    assert!(matches!(
        error,
        SnapshotError::UnknownTable { writes: 1, .. }
    ));
    // One table alone takes what is its own, if it is named at all.
    let table = sink.table(TABLE).unwrap();
    let error = table.restore(&unknown).await.unwrap_err();
    assert!(matches!(
        error,
        SnapshotError::UnknownTable { writes: 1, .. }
    ));
    let named = format!("{{\"table\":\"{TABLE}\",\"writes\":0}}\n{lines}");
    let named = Snapshot::from_bytes(&of_lines(&named, 1)).unwrap();
    assert!(table.restore(&named).await.unwrap().receipts.is_empty());
    let empty = Snapshot::from_bytes(&of_lines("", 0)).unwrap();
    assert!(table.restore(&empty).await.unwrap().receipts.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Snapshot::from_bytes(&bytes);
        let _ = Snapshot::from_bytes(&[HEAD.as_bytes(), &bytes].concat());
    }

    #[test]
    fn arbitrary_lines_never_panic(lines in "[\\PC\n]{0,200}", writes in 0_usize..4) {
        let _ = Snapshot::from_bytes(&of_lines(&lines, writes));
    }
}
