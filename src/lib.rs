//! Write to DynamoDB from Rust and lose nothing.

pub mod item;
pub mod retry;
mod transport;

#[cfg(feature = "test-util")]
pub mod test_util;
