//! A snapshot of the table, merged with its stream.
//!
//! **Problem.** A new application needs every item of the table and then every change. The stream holds 24 hours; the table is
//! older. A scan takes hours, and items change during it. A change that is given before a scanned page may be newer than the
//! item in it; one that is given after it may be older. After a gap in the stream, only the table shows the state of the items.
//!
//! **Choice.** The watermarks of Netflix's `DBLog`, without marks written to the table. A first snapshot begins at LATEST:
//! iterators of the open shards are pinned before the first page is scanned, so the scan shows every earlier change, and no
//! closed shard is read. The stream is read during the scan, and a page is kept until every shard has been read past the moment
//! of the page ([`merge`]). Items that changed in between are dropped from it: the stream gives them. To hand pages out, the
//! shards pause until all records they gave are done, since a key does not show which shard has its changes ([`coordinator`]).
//!
//! ```text
//!  Scan, segment by segment ─▶ pages on hold ─▶ barrier ─▶ handler, or the stream ─▶ done ─▶ positions ─▶ <lease table>-snapshot
//!   paced by read units            ▲    ▲                                               ▲
//!                    keys, how far │    │ quiet                                         │ checkpoints have passed the barrier
//!  GetRecords, shard by shard ─────┴────┴───────────────────────────────────────────────┘
//! ```
//!
//! One worker takes the snapshot and reads all unfinished shards, since it can merge only the shards that it reads. It has the
//! lease in the snapshot's own table ([`store`]). If it does not renew that lease for the failover time, another worker continues
//! from the stored positions.
//!
//! **Cost.** One read unit for each 4 KB of the table. While pages are handed out, nothing is read from the stream: changes
//! wait until the handler is done with up to [`hold_bytes`](SnapshotSettings::hold_bytes) of items, and each time about as long
//! again until the records that were out are done. The fleet's other workers are idle until the snapshot is complete.
//!
//! **Rejected.** Marks written to the table itself: they need write permission, and consumers get records that are not data.
//! Pausing only the shard of an item: a key's shard is known only once the item has changed. One complete scan, then the stream
//! from before it: every change since would have to be compared with an item that was given hours ago.

mod coordinator;
mod merge;
mod pace;
mod scan;
mod settings;
mod store;
mod task;

use std::sync::Arc;

pub(crate) use coordinator::{Coordinator, Epoch};
pub use settings::SnapshotSettings;
pub(crate) use store::SnapshotTable;
pub(crate) use task::{SnapshotEnd, take_snapshot};

use crate::transport::Transport;

/// The tables and key names that a snapshot needs.
pub(crate) struct Snapshots {
    pub(crate) table: SnapshotTable,
    /// The transport to the table that is scanned.
    pub(crate) source: Transport,
    /// The names of the table's key attributes.
    pub(crate) keys: Arc<[String]>,
}
