//! One binary for all integration tests, a module for each guarantee.

mod adapter;
mod backpressure;
mod cancellation;
mod conformance;
mod drain;
mod opening;
mod outcomes;
mod privacy;
mod setup;
mod smoke;
mod snapshots;
