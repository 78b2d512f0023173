//! Failures that last, of each operation and cause: one WARN with the cause within 2 s, no flood, one
//! INFO when it is over.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, ProvideCredentials};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use dynamodb_connector::Health;
use dynamodb_connector::sink::{DynamoDbSink, LimitedBy, Receipt, TableSettings, TableSink};
use dynamodb_connector::test_util::{Fault, Throttle};

use crate::setup::{Log, TABLE, fake, id, keys, on_writes, open, open_with, row};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every kind of request that writes.
const OPERATIONS: [&str; 5] = [
    "BatchWriteItem",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "TransactWriteItems",
];

/// A write that goes out by this operation.
async fn submit(table: &TableSink, operation: &str) -> Receipt {
    const HOLDS: &str = "attribute_exists(pk) OR attribute_not_exists(pk)";
    let receipt = match operation {
        "BatchWriteItem" => table.put(&row("a", 1)).await,
        "PutItem" => table.put(&row("a", 1)).condition(HOLDS).await,
        "DeleteItem" => table.delete(&id("a")).condition(HOLDS).await,
        "UpdateItem" => {
            let update = table.update(&id("a"), "SET n = :n").value(":n", &1);
            update.idempotent(true).await
        }
        _ => {
            let transaction = table.transaction();
            let transaction = transaction.add(table.put(&row("a", 1)));
            transaction.add(table.put(&row("b", 1))).await
        }
    };
    receipt.unwrap()
}

/// The lines of this level, of which each operation has one of its own: what keeps writes from being
/// sent may keep the table from being described.
fn lines_of(log: &Log, level: &str, operation: &str) -> Vec<String> {
    let (named, others): (Vec<String>, Vec<String>) = log
        .lines(level)
        .into_iter()
        .partition(|line| line.contains(operation));
    assert!(others.len() <= 1, "{others:?}");
    assert!(
        others.iter().all(|line| line.contains("DescribeTable")),
        "{others:?}"
    );
    named
}

/// Writes by this operation fail with this code since now. Checks what is said of it until `heal` ends
/// the failure, and after.
async fn is_reported(
    (operation, code): (&str, &str),
    table: &TableSink,
    log: &Log,
    heal: impl FnOnce(),
) {
    let told = format!("{operation}: {code}");
    let receipt = submit(table, operation).await;
    tokio::time::sleep(secs(2)).await;
    let warnings = lines_of(log, "WARN", operation);
    assert_eq!(warnings.len(), 1, "{told}: {warnings:?}");
    for part in [code, TABLE, "retrying"] {
        assert!(warnings[0].contains(part), "{told}: {warnings:?}");
    }
    let health = table.health();
    let failing =
        matches!(&health, Health::Failing { operation: named, .. } if *named == operation);
    assert!(
        failing && health.to_string().contains(code),
        "{told}: {health}"
    );
    let stats = table.stats();
    let last = stats.last_error.clone().expect("it failed");
    assert!(last.cause.contains(code), "{told}: {last:?}");
    assert!(stats.to_string().contains(code), "{told}: {stats}");
    if let LimitedBy::Retries { cause, .. } = &stats.limited_by {
        assert!(cause.as_ref().unwrap().contains(code), "{told}: {cause:?}");
    }
    tokio::time::sleep(secs(20)).await;
    assert_eq!(
        lines_of(log, "WARN", operation).len(),
        1,
        "no flood: {told}"
    );
    heal();
    let outcome = receipt.await;
    assert!(outcome.is_written(), "{told}: {outcome}");
    for _ in 0..30 {
        tokio::time::sleep(secs(1)).await;
        let outcome = submit(table, operation).await.await;
        assert!(outcome.is_written(), "{told}: {outcome}");
    }
    assert!(table.health().is_healthy(), "{told}: {}", table.health());
    let infos = lines_of(log, "INFO", operation);
    assert_eq!(infos.len(), 1, "{told}: {infos:?}");
    assert!(infos[0].contains("succeeds again"), "{told}: {infos:?}");
    assert_eq!(lines_of(log, "WARN", operation).len(), 1, "{told}");
    assert_eq!(log.lines("ERROR"), [""; 0], "{told}");
}

