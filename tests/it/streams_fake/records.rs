//! What a change leaves in the stream.

use aws_sdk_dynamodb::types::builders::TransactWriteItemBuilder;
use aws_sdk_dynamodb::types::{
    Delete, DeleteRequest, PutRequest, TransactWriteItem, Update, WriteRequest,
};
use aws_sdk_dynamodbstreams::types::{OperationType, StreamViewType};
use dynamodb_connector::test_util::FaultyDynamoDb;
use dynamodb_connector::{StreamView, TableSpec};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_change_is_told_with_its_key_and_both_images() {
    let fake = table(1);
    put(&fake, "a", "1").await;
    put(&fake, "a", "2").await;
    let delete = fake.client().delete_item().table_name(TABLE);
    delete.key("pk", s("a")).send().await.expect("deleted");
    let records = drain(&fake, &only_shard(&fake)).await;
    let names: Vec<_> = records.iter().map(|r| r.event_name.clone()).collect();
    let wanted = [
        OperationType::Insert,
        OperationType::Modify,
        OperationType::Remove,
    ];
    assert_eq!(names, wanted.map(Some));
    let [inserted, modified, removed] = &records[..] else {
        panic!("{} records", records.len());
    };
    assert_eq!(inserted.event_source.as_deref(), Some("aws:dynamodb"));
    assert_eq!(inserted.event_version.as_deref(), Some("1.1"));
    assert_eq!(inserted.aws_region.as_deref(), Some("us-east-1"));
    assert_ne!(inserted.event_id, modified.event_id);
    assert!(inserted.user_identity.is_none());
    let change = modified.dynamodb.as_ref().expect("a change");
    assert_eq!(text(change.new_image.as_ref().expect("new"), "v"), "2");
    assert_eq!(text(change.old_image.as_ref().expect("old"), "v"), "1");
    assert_eq!(text(change.keys.as_ref().expect("a key"), "pk"), "a");
    // The key's 3 bytes, and 5 of each image.
    assert_eq!(change.size_bytes, Some(13));
    assert_eq!(
        change.stream_view_type,
        Some(StreamViewType::NewAndOldImages)
    );
    let time = change.approximate_creation_date_time.expect("a time");
    assert_eq!(time.subsec_nanos(), 0);
    let change = removed.dynamodb.as_ref().expect("a change");
    assert!(change.new_image.is_none() && change.old_image.is_some());
}

