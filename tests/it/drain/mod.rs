//! Flushing, closing, aborting, and what ends a table by itself.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do"
)]

mod failed_tables;
mod flushes;
mod letters;
mod runtime;

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dynamodb_connector::TableSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::sink::{
    DrainError, DynamoDbSink, FailedWrite, Outcome, StopReason, SubmitError, TableSettings,
    TableSink,
};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation, RequestRecord, Throttle};
use futures::FutureExt;
use futures::future::join_all;

use crate::setup::{
    Row, TABLE, assert_no_room_taken, builder, fake, id, is_pk, on_writes, one_by_one, open,
    open_with, row, settle, stored_n,
};

fn key_of(outcome: &Outcome) -> String {
    let record = match outcome {
        Outcome::Rejected { record, .. } | Outcome::Unknown { record, .. } => record,
        Outcome::Unwritten {
            record: Some(record),
            ..
        } => record,
        other => panic!("{other:?}"),
    };
    record.item().unwrap().deserialize::<Row>().unwrap().pk
}
