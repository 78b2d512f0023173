//! The server's own process: as cheap as HTTP/1.1 allows.
//!
//! It counts requests and body bytes, which shows what a client sent, and takes the time of each
//! answer, which shows what a client had to wait for.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};

use super::pace::Pace;
use super::{Arrived, Connections, Serving, Took};
use crate::rig::times::Times;
use crate::rig::{Failure, child, clock, cores};

const ACKNOWLEDGED: &str = r#"{"UnprocessedItems":{}}"#;
const ACKNOWLEDGED_WITH_CAPACITY: &str = r#"{"ConsumedCapacity":[{"CapacityUnits":25.0,"Table":{"CapacityUnits":25.0},"TableName":"bench"}],"UnprocessedItems":{}}"#;
const TABLE: &str = r#"{"Table":{"TableName":"bench","TableStatus":"ACTIVE","TableArn":"arn:aws:dynamodb:eu-central-1:123456789012:table/bench","TableId":"00000000-0000-0000-0000-000000000000","AttributeDefinitions":[{"AttributeName":"customer","AttributeType":"S"},{"AttributeName":"number","AttributeType":"N"}],"KeySchema":[{"AttributeName":"customer","KeyType":"HASH"},{"AttributeName":"number","KeyType":"RANGE"}],"BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST"},"ProvisionedThroughput":{"NumberOfDecreasesToday":0,"ReadCapacityUnits":0,"WriteCapacityUnits":0},"ItemCount":0,"TableSizeBytes":0}}"#;

/// A table of this name is said to be a provisioned one, of more units than a client on this machine
/// could use; the others are on demand, and say nothing of how much they take.
const BUDGETED: &[u8] = b"budgeted";
const NO_UNITS: &str = r#""WriteCapacityUnits":0"#;
const MANY_UNITS: &str = r#""WriteCapacityUnits":40000000"#;
const ON_DEMAND: &str = r#""BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST"},"#;

/// `ReturnConsumedCapacity` stands before or after the items; looking for it among them would
/// only cost.
const CAPACITY_ASKED: &[u8] = b"ReturnConsumedCapacity";
const EDGE: usize = 256;

/// Serves until the parent closes this process's input.
pub(super) fn run(serving: Serving) -> Result<(), Failure> {
    if let Some(core) = serving.core {
        cores::pin(core);
    }
    child::end_with_parent();
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            println!("{}", listener.local_addr()?);
            let answers = Rc::new(Answers::new());
            let pace = Rc::new(Pace::new(serving));
            let tasks = tokio::task::LocalSet::new();
            tasks
                .run_until(async {
                    loop {
                        let (stream, _) = listener.accept().await?;
                        stream.set_nodelay(true)?;
                        let (answers, pace) = (Rc::clone(&answers), Rc::clone(&pace));
                        tokio::task::spawn_local(async move {
                            answers.count(|connections| connections.open += 1);
                            // A client that goes away is how every connection ends.
                            let _ = Connection::new(stream).serve(&answers, &pace).await;
                            answers.count(|connections| connections.open -= 1);
                        });
                    }
                })
                .await
        })
}

struct Answers {
    acknowledged: Vec<u8>,
    acknowledged_with_capacity: Vec<u8>,
    table: Vec<u8>,
    budgeted_table: Vec<u8>,
    arrived: Cell<Arrived>,
    connections: Cell<Connections>,
    /// From a request's last byte to its answer.
    took: RefCell<Times>,
}

impl Answers {
    fn new() -> Self {
        Self {
            acknowledged: answer(ACKNOWLEDGED),
            acknowledged_with_capacity: answer(ACKNOWLEDGED_WITH_CAPACITY),
            table: answer(TABLE),
            budgeted_table: answer(&TABLE.replace(NO_UNITS, MANY_UNITS).replace(ON_DEMAND, "")),
            arrived: Cell::default(),
            connections: Cell::default(),
            took: RefCell::default(),
        }
    }

