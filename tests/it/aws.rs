//! The sink against the DynamoDB of AWS, where a table of yours is named: `DYNAMODB_CONNECTOR_AWS_TABLE`.
//!
//! The table needs a partition key `pk`, a string, and no sort key. Region and credentials come as for any program
//! on the AWS SDK. The test writes under keys that begin with `dynamodb-connector-test-`, and deletes them again. The
//! same steps run against DynamoDB Local, so that they are known to work.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::HashMap;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, BillingMode, KeyType, ScalarAttributeType};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use dynamodb_connector::sink::{DynamoDbSink, Outcome, TableSettings, TableSink};

use crate::conformance::harness::{attribute, client_for, key_element, local_url};
use crate::servers::environment;
use crate::setup::{Row, id, row};

const TABLE: &str = "DYNAMODB_CONNECTOR_AWS_TABLE";
/// For each step; a cold client of a far region takes a second.
const LONGEST: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_table_of_aws_takes_all_kinds_of_writes() {
    let Ok(table) = std::env::var(TABLE) else {
        let word = format!(
            "left out: aws::a_table_of_aws_takes_all_kinds_of_writes: {TABLE} is not set (a table of yours with a \
             string key `pk`)\n"
        );
        let _ = std::io::stderr().write_all(word.as_bytes());
        return;
    };
    let tls = Provider::Rustls(CryptoMode::AwsLc);
    let http = aws_smithy_http_client::Builder::new().tls_provider(tls);
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http.build_https());
    steps(&Client::new(&config.load().await), &table).await;
}

#[tokio::test]
async fn a_table_of_dynamodb_local_takes_the_same() {
    let Some(url) = local_url("aws::a_table_of_dynamodb_local_takes_the_same") else {
        return;
    };
    takes_the_same(&url).await;
}

#[tokio::test]
async fn a_table_of_moto_takes_the_same() {
    let test = "aws::a_table_of_moto_takes_the_same";
    let Some([url]) = environment(test, ["MOTO_URL"]) else {
        return;
    };
    takes_the_same(&url).await;
}

/// All steps on a table of a server at this address.
async fn takes_the_same(url: &str) {
    let client = client_for(url);
    let table = format!("aws-{}", std::process::id());
    let create = client
        .create_table()
        .table_name(&table)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key_element("pk", KeyType::Hash))
        .attribute_definitions(attribute("pk", ScalarAttributeType::S));
    create.send().await.unwrap();
    steps(&client, &table).await;
    let scan = client.scan().table_name(&table).send().await.unwrap();
    assert_eq!(scan.count(), 0, "all that was written is deleted again");
    client
        .delete_table()
        .table_name(&table)
        .send()
        .await
        .unwrap();
}

/// Keys of this run alone.
#[expect(
    clippy::disallowed_methods,
    reason = "two runs against one table must not meet"
)]
fn prefix() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!(
        "dynamodb-connector-test-{}-{}-",
        now.as_millis(),
        std::process::id()
    )
}

async fn within<T>(step: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(LONGEST, future).await;
    done.unwrap_or_else(|_| panic!("{step} takes too long"))
}

async fn steps(client: &Client, name: &str) {
    let settings = TableSettings::default().consumed_capacity(true);
    let sink = DynamoDbSink::builder(client).table(name, settings).open();
    let sink = within("opening", sink).await;
    let sink = sink.unwrap_or_else(|error| panic!("{error}"));
    let table = sink.table(name).unwrap();
    let shape = table.shape();
    let keys = shape.keys();
    assert_eq!(
        (keys.partition().name(), keys.sort()),
        ("pk", None),
        "{TABLE} must have the one key `pk`, a string"
    );
    let prefix = prefix();
    let keys: Vec<String> = (0..60).map(|place| format!("{prefix}{place}")).collect();
    // What was written is deleted whether the steps succeed or not.
    let written = tokio::spawn(writes(
        table.clone(),
        client.clone(),
        name.to_owned(),
        keys.clone(),
    ));
    let written = written.await;
    let mut deleted = Vec::new();
    for key in &keys {
        deleted.push(table.delete(&id(key)).await.unwrap());
    }
    for receipt in deleted {
        let outcome = within("deleting", receipt).await;
        assert!(outcome.is_written(), "{outcome}");
    }
    within("closing", table.close()).await.unwrap();
    if let Err(error) = written {
        std::panic::resume_unwind(error.into_panic());
    }
    for key in [&keys[0], &keys[59]] {
        assert_eq!(read(client, name, key).await, None);
    }
}

async fn writes(table: TableSink, client: Client, name: String, keys: Vec<String>) {
    // Batches; each key twice, so that the second has to wait for the first.
    let mut receipts = Vec::new();
    for n in [1, 2] {
        for key in &keys {
            receipts.push(table.put(&row(key, n)).await.unwrap());
        }
    }
    for receipt in receipts {
        let outcome = within("a put", receipt).await;
        assert!(outcome.is_written(), "{outcome}");
    }
    // moto counts one unit for a batch.
    let stats = table.stats();
    assert!(stats.consumed_units > 0.0, "{stats:?}");

    let key = &keys[0];
    let put = table
        .put(&row(key, 9))
        .condition("attribute_not_exists(pk)");
    let outcome = within("a condition", put.confirm()).await.unwrap();
    let Outcome::ConditionFailed {
        existing: Some(existing),
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(existing.deserialize::<Row>().unwrap(), row(key, 2));
    let put = table.put(&row(key, 3)).newer_by("n");
    let outcome = within("a guard", put.confirm()).await.unwrap();
    assert!(outcome.is_written(), "{outcome}");
    let old = table.put(&row(key, 1)).newer_by("n");
    let outcome = within("a guard", old.confirm()).await.unwrap();
    assert!(matches!(outcome, Outcome::ConditionFailed { .. }));
    let update = table.update(&id(key), "SET n = :n, label = :label");
    let update = update.value(":n", &4).value(":label", "é");
    let outcome = within("an update", update.confirm()).await.unwrap();
    assert!(outcome.is_written(), "{outcome}");
    let add = table.update(&id(key), "ADD n :one").value(":one", &1);
    let outcome = within("exactly once", add.exactly_once().confirm()).await;
    assert!(outcome.unwrap().is_written());
    let both = table
        .transaction()
        .add(table.put(&row(&keys[1], 7)))
        .add(table.delete(&id(&keys[2])))
        .add(table.check(&id(key), "n = :n").value(":n", &5));
    let outcome = within("a transaction", both.confirm()).await.unwrap();
    assert!(outcome.is_written(), "{outcome}");
    within("a flush", table.flush()).await.unwrap();

    let found = read(&client, &name, key).await.unwrap();
    assert_eq!(found["n"], AttributeValue::N("5".into()));
    assert_eq!(found["label"], AttributeValue::S("é".into()));
    let found = read(&client, &name, &keys[1]).await.unwrap();
    assert_eq!(found["n"], AttributeValue::N("7".into()));
    assert_eq!(read(&client, &name, &keys[2]).await, None);
    for key in &keys[3..] {
        let found = read(&client, &name, key).await.unwrap();
        assert_eq!(found["n"], AttributeValue::N("2".into()), "{key}");
    }
}

async fn read(client: &Client, table: &str, key: &str) -> Option<HashMap<String, AttributeValue>> {
    let get = client
        .get_item()
        .table_name(table)
        .key("pk", AttributeValue::S(key.to_owned()))
        .consistent_read(true);
    within("reading", get.send()).await.unwrap().item
}
