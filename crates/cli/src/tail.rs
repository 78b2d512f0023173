//! `tail`: a table's changes as lines of JSON, as they come.

use std::error::Error;
use std::io::{self, Write};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::Args;
use dynamodb_connector::streams::{
    EventKind, Record, RecordStream, StartPosition, StreamsSettings, StreamsSource,
};
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::Ending;
use crate::connection::Connection;

/// Changes should show as they are made, for ten reads a second of each shard.
const POLL: Duration = Duration::from_millis(100);

/// The most lines that wait to be printed.
const LINES: usize = 1_000;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The table, by its name or ARN
    table: String,
    /// The first change: now, oldest, a time such as 2026-05-04T10:00:00Z, or how long ago, such as 90m
    #[arg(long, default_value = "now", value_name = "WHEN")]
    from: From,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Now,
    Oldest,
    Time(SystemTime),
    Ago(Duration),
}

impl FromStr for From {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "now" => return Ok(Self::Now),
            "oldest" => return Ok(Self::Oldest),
            _ => {}
        }
        let time = humantime::parse_rfc3339_weak(text).map(Self::Time);
        time.or_else(|_| humantime::parse_duration(text).map(Self::Ago))
            .map_err(|_| "now, oldest, 2026-05-04T10:00:00Z or 90m is wanted")
    }
}

impl From {
    fn position(self) -> StartPosition {
        match self {
            Self::Now => StartPosition::Latest,
            Self::Oldest => StartPosition::TrimHorizon,
            Self::Time(time) => StartPosition::AtTimestamp(time),
            Self::Ago(ago) => {
                StartPosition::AtTimestamp(now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH))
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is said to be so long ago is counted from now"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// A change as it is printed.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    time: String,
    shard: &'a str,
    sequence: Option<String>,
    keys: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<&'a RawValue>,
}

impl<'a> Line<'a> {
    fn of(record: &'a Record) -> serde_json::Result<Self> {
        let image = |json: Option<&'a [u8]>| json.map(serde_json::from_slice).transpose();
        Ok(Self {
            event: match record.kind() {
                EventKind::Insert => "INSERT",
                EventKind::Modify => "MODIFY",
                EventKind::Remove => "REMOVE",
                _ => "SNAPSHOT",
            },
            time: humantime::format_rfc3339(record.approximate_creation_time()).to_string(),
            shard: record.shard_id().as_str(),
            sequence: record.sequence_number().map(ToString::to_string),
            keys: serde_json::from_slice(record.keys_json())?,
            new: image(record.new_image_json())?,
            old: image(record.old_image_json())?,
        })
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<Ending, Box<dyn Error>> {
    let config = arguments.connection.config().await?;
    let tables = aws_sdk_dynamodb::Client::new(&config);
    let streams = aws_sdk_dynamodbstreams::Client::new(&config);
    let source = StreamsSource::builder(&tables, &streams, arguments.table)
        .leases_in_memory()
        .start(arguments.from.position())
        .settings(StreamsSettings::default().poll(POLL));
    let changes = source.open().await?.into_stream();
    // Nothing has to be stored at the end: all that is left is dropped.
    tokio::select! {
        printed = print(changes) => printed,
        signal = tokio::signal::ctrl_c() => {
            signal?;
            Ok(Ending::Interrupted)
        }
    }
}

/// Prints changes until the stream ends, or what reads them does.
async fn print(mut changes: RecordStream) -> Result<Ending, Box<dyn Error>> {
    let (lines, mut printer) = printer();
    loop {
        let change = tokio::select! {
            // Also while no change comes: the lines before it could not be printed.
            ended = &mut printer => {
                ended??;
                return Ok(Ending::Done);
            }
            change = changes.next() => change,
        };
        let Some(change) = change.transpose()? else {
            break;
        };
        let mut line = serde_json::to_vec(&Line::of(&change.record)?)?;
        line.push(b'\n');
        if lines.send(line).await.is_err() {
            break;
        }
        change.ack.done();
    }
    drop(lines);
    // It ends once all is printed, or the program that reads it has ended.
    printer.await??;
    Ok(Ending::Done)
}

/// Starts a thread that prints lines: it may be blocked by what reads them, and Ctrl-C must not be.
fn printer() -> (mpsc::Sender<Vec<u8>>, oneshot::Receiver<io::Result<()>>) {
    let (lines, mut waiting) = mpsc::channel::<Vec<u8>>(LINES);
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let mut out = io::stdout();
        let mut printed = Ok(());
        while let Some(line) = waiting.blocking_recv() {
            printed = out.write_all(&line).and_then(|()| out.flush());
            if printed.is_err() {
                break;
            }
        }
        let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        // The receiver is gone after Ctrl-C.
        drop(ended.send(match printed {
            Err(error) if !broken(&error) => Err(error),
            _ => Ok(()),
        }));
    });
    (lines, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_a_time_or_how_long_ago() {
        assert_eq!("now".parse(), Ok(From::Now));
        assert_eq!("oldest".parse(), Ok(From::Oldest));
        assert_eq!("90m".parse(), Ok(From::Ago(Duration::from_secs(5_400))));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        for text in ["1970-01-02T00:00:00Z", "1970-01-02 00:00:00"] {
            assert_eq!(text.parse(), Ok(From::Time(time)));
        }
        assert!("yesterday".parse::<From>().is_err());
    }
}
