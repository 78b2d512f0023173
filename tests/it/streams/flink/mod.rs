//! The demands of the tests of Flink's DynamoDB Streams source, and its defects.
//!
//! | Flink's connector | test |
//! |---|---|
//! | discovery | `shards_are_discovered_at_the_start_and_while_it_runs` |
//! | parents before children | `a_slow_parent_is_read_to_its_end_before_its_children` |
//! | restored positions | `every_shard_goes_on_where_it_was`, `after_a_crash_every_shard_goes_on_after_its_checkpoint` |
//! | LATEST takes only open leaves | `latest_takes_only_open_leaves` |
//! | children of later splits start at TRIM_HORIZON | `children_of_later_splits_are_read_from_their_first_record` |
//! | expired iterator retried | `an_expired_iterator_is_replaced_at_the_same_place` |
//! | trimmed data handled | `gaps::after_a_reported_gap_it_goes_on_with_the_oldest_change` |
//! | empty and non-empty poll delays | `reads_are_as_far_apart_as_what_the_shard_brings_asks_for` |
//! | per-shard lag metric | `the_lag_of_a_shard_is_the_age_of_what_was_read_last` |
//! | finished shards not reassigned | `finished_shards_are_not_read_again` |
//! | inconsistent shard graphs detected | `inconsistent_listings_lose_and_reorder_nothing` |
//! | defect: trimmed data and missing streams logged and skipped | `gaps` |
//! | defect: a LATEST shard with no record yet re-reads LATEST after a restore | `a_crash_before_the_first_record_skips_nothing_at_latest` |
//! | defect: no AT_TIMESTAMP | `at_a_timestamp_gives_what_changed_from_then_on` |

mod lineage;
mod pace;
mod places;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use dynamodb_connector::streams::{ShardId, StartPosition, StreamsSettings};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use futures::StreamExt as _;

use super::rig::{
    Log, TABLE, Worker, checkpoint, eventually, leases, nth, open_shards, put, put_each, table,
};

const SECOND: Duration = Duration::from_secs(1);
