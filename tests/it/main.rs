//! One binary for all integration tests, a module for each guarantee.

mod conformance;
mod flink_behaviours;
mod model;
mod order;
