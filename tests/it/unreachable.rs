//! Where there is no DynamoDB to speak to, opening fails and writes wait no longer than they may: with words that
//! name the cause, and with every record handed back.
//!
//! Real sockets and real time: what is bounded here is only that it ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Config, Credentials, Region};
use dynamodb_connector::TransportKind;
use dynamodb_connector::sink::{
    DynamoDbSink, OpenError, Outcome, RejectReason, TableSettings, TableSink,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::setup::{Row, TABLE, keys, row};

const SECRET: &str = "hush-secret-key";
const KEY_ID: &str = "AKIDHUSH";
/// Beyond any machine's slowness.
const LONGEST: Duration = Duration::from_secs(60);
const WAYS: [TransportKind; 2] = [TransportKind::Direct, TransportKind::Sdk];

fn config(endpoint: &str) -> Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
}

fn client(endpoint: &str) -> Client {
    let credentials = Credentials::new(KEY_ID, SECRET, None, None, "test");
    Client::from_conf(config(endpoint).credentials_provider(credentials).build())
}

/// A port at which nothing listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A server of something else, which answers every request so and closes the connection.
async fn stranger(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut chunk = [0; 4096];
                while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                    match stream.read(&mut chunk).await {
                        Ok(read) if read > 0 => head.extend_from_slice(&chunk[..read]),
                        _ => return,
                    }
                }
                // The sender may have gone before it was answered.
                let _ = stream.write_all(answer).await;
            });
        }
    });
    format!("http://{address}")
}

const WEB_PAGE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 21\r\n\
    connection: close\r\n\r\n<html>welcome</html>\r\n";
const NO_HTTP: &[u8] = b"220 mail.example.com ESMTP\r\n";
const NOT_FOUND: &[u8] =
    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Opening fails in time, names the table, this code and what can be done, and no credentials.
async fn does_not_open(client: &Client, codes: &[&str]) {
    for way in WAYS {
        let sink = DynamoDbSink::builder(client).table(TABLE, TableSettings::default());
        let opened = tokio::time::timeout(LONGEST, sink.transport(way).open()).await;
        let error = opened.expect("it gives up").unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(&format!("{TABLE:?}")), "{text}");
        assert!(
            text.contains("`keys`") || text.contains("credentials"),
            "{text}"
        );
        assert!(!text.contains(SECRET) && !text.contains(KEY_ID), "{text}");
        let OpenError::Describe { error, .. } = error else {
            panic!("{way:?}: {error:?}");
        };
        assert!(codes.contains(&error.code()), "{way:?}: {error}");
    }
}

/// A write ends by its deadline, with this code as its last failure, and comes back.
async fn does_not_write(client: &Client, codes: &[&str]) {
    for way in WAYS {
        let settings = TableSettings::default().deadline(Duration::from_millis(500));
        let sink = DynamoDbSink::builder(client)
            .table(TABLE, settings)
            .keys(TABLE, keys())
            .transport(way);
        let table = sink.open().await.unwrap().table(TABLE).unwrap();
        let put = tokio::time::timeout(LONGEST, table.put(&row("a", 1)).confirm()).await;
        let outcome = put.expect("the deadline ends it").unwrap();
        let text = format!("{outcome} {outcome:?}");
        assert!(!text.contains(SECRET) && !text.contains(KEY_ID), "{text}");
        let Outcome::Rejected { reason, record, .. } = outcome else {
            panic!("{way:?}: {outcome:?}");
        };
        let RejectReason::DeadlineExceeded { last, .. } = &reason else {
            panic!("{way:?}: {reason:?}");
        };
        let last = last.as_ref().expect("it was tried");
        assert!(codes.contains(&last.code()), "{way:?}: {last}");
        let found: Row = record.item().unwrap().deserialize().unwrap();
        assert_eq!(found, row("a", 1));
        table.close().await.unwrap();
    }
}

#[tokio::test]
async fn where_nobody_listens_the_connection_is_said_to_fail() {
    let url = nobody().await;
    let client = client(&url);
    does_not_open(&client, &["ConnectFailed"]).await;
    let sink = DynamoDbSink::builder(&client).table(TABLE, TableSettings::default());
    let error = sink.open().await.unwrap_err().to_string();
    let address = url.strip_prefix("http://").expect("an address");
    assert!(error.contains(address), "{error}");
    does_not_write(&client, &["ConnectFailed"]).await;
}

#[tokio::test]
async fn where_something_else_answers_its_answer_is_said_to_be_garbled() {
    for answer in [WEB_PAGE, NO_HTTP] {
        let client = client(&stranger(answer).await);
        let codes = ["GarbledAnswer", "ConnectionClosed"];
        does_not_open(&client, &codes).await;
        does_not_write(&client, &codes).await;
    }
}

/// A refusal without a code comes from no DynamoDB: no record is at fault, and all are handed back.
#[tokio::test]
async fn where_another_service_refuses_the_table_fails_and_hands_its_records_back() {
    let client = client(&stranger(NOT_FOUND).await);
    does_not_open(&client, &["HttpStatus"]).await;
    let sink = DynamoDbSink::builder(&client)
        .table(TABLE, TableSettings::default())
        .keys(TABLE, keys());
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    let put = tokio::time::timeout(LONGEST, table.put(&row("a", 1)).confirm()).await;
    let outcome = put.expect("it is final").unwrap();
    let Outcome::Unwritten {
        record: Some(record),
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    let found: Row = record.item().unwrap().deserialize().unwrap();
    assert_eq!(found, row("a", 1));
    let error = table.close().await.unwrap_err().to_string();
    assert!(error.contains("HttpStatus (http 404)"), "{error}");
}

/// A client without a provider, and one whose provider has nothing to give.
#[tokio::test]
async fn without_credentials_nothing_is_sent_and_they_are_said_to_be_missing() {
    let endpoint = nobody().await;
    let none = Client::from_conf(config(&endpoint).build());
    let empty = aws_sdk_dynamodb::config::SharedCredentialsProvider::new(Nothing);
    let empty = Client::from_conf(config(&endpoint).credentials_provider(empty).build());
    for (client, code) in [
        (&none, "ClientMisconfigured"),
        (&empty, "CredentialsUnavailable"),
    ] {
        does_not_open(client, &[code]).await;
    }
    does_not_write(&empty, &["CredentialsUnavailable"]).await;
    let text = TableSink::open(&none, TABLE).await.unwrap_err().to_string();
    assert!(text.contains("has no credentials"), "{text}");
}

#[derive(Debug)]
struct Nothing;

impl aws_sdk_dynamodb::config::ProvideCredentials for Nothing {
    fn provide_credentials<'a>(
        &'a self,
    ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let error = aws_credential_types::provider::error::CredentialsError::not_loaded(
            "no provider has any",
        );
        aws_credential_types::provider::future::ProvideCredentials::ready(Err(error))
    }
}