#[tokio::test(start_paused = true)]
async fn numbers_ascend_through_all_shards() {
    let fake = table(4);
    put_many(&fake, 40).await;
    let mut numbers = Vec::new();
    for shard in fake.shards(TABLE) {
        let records = drain(&fake, shard.id()).await;
        let own: Vec<String> = records.iter().map(number).collect();
        assert!(own.is_sorted() && own.iter().all(|number| number.len() == 21));
        assert_eq!(
            own.first().map(String::as_str),
            shard.first_sequence_number()
        );
        assert_eq!(own.last().map(String::as_str), shard.last_sequence_number());
        assert_eq!(own.len(), shard.record_count());
        assert!(!own.is_empty(), "keys spread over the shards");
        numbers.extend(own);
    }
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_changes_nothing_leaves_no_record() {
    let fake = table(1);
    put(&fake, "a", "1").await;
    put(&fake, "a", "1").await;
    let client = fake.client();
    let delete = client.delete_item().table_name(TABLE).key("pk", s("b"));
    delete.send().await.expect("deleted");
    let update = client.update_item().table_name(TABLE).key("pk", s("a"));
    let update = update.update_expression("SET v = :v");
    let update = update.expression_attribute_values(":v", s("1"));
    update.send().await.expect("updated");
    let refused = client.put_item().table_name(TABLE).item("pk", s("a"));
    let refused = refused.condition_expression("attribute_not_exists(pk)");
    refused.send().await.expect_err("a failed condition");
    assert_eq!(drain(&fake, &only_shard(&fake)).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn batches_updates_and_transactions_leave_records_in_their_order() {
    let fake = table(1);
    let client = fake.client();
    let puts = ["a", "b"].map(|key| {
        let put = PutRequest::builder()
            .item("pk", s(key))
            .build()
            .expect("a put");
        WriteRequest::builder().put_request(put).build()
    });
    let batch = client
        .batch_write_item()
        .request_items(TABLE, puts.to_vec());
    batch.send().await.expect("written");
    let update = client.update_item().table_name(TABLE).key("pk", s("c"));
    let update = update.update_expression("ADD n :one");
    let one = AttributeValue::N("1".to_owned());
    let update = update.expression_attribute_values(":one", one);
    update.send().await.expect("updated");
    let delete = Delete::builder().table_name(TABLE).key("pk", s("a"));
    let set = Update::builder().table_name(TABLE).key("pk", s("b"));
    let set = set.update_expression("SET v = :v");
    let set = set.expression_attribute_values(":v", s("1"));
    let actions = [
        TransactWriteItem::builder().delete(delete.build().expect("a delete")),
        TransactWriteItem::builder().update(set.build().expect("an update")),
    ];
    let transaction = client.transact_write_items();
    let actions = actions.map(TransactWriteItemBuilder::build).to_vec();
    let transaction = transaction.set_transact_items(Some(actions));
    transaction.send().await.expect("written");
    let delete = DeleteRequest::builder().key("pk", s("b")).build();
    let delete = WriteRequest::builder().delete_request(delete.expect("a delete"));
    let batch = client.batch_write_item();
    let batch = batch.request_items(TABLE, vec![delete.build()]);
    batch.send().await.expect("written");
    let records = drain(&fake, &only_shard(&fake)).await;
    assert_eq!(keys(&records), ["a", "b", "c", "a", "b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn the_view_decides_which_images_are_shown() {
    for (view, new, old) in [
        (StreamView::KeysOnly, false, false),
        (StreamView::NewImage, true, false),
        (StreamView::OldImage, false, true),
    ] {
        let fake = FaultyDynamoDb::new();
        fake.create_table(TableSpec::new(TABLE).stream(view));
        put(&fake, "a", "1").await;
        put(&fake, "a", "2").await;
        let records = drain(&fake, &only_shard(&fake)).await;
        let change = records[1].dynamodb.as_ref().expect("a change");
        let shown = (change.new_image.is_some(), change.old_image.is_some());
        assert_eq!(shown, (new, old), "{view:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_item_is_deleted_by_the_service() {
    let fake = table(1);
    put(&fake, "a", "1").await;
    assert!(fake.expire_item(TABLE, [("pk", s("a"))]));
    assert!(!fake.expire_item(TABLE, [("pk", s("a"))]));
    assert_eq!(fake.item_count(TABLE), 0);
    let records = drain(&fake, &only_shard(&fake)).await;
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].event_name, Some(OperationType::Remove));
    let by = records[1].user_identity.as_ref().expect("an author");
    assert_eq!(by.r#type.as_deref(), Some("Service"));
    assert_eq!(by.principal_id.as_deref(), Some("dynamodb.amazonaws.com"));
}

#[tokio::test(start_paused = true)]
async fn a_record_of_an_unknown_kind_is_served_in_its_place() {
    let fake = table(1);
    let shard = only_shard(&fake);
    put(&fake, "a", "1").await;
    let record = r#"{"eventName": "TRUNCATE", "dynamodb": {"Keys": {"pk": {"S": "b"}}}}"#;
    let given = fake.inject_stream_record(TABLE, &shard, record);
    put(&fake, "c", "1").await;
    let records = drain(&fake, &shard).await;
    assert_eq!(keys(&records), ["a", "b", "c"]);
    assert_eq!(Some(number(&records[1])), given);
    let name = records[1].event_name.as_ref().expect("a kind");
    assert_eq!(name.as_str(), "TRUNCATE");
    assert_eq!(fake.inject_stream_record(TABLE, &shard, "{"), None);
    assert_eq!(fake.inject_stream_record(TABLE, "none", "{}"), None);
}
