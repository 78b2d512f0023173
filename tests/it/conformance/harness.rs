//! Running checks, and what they have in common.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement,
    KeyType, Projection, ProjectionType, PutRequest, ScalarAttributeType, WriteRequest,
};

pub(crate) use crate::local::client_for;
use crate::servers::environment;

pub(crate) type Item = HashMap<String, AttributeValue>;
type Running = Pin<Box<dyn Future<Output = ()> + Send>>;
type Run = fn(Client) -> Running;

/// A behaviour that a server shows or does not.
#[derive(Clone, Copy)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) run: Run,
}

/// Lists async functions as checks under their own names.
macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        pub(super) fn checks() -> Vec<$crate::conformance::harness::Check> {
            vec![$($crate::conformance::harness::Check {
                name: stringify!($name),
                run: |client| Box::pin($name(client)),
            }),*]
        }
    };
}
pub(super) use checks;

/// A behaviour of streams.
#[cfg(feature = "streams")]
#[derive(Clone, Copy)]
pub(super) struct StreamsCheck {
    pub(super) name: &'static str,
    pub(super) run: fn(Client, aws_sdk_dynamodbstreams::Client) -> Running,
}

/// Lists async functions as checks of streams under their own names.
#[cfg(feature = "streams")]
macro_rules! streams_checks {
    ($($name:ident),* $(,)?) => {
        pub(super) fn checks() -> Vec<$crate::conformance::harness::StreamsCheck> {
            vec![$($crate::conformance::harness::StreamsCheck {
                name: stringify!($name),
                run: |client, streams| Box::pin($name(client, streams)),
            }),*]
        }
    };
}
#[cfg(feature = "streams")]
pub(super) use streams_checks;

/// Runs all checks of streams, as [`run`] does the others.
#[cfg(feature = "streams")]
pub(super) async fn run_streams(
    checks: &[StreamsCheck],
    client: &Client,
    streams: &aws_sdk_dynamodbstreams::Client,
    gaps: &[&str],
) {
    let run = next_run();
    let mut outcomes = Vec::new();
    for check in checks {
        let check_run = (check.run)(client.clone(), streams.clone());
        let task = tokio::spawn(RUN.scope(run, check_run));
        outcomes.push((check.name, task.await.is_ok()));
    }
    judge(client, run, &outcomes, gaps).await;
}

/// Runs all checks and fails with the names of those that came out otherwise than expected.
pub(super) async fn run(checks: &[Check], client: &Client, gaps: &[&str]) {
    let run = next_run();
    let mut outcomes = Vec::new();
    for check in checks {
        let task = tokio::spawn(RUN.scope(run, (check.run)(client.clone())));
        outcomes.push((check.name, task.await.is_ok()));
    }
    judge(client, run, &outcomes, gaps).await;
}

async fn judge(client: &Client, run: u32, outcomes: &[(&str, bool)], gaps: &[&str]) {
    let mut wrong = Vec::new();
    for &(name, passed) in outcomes {
        if passed == gaps.contains(&name) {
            let word = if passed { "passes now" } else { "fails" };
            wrong.push(format!("{name} {word}"));
        }
    }
    for name in table_names(client)
        .await
        .iter()
        .filter(|name| name.starts_with(&prefix(run)))
    {
        // A check may have left its table half-made; the others' outcomes count.
        let _ = client.delete_table().table_name(name).send().await;
    }
    for gap in gaps {
        assert!(
            outcomes.iter().any(|(name, _)| name == gap),
            "no check is named {gap}"
        );
    }
    assert!(
        wrong.is_empty(),
        "{} of {} checks: {wrong:#?}",
        wrong.len(),
        outcomes.len()
    );
}

/// Where DynamoDB Local listens; says that `test` is left out where none was started.
pub(crate) fn local_url(test: &str) -> Option<String> {
    environment(test, ["DYNAMODB_LOCAL_URL"]).map(|[url]| url)
}

tokio::task_local! {
    /// The run that a check belongs to: several may have their tables on one server at the same time.
    static RUN: u32;
}

