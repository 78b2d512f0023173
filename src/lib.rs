//! Write to DynamoDB from Rust and lose nothing.

pub mod capacity;
pub mod item;
pub mod retry;
mod settings;
pub mod sink;
mod transport;
