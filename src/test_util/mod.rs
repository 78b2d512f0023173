//! The faulty DynamoDB.

mod batch;
mod capacity;
mod client;
mod clock;
mod error;
mod expression;
mod fake;
mod fault;
mod journal;
mod key;
mod number;
mod operation;
mod plan;
mod read;
mod request;
mod server;
mod service;
mod store;
mod table;
mod tables;
mod transactions;
mod value;
mod write;

#[cfg(test)]
mod client_tests;

pub use fake::FaultyDynamoDb;
pub use fault::{Fault, Throttle};
pub use journal::{AppliedWrite, Overlap, RequestOutcome, RequestRecord, WriteKind};
pub use key::KeyType;
pub use operation::Operation;
pub use plan::FaultPlan;
pub use server::FakeServer;
pub use table::{IndexSpec, TableSpec};
