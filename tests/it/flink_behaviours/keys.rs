//! Keys of records.

use super::*;

#[tokio::test(start_paused = true)]
async fn partition_and_sort_keys_are_told_apart() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE).sort("sk", KeyKind::String));
    let table = open(&fake, settings().coalesce(true)).await;
    let keys = [
        ("ab", "cd"),
        ("a", "bcd"),
        ("abc", "d"),
        ("a$", "b"),
        ("a", "$b"),
        ("a|b", "c"),
        ("a", "b|c"),
    ];
    let receipts = keys
        .iter()
        .map(|(pk, sk)| {
            table
                .put(&json!({ "pk": pk, "sk": sk }))
                .try_submit()
                .expect("room")
        })
        .collect();
    all_written(receipts).await;
    assert_eq!(fake.item_count(TABLE), keys.len());
    assert_eq!(sizes(&fake), [keys.len()], "different keys share a batch");
}

#[tokio::test(start_paused = true)]
async fn a_put_and_a_delete_of_one_item_have_equal_keys() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(
        TableSpec::new(TABLE)
            .partition("pk", KeyKind::Number)
            .sort("sk", KeyKind::Binary),
    );
    let table = open(&fake, settings()).await;
    let keys = |number: &str| {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::N(number.to_owned())),
            ("sk".to_owned(), AttributeValue::B(Blob::new([0, 255, 34]))),
        ])
    };
    let mut whole = keys("1");
    whole.insert("n".to_owned(), AttributeValue::N("7".to_owned()));
    let receipts = vec![
        table.put_item(&whole).try_submit().expect("room"),
        // The same number, written otherwise.
        table.delete_item(&keys("1.0")).try_submit().expect("room"),
        table.put_item(&keys("10e-1")).try_submit().expect("room"),
        table.delete_item(&keys("1.00")).try_submit().expect("room"),
    ];
    all_written(receipts).await;
    assert_eq!(sizes(&fake), [1; 4], "one after the other");
    assert_eq!(fake.item_count(TABLE), 0);
}

#[tokio::test(start_paused = true)]
async fn empty_or_missing_key_parts_are_rejected() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE).sort("sk", KeyKind::String));
    let table = open(&fake, settings()).await;
    let wrong = [
        (json!({ "pk": "a" }), "sk"),
        (json!({ "sk": "a" }), "pk"),
        (json!({ "pk": "", "sk": "a" }), "pk"),
        (json!({ "pk": "a", "sk": "" }), "sk"),
        (json!({ "pk": null, "sk": "a" }), "pk"),
        (json!({ "pk": 1, "sk": "a" }), "pk"),
    ];
    for (record, attribute) in wrong {
        for write in [table.put(&record), table.delete(&record)] {
            let error = write.await.expect_err("no key");
            assert!(error.is_record(), "{error}");
            assert!(error.to_string().contains(attribute), "{error}");
        }
    }
    assert!(batches(&fake).is_empty());
}
