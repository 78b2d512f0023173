//! The server over HTTP.

use super::*;

#[tokio::test]
async fn the_server_keeps_connections_breaks_them_and_stops() {
    let fake = fake();
    let server = fake.serve().await.expect("a server");
    let client = server.client();
    assert_eq!(write(&client, "a").await, Ok(()));
    let cases = [
        (Fault::close_before(), "dispatch"),
        (Fault::close_after(), "dispatch"),
        (Fault::truncated_body(), "response"),
        (Fault::garbage_body(), "response"),
        (Fault::bad_gateway(), "502"),
        (Fault::too_large(), "413"),
        (
            Fault::throttled(Throttle::Throttling),
            "ThrottlingException",
        ),
    ];
    for (fault, name) in cases {
        fake.inject(fault);
        assert_eq!(write(&client, "a").await, err(name));
    }
    assert_eq!(write(&client, "a").await, Ok(()));
    let url = server.endpoint_url();
    assert!(url.starts_with("http://127.0.0.1:"));
    server.shutdown().await;
    assert_eq!(write(&client, "a").await, err("dispatch"));
}

#[tokio::test]
async fn the_server_sees_that_its_client_has_gone() {
    let fake = fake();
    let server = fake.serve().await.expect("a server");
    fake.inject(Fault::never_answer());
    let client = server.client();
    let arrived = async {
        while fake.in_flight() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        outcome = write(&client, "a") => panic!("answered: {outcome:?}"),
        () = arrived => {}
    }
    let gone = async {
        while fake.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the connection's end");
    assert_eq!(fake.requests()[0].outcome(), RequestOutcome::GivenUp);
    server.shutdown().await;
}

#[tokio::test]
async fn the_server_survives_any_body() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let fake = fake();
    let server = fake.serve().await.expect("a server");
    let bodies: [&[u8]; 8] = [
        b"",
        b"{nope",
        b"[]",
        b"null",
        b"{\"TableName\":7}",
        b"\xff\xfe",
        br#"{"TableName":"others","Item":[]}"#,
        br#"{"TableName":"others","Item":{"pk":{"S":"a"},"x":"str"}}"#,
    ];
    for operation in Operation::ALL
        .iter()
        .map(|operation| operation.name())
        .chain(["Bogus"])
    {
        for body in bodies.iter().filter(|_| operation != "ListTables") {
            let mut socket = tokio::net::TcpStream::connect(server.address())
                .await
                .expect("connected");
            let head = format!(
                "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\
                 x-amz-target: DynamoDB_20120810.{operation}\r\nauthorization: AWS4-HMAC-SHA256 \
                 Credential=a, SignedHeaders=b, Signature=c\r\n\r\n",
                body.len()
            );
            socket.write_all(head.as_bytes()).await.expect("sent");
            socket.write_all(body).await.expect("sent");
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await.expect("read");
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 400"), "{operation} {answer}");
            assert!(answer.contains("__type"), "{operation} {answer}");
        }
    }
    server.shutdown().await;
}
