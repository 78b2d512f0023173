//! One binary for all integration tests, a module for each guarantee.

mod conformance;
mod model;
mod order;
