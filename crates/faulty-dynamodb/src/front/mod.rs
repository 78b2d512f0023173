//! The front: the handle that tests hold, the ways in, and a request under way.
//!
//! ```text
//!  HttpClient (client) ──┐
//!                        ├▶ service ─▶ flight ─┬▶ faults: what goes wrong
//!  HTTP/1.1 (server) ────┘                     ├▶ store: what the request does
//!                                              └▶ journal: what was seen
//! ```

pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod fake;
pub(crate) mod flight;
pub(crate) mod headers;
pub(crate) mod server;
pub(crate) mod service;
#[cfg(feature = "streams")]
mod streams_client;
mod streams_control;

#[cfg(test)]
mod client_tests;
