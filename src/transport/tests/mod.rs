//! One suite for both ways and every service: what is asserted of one is asserted of the others.

mod describing;
#[cfg(all(feature = "embedded", feature = "streams"))]
mod embedded;
mod fake;
#[cfg(feature = "streams")]
mod json_numbers;
mod parsing;
#[cfg(feature = "streams")]
mod streams;
mod tables;

use super::TransportKind;
use bytes::Bytes;
use std::time::Duration;

const WAYS: [TransportKind; 2] = [TransportKind::Direct, TransportKind::Sdk];

const ATTEMPT: Duration = Duration::from_secs(20);

fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