    fn count(&self, change: impl FnOnce(&mut Connections)) {
        let mut connections = self.connections.get();
        change(&mut connections);
        connections.peak = connections.peak.max(connections.open);
        connections.busy_peak = connections.busy_peak.max(connections.busy);
        self.connections.set(connections);
    }

    /// What a benchmark asks for.
    fn report(&self, head: &[u8]) -> io::Result<Vec<u8>> {
        if head.starts_with(b"GET /arrived ") {
            return report(&self.arrived.get());
        }
        if head.starts_with(b"GET /connections ") {
            let connections = self.connections.get();
            self.connections.set(Connections {
                peak: connections.open,
                busy_peak: connections.busy,
                ..connections
            });
            return report(&connections);
        }
        let took = self.took.take();
        report(&Took {
            median: took.at(0.5),
            p99: took.at(0.99),
            most: took.most(),
        })
    }

    fn to(&self, head: &[u8], body: &[u8]) -> &[u8] {
        if describes(head) {
            return if contains(body, BUDGETED) {
                &self.budgeted_table
            } else {
                &self.table
            };
        }
        let Arrived { requests, bytes } = self.arrived.get();
        self.arrived.set(Arrived {
            requests: requests + 1,
            bytes: bytes + body.len() as u64,
        });
        let (front, back) = (body.len().min(EDGE), body.len().saturating_sub(EDGE));
        if contains(&body[back..], CAPACITY_ASKED) || contains(&body[..front], CAPACITY_ASKED) {
            &self.acknowledged_with_capacity
        } else {
            &self.acknowledged
        }
    }
}

fn describes(head: &[u8]) -> bool {
    contains(head, b"DescribeTable")
}

/// With the headers that DynamoDB sends, for clients check some of them.
fn answer(body: &str) -> Vec<u8> {
    let crc32 = crc32fast::hash(body.as_bytes());
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nServer: Server\r\nDate: {}\r\n\
         Content-Type: application/x-amz-json-1.0\r\nContent-Length: {length}\r\n\
         Connection: keep-alive\r\n\
         x-amzn-RequestId: 4KBNVRGD25RG1KEO9UT4V3FQDJVV4KQNSO5AEMVJF66Q9ASUAAJG\r\n\
         x-amz-crc32: {crc32}\r\n\r\n{body}",
        clock::http_date(),
    )
    .into_bytes()
}

fn report(figures: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(answer(&serde_json::to_string(figures)?))
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: vec![0; 1 << 16],
            filled: 0,
        }
    }

    async fn serve(mut self, answers: &Answers, pace: &Pace) -> io::Result<()> {
        loop {
            let head = loop {
                if let Some(at) = find(&self.buffer[..self.filled], b"\r\n\r\n") {
                    break at + 4;
                }
                self.read().await?;
            };
            if self.buffer.starts_with(b"GET") {
                return write_all(&self.stream, &answers.report(&self.buffer)?).await;
            }
            let end = head + content_length(&self.buffer[..head])?;
            if end > self.buffer.len() {
                self.buffer.resize(end, 0);
            }
            while self.filled < end {
                self.read().await?;
            }
            let arrived = clock::instant();
            answers.count(|connections| connections.busy += 1);
            let answer = answers.to(&self.buffer[..head], &self.buffer[head..end]);
            // The pace is that of writes: a sink of many tables asks for as many descriptions first.
            if !describes(&self.buffer[..head]) {
                pace.due(arrived).await;
            }
            let written = write_all(&self.stream, answer).await;
            answers.count(|connections| connections.busy -= 1);
            written?;
            answers.took.borrow_mut().add(arrived.elapsed());
            self.buffer.copy_within(end..self.filled, 0);
            self.filled -= end;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        loop {
            match self.stream.try_read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.filled += read;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.readable().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn content_length(head: &[u8]) -> io::Result<usize> {
    head.split(|byte| *byte == b'\n')
        .find_map(|line| {
            let (name, value) = line.split_at_checked(b"content-length:".len())?;
            name.eq_ignore_ascii_case(b"content-length:")
                .then_some(value)
        })
        .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok())
        .ok_or_else(|| io::Error::other("a request without a content length"))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    find(haystack, needle).is_some()
}
