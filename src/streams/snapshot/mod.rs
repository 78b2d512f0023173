//! A snapshot of the table, merged with its stream.
//!
//! **Problem.** A new application wants every item of the table and then every change: the stream holds 24 hours, the table is older. A scan
//! takes hours, during which items change: given before a scanned page, a change is newer than the item in it; given after, it may be older. And after a
//! gap in the stream only the table still knows what became of the items.
//!
//! **Choice.** The watermarks of Netflix's `DBLog`, without marks written to the table: the stream flows all the while, and a page of the scan is
//! kept until every shard has been read past the moment of the page ([`merge`]). Items that changed in between are dropped from it: the
//! stream gives them. To hand pages out, the shards are held up until all that they gave is done, since nobody can tell from a key which
//! shard its changes are in ([`junction`]).
//!
//! ```text
//!  Scan, segment by segment ─▶ pages on hold ─▶ barrier ─▶ handler, or the stream ─▶ done ─▶ positions ─▶ <lease table>-snapshot
//!   paced by read units            ▲    ▲                                               ▲
//!                    keys, how far │    │ quiet                                         │ checkpoints have passed the barrier
//!  GetRecords, shard by shard ─────┴────┴───────────────────────────────────────────────┘
//! ```
//!
//! One worker takes the snapshot, and reads all shards meanwhile: what it does not read it can't merge. Who it is, the lease in the
//! snapshot's own table says ([`store`]); another goes on from the stored positions when it has not been heard of for the failover time.
//!
//! **What it costs.** One read unit for each 4 KB of the table. While pages are handed out nothing is read from the stream: changes wait for the
//! handler to be done with up to [`hold_bytes`](SnapshotSettings::hold_bytes) of items, and each time about as long again for what was out to be done.
//! The fleet's other workers are idle until the snapshot is complete.
//!
//! **Rejected.** Marks written to the table itself: they need write permission, and give consumers records that are none. Holding up only the
//! shard of an item: a key's shard is known only once it has changed. One scan first, then the stream from before: every change since would have to be
//! compared with an item that was given hours ago.

mod junction;
mod merge;
mod pace;
mod scan;
mod settings;
mod store;
mod task;

use std::sync::Arc;

pub(crate) use junction::{Epoch, Junction};
pub use settings::SnapshotSettings;
pub(crate) use store::SnapshotTable;
pub(crate) use task::{SnapshotEnd, take_snapshot};

use crate::transport::Transport;

/// What snapshots of a table are taken by.
pub(crate) struct Snapshots {
    pub(crate) table: SnapshotTable,
    /// The way to the table that is scanned.
    pub(crate) source: Transport,
    /// The names of the table's key attributes.
    pub(crate) keys: Arc<[String]>,
}
