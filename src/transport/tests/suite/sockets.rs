//! Real sockets and the SDK's own HTTP client: its private errors are kept apart by their texts,
//! which these tests pin.

use super::{ATTEMPT, CALL, READ, RESOURCE, WAYS, body, sdk, transport};
use crate::retry::ErrorClass::{Ambiguous, Transient};
use crate::retry::ServiceError;
use crate::transport::TransportKind;
use crate::transport::answer_limit::answer_limit;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use bytes::Bytes;
use sdk::Client;
use sdk::config::timeout::TimeoutConfig;
use sdk::config::{Credentials, Region};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot::{self, Receiver};

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// Far beyond what a loaded machine takes: only where a timeout is awaited is it short.
const LONG: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_millis(300);

fn client(endpoint: &str, connect: Duration, read: Duration) -> Client {
    let tls = tls::Provider::Rustls(CryptoMode::AwsLc);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(connect)
        .read_timeout(read);
    let config = sdk::Config::builder()
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
    let transport = transport(&client(endpoint, LONG, read), kind, RESOURCE, ATTEMPT);
    transport.call(CALL, body("{}")).await.unwrap();
    transport.call(CALL, body("{}")).await
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
        let transport = transport(&client(&endpoint, LONG, LONG), kind, RESOURCE, ATTEMPT);
        transport.call(CALL, body("{}")).await.unwrap();
        let large = Bytes::from(vec![b'x'; 3_000_000]);
        transport.call(CALL, large.clone()).await.unwrap();
        assert!(got.await.unwrap() == large, "{kind:?}");
    }
}

#[tokio::test]
async fn a_large_answer_arrives_as_it_is() {
    // A page of a local server: it knows no megabyte.
    let items = "{\"dynamodb\":{\"NewImage\":{\"id\":{\"S\":\"a\"}}}},".repeat(200_000);
    let large = Bytes::from(format!("{{\"Records\":[{items}{{}}],\"Items\":[]}}"));
    let checksum = crc32fast::hash(&large);
    for kind in WAYS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answer = large.clone();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            while read(&mut stream).await.is_some() {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-amz-crc32: {checksum}\r\n\r\n",
                    answer.len()
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        let transport = transport(&client(&endpoint, LONG, LONG), kind, RESOURCE, ATTEMPT);
        for _ in 0..2 {
            let got = transport.call(READ, body("{}")).await.unwrap();
            assert!(got == large, "{kind:?}");
        }
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
            let transport = transport(&client(endpoint, SHORT, LONG), kind, RESOURCE, ATTEMPT);
            for _ in 0..2 {
                let error = transport.call(CALL, body("{}")).await.unwrap_err();
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

/// A server that answers the first request well, the second without an end, and closes the
/// connection only when the client has. Sends a message then.
async fn endless_server(head: &'static str, chunk: &'static [u8]) -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (dropped, when_dropped) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await.unwrap();
        stream.write_all(GOOD).await.unwrap();
        read(&mut stream).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        while stream.write_all(chunk).await.is_ok() {}
        dropped.send(()).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await.unwrap();
        stream.write_all(GOOD).await.unwrap();
    });
    (endpoint, when_dropped)
}

#[tokio::test]
async fn an_answer_without_an_end_leaves_the_outcome_open_and_is_dropped() {
    let chunk: Vec<u8> = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
    let chunk: &'static [u8] = chunk.leak();
    for kind in WAYS {
        for (head, endless) in [
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                chunk,
            ),
            (
                "HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\n",
                chunk,
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n",
                &[b' '; 0x10000],
            ),
        ] {
            let (endpoint, dropped) = endless_server(head, endless).await;
            let transport = transport(&client(&endpoint, LONG, LONG), kind, RESOURCE, ATTEMPT);
            transport.call(CALL, body("{}")).await.unwrap();
            let error = transport.call(CALL, body("{}")).await.unwrap_err();
            assert_eq!(
                (error.code(), error.class()),
                ("GarbledAnswer", Ambiguous),
                "{kind:?} {head} {error:?}"
            );
            let limit = answer_limit(CALL, 2).to_string();
            let text = error.to_string();
            assert!(
                text.contains(&limit) && text.contains(CALL.name()),
                "{text}"
            );
            dropped.await.unwrap();
            transport.call(CALL, body("{}")).await.unwrap();
        }
    }
}
