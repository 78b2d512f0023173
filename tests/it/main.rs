//! One binary for all integration tests, a module for each guarantee.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

mod adapter;
mod backpressure;
mod cancellation;
mod conformance;
mod dependencies;
mod drain;
mod flink_behaviours;
mod model;
mod opening;
mod order;
mod outcomes;
mod privacy;
mod setup;
mod snapshots;
