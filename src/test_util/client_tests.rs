//! The faulty DynamoDB seen through the AWS SDK, in process.

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};

use super::*;

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn put(pk: &str) -> WriteRequest {
    let put = PutRequest::builder()
        .item("pk", s(pk))
        .item("v", AttributeValue::N("1".into()));
    WriteRequest::builder()
        .put_request(put.build().expect("an item"))
        .build()
}

fn fake() -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new("decisions"));
    fake
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_written_described_and_read() {
    let fake = fake();
    let client = fake.client();
    let table = client
        .describe_table()
        .table_name("decisions")
        .send()
        .await
        .expect("a table");
    assert_eq!(table.table().and_then(|t| t.item_count()), Some(0));
    let writes = vec![put("a"), put("b")];
    let answer = client
        .batch_write_item()
        .request_items("decisions", writes)
        .send()
        .await;
    assert!(
        answer
            .expect("written")
            .unprocessed_items()
            .is_some_and(|left| left.is_empty())
    );
    let read = client
        .get_item()
        .table_name("decisions")
        .key("pk", s("a"))
        .send()
        .await;
    assert_eq!(
        read.expect("read").item().and_then(|item| item.get("pk")),
        Some(&s("a"))
    );
    assert_eq!(fake.item_count("decisions"), 2);
    assert_eq!(fake.applied().len(), 2);
    assert_eq!(fake.requests()[1].items(), 2);
    assert_eq!(fake.requests()[1].status(), Some(200));
}
