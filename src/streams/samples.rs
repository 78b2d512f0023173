//! Samples of a source's errors, for the tests of all errors.

use std::time::Duration;

use super::error::StreamsError;
use super::page::parse_page;
use super::{BatchError, InvalidSequenceNumber, MalformedRecord, ShardId};
use crate::error::ErrorKind;
use crate::error::samples::{ROOT, Sample};
use crate::gap::{Gap, GapCause};
use crate::item::DecodeError;
use crate::retry::samples::{denied, throttled};
use crate::settings::samples::config;

/// Returns a record without anything that makes one.
fn malformed() -> MalformedRecord {
    let body = br#"{"Records":[{}]}"#;
    let page = parse_page(&ShardId::new(ROOT), body.as_slice().into());
    let mut records = page.expect("a page").records;
    let record = records.pop().expect("a record");
    record.expect_err("it is no change")
}

pub(crate) fn all() -> Vec<Sample> {
    let mut all = vec![
        Sample::new(InvalidSequenceNumber, ErrorKind::Invalid),
        Sample::new(malformed(), ErrorKind::Invalid),
    ];
    all.extend(of_handlers());
    let of_opening = of_opening();
    all.extend(of_opening.map(|(error, kind)| Sample::new(error, kind)));
    let of_reading = of_reading();
    all.extend(of_reading.map(|(error, kind)| Sample::new(error, kind)));
    all
}

/// Returns the errors of a handler, into which any error converts.
fn of_handlers() -> [Sample; 2] {
    let sample = |error: BatchError, kind| {
        let said = (error.kind(), error.is_retryable());
        Sample::converted(error, said, kind)
    };
    let again = BatchError::from(std::io::Error::other(ROOT));
    [
        sample(again, ErrorKind::Handler).retryable(true),
        sample(BatchError::refuse(2, ROOT), ErrorKind::Invalid),
    ]
}

fn of_opening() -> [(StreamsError, ErrorKind); 10] {
    let (table, text) = (|| "orders".to_owned(), || ROOT.to_owned());
    let (operation, target) = ("DescribeStream", table);
    [
        (StreamsError::from(config()), ErrorKind::Config),
        (StreamsError::NoStream { table: table() }, ErrorKind::Config),
        (
            StreamsError::ForeignLeases {
                lease_table: table(),
                stream: text(),
            },
            ErrorKind::Config,
        ),
        (
            StreamsError::service(operation, &target(), denied()),
            ErrorKind::Denied,
        ),
        (
            StreamsError::service(operation, &target(), throttled()),
            ErrorKind::Capacity,
        ),
        (
            StreamsError::lease_table_creation(&table(), ROOT),
            ErrorKind::Config,
        ),
        (
            StreamsError::LeaseTableNotActive {
                table: table(),
                waited: Duration::from_secs(120),
            },
            ErrorKind::Unavailable,
        ),
        (StreamsError::not_a_lease_table(&table()), ErrorKind::Config),
        (
            StreamsError::MalformedLease {
                table: table(),
                shard: text(),
                problem: "no owner",
            },
            ErrorKind::Config,
        ),
        (
            StreamsError::InconsistentShards {
                table: table(),
                problem: text(),
            },
            ErrorKind::Unavailable,
        ),
    ]
}

fn of_reading() -> [(StreamsError, ErrorKind); 8] {
    let (table, shard) = (|| "orders".to_owned(), || ShardId::new("shard-1"));
    [
        (
            StreamsError::StreamDisabled { table: table() },
            ErrorKind::Ended,
        ),
        (
            StreamsError::TableDeleted { table: table() },
            ErrorKind::Ended,
        ),
        (
            StreamsError::CallbackPanicked { callback: "on_gap" },
            ErrorKind::Handler,
        ),
        (
            StreamsError::Gap {
                table: table(),
                gap: Gap::new(Some(ROOT.into()), None, GapCause::Trimmed),
            },
            ErrorKind::Gap,
        ),
        (
            StreamsError::Undecodable {
                shard: shard(),
                sequence: None,
                error: DecodeError::Missing {
                    path: ROOT.to_owned(),
                },
            },
            ErrorKind::Invalid,
        ),
        (
            StreamsError::Malformed {
                shard: shard(),
                problem: ROOT.to_owned(),
            },
            ErrorKind::Invalid,
        ),
        (
            StreamsError::Refused {
                shard: shard(),
                problem: ROOT.to_owned(),
            },
            ErrorKind::Invalid,
        ),
        (StreamsError::Panicked, ErrorKind::Internal),
    ]
}
