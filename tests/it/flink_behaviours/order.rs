//! Mixed puts and deletes, and the writes of one key.

use super::*;

#[tokio::test(start_paused = true)]
async fn mixed_puts_and_deletes_keep_their_order() {
    let fake = service();
    fake.inject(Fault::unprocessed_all());
    fake.inject(Fault::internal_error().on(Operation::BatchWriteItem));
    let table = open(&fake, settings()).await;
    let receipts = vec![
        put(&table, "a", 1),
        delete(&table, "a"),
        put(&table, "a", 2),
        put(&table, "a", 3),
        delete(&table, "a"),
        put(&table, "a", 4),
    ];
    all_written(receipts).await;
    let put = |n: u64| (AppliedKind::Put, Some(n.to_string()));
    let gone = (AppliedKind::Delete, None);
    assert_eq!(
        applied(&fake),
        [put(1), gone.clone(), put(2), put(3), gone, put(4)]
    );
    assert!(fake.overlaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn coalescing_keeps_the_latest_put() {
    let fake = service();
    let table = open(&fake, settings().coalesce(true)).await;
    let replaced = vec![
        put(&table, "a", 1),
        delete(&table, "a"),
        put(&table, "a", 2),
    ];
    let last = put(&table, "a", 3);
    assert!(last.await.is_written());
    for receipt in replaced {
        assert!(matches!(receipt.await, Outcome::Superseded));
    }
    assert_eq!(applied(&fake), [(AppliedKind::Put, Some("3".to_owned()))]);
}

#[tokio::test(start_paused = true)]
async fn coalescing_keeps_the_latest_delete() {
    let fake = service();
    let table = open(&fake, settings().coalesce(true)).await;
    let replaced = put(&table, "a", 1);
    let last = delete(&table, "a");
    assert!(last.await.is_written());
    assert!(matches!(replaced.await, Outcome::Superseded));
    assert_eq!(applied(&fake), [(AppliedKind::Delete, None)]);
}

#[tokio::test(start_paused = true)]
async fn coalescing_goes_by_the_whole_composite_key() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE).sort("sk", KeyKind::Number));
    let table = open(&fake, settings().coalesce(true)).await;
    let put = |pk: &str, sk: f64, n: u64| {
        let write = table.put(&json!({ "pk": pk, "sk": sk, "n": n }));
        write.try_submit().expect("room")
    };
    let replaced = vec![put("a", 1.0, 1), put("a", 1.0, 2)];
    let last = vec![put("a", 2.0, 3), put("b", 1.0, 4), put("a", 1.0, 5)];
    all_written(last).await;
    for receipt in replaced {
        assert!(matches!(receipt.await, Outcome::Superseded));
    }
    let mut numbers: Vec<_> = applied(&fake).into_iter().filter_map(|(_, n)| n).collect();
    numbers.sort();
    assert_eq!(numbers, ["3", "4", "5"]);
}

#[tokio::test(start_paused = true)]
async fn duplicates_without_coalescing_are_all_written_in_order() {
    let fake = service();
    let table = open(&fake, settings()).await;
    all_written((1..=5).map(|n| put(&table, "a", n)).collect()).await;
    let numbers: Vec<_> = applied(&fake).into_iter().filter_map(|(_, n)| n).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
    assert_eq!(
        sizes(&fake),
        [1; 5],
        "DynamoDB refuses a batch with one key twice"
    );
}
