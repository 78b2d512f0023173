//! An accepted write ends in exactly one outcome, and nothing is dropped in silence.

mod lost_answers;
mod transactions;
mod unobserved;
mod writes;

use std::time::Duration;

use dynamodb_connector::TableSpec;
use dynamodb_connector::sink::{
    DrainError, DynamoDbSink, Outcome, RejectReason, StopReason, SubmitError, TableSettings,
    WriteKind,
};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation, Throttle};

use crate::setup::{
    TABLE, assert_no_room_taken, builder, fake, id, is_pk, large, on_writes, one_by_one, open,
    open_with, row, settle, stored, stored_n, writes_sent,
};

const NEW: &str = "attribute_not_exists(pk)";
