//! Write to DynamoDB from Rust and lose nothing.

pub mod capacity;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod item;
pub mod retry;
mod settings;
pub mod sink;
mod transport;

#[cfg(feature = "test-util")]
pub mod test_util;
