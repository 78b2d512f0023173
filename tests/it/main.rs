//! One binary for all integration tests, a module for each guarantee.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

mod adapter;
mod conformance;
mod drain;
mod flink_behaviours;
mod model;
mod order;
mod outcomes;
mod setup;
