//! Who reads which shard, and how far each has been read.
//!
//! **Problem.** A fleet of equal workers shares a stream's shards, with nobody in charge: one reader per shard, none unread, even loads, and a
//! worker that dies, hangs or is cut off must not stop or double a shard.
//!
//! **Choice.** A lease for each shard, a row in a DynamoDB table in the Kinesis Client Library's own format, so that an application that has
//! run on the KCL can be taken over at its checkpoints, and handed back. Every change of a row moves its counter and is made on the condition
//! that nobody else has: two workers can't have one lease, whatever their clocks say.
//!
//! ```text
//!   scan ─▶ Observed ─▶ plan (balance) ─▶ take ─▶ Hold, one for each lease held ─▶ renew, checkpoint, finish, let go
//!                │                                  │ refused: look at what stands there
//!   listing ─▶ sync: rows to make, rows to delete   └▶ handed over, lost, or ours after all
//! ```
//!
//! **Rejected.** Joining a live fleet of KCL 3, which elects a leader and balances by load: its leader would hand our leases to workers of its own
//! kind. Rows of our own in the table: a KCL gives up at the first row that is no lease.

mod balance;
mod hold;
mod memory;
mod row;
mod sync;
mod table;
mod update;

pub(crate) use balance::{Manner, Observed};
pub(crate) use hold::{Hold, Verdict};
pub(crate) use row::{Checkpoint, LeaseRow, MalformedRow};
pub(crate) use sync::{Ancestry, Begin, Missing, Rows, has_begun, missing, outdated};
pub(crate) use table::{Change, LeaseTable, LookError, Written};
