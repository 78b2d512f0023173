//! What every benchmark is made of: its arguments, its clock and cores, the records, the SDK's
//! client, and a server in another process.
#![allow(dead_code, reason = "each benchmark uses the part it needs")]

pub(crate) mod arguments;
pub(crate) mod clock;
pub(crate) mod cores;
pub(crate) mod quantiles;
pub(crate) mod records;
pub(crate) mod sdk;
pub(crate) mod server;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
