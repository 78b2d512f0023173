//! The parts of a client that are the user's own may panic. That is a lost answer, not a lost write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use dynamodb_connector::TableSpec;
use dynamodb_connector::sink::{DrainError, DynamoDbSink, Outcome, TableSettings, TableSink};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use serde_json::json;

use crate::setup::TABLE;

/// Panics for so many requests of an operation, instead of sending them.
#[derive(Clone, Debug)]
struct Panics {
    inner: SharedHttpClient,
    operation: &'static str,
    left: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct PanicsOnce {
    inner: SharedHttpConnector,
    outer: Panics,
}

impl HttpClient for Panics {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(PanicsOnce {
            inner: self.inner.http_connector(settings, components),
            outer: self.clone(),
        })
    }
}

impl HttpConnector for PanicsOnce {
    #[expect(clippy::panic, reason = "it is what is tested")]
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        if target.ends_with(self.outer.operation) {
            let one_less = |left: usize| left.checked_sub(1);
            let left = &self.outer.left;
            if left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .is_ok()
            {
                panic!("a connector that panics");
            }
        }
        self.inner.call(request)
    }
}

fn panicking(fake: &FaultyDynamoDb, operation: &'static str) -> (Client, Arc<AtomicUsize>) {
    let left = Arc::new(AtomicUsize::new(0));
    let client = fake.config_builder().http_client(Panics {
        inner: fake.http_client(),
        operation,
        left: Arc::clone(&left),
    });
    (Client::from_conf(client.build()), left)
}

#[tokio::test(start_paused = true)]
async fn a_request_that_panics_is_sent_again() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    let (client, left) = panicking(&fake, "BatchWriteItem");
    let table = TableSink::open(&client, TABLE).await.unwrap();
    left.store(3, Ordering::SeqCst);
    for n in 0..60 {
        let outcome = table.put(&json!({"pk": n.to_string()})).await.unwrap();
        drop(outcome);
    }
    table.close().await.unwrap();
    assert_eq!(left.load(Ordering::SeqCst), 0);
    assert_eq!(fake.item_count(TABLE), 60);
}

/// Whether records are refused for the table's sake is asked of `DescribeTable`. No answer speaks for no record.
#[tokio::test(start_paused = true)]
async fn where_describing_panics_nothing_is_rejected() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    let (client, left) = panicking(&fake, "DescribeTable");
    let settings = TableSettings::default();
    let sink = DynamoDbSink::builder(&client)
        .table(TABLE, settings)
        .open()
        .await
        .unwrap();
    let table = sink.table(TABLE).unwrap();
    left.store(usize::MAX, Ordering::SeqCst);
    let refuse = || {
        Fault::validation("refused")
            .on(Operation::BatchWriteItem)
            .times(2)
    };
    for _ in 0..100 {
        fake.inject(refuse());
    }
    let mut receipt = table.put(&json!({"pk": "a"})).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_secs(300), &mut receipt).await;
    assert!(waiting.is_err(), "it waits: {waiting:?}");
    left.store(0, Ordering::SeqCst);
    let outcome = receipt.await;
    assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
    table.close().await.expect("the table goes on");
}

#[derive(Debug)]
struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    #[expect(clippy::panic, reason = "it is what is tested")]
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("an error that can't be shown");
    }
}

impl std::error::Error for Unspeakable {}

/// Panics when it is dropped, as a handler's future may after its last line.
struct Trap;

impl Drop for Trap {
    #[expect(clippy::panic, reason = "it is what is tested")]
    fn drop(&mut self) {
        panic!("a drop that panics");
    }
}

/// A handler that panics anywhere has failed: the table stops, and nobody waits for ever.
#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_stops_the_table() {
    for manner in 0..3 {
        let fake = FaultyDynamoDb::new();
        fake.create_table(TableSpec::new(TABLE));
        let sink = DynamoDbSink::builder(&fake.client())
            .table(TABLE, TableSettings::default())
            .dead_letters(move |_| async move {
                match manner {
                    0 => panic!("at work"),
                    1 => Err(Unspeakable.into()),
                    _ => {
                        let _trap = Trap;
                        tokio::task::yield_now().await;
                        Ok(())
                    }
                }
            })
            .open()
            .await
            .unwrap();
        let table = sink.table(TABLE).unwrap();
        let expired = table
            .put(&json!({"pk": "a"}))
            .deadline(Duration::from_secs(1));
        fake.inject(Fault::unprocessed_all().times(1_000));
        let outcome = expired.confirm().await.unwrap();
        assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
        let closed = tokio::time::timeout(Duration::from_secs(600), table.close()).await;
        assert!(
            matches!(closed, Ok(Err(DrainError::Stopped { .. }))),
            "{manner}: {closed:?}"
        );
    }
}
