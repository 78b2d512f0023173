//! The leases of shards: which worker reads which shard, and how far each has been read.
//!
//! **Problem.** A fleet of equal workers shares a stream's shards without a coordinator: each shard
//! has one reader, loads are even, and a worker that dies, hangs or is cut off must neither stop a
//! shard nor have it read twice.
//!
//! **Choice.** A lease for each shard: a row of a DynamoDB table in the Kinesis Client Library's
//! own format, so that an application of the KCL can be taken over at its checkpoints, and handed
//! back. A write requires that the row's counter or owners are unchanged, and moves the counter
//! unless it only asks for a lease: no two workers have one lease, whatever their clocks say.
//!
//! ```text
//!   scan ─▶ Observed ─▶ plan (balance) ─▶ take ─▶ HeldLease, one for each lease held ─▶ renew, checkpoint, finish, let go
//!                │                                  │ refused: read the row
//!   listing ─▶ sync: rows to make, rows to delete   └▶ handed over, lost, or ours after all
//! ```
//!
//! **Rejected.** Joining a live fleet of KCL 3, which elects a leader and balances by load: its
//! leader would hand our leases to workers of its own kind. Rows of our own in the table: a KCL
//! fails at the first row that is no lease.

mod balance;
mod change;
mod checkpointing;
mod creation;
mod held_lease;
mod memory;
mod row;
mod sync;
mod table;
mod update;
mod validity;

pub(crate) use balance::{Manner, Observed};
pub(crate) use change::{Change, Written};
pub(crate) use held_lease::{HeldLease, Verdict};
pub(crate) use row::{Checkpoint, LeaseRow, MalformedRow};
pub(crate) use sync::{Ancestry, Begin, Missing, Rows, has_begun, missing, outdated};
pub(crate) use table::{LeaseTable, LookError};
