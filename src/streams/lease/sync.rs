//! The rows that the lease table lacks or no longer needs, by a listing of the stream's shards.
//!
//! ```text
//!  listed, no row   ─ a descendant has passed its start ───▶ finished long ago, its row was deleted: leave it
//!                   ─ there is no row at all: first start ─▶ by the start position
//!                   ─ otherwise: born since ───────────────▶ TRIM_HORIZON
//!
//!  finished, row    ─ each child has passed its start ─────▶ delete
//! ```
//!
//! A finished row is deleted only after all of its children have passed their starts. So a row that
//! is not there while a child is at `TRIM_HORIZON` was deleted by hand, and is made again for the
//! whole shard: its child waits for it.
//!
//! A shard born since the first start begins at its first record, whatever the start position was:
//! it has no change from before the start. Its row stores its first number, so that records that
//! are trimmed before any was read are reported.

use std::collections::{BTreeMap, BTreeSet};

use super::super::ShardId;
use super::super::graph::ShardGraph;
use super::row::{Checkpoint, LeaseRow};

pub(crate) type Rows = BTreeMap<ShardId, LeaseRow>;

/// The start position of an application that has no lease yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    TrimHorizon,
    Latest,
    /// At a time, in milliseconds since 1970.
    AtTimestamp(u64),
}

/// Returns whether rows show that an application has begun. While no row was taken, its first start
/// is under way, perhaps in several workers at once, or was broken off: rows are made before that.
pub(crate) fn has_begun(rows: &Rows) -> bool {
    rows.values().any(LeaseRow::was_taken)
}

/// The rows to make. `is_all` is unset where shards must be listed again before they are believed.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    pub(crate) rows: Vec<LeaseRow>,
    pub(crate) is_all: bool,
    /// Shards that are gone and never had a lease, although the application had begun.
    pub(crate) unseen: Vec<ShardId>,
}

/// The certainty about a shard without a parent, or whose parent has no row and is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ancestry {
    /// The shard is as listed: its parent is gone, or it has none.
    Settled,
    /// More listings are needed: a child that begins before its parent would be read out of order.
    Doubtful,
}

/// Returns the rows to make, ancestors first, without the time of creation and the stream.
///
/// `begin` is the start position of an application that has not begun, else `None`. `ancestry` is
/// called for shards whose parent is not listed and has no row, `is_disputed` for all.
pub(crate) fn missing(
    graph: &ShardGraph,
    rows: &Rows,
    begin: Option<Begin>,
    ancestry: impl Fn(&ShardId) -> Ancestry,
    is_disputed: impl Fn(&ShardId) -> bool,
) -> Missing {
    let mut made = Missing {
        rows: Vec::new(),
        is_all: true,
        unseen: Vec::new(),
    };
    // Shards with a row, and their ancestors, whose missing rows were deleted once finished.
    let mut settled: BTreeSet<&ShardId> = rows.keys().collect();
    for row in rows.values().filter(|row| row.is_past_parents()) {
        settled.extend(graph.ancestors(&row.shard));
        settled.extend(&row.parents);
    }
    // A start time holds for shards that are listed later, too.
    let earliest = rows.values().filter_map(|row| row.from_time).min();
    let mut from_times: BTreeMap<&ShardId, Option<u64>> = BTreeMap::new();
    let mut doubtful: BTreeSet<&ShardId> = BTreeSet::new();
    for shard in graph.in_order() {
        if settled.contains(shard) {
            continue;
        }
        let parent = graph.parent(shard);
        let known =
            parent.is_some_and(|parent| graph.contains(parent) || rows.contains_key(parent));
        if parent.is_some_and(|parent| doubtful.contains(parent))
            || is_disputed(shard)
            || !(known || ancestry(shard) == Ancestry::Settled)
        {
            doubtful.insert(shard);
            made.is_all = false;
            continue;
        }
        if let Some(parent) = parent
            && !(known || settled.contains(parent) || begin.is_some())
        {
            // Two children may share the parent.
            if !made.unseen.contains(parent) {
                made.unseen.push(parent.clone());
            }
        }
        let inherited = match parent {
            Some(parent) => match rows.get(parent) {
                Some(row) => row.from_time,
                None => from_times.get(parent).copied().unwrap_or(earliest),
            },
            None => earliest,
        };
        // A shard was born since the start if an ancestor's reading has begun, or is about to.
        let is_successor = graph.ancestors(shard).any(|ancestor| {
            let row = rows.get(ancestor);
            row.is_some_and(|row| !row.is_finished() || row.was_taken())
        });
        // At a first start from the oldest change nothing is missed, however much of it is there.
        let is_born_since = is_successor && matches!(begin, None | Some(Begin::Latest));
        let (checkpoint, from_time) = match begin {
            None => (Checkpoint::TrimHorizon, inherited),
            Some(Begin::TrimHorizon) => (Checkpoint::TrimHorizon, None),
            Some(Begin::AtTimestamp(time)) => (Checkpoint::TrimHorizon, Some(time)),
            Some(Begin::Latest) if is_successor => (Checkpoint::TrimHorizon, None),
            Some(Begin::Latest) if graph.is_leaf(shard) => (Checkpoint::Latest, None),
            // It gets a row, so that it is not mistaken later for a shard that was born since.
            Some(Begin::Latest) => (Checkpoint::ShardEnd, None),
        };
        from_times.insert(shard, from_time);
        made.rows.push(LeaseRow {
            parents: parent.into_iter().cloned().collect(),
            from_time,
            first: graph.first(shard).filter(|_| is_born_since),
            ..LeaseRow::new(shard.clone(), checkpoint)
        });
    }
    made
}

/// Returns whether a shard without a row was finished before its row was deleted: a descendant has
/// passed its start. The row of any other listed shard is to be made.
pub(super) fn was_finished(graph: &ShardGraph, rows: &Rows, shard: &ShardId) -> bool {
    let mut past = rows.values().filter(|row| row.is_past_parents());
    past.any(|row| {
        row.parents.contains(shard) || graph.ancestors(&row.shard).any(|old| old == shard)
    })
}

/// Returns the finished leases whose rows are not needed any more.
///
/// A finished shard's row shows that its children may begin, and that the shard is not new. It is
/// not needed once each child has a row and has passed a record or is finished. Nor is it once the
/// shard is neither listed nor a parent in any row, if a listed shard's row shows that the
/// application has begun and `is_whole` is set: enough listings have been seen to be certain.
pub(crate) fn outdated(graph: &ShardGraph, rows: &Rows, is_whole: bool) -> Vec<ShardId> {
    let mut begun: BTreeMap<&ShardId, bool> = BTreeMap::new();
    for row in rows.values() {
        for parent in &row.parents {
            let all = begun.entry(parent).or_insert(true);
            *all &= !row.checkpoint.is_start();
        }
    }
    let any_listed = rows.keys().any(|shard| graph.contains(shard));
    let finished = rows.values().filter(|row| row.is_finished());
    let outdated = finished.filter(|row| {
        let listed_have_rows = graph
            .children(&row.shard)
            .all(|child| rows.contains_key(child));
        match begun.get(&row.shard) {
            Some(begun) => *begun && listed_have_rows,
            None => is_whole && any_listed && !graph.contains(&row.shard),
        }
    });
    outdated.map(|row| row.shard.clone()).collect()
}

#[cfg(test)]
#[path = "sync_tests.rs"]
mod tests;
