//! Keys are one where DynamoDB takes them for one: the last of them stands, and no batch holds two.

use aws_sdk_dynamodb::types::ScalarAttributeType::{B, N};

use super::{Local, all_written, item};
use crate::conformance::harness::{b, n, s};

#[tokio::test]
async fn numbers_written_in_different_ways_are_one_key() {
    let Some(local) = Local::with_key(
        "keys::numbers_written_in_different_ways_are_one_key",
        N,
        None,
    )
    .await
    else {
        return;
    };
    let table = local.open().await;
    let one = ["1", "1.0", "1e0", "0.1E1", "10e-1", "+1", "01.00"];
    let zero = ["0", "-0", "0.00", "0e9"];
    let great = [
        "12345678901234567890123456789012345678",
        "1.2345678901234567890123456789012345678e37",
    ];
    let mut receipts = Vec::new();
    for ways in [&one[..], &zero[..], &great[..]] {
        for way in ways {
            let put = item([("pk", n(way)), ("last", s(*way))]);
            receipts.push(table.put_item(&put).await.unwrap());
        }
    }
    all_written(receipts).await;
    let stats = table.stats();
    assert_eq!(
        stats.failed_requests, 0,
        "no batch held a key twice: {stats:?}"
    );
    let mut last: Vec<String> = local
        .items()
        .await
        .iter()
        .map(|item| item["last"].as_s().unwrap().clone())
        .collect();
    last.sort();
    assert_eq!(
        last,
        ["01.00", "0e9", "1.2345678901234567890123456789012345678e37"]
    );
    let gone = table.delete_item(&item([("pk", n("100e-2"))]));
    assert!(gone.confirm().await.unwrap().is_written());
    assert_eq!(local.get(item([("pk", n("1"))])).await, None);
    table.close().await.unwrap();
    local.end().await;
}

#[tokio::test]
async fn numbers_that_differ_in_their_38th_digit_are_two_keys() {
    let Some(local) = Local::with_key(
        "keys::numbers_that_differ_in_their_38th_digit_are_two_keys",
        N,
        None,
    )
    .await
    else {
        return;
    };
    let table = local.open().await;
    let keys = [
        "12345678901234567890123456789012345678",
        "12345678901234567890123456789012345679",
        "-12345678901234567890123456789012345678",
        "1.2345678901234567890123456789012345678E-100",
    ];
    let mut receipts = Vec::new();
    for key in keys {
        receipts.push(table.put_item(&item([("pk", n(key))])).await.unwrap());
    }
    all_written(receipts).await;
    assert_eq!(local.items().await.len(), keys.len());
    let long = "1".repeat(39);
    let error = table.put_item(&item([("pk", n(&long))])).await.unwrap_err();
    assert!(error.is_record(), "{error}");
    table.close().await.unwrap();
    local.end().await;
}

#[tokio::test]
async fn binary_keys_are_compared_by_their_bytes() {
    let Some(local) =
        Local::with_key("keys::binary_keys_are_compared_by_their_bytes", B, Some(B)).await
    else {
        return;
    };
    let table = local.open().await;
    let keys: [(&[u8], &[u8]); 5] = [
        (&[0], &[0]),
        (&[0], &[0, 0]),
        (&[0, 0], &[0]),
        (&[255], &[254]),
        (b"a", b"A"),
    ];
    let mut receipts = Vec::new();
    for round in ["1", "2", "3"] {
        for (partition, sort) in keys {
            let put = item([("pk", b(partition)), ("sk", b(sort)), ("n", n(round))]);
            receipts.push(table.put_item(&put).await.unwrap());
        }
    }
    all_written(receipts).await;
    assert_eq!(table.stats().failed_requests, 0);
    for (partition, sort) in keys {
        let key = item([("pk", b(partition)), ("sk", b(sort))]);
        assert_eq!(local.get(key).await.unwrap()["n"], n("3"));
    }
    assert_eq!(local.items().await.len(), keys.len());
    table.close().await.unwrap();
    local.end().await;
}
