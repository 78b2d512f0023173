//! A whole server: what the table takes comes out of its reads and out of its stream, either way.

use dynamodb_table_spec::{StreamView, TableSpec};

use super::{ATTEMPT, WAYS, body};
use crate::embedded::EmbeddedDynamoDb;
use crate::item::KeyKind;
use crate::retry::ServiceError;
use crate::transport::{Operation, ServiceClock, Transport, TransportKind};
use aws_smithy_http_client::Builder;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;

const KEY: &str = r#"{"id":{"S":"a"}}"#;

async fn streamed(database: &EmbeddedDynamoDb) -> String {
    let orders = TableSpec::new("orders").partition("id", KeyKind::String);
    let orders = orders.stream(StreamView::NewAndOldImages);
    database.create_table(orders).await.unwrap();
    let describe = database.client().describe_table().table_name("orders");
    let described = describe.send().await.unwrap();
    let table = described.table().unwrap();
    table.latest_stream_arn().unwrap().to_owned()
}

fn of_stream(database: &EmbeddedDynamoDb, kind: TransportKind, arn: &str) -> Transport {
    use aws_sdk_dynamodbstreams::config::{Config, Credentials, Region};
    let config = Config::builder()
        .behavior_version_latest()
        .endpoint_url(database.endpoint_url())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
        .http_client(Builder::new().build_http());
    let client = aws_sdk_dynamodbstreams::Client::from_conf(config.build());
    Transport::streams(&client, kind, arn, ATTEMPT, &Arc::new(ServiceClock::new()))
}

async fn ask(transport: &Transport, operation: Operation, request: &Value) -> Value {
    let answer = transport.call(operation, Bytes::from(request.to_string()));
    serde_json::from_slice(&answer.await.unwrap()).unwrap()
}

#[tokio::test]
async fn what_is_put_is_read_from_the_table_and_from_its_stream() {
    let database = EmbeddedDynamoDb::start().await.unwrap();
    let arn = streamed(&database).await;
    let key: Value = serde_json::from_str(KEY).unwrap();
    for kind in WAYS {
        let table = Transport::new(&database.client(), kind, "orders", ATTEMPT);
        let item = json!({"id": {"S": "a"}, "by": {"S": format!("{kind:?}")}});
        let put = json!({"TableName": "orders", "Item": item});
        ask(&table, Operation::PutItem, &put).await;

        let get = json!({"TableName": "orders", "Key": key});
        assert_eq!(ask(&table, Operation::GetItem, &get).await["Item"], item);
        let scan = json!({"TableName": "orders"});
        let found = ask(&table, Operation::Scan, &scan).await;
        assert_eq!(found["Items"], json!([item]));
        let query = json!({
            "TableName": "orders",
            "KeyConditionExpression": "id = :id",
            "ExpressionAttributeValues": {":id": key["id"]},
        });
        let found = ask(&table, Operation::Query, &query).await;
        assert_eq!(found["Items"], json!([item]));

        let stream = of_stream(&database, kind, &arn);
        let describe = json!({"StreamArn": arn});
        let told = ask(&stream, Operation::DescribeStream, &describe).await;
        let shard = &told["StreamDescription"]["Shards"][0]["ShardId"];
        let from = json!({
            "StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON",
        });
        let from = ask(&stream, Operation::GetShardIterator, &from).await;
        let page = json!({"ShardIterator": from["ShardIterator"]});
        let page = ask(&stream, Operation::GetRecords, &page).await;
        let last = page["Records"].as_array().unwrap().last().unwrap();
        assert_eq!(last["dynamodb"]["NewImage"], item, "{kind:?}");
        assert_eq!(last["dynamodb"]["Keys"], key, "{kind:?}");
    }
    database.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_missing() {
    let database = EmbeddedDynamoDb::start().await.unwrap();
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/no/stream/2026-01-31T00:00:00.000";
    for kind in WAYS {
        let stream = of_stream(&database, kind, arn);
        // The first call goes through the SDK whatever the kind.
        for _ in 0..2 {
            let request = body(&json!({"StreamArn": arn}).to_string());
            let error: ServiceError = stream
                .call(Operation::DescribeStream, request)
                .await
                .unwrap_err();
            assert!(error.is_missing(), "{kind:?} {error:?}");
        }
    }
    database.shutdown().await;
}
