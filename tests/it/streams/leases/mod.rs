//! Workers that share a stream's shards.

mod fleet;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::streams::StreamsSettings;
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::rig::{
    LEASES, Log, Row, TABLE, Worker, checkpoint, eventually, leases, make_lease_table, nth,
    open_shards, put, put_each, put_row, table, text,
};

const SECOND: Duration = Duration::from_secs(1);
const FAILOVER: Duration = Duration::from_secs(10);
