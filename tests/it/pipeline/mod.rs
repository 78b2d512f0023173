//! Pipelines: order, acknowledgement, bounds, dead letters, lookups, and every way to end.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do, and paused time is read"
)]

mod acks;
mod basics;
mod bounds;
mod causes;
mod compositions;
mod dead_letters;
mod endings;
mod groups;
mod lag;
mod letters;
mod lookups;
mod numbers;
mod order;
mod partitions;
mod parts;
mod signals;
mod stalls;
mod streams_to_kafka;
mod table_lookups;
mod tables;
mod withdrawals;
