//! State that is stored, and checkpoints.

use super::*;

fn every_type() -> HashMap<String, AttributeValue> {
    use AttributeValue as V;
    let list = vec![V::Null(true), V::N("-0.5".into()), V::L(vec![])];
    HashMap::from([
        ("pk".to_owned(), s("\u{1F980} \"quoted\\\" \n\u{0}")),
        ("long".to_owned(), s(&"x".repeat(100_000))),
        ("empty".to_owned(), s("")),
        (
            "n".to_owned(),
            V::N("12345678901234567890123456789012345678".into()),
        ),
        (
            "b".to_owned(),
            V::B(Blob::new((0..=255).collect::<Vec<u8>>())),
        ),
        ("bool".to_owned(), V::Bool(false)),
        ("null".to_owned(), V::Null(true)),
        ("l".to_owned(), V::L(list)),
        (
            "m".to_owned(),
            V::M(HashMap::from([("x".to_owned(), V::M(HashMap::new()))])),
        ),
        ("ss".to_owned(), V::Ss(vec!["a".into(), "b".into()])),
        ("ns".to_owned(), V::Ns(vec!["1".into(), "2".into()])),
        ("bs".to_owned(), V::Bs(vec![Blob::new([1]), Blob::new([2])])),
    ])
}

/// Takes a snapshot of what `submit` queues at a sink that gets no answer, and ends that sink.
async fn state(submit: impl FnOnce(&TableSink) -> Vec<Receipt>) -> Vec<u8> {
    let fake = service();
    let table = open(&fake, settings().concurrency(1)).await;
    fake.inject(Fault::never_answer().always());
    let receipts = submit(&table);
    let snapshot = table.snapshot().await.expect("a snapshot");
    assert_eq!(snapshot.len(), receipts.len());
    table.abort().await;
    snapshot.to_bytes()
}

#[tokio::test(start_paused = true)]
async fn state_of_every_attribute_type_goes_round() {
    let whole = every_type();
    let bytes = state(|table| {
        vec![
            table.put_item(&whole).try_submit().expect("room"),
            table.put(&item("a", 1)).try_submit().expect("room"),
            table.delete(&key("a")).try_submit().expect("room"),
        ]
    })
    .await;
    let fake = service();
    let table = open(&fake, settings()).await;
    let snapshot = Snapshot::from_bytes(&bytes).expect("read");
    assert_eq!(snapshot.to_bytes(), bytes);
    let restored = table.restore(&snapshot).await.expect("restored");
    assert!(restored.handed_back.is_empty());
    assert_eq!(restored.receipts.len(), 3);
    all_written(restored.receipts).await;
    assert_eq!(fake.items(TABLE), [whole]);
    let kinds: Vec<_> = fake
        .applied()
        .iter()
        .map(dynamodb_connector::test_util::AppliedWrite::kind)
        .collect();
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == AppliedKind::Delete)
            .count(),
        1
    );
    assert_eq!(
        kinds.last(),
        Some(&AppliedKind::Delete),
        "the delete came after its put"
    );
}

