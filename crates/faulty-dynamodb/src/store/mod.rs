//! The store: tables, items, indexes and streams, and the execution of one request on them.
//!
//! It is an honest DynamoDB. It knows nothing of faults, plans, the journal and sockets: the caller
//! gives the time, the randomness and a choice of the writes that are to be left ([`execution`]).
//! Streams have switches of their own, for shards that split and listings that are late or wrong.
//!
//! ```text
//!  JSON ─▶ request ─▶ execution ─┬▶ tables, update_table, describe
//!                                ├▶ read ──────────┐
//!                                ├▶ write, batch ──┼▶ expression ─▶ table ─▶ streams
//!                                └▶ transactions ──┘      capacity: what it consumes
//! ```

pub(crate) mod batch;
pub(crate) mod capacity;
pub(crate) mod describe;
pub(crate) mod execution;
pub(crate) mod expression;
pub(crate) mod fake_table;
mod key_condition;
pub(crate) mod operation;
pub(crate) mod read;
pub(crate) mod request;
pub(crate) mod streams;
pub(crate) mod table;
pub(crate) mod tables;
pub(crate) mod transactions;
pub(crate) mod update_table;
pub(crate) mod write;
