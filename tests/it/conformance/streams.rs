//! DynamoDB Streams.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    BillingMode, KeyType, ScalarAttributeType, StreamSpecification, StreamViewType,
};
use aws_sdk_dynamodbstreams::Client as Streams;
use aws_sdk_dynamodbstreams::types::ShardIteratorType::{
    AfterSequenceNumber, AtSequenceNumber, Latest, TrimHorizon,
};
use aws_sdk_dynamodbstreams::types::{OperationType, Record, ShardIteratorType, StreamStatus};

use super::harness::*;

streams_checks![
    a_change_is_told_with_its_images,
    a_write_that_changes_nothing_leaves_no_record,
    a_stream_tells_its_only_shard,
    a_table_tells_its_stream,
    each_kind_of_iterator_begins_at_its_place,
    a_page_of_records_ends_at_its_limit,
    keys_only_shows_no_images,
    a_disabled_stream_ends_its_shards,
    an_unknown_shard_is_not_found,
    an_unknown_stream_is_not_found,
    a_nonsense_iterator_is_refused,
    a_stream_is_switched_on_once,
    bad_sequence_numbers_are_refused,
    the_sizes_of_pages_are_checked,
    a_sequence_number_is_one_of_the_shards,
];

/// A table of its own for a check, with a stream: its name and the stream's ARN.
async fn streamed(client: &Client, view: StreamViewType) -> (String, String) {
    let table = next_name();
    let create = client.create_table().table_name(&table);
    let create = create
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key_element("pk", KeyType::Hash))
        .attribute_definitions(attribute("pk", ScalarAttributeType::S))
        .stream_specification(specification(Some(view)));
    let created = create.send().await.expect("a table").table_description;
    let arn = created.and_then(|table| table.latest_stream_arn);
    (table, arn.expect("a stream"))
}

fn specification(view: Option<StreamViewType>) -> StreamSpecification {
    let specification = StreamSpecification::builder().stream_enabled(view.is_some());
    let specification = specification.set_stream_view_type(view).build();
    specification.expect("complete")
}

fn item(pk: &str, value: &str) -> Item {
    Item::from([("pk".to_owned(), s(pk)), ("v".to_owned(), s(value))])
}

async fn shard(streams: &Streams, arn: &str) -> String {
    let answer = streams.describe_stream().stream_arn(arn).send().await;
    let stream = answer.expect("described").stream_description.expect("one");
    let shard = stream.shards().first().expect("a shard");
    shard.shard_id.clone().expect("a name")
}

async fn iterator(
    streams: &Streams,
    arn: &str,
    kind: ShardIteratorType,
    number: Option<&str>,
) -> String {
    let ask = streams.get_shard_iterator().stream_arn(arn);
    let ask = ask.shard_id(shard(streams, arn).await);
    let ask = ask.shard_iterator_type(kind);
    let ask = ask.set_sequence_number(number.map(str::to_owned));
    let answer = ask.send().await.expect("an iterator");
    answer.shard_iterator.expect("an iterator")
}