#[tokio::test(start_paused = true)]
async fn state_of_an_unknown_version_is_rejected() {
    let bytes = state(|table| vec![put(table, "a", 1)]).await;
    let text = String::from_utf8(bytes).expect("text");
    let newer = text.replacen(r#""version":1"#, r#""version":2"#, 1);
    assert_ne!(text, newer);
    let refused = Snapshot::from_bytes(newer.as_bytes());
    assert!(
        matches!(refused, Err(SnapshotError::Version { found: 2, .. })),
        "{refused:?}"
    );
    let other = text.replacen("sink-snapshot", "other", 1);
    let refused = Snapshot::from_bytes(other.as_bytes());
    assert!(
        matches!(refused, Err(SnapshotError::Malformed { .. })),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn state_of_an_unknown_type_is_rejected() {
    let bytes = state(|table| vec![put(table, "a", 1)]).await;
    let text = String::from_utf8(bytes).expect("text");
    for (known, unknown) in [
        (r#""call":"batch""#, r#""call":"stream""#),
        (r#""kind":"put""#, r#""kind":"merge""#),
        (r#""kind":"put""#, r#""kind":"update""#),
    ] {
        let changed = text.replacen(known, unknown, 1);
        assert_ne!(text, changed);
        let refused = Snapshot::from_bytes(changed.as_bytes());
        assert!(
            matches!(refused, Err(SnapshotError::Malformed { line: 3, .. })),
            "{refused:?}"
        );
    }
    // A change that leaves it readable is found by its checksum; one cut short by its end.
    let changed = text.replacen(r#""N":"1""#, r#""N":"2""#, 1);
    assert_ne!(text, changed);
    let refused = Snapshot::from_bytes(changed.as_bytes());
    assert!(
        matches!(refused, Err(SnapshotError::Damaged(_))),
        "{refused:?}"
    );
    for cut in 0..text.len() {
        assert!(
            Snapshot::from_bytes(&text.as_bytes()[..cut]).is_err(),
            "cut at {cut}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_holds_what_is_in_flight_and_the_rest() {
    let fake = service();
    let table = open(&fake, settings().concurrency(1).max_batch_items(2)).await;
    fake.inject(Fault::delay_after(Duration::from_secs(5)).on(Operation::BatchWriteItem));
    let receipts: Vec<_> = (0..5).map(|n| put(&table, &format!("k{n}"), n)).collect();
    tokio::time::sleep(ms(5)).await;
    assert_eq!(fake.in_flight(), 1);
    let asked = tokio::time::timeout(ms(1), table.snapshot()).await;
    let snapshot = asked.expect("it waits for no request").expect("a snapshot");
    assert_eq!(snapshot.len(), 5);
    let text = String::from_utf8(snapshot.to_bytes()).expect("text");
    assert_eq!(text.matches(r#""may_have_applied":true"#).count(), 2);
    all_written(receipts).await;
    assert!(table.snapshot().await.expect("a snapshot").is_empty());
}

#[tokio::test(start_paused = true)]
async fn several_states_merge() {
    let one = state(|table| vec![put(table, "a", 1), put(table, "b", 1)]).await;
    let two = state(|table| vec![put(table, "a", 2), put(table, "c", 2)]).await;
    let read = |bytes: &[u8]| Snapshot::from_bytes(bytes).expect("read");
    let merged = read(&one).merge(read(&two));
    assert_eq!(merged.len(), 4);
    let merged = read(&merged.to_bytes());
    let fake = service();
    let table = open(&fake, settings()).await;
    let restored = table.restore(&merged).await.expect("restored");
    all_written(restored.receipts).await;
    let found = ["a", "b", "c"].map(|pk| stored(&fake, pk).expect("there"));
    assert_eq!(found, ["2", "1", "2"], "the first one's writes come first");
}

#[tokio::test(start_paused = true)]
async fn an_oversize_restored_record_fails() {
    let bytes = state(|table| {
        vec![
            put(table, "a", 1),
            table
                .put(&json!({ "pk": "b", "x": "x".repeat(300_000) }))
                .try_submit()
                .expect("room"),
        ]
    })
    .await;
    let text = String::from_utf8(bytes).expect("text");
    let grown = text.replacen(&"x".repeat(300_000), &"x".repeat(450_000), 1);
    let (head, end) = grown.split_at(grown.find(r#"{"end""#).expect("an end"));
    let writes = end.contains(r#""writes":2"#);
    assert!(writes);
    let crc32 = crc32(head.as_bytes());
    let grown = format!("{head}{{\"end\":{{\"writes\":2,\"crc32\":{crc32}}}}}\n");
    let snapshot = Snapshot::from_bytes(grown.as_bytes()).expect("a whole snapshot");
    let fake = service();
    let table = open(&fake, settings()).await;
    let refused = table.restore(&snapshot).await;
    assert!(
        matches!(refused, Err(SnapshotError::Write { place: 1, .. })),
        "{refused:?}"
    );
    table.flush().await.expect("nothing was submitted");
    assert!(batches(&fake).is_empty(), "none was submitted");
}

/// CRC-32 (IEEE), as the format's documentation names it.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
