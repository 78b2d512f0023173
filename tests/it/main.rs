//! One binary for all integration tests, a module for each guarantee.

mod adapter;
mod conformance;
mod drain;
mod outcomes;
mod setup;
mod smoke;
