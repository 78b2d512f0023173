//! Real sockets and the SDK's own HTTP client: its private errors are told apart by what they say,
//! and this holds them to it.

use super::{ATTEMPT, WAYS, body};
use crate::retry::ErrorClass::{Ambiguous, Transient};
use crate::retry::ServiceError;
use crate::transport::{Operation, Transport, TransportKind};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Credentials, Region};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use bytes::Bytes;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// Far beyond what a loaded machine takes: only where a timeout is awaited is it short.
const LONG: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_millis(300);

fn client(endpoint: &str, connect: Duration, read: Duration) -> Client {
    let tls = tls::Provider::Rustls(CryptoMode::AwsLc);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(connect)
        .read_timeout(read);
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version_latest()
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
        .http_client(
            aws_smithy_http_client::Builder::new()
                .tls_provider(tls)
                .build_https(),
        )
        .timeout_config(timeouts.build())
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}

/// Reads one request, head and body, and gives its body.
async fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(head) = all.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&all[..head]).to_lowercase();
            let length = text.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if all.len() >= head + 4 + length {
                return Some(all.split_off(head + 4));
            }
        }
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => all.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}

/// A server that answers the first request well and the second with `second`, then closes.
async fn server(second: &'static [u8], hold: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut served = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            while read(&mut stream).await.is_some() {
                served += 1;
                let answer = if served == 1 { GOOD } else { second };
                stream.write_all(answer).await.unwrap();
                if served > 1 {
                    if hold {
                        std::future::pending::<()>().await;
                    }
                    break;
                }
            }
        }
    });
    format!("http://{address}")
}

async fn second(
    kind: TransportKind,
    endpoint: &str,
    read: Duration,
) -> Result<Bytes, ServiceError> {
    let transport = Transport::new(&client(endpoint, LONG, read), kind, "orders", ATTEMPT);
    transport
        .call(Operation::PutItem, body("{}"))
        .await
        .unwrap();
    transport.call(Operation::PutItem, body("{}")).await
}

#[tokio::test]
async fn answers_come_through() {
    for kind in WAYS {
        let endpoint = server(
            b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
            false,
        )
        .await;
        assert_eq!(
            second(kind, &endpoint, LONG).await.unwrap(),
            &b"{\"a\":1}"[..],
            "{kind:?}"
        );
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                        3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
        let endpoint = server(chunked, false).await;
        assert_eq!(
            second(kind, &endpoint, LONG).await.unwrap(),
            &b"{\"a\":1}"[..],
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_large_body_arrives_as_it_is() {
    for kind in WAYS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let got = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read(&mut stream).await.unwrap();
            stream.write_all(GOOD).await.unwrap();
            let got = read(&mut stream).await.unwrap();
            stream.write_all(GOOD).await.unwrap();
            got
        });
        let transport = Transport::new(&client(&endpoint, LONG, LONG), kind, "orders", ATTEMPT);
        transport
            .call(Operation::DescribeTable, body("{}"))
            .await
            .unwrap();
        let large = Bytes::from(vec![b'x'; 3_000_000]);
        transport
            .call(Operation::BatchWriteItem, large.clone())
            .await
            .unwrap();
        assert!(got.await.unwrap() == large, "{kind:?}");
    }
}

#[tokio::test]
async fn answers_that_break_off_leave_the_outcome_open() {
    for kind in WAYS {
        for broken in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\":",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n",
            b"\x00\x01garbage\r\n\r\n",
        ] {
            let endpoint = server(broken, false).await;
            let error = second(kind, &endpoint, LONG).await.unwrap_err();
            assert_eq!(error.class(), Ambiguous, "{kind:?} {broken:?} {error:?}");
            assert_eq!(
                error.code(),
                "ConnectionClosed",
                "{kind:?} {broken:?} {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_read_timeout() {
    for kind in WAYS {
        let endpoint = server(b"", true).await;
        let error = second(kind, &endpoint, SHORT).await.unwrap_err();
        assert_eq!(
            (error.code(), error.class()),
            ("ReadTimeout", Ambiguous),
            "{kind:?} {error:?}"
        );
    }
}

#[tokio::test]
async fn where_no_connection_comes_about_nothing_was_sent() {
    for kind in WAYS {
        // Nobody listens; nobody is called that; plain text is no TLS; no TLS at all.
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = format!("http://{}", closed.local_addr().unwrap());
        drop(closed);
        let plain = server(GOOD, false).await.replace("http:", "https:");
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let handshake = format!("https://{}", silent.local_addr().unwrap());
        for endpoint in [
            refused.as_str(),
            "http://nobody.invalid",
            &plain,
            &handshake,
        ] {
            let transport = Transport::new(&client(endpoint, SHORT, LONG), kind, "orders", ATTEMPT);
            for _ in 0..2 {
                let error = transport
                    .call(Operation::PutItem, body("{}"))
                    .await
                    .unwrap_err();
                assert_eq!(
                    error.code(),
                    "ConnectFailed",
                    "{kind:?} {endpoint} {error:?}"
                );
                assert_eq!(error.class(), Transient, "{kind:?} {endpoint}");
            }
        }
    }
}
