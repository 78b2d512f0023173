//! Write to DynamoDB from Rust and lose nothing.

#[cfg(feature = "embedded")]
pub mod embedded;
pub mod item;
pub mod retry;
mod transport;

#[cfg(feature = "test-util")]
pub mod test_util;