/// So many records behind an iterator, as soon as they are there, and the iterator after them.
async fn read(streams: &Streams, from: String, count: usize) -> (Vec<Record>, Option<String>) {
    let (mut records, mut next) = (Vec::new(), Some(from));
    // A record is visible some milliseconds after its put.
    for _ in 0..500 {
        let Some(iterator) = next.take() else { break };
        let ask = streams.get_records().shard_iterator(iterator);
        let page = ask.send().await.expect("a page");
        records.extend(page.records.unwrap_or_default());
        next = page.next_shard_iterator;
        if records.len() >= count {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(records.len(), count);
    (records, next)
}

async fn all(streams: &Streams, arn: &str, count: usize) -> Vec<Record> {
    let from = iterator(streams, arn, TrimHorizon, None).await;
    read(streams, from, count).await.0
}

fn number(record: &Record) -> &str {
    let change = record.dynamodb.as_ref().expect("a change");
    change.sequence_number.as_deref().expect("a number")
}

fn key(record: &Record) -> &str {
    let change = record.dynamodb.as_ref().expect("a change");
    let keys = change.keys.as_ref().expect("a key");
    keys["pk"].as_s().expect("a string")
}

async fn a_change_is_told_with_its_images(client: Client, streams: Streams) {
    let (table, arn) = streamed(&client, StreamViewType::NewAndOldImages).await;
    put(&client, &table, item("a", "1")).await;
    put(&client, &table, item("a", "22")).await;
    let delete = client.delete_item().table_name(&table).key("pk", s("a"));
    delete.send().await.expect("deleted");
    let records = all(&streams, &arn, 3).await;
    let kinds: Vec<_> = records.iter().filter_map(|r| r.event_name()).collect();
    let wanted = [
        &OperationType::Insert,
        &OperationType::Modify,
        &OperationType::Remove,
    ];
    assert_eq!(kinds, wanted);
    let sizes = records.iter().filter_map(|r| r.dynamodb()?.size_bytes);
    assert_eq!(sizes.collect::<Vec<_>>(), [8, 14, 9]);
    for (record, new, old) in [
        (&records[0], Some("1"), None),
        (&records[1], Some("22"), Some("1")),
        (&records[2], None, Some("22")),
    ] {
        assert_eq!(record.event_source(), Some("aws:dynamodb"));
        assert!(record.event_id().is_some() && record.event_version().is_some());
        let change = record.dynamodb().expect("a change");
        assert!(change.approximate_creation_date_time().is_some());
        let value = |image: &aws_sdk_dynamodb::types::AttributeValue| format!("{image:?}");
        let shown = change.new_image().map(|image| format!("{:?}", image["v"]));
        assert_eq!(
            shown,
            new.map(|text| value(&s(text)))
                .as_deref()
                .map(str::to_owned)
        );
        let shown = change.old_image().map(|image| format!("{:?}", image["v"]));
        assert_eq!(
            shown,
            old.map(|text| value(&s(text)))
                .as_deref()
                .map(str::to_owned)
        );
    }
    assert!(number(&records[0]) < number(&records[1]));
}

async fn a_write_that_changes_nothing_leaves_no_record(client: Client, streams: Streams) {
    let (table, arn) = streamed(&client, StreamViewType::NewImage).await;
    put(&client, &table, item("a", "1")).await;
    put(&client, &table, item("a", "1")).await;
    let delete = client.delete_item().table_name(&table).key("pk", s("b"));
    delete.send().await.expect("deleted");
    let update = client.update_item().table_name(&table).key("pk", s("a"));
    let update = update.update_expression("SET v = :v");
    let update = update.expression_attribute_values(":v", s("1"));
    update.send().await.expect("updated");
    put(&client, &table, item("c", "1")).await;
    let records = all(&streams, &arn, 2).await;
    assert_eq!([key(&records[0]), key(&records[1])], ["a", "c"]);
}

async fn a_stream_tells_its_only_shard(client: Client, streams: Streams) {
    let (table, arn) = streamed(&client, StreamViewType::OldImage).await;
    let answer = streams.describe_stream().stream_arn(&arn).send().await;
    let stream = answer.expect("described").stream_description.expect("one");
    assert_eq!(stream.table_name(), Some(table.as_str()));
    assert_eq!(stream.stream_status(), Some(&StreamStatus::Enabled));
    assert_eq!(stream.key_schema()[0].attribute_name(), "pk");
    assert!(stream.last_evaluated_shard_id().is_none());
    let [shard] = stream.shards() else {
        panic!("{} shards", stream.shards().len());
    };
    assert!(shard.parent_shard_id().is_none());
    let range = shard.sequence_number_range().expect("a range");
    assert!(range.starting_sequence_number().is_some());
    assert!(range.ending_sequence_number().is_none());
    let listed = streams.list_streams().table_name(&table).send().await;
    let listed = listed.expect("listed");
    assert_eq!(listed.streams()[0].stream_arn(), Some(arn.as_str()));
}

async fn a_table_tells_its_stream(client: Client, _: Streams) {
    let (table, arn) = streamed(&client, StreamViewType::OldImage).await;
    let describe = client.describe_table().table_name(&table).send().await;
    let described = describe.expect("described").table.expect("a table");
    assert_eq!(described.latest_stream_arn(), Some(arn.as_str()));
    assert!(arn.ends_with(described.latest_stream_label().expect("a label")));
    let wanted = specification(Some(StreamViewType::OldImage));
    assert_eq!(described.stream_specification(), Some(&wanted));
}

async fn each_kind_of_iterator_begins_at_its_place(client: Client, streams: Streams) {
    let (table, arn) = streamed(&client, StreamViewType::NewImage).await;
    for key in ["a", "b", "c"] {
        put(&client, &table, item(key, "1")).await;
    }
    let records = all(&streams, &arn, 3).await;
    let second = number(&records[1]);
    let latest = iterator(&streams, &arn, Latest, None).await;
    put(&client, &table, item("d", "1")).await;
    let at = iterator(&streams, &arn, AtSequenceNumber, Some(second)).await;
    let after = iterator(&streams, &arn, AfterSequenceNumber, Some(second)).await;
    for (from, wanted) in [
        (at, &["b", "c", "d"][..]),
        (after, &["c", "d"]),
        (latest, &["d"]),
    ] {
        let (records, next) = read(&streams, from, wanted.len()).await;
        let keys: Vec<&str> = records.iter().map(key).collect();
        assert_eq!(keys, wanted);
        assert!(next.is_some(), "an open shard goes on");
    }
}

async fn a_page_of_records_ends_at_its_limit(client: Client, streams: Streams) {
    let (table, arn) = streamed(&client, StreamViewType::NewImage).await;
    for key in ["a", "b", "c"] {
        put(&client, &table, item(key, "1")).await;
    }
    all(&streams, &arn, 3).await;
    let from = iterator(&streams, &arn, TrimHorizon, None).await;
    let page = streams.get_records().shard_iterator(from).limit(2);
    let page = page.send().await.expect("a page");
    assert_eq!(
        page.records().iter().map(key).collect::<Vec<_>>(),
        ["a", "b"]
    );
    let next = page.next_shard_iterator.expect("more");
    let (rest, _) = read(&streams, next, 1).await;
    assert_eq!(key(&rest[0]), "c");
}

async fn keys_only_shows_no_images(client: Client, streams: Streams) {
    let (table, arn) = streamed(&client, StreamViewType::KeysOnly).await;
    put(&client, &table, item("a", "1")).await;
    let records = all(&streams, &arn, 1).await;
    let change = records[0].dynamodb().expect("a change");
    assert_eq!(key(&records[0]), "a");
    assert!(change.new_image().is_none() && change.old_image().is_none());
    assert_eq!(change.size_bytes(), Some(3));
}

async fn a_disabled_stream_ends_its_shards(client: Client, streams: Streams) {
    let (table, arn) = streamed(&client, StreamViewType::NewImage).await;
    put(&client, &table, item("a", "1")).await;
    all(&streams, &arn, 1).await;
    let update = client.update_table().table_name(&table);
    let update = update
        .stream_specification(specification(None))
        .send()
        .await;
    update.expect("switched off");
    let answer = streams.describe_stream().stream_arn(&arn).send().await;
    let stream = answer.expect("described").stream_description.expect("one");
    assert_eq!(stream.stream_status(), Some(&StreamStatus::Disabled));
    let range = stream.shards()[0].sequence_number_range();
    assert!(range.expect("a range").ending_sequence_number().is_some());
    let from = iterator(&streams, &arn, TrimHorizon, None).await;
    let (records, next) = read(&streams, from, 1).await;
    assert_eq!(key(&records[0]), "a");
    if let Some(next) = next {
        let page = streams.get_records().shard_iterator(next).send().await;
        assert!(page.expect("a page").next_shard_iterator.is_none());
    }
}

async fn an_unknown_shard_is_not_found(client: Client, streams: Streams) {
    let (_, arn) = streamed(&client, StreamViewType::NewImage).await;
    let ask = streams.get_shard_iterator().stream_arn(arn);
    let ask = ask.shard_id("shardId-00000001700000000000-00000000");
    let ask = ask.shard_iterator_type(TrimHorizon).send().await;
    refused(ask, "ResourceNotFoundException", &[]);
}

async fn an_unknown_stream_is_not_found(client: Client, streams: Streams) {
    let (_, arn) = streamed(&client, StreamViewType::NewImage).await;
    let (table, _) = arn.rsplit_once('/').expect("a label");
    let other = format!("{table}/2015-05-20T20:51:10.252");
    let ask = streams.describe_stream().stream_arn(other).send().await;
    refused(ask, "ResourceNotFoundException", &[]);
}

async fn a_nonsense_iterator_is_refused(_: Client, streams: Streams) {
    let ask = streams
        .get_records()
        .shard_iterator("nonsense")
        .send()
        .await;
    refused(ask, "ValidationException", &["Invalid ShardIterator"]);
}

async fn a_stream_is_switched_on_once(client: Client, _: Streams) {
    let (table, _) = streamed(&client, StreamViewType::NewImage).await;
    let on = specification(Some(StreamViewType::NewImage));
    let update = client.update_table().table_name(&table);
    let update = update.stream_specification(on).send().await;
    refused(
        update,
        "ValidationException",
        &["already has an enabled stream"],
    );
}

async fn bad_sequence_numbers_are_refused(client: Client, streams: Streams) {
    let (_, arn) = streamed(&client, StreamViewType::NewImage).await;
    let shard = shard(&streams, &arn).await;
    for (kind, number, message) in [
        (
            AtSequenceNumber,
            Some("1"),
            "length greater than or equal to 21",
        ),
        (AfterSequenceNumber, None, "Invalid SequenceNumber"),
        (
            TrimHorizon,
            Some("000000000000000000001"),
            "should not be passed",
        ),
    ] {
        let ask = streams.get_shard_iterator().stream_arn(&arn);
        let ask = ask.shard_id(&shard).shard_iterator_type(kind);
        let ask = ask.set_sequence_number(number.map(str::to_owned));
        refused(ask.send().await, "ValidationException", &[message]);
    }
}

async fn the_sizes_of_pages_are_checked(client: Client, streams: Streams) {
    let (_, arn) = streamed(&client, StreamViewType::NewImage).await;
    for limit in [0, 101] {
        let ask = streams.describe_stream().stream_arn(&arn).limit(limit);
        refused(ask.send().await, "ValidationException", &["limit", "Limit"]);
    }
    let from = iterator(&streams, &arn, TrimHorizon, None).await;
    let ask = streams.get_records().shard_iterator(from).limit(0);
    refused(ask.send().await, "ValidationException", &["limit"]);
}

async fn a_sequence_number_is_one_of_the_shards(client: Client, streams: Streams) {
    let (table, arn) = streamed(&client, StreamViewType::NewImage).await;
    put(&client, &table, item("a", "1")).await;
    let records = all(&streams, &arn, 1).await;
    let shard = shard(&streams, &arn).await;
    let ask = |number: &str| {
        let ask = streams.get_shard_iterator().stream_arn(&arn);
        let ask = ask.shard_id(&shard).sequence_number(number);
        ask.shard_iterator_type(AtSequenceNumber).send()
    };
    let early = ask("000000000000000000001").await;
    refused(
        early,
        "ValidationException",
        &["Invalid SequenceNumber for the shard"],
    );
    // One that is still to come is taken.
    let number: u128 = number(&records[0]).parse().expect("digits");
    let late = ask(&format!("{:021}", number + 100_000)).await;
    let from = late.expect("an iterator").shard_iterator;
    assert!(
        read(&streams, from.expect("an iterator"), 0)
            .await
            .1
            .is_some()
    );
}
