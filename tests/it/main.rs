//! One binary for all integration tests, a module for each guarantee.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

mod adapter;
mod aws;
mod backpressure;
mod cancellation;
mod capacity;
mod capacity_fake;
mod compiling;
mod conformance;
mod dead_letters;
mod dependencies;
mod drain;
mod dynamodb_local;
mod end_to_end;
mod flink_behaviours;
mod flink_defects;
mod kafka;
mod kafka_broker;
mod kcl;
mod lasting;
#[path = "../servers/local.rs"]
mod local;
mod loss;
mod many_tables;
mod model;
mod opening;
mod order;
mod outages;
mod outcomes;
mod panics;
mod pipeline;
mod privacy;
mod public_names;
mod refusals;
mod servers;
mod setup;
mod shutdown;
mod snapshots;
mod streams;
#[cfg(feature = "streams")]
mod streams_fake;
mod table_spec;
mod unreachable;