#[tokio::test(start_paused = true)]
async fn what_lasts_is_said_once_with_its_cause_and_once_when_it_is_over() {
    for (fault, code, at_once) in [
        (Fault::internal_error(), "InternalServerError", false),
        (Fault::service_unavailable(), "ServiceUnavailable", false),
        (Fault::bad_gateway(), "HttpStatus", false),
        (Fault::close_before(), "ConnectionClosed", false),
        (Fault::never_answer(), "AttemptTimeout", false),
        (Fault::answer(200, "{}"), "GarbledAnswer", false),
        (Fault::garbage_body(), "GarbledAnswer", false),
        (Fault::expired_token(), "ExpiredTokenException", false),
        (
            Fault::error(400, "BrandNewException", ""),
            "BrandNewException",
            false,
        ),
        (Fault::answer(403, ""), "HttpStatus", true),
        (Fault::access_denied(), "AccessDeniedException", true),
        (
            Fault::resource_not_found(),
            "ResourceNotFoundException",
            true,
        ),
        (
            Fault::unrecognized_client(),
            "UnrecognizedClientException",
            true,
        ),
        (
            Fault::invalid_signature(),
            "InvalidSignatureException",
            true,
        ),
    ] {
        for operation in OPERATIONS {
            // An empty answer is the usual one to a single write.
            if operation != "BatchWriteItem" && format!("{fault:?}").contains("{}") {
                continue;
            }
            let (log, _subscriber) = Log::subscribe("dynamodb_connector=info");
            let fake = fake();
            let settings = TableSettings::default().request_timeout(Duration::from_millis(500));
            let table = open_with(&fake, settings).await;
            assert!(table.health().is_healthy());
            // A single failure is of no interest.
            if !at_once {
                fake.inject(on_writes(fault.clone()));
                let outcome = submit(&table, operation).await.await;
                assert!(outcome.is_written(), "{operation} {code}: {outcome}");
                assert_eq!(log.lines("WARN"), [""; 0], "{operation} {code}");
            }
            fake.inject(on_writes(fault.clone()).always());
            is_reported((operation, code), &table, &log, || fake.heal()).await;
            table.close().await.unwrap();
        }
    }
}

/// What requests need before they are sent, and what can be taken away.
#[derive(Clone, Debug, Default)]
struct Away(Arc<AtomicBool>);

impl Away {
    fn set(&self, away: bool) {
        self.0.store(away, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ProvideCredentials for Away {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(if self.get() {
            Err(CredentialsError::not_loaded("the role is gone"))
        } else {
            // Over already, so that they are asked for each time.
            let over = std::time::UNIX_EPOCH;
            Ok(Credentials::new("AKID", "secret", None, Some(over), "test"))
        })
    }
}

/// A server whose port is closed at times.
#[derive(Clone, Debug)]
struct Port<C> {
    behind: C,
    closed: Away,
}

impl HttpClient for Port<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Port {
            behind: self.behind.http_connector(settings, components),
            closed: self.closed.clone(),
        })
    }
}

impl HttpConnector for Port<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if self.closed.get() {
            let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
            return HttpConnectorFuture::ready(Err(ConnectorError::io(refused.into())));
        }
        self.behind.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_anything_is_sent_is_reported_as_any_failure_that_lasts() {
    for code in ["CredentialsUnavailable", "ConnectFailed"] {
        for operation in OPERATIONS {
            let (log, _subscriber) = Log::subscribe("dynamodb_connector=info");
            let (fake, away) = (fake(), Away::default());
            let config = if code == "ConnectFailed" {
                fake.config_builder().http_client(Port {
                    behind: fake.http_client(),
                    closed: away.clone(),
                })
            } else {
                fake.config_builder().credentials_provider(away.clone())
            };
            let sink = DynamoDbSink::builder(&Client::from_conf(config.build()))
                .table(TABLE, TableSettings::default())
                .keys(TABLE, keys())
                .seed(7);
            let table = sink.open().await.unwrap().table(TABLE).unwrap();
            away.set(true);
            is_reported((operation, code), &table, &log, || away.set(false)).await;
            table.close().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lack_of_capacity_is_said_after_ten_seconds_without_a_write() {
    for fault in [
        Fault::unprocessed_all(),
        Fault::throttled(Throttle::Throttling),
    ] {
        let (log, _subscriber) = Log::subscribe("dynamodb_connector=info");
        let fake = fake();
        let table = open(&fake).await;
        fake.inject(on_writes(fault).always());
        let receipt = table.put(&row("a", 2)).await.unwrap();
        tokio::time::sleep(secs(9)).await;
        assert_eq!(log.lines("WARN"), [""; 0]);
        tokio::time::sleep(secs(14)).await;
        assert_eq!(log.lines("WARN").len(), 1, "{:?}", log.lines("WARN"));
        assert!(!table.health().is_healthy());
        fake.heal();
        assert!(receipt.await.is_written());
        tokio::time::sleep(secs(30)).await;
        assert_eq!(log.lines("INFO").len(), 1);
        table.close().await.unwrap();
    }
}
