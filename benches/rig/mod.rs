//! The parts of every benchmark: its arguments, its clock and cores, the records, the SDK's client,
//! a server in another process, measurements that need a process of their own, times, and figures
//! of rounds.
#![allow(dead_code, reason = "each benchmark uses the part it needs")]

pub(crate) mod arguments;
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod cores;
pub(crate) mod records;
pub(crate) mod resident;
pub(crate) mod rounds;
pub(crate) mod sdk;
pub(crate) mod server;
pub(crate) mod times;
pub(crate) mod variant;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
