//! Streams as tables tell of them, and are told.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType, TableDescription, TableStatus,
};
use dynamodb_connector::TableSpec;
use dynamodb_connector::test_util::FaultyDynamoDb;

use super::*;

fn on(view: StreamViewType) -> StreamSpecification {
    let specification = StreamSpecification::builder().stream_enabled(true);
    let specification = specification.stream_view_type(view).build();
    specification.expect("complete")
}

fn off() -> StreamSpecification {
    let specification = StreamSpecification::builder().stream_enabled(false);
    specification.build().expect("complete")
}

async fn described(fake: &FaultyDynamoDb) -> TableDescription {
    let describe = fake.client().describe_table().table_name(TABLE);
    let answer = describe.send().await.expect("described");
    answer.table.expect("a table")
}

async fn update(fake: &FaultyDynamoDb, stream: StreamSpecification) -> Result<(), String> {
    let update = fake.client().update_table().table_name(TABLE);
    let answer = update.stream_specification(stream).send().await;
    answer.map(drop).map_err(|error| code(&error))
}

#[tokio::test(start_paused = true)]
async fn a_table_is_created_with_a_stream() {
    let fake = FaultyDynamoDb::new();
    let key = KeySchemaElement::builder().attribute_name("pk");
    let attribute = AttributeDefinition::builder().attribute_name("pk");
    let create = fake.client().create_table().table_name(TABLE);
    let create = create
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key.key_type(KeyType::Hash).build().expect("complete"))
        .attribute_definitions(
            attribute
                .attribute_type(ScalarAttributeType::S)
                .build()
                .expect("complete"),
        )
        .stream_specification(on(StreamViewType::NewImage));
    let created = create.send().await.expect("created");
    let created = created.table_description.expect("a table");
    assert_eq!(created.latest_stream_arn, fake.stream_arn(TABLE));
    put(&fake, "a", "1").await;
    assert_eq!(drain(&fake, &only_shard(&fake)).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_update_switches_the_stream_on_and_off() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    let table = described(&fake).await;
    assert!(table.stream_specification.is_none() && table.latest_stream_arn.is_none());
    let refused = Err("ValidationException".to_owned());
    assert_eq!(update(&fake, off()).await, refused);
    let view = StreamViewType::OldImage;
    update(&fake, on(view.clone())).await.expect("switched on");
    assert_eq!(update(&fake, on(view.clone())).await, refused);
    let table = described(&fake).await;
    let first = table.latest_stream_arn.expect("a stream");
    assert!(first.ends_with(&table.latest_stream_label.expect("a label")));
    assert_eq!(table.stream_specification, Some(on(view.clone())));
    update(&fake, off()).await.expect("switched off");
    let table = described(&fake).await;
    assert!(table.stream_specification.is_none());
    assert_eq!(table.latest_stream_arn.as_ref(), Some(&first));
    update(&fake, on(view)).await.expect("switched on");
    let table = described(&fake).await;
    assert_ne!(table.latest_stream_arn.expect("a stream"), first);
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_a_deleted_table_can_still_be_read() {
    let fake = table(1);
    let arn = fake.stream_arn(TABLE).expect("a stream");
    put(&fake, "a", "1").await;
    let delete = fake.client().delete_table().table_name(TABLE);
    delete.send().await.expect("deleted");
    assert_eq!(fake.stream_arn(TABLE), None);
    let client = fake.streams_client();
    let ask = client.describe_stream().stream_arn(&arn).send().await;
    let stream = ask.expect("described").stream_description.expect("one");
    let shard = stream.shards()[0].shard_id.clone().expect("a name");
    let ask = client.get_shard_iterator().stream_arn(arn).shard_id(shard);
    let ask = ask.shard_iterator_type(ShardIteratorType::TrimHorizon);
    let iterator = ask.send().await.expect("an iterator").shard_iterator;
    let (records, next) = read(&client, &iterator.expect("one"))
        .await
        .expect("a page");
    assert_eq!((records.len(), next), (1, None));
}

#[tokio::test]
async fn a_stream_is_read_over_http() {
    let fake = table(1);
    let server = fake.serve().await.expect("a server");
    put(&fake, "a", "1").await;
    let shard = only_shard(&fake);
    let iterator = iterator_for(&fake, &shard, ShardIteratorType::TrimHorizon, None);
    let client = server.streams_client();
    let (records, _) = read(&client, &iterator.await).await.expect("a page");
    assert_eq!(keys(&records), ["a"]);
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_table_can_take_time_to_be_made() {
    let fake = FaultyDynamoDb::new();
    fake.create_tables_slowly(Duration::from_secs(5));
    let key = KeySchemaElement::builder().attribute_name("pk");
    let attribute = AttributeDefinition::builder().attribute_name("pk");
    let attribute = attribute.attribute_type(ScalarAttributeType::S);
    let client = fake.client();
    let create = client.create_table().table_name(TABLE);
    let create = create
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key.key_type(KeyType::Hash).build().expect("complete"))
        .attribute_definitions(attribute.build().expect("complete"));
    create.send().await.expect("created");
    assert_eq!(
        described(&fake).await.table_status,
        Some(TableStatus::Creating)
    );
    let scan = client.scan().table_name(TABLE);
    let error = scan.clone().send().await.expect_err("not there yet");
    assert_eq!(code(&error), "ResourceNotFoundException");
    let delete = client.delete_table().table_name(TABLE);
    let error = delete.send().await.expect_err("not there yet");
    assert_eq!(code(&error), "ResourceInUseException");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        described(&fake).await.table_status,
        Some(TableStatus::Active)
    );
    scan.send().await.expect("scanned");
}