fn next_run() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Returns the beginning of the names of a run's tables.
fn prefix(run: u32) -> String {
    format!("conformance-{}-{run}-", std::process::id())
}

/// The names of all tables, page by page.
pub(super) async fn table_names(client: &Client) -> Vec<String> {
    let mut names = Vec::new();
    let mut start = None;
    loop {
        let page = client.list_tables().set_exclusive_start_table_name(start);
        let page = page.send().await.expect("listed");
        names.extend(page.table_names.unwrap_or_default());
        start = page.last_evaluated_table_name;
        if start.is_none() {
            return names;
        }
    }
}

/// A name that no other table has.
pub(super) fn next_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let run = RUN.try_with(|run| *run).unwrap_or(u32::MAX);
    format!("{}{}", prefix(run), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A table of its own for a check: `pk` (S), `sk` (N) and a global index `by-group` on `g` (S).
pub(super) async fn table(client: &Client) -> String {
    let name = next_name();
    client
        .create_table()
        .table_name(&name)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key_element("pk", KeyType::Hash))
        .key_schema(key_element("sk", KeyType::Range))
        .attribute_definitions(attribute("pk", ScalarAttributeType::S))
        .attribute_definitions(attribute("sk", ScalarAttributeType::N))
        .attribute_definitions(attribute("g", ScalarAttributeType::S))
        .global_secondary_indexes(
            GlobalSecondaryIndex::builder()
                .index_name("by-group")
                .key_schema(key_element("g", KeyType::Hash))
                .projection(
                    Projection::builder()
                        .projection_type(ProjectionType::All)
                        .build(),
                )
                .build()
                .expect("an index"),
        )
        .send()
        .await
        .expect("a table");
    name
}

pub(crate) fn key_element(name: &str, role: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder()
        .attribute_name(name)
        .key_type(role)
        .build()
        .expect("complete")
}

pub(crate) fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(kind)
        .build()
        .expect("complete")
}

pub(crate) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn n(text: &str) -> AttributeValue {
    AttributeValue::N(text.to_owned())
}

pub(crate) fn b(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

pub(crate) fn ss(texts: &[&str]) -> AttributeValue {
    AttributeValue::Ss(texts.iter().map(|text| (*text).to_owned()).collect())
}

pub(crate) fn ns(texts: &[&str]) -> AttributeValue {
    AttributeValue::Ns(texts.iter().map(|text| (*text).to_owned()).collect())
}

/// A key: partition and sort.
pub(super) fn key(pk: &str, sk: &str) -> Item {
    HashMap::from([("pk".to_owned(), s(pk)), ("sk".to_owned(), n(sk))])
}

/// An item: a key and one attribute more.
pub(super) fn with(mut item: Item, name: &str, value: AttributeValue) -> Item {
    item.insert(name.to_owned(), value);
    item
}

pub(super) fn put_request(item: Item) -> WriteRequest {
    let put = PutRequest::builder()
        .set_item(Some(item))
        .build()
        .expect("an item");
    WriteRequest::builder().put_request(put).build()
}

/// Puts an item that has to be taken.
pub(super) async fn put(client: &Client, table: &str, item: Item) {
    client
        .put_item()
        .table_name(table)
        .set_item(Some(item))
        .send()
        .await
        .expect("put");
}

/// The item with a key, read consistently.
pub(crate) async fn get(client: &Client, table: &str, key: Item) -> Option<Item> {
    let get = client
        .get_item()
        .table_name(table)
        .set_key(Some(key))
        .consistent_read(true);
    get.send().await.expect("get").item
}

/// Asserts that a request was refused with this exception and, where there are any, one of these
/// messages.
pub(super) fn refused<T: Debug, E: ProvideErrorMetadata + Debug, R: Debug>(
    answer: Result<T, SdkError<E, R>>,
    code: &str,
    messages: &[&str],
) {
    let error = answer.expect_err("a refusal");
    let message = error.message().unwrap_or_default();
    assert_eq!(error.code(), Some(code), "{message}");
    let known = messages.iter().any(|known| message.contains(known));
    assert!(
        known || messages.is_empty(),
        "{message:?} holds none of {messages:?}"
    );
}
