//! What fits a limit exactly is written, what is beyond it by one is refused at submit.

use aws_sdk_dynamodb::types::ScalarAttributeType::{B, S};
use dynamodb_connector::sink::{SubmitError, TableSettings};

use super::{Local, all_written, item, pk};
use crate::conformance::harness::{b, s};
use crate::setup::{Row, row};

/// Names the attribute or the item, the size and the limit.
fn refused(error: &SubmitError, words: &[&str]) {
    assert!(
        error.is_record(),
        "it is the record that is at fault: {error}"
    );
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}

#[tokio::test]
async fn an_item_of_exactly_400_kb_is_written_and_one_byte_more_is_refused() {
    let Some(local) =
        Local::new("limits::an_item_of_exactly_400_kb_is_written_and_one_byte_more_is_refused")
            .await
    else {
        return;
    };
    let table = local.open().await;
    // `pk` and its one byte, `text` and its content.
    let of = |key: &str, bytes: usize| {
        item([("pk", s(key)), ("text", s("x".repeat(bytes - 2 - 1 - 4)))])
    };
    let batched = table.put_item(&of("a", 409_600)).await.unwrap();
    let single = table
        .put_item(&of("b", 409_600))
        .condition("attribute_not_exists(pk)");
    let single = single.await.unwrap();
    let transaction = table
        .transaction()
        .add(table.put_item(&of("c", 409_600)))
        .await
        .unwrap();
    all_written(vec![batched, single, transaction]).await;
    for key in ["a", "b", "c"] {
        let found = local.get(pk(key)).await;
        assert!(found == Some(of(key, 409_600)), "{key} is another");
    }

    let words = ["409601", "409600"];
    refused(
        &table.put_item(&of("d", 409_601)).await.unwrap_err(),
        &words,
    );
    let conditional = table
        .put_item(&of("d", 409_601))
        .condition("attribute_not_exists(pk)");
    refused(&conditional.await.unwrap_err(), &words);
    let transaction = table.transaction().add(table.put_item(&of("d", 409_601)));
    refused(&transaction.await.unwrap_err(), &words);
    assert_eq!(local.get(pk("d")).await, None);
    table.close().await.unwrap();
    local.end().await;
}

#[tokio::test]
async fn full_batches_take_25_writes() {
    let Some(local) = Local::new("limits::full_batches_take_25_writes").await else {
        return;
    };
    let table = local
        .open_with(TableSettings::default().concurrency(1))
        .await;
    let mut receipts = Vec::new();
    for n in 0..250 {
        receipts.push(table.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    all_written(receipts).await;
    let stats = table.stats();
    // The first ones may go before the batch is full.
    assert!((10..=12).contains(&stats.requests), "{stats:?}");
    assert_eq!(stats.failed_requests, 0);
    let mut items: Vec<Row> = local
        .items()
        .await
        .into_iter()
        .map(|item| serde_dynamo::from_item(item).unwrap())
        .collect();
    items.sort_by_key(|row| row.n);
    let wanted: Vec<Row> = (0..250).map(|n| row(format!("k{n}"), n)).collect();
    assert_eq!(items, wanted);
    table.close().await.unwrap();
    local.end().await;
}

/// Text whose every byte takes six on the wire: 25 such items have far more than a request may.
#[tokio::test]
async fn batches_stay_just_below_16_mb() {
    let Some(local) = Local::new("limits::batches_stay_just_below_16_mb").await else {
        return;
    };
    let table = local
        .open_with(TableSettings::default().concurrency(1))
        .await;
    // 6 x 214,000 bytes of text: 13 to a request of 16,777,216 bytes, with 85 KB to spare.
    let of = |n: usize| {
        item([
            ("pk", s(format!("k{n}"))),
            ("text", s("\u{1}".repeat(214_000))),
        ])
    };
    let mut receipts = Vec::new();
    for n in 0..40 {
        receipts.push(table.put_item(&of(n)).await.unwrap());
    }
    all_written(receipts).await;
    let stats = table.stats();
    // Four hold 40 of them only if three hold 13; the first may go before the batch is full.
    assert!((4..=5).contains(&stats.requests), "{stats:?}");
    assert_eq!(stats.failed_requests, 0, "none was too large: {stats:?}");
    for n in [0, 17, 39] {
        assert!(
            local.get(pk(format!("k{n}"))).await == Some(of(n)),
            "{n} is another"
        );
    }
    table.close().await.unwrap();
    local.end().await;
}

#[tokio::test]
async fn keys_of_the_greatest_length_are_written_and_longer_ones_refused() {
    for kind in [S, B] {
        let test = "limits::keys_of_the_greatest_length_are_written_and_longer_ones_refused";
        let Some(local) = Local::with_key(test, kind.clone(), Some(kind.clone())).await else {
            return;
        };
        let key = |partition: usize, sort: usize| {
            let value = |bytes: usize| match kind {
                S => s("é".repeat(bytes / 2) + &"x".repeat(bytes % 2)),
                _ => b(&vec![255; bytes]),
            };
            item([("pk", value(partition)), ("sk", value(sort))])
        };
        let table = local.open().await;
        let longest = table.put_item(&key(2_048, 1_024)).confirm().await.unwrap();
        assert!(longest.is_written(), "{longest:?}");
        let found = local.get(key(2_048, 1_024)).await;
        assert_eq!(found, Some(key(2_048, 1_024)));
        let error = table.put_item(&key(2_049, 1)).await.unwrap_err();
        refused(&error, &["`pk`", "2049", "2048"]);
        let error = table.delete_item(&key(1, 1_025)).await.unwrap_err();
        refused(&error, &["`sk`", "1025", "1024"]);
        let gone = table.delete_item(&key(2_048, 1_024)).confirm().await;
        assert!(gone.unwrap().is_written());
        assert_eq!(local.items().await, []);
        table.close().await.unwrap();
        local.end().await;
    }
}
