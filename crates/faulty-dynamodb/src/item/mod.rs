//! Items and their keys, and the refusals in DynamoDB's words.
//!
//! The bottom of the crate: it knows no table, no fault and no socket.

pub(crate) mod arn;
pub(crate) mod error;
pub(crate) mod key;
pub(crate) mod number;
pub(crate) mod throttle;
pub(crate) mod value;
