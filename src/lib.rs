//! Write to DynamoDB from Rust and lose nothing.

pub mod item;
pub mod retry;
mod transport;

pub use transport::TransportKind;
