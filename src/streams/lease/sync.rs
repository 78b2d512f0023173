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
mod tests {
    use super::super::super::SequenceNumber;
    use super::super::super::graph::ListedShard;
    use super::*;

    fn id(name: &str) -> ShardId {
        ShardId::new(name)
    }

    /// Returns the graph of these edges: `a>b a>c` is a shard that was split in two.
    fn graph(edges: &str) -> ShardGraph {
        let mut graph = ShardGraph::default();
        for edge in edges.split_whitespace() {
            let (parent, child) = edge.split_once('>').expect("parent>child");
            let listed = |name: &str, parent: &str| ListedShard {
                id: id(name),
                parent: (!parent.is_empty()).then(|| id(parent)),
                first: (!name.is_empty()).then(|| first_of(name)),
                closed: false,
            };
            graph.merge([listed(child, parent)]).expect("a lineage");
            if !parent.is_empty() {
                graph.merge([listed(parent, "")]).expect("a lineage");
            }
        }
        graph
    }

    fn first_of(name: &str) -> SequenceNumber {
        let number = name.bytes().map(u32::from).sum::<u32>();
        number.to_string().parse().expect("digits")
    }

    fn row(name: &str, parent: &str, checkpoint: &str) -> (ShardId, LeaseRow) {
        let checkpoint = Checkpoint::parse(checkpoint).expect("a checkpoint");
        let row = LeaseRow {
            counter: 1,
            parents: (!parent.is_empty())
                .then(|| id(parent))
                .into_iter()
                .collect(),
            ..LeaseRow::new(id(name), checkpoint)
        };
        (row.shard.clone(), row)
    }

    fn made(rows: &[LeaseRow]) -> Vec<String> {
        rows.iter()
            .map(|row| format!("{} {}", row.shard, row.checkpoint.text()))
            .collect()
    }

    fn make(graph: &ShardGraph, rows: &Rows, begin: Option<Begin>) -> Vec<LeaseRow> {
        let missing = missing(graph, rows, begin, |_| Ancestry::Settled, |_| false);
        assert!(missing.is_all);
        missing.rows
    }

    #[test]
    fn a_first_start_takes_all_shards_or_the_open_ones_as_its_position_says() {
        let graph = graph(">a a>b a>c b>d");
        let none = Rows::new();
        assert_eq!(
            made(&make(&graph, &none, Some(Begin::TrimHorizon))),
            [
                "a TRIM_HORIZON",
                "c TRIM_HORIZON",
                "b TRIM_HORIZON",
                "d TRIM_HORIZON"
            ]
        );
        let latest = make(&graph, &none, Some(Begin::Latest));
        assert_eq!(
            made(&latest),
            ["a SHARD_END", "c LATEST", "b SHARD_END", "d LATEST"]
        );
        assert!(latest.iter().all(|row| row.first.is_none()));
        let at = make(&graph, &none, Some(Begin::AtTimestamp(3)));
        assert!(at.iter().all(|row| row.from_time == Some(3)));
    }

    #[test]
    fn a_first_start_that_was_broken_off_is_gone_on_with() {
        let graph = graph(">a a>b a>c");
        let mut rows: Rows = [row("a", "", "SHARD_END")].into();
        rows.values_mut().for_each(|row| row.counter = 0);
        assert!(!has_begun(&rows));
        let rest = make(&graph, &rows, Some(Begin::Latest));
        assert_eq!(made(&rest), ["c LATEST", "b LATEST"]);
    }

    #[test]
    fn shards_born_since_begin_at_their_first_record_whatever_the_start_was() {
        let graph = graph(">a a>b a>c");
        let (a, mut row) = row("a", "", "123");
        row.from_time = Some(3);
        let later = make(&graph, &[(a, row)].into(), None);
        assert_eq!(made(&later), ["c TRIM_HORIZON", "b TRIM_HORIZON"]);
        assert_eq!(later[0].from_time, Some(3), "a time is handed on");
        assert_eq!(later[0].first, Some(first_of("c")));
        assert_eq!(later[0].parents, [id("a")].into());
    }

    #[test]
    fn at_latest_the_children_of_a_shard_that_was_to_be_read_begin_at_their_first_record() {
        let graph = graph(">a a>b");
        let mut rows: Rows = [row("a", "", "LATEST")].into();
        rows.values_mut().for_each(|row| row.counter = 0);
        let later = make(&graph, &rows, Some(Begin::Latest));
        assert_eq!(made(&later), ["b TRIM_HORIZON"]);
        // So do those of a shard that has been read to its end by now.
        rows.insert(id("a"), row("a", "", "SHARD_END").1);
        let later = make(&graph, &rows, Some(Begin::Latest));
        assert_eq!(made(&later), ["b TRIM_HORIZON"]);
        assert_eq!(later[0].first, Some(first_of("b")));
    }

    #[test]
    fn a_shard_whose_parent_is_disputed_waits_with_all_that_follow() {
        let graph = graph(">a a>b b>c a>d");
        let rows: Rows = [row("a", "", "7")].into();
        let disputed = |shard: &ShardId| shard.as_str() == "b";
        let told = missing(&graph, &rows, None, |_| Ancestry::Settled, disputed);
        assert_eq!(made(&told.rows), ["d TRIM_HORIZON"]);
        assert!(!told.is_all);
    }

    #[test]
    fn a_shard_without_a_listed_parent_is_believed_only_when_that_is_sure() {
        let mut graph = graph(">r a>b b>c");
        graph
            .merge([ListedShard {
                id: id("a"),
                parent: Some(id("gone")),
                first: None,
                closed: false,
            }])
            .expect("a lineage");
        let sure = |shard: &ShardId| match shard.as_str() {
            "r" => Ancestry::Settled,
            _ => Ancestry::Doubtful,
        };
        let begin = Some(Begin::TrimHorizon);
        let first = missing(&graph, &Rows::new(), begin, sure, |_| false);
        assert_eq!(
            (made(&first.rows), first.is_all),
            (vec!["r TRIM_HORIZON".to_owned()], false)
        );
        let parent: Rows = [row("gone", "", "7")].into();
        let then = missing(&graph, &parent, None, sure, |_| false);
        assert!(then.is_all && then.rows.len() == 4, "its parent has a row");
    }

    #[test]
    fn a_parent_that_came_and_went_unseen_is_told() {
        let mut later = graph(">a");
        let orphan = ListedShard {
            id: id("c"),
            parent: Some(id("b")),
            first: None,
            closed: false,
        };
        later.merge([orphan]).expect("a lineage");
        let rows: Rows = [row("a", "", "SHARD_END")].into();
        let settled = |_: &ShardId| Ancestry::Settled;
        let told = missing(&later, &rows, None, settled, |_| false);
        assert_eq!(
            (told.unseen, made(&told.rows)),
            (vec![id("b")], vec!["c TRIM_HORIZON".to_owned()])
        );
        let begin = Some(Begin::TrimHorizon);
        let first = missing(&later, &rows, begin, settled, |_| false);
        assert_eq!(first.unseen, [], "at a first start nothing was to be seen");
    }

    #[test]
    fn ancestors_of_a_lease_are_not_read_again() {
        let graph = graph(">a a>b b>c a>x");
        let later = make(&graph, &[row("c", "b", "123")].into(), None);
        assert_eq!(made(&later), ["x TRIM_HORIZON"]);
    }

    #[test]
    fn a_row_that_was_deleted_while_its_child_waits_for_it_is_made_again() {
        let graph = graph(">a a>b b>c");
        let mut rows: Rows = [row("a", "", "7"), row("c", "b", "TRIM_HORIZON")].into();
        assert!(was_finished(&graph, &rows, &id("b")), "c is read");
        rows.get_mut(&id("c")).expect("a row").counter = 0;
        assert!(!was_finished(&graph, &rows, &id("b")));
        let again = make(&graph, &rows, None);
        assert_eq!(made(&again), ["b TRIM_HORIZON"]);
        assert_eq!(again[0].parents, [id("a")].into());
        // Once the child has begun, its parent is known to be finished.
        rows.extend([row("c", "b", "9")]);
        assert!(was_finished(&graph, &rows, &id("b")));
        assert_eq!(made(&make(&graph, &rows, None)), [""; 0]);
    }

    #[test]
    fn a_finished_row_stays_until_every_child_has_begun() {
        let graph = graph(">a a>b a>c");
        let mut rows: Rows = [row("a", "", "SHARD_END"), row("b", "a", "7")].into();
        assert_eq!(outdated(&graph, &rows, true), [], "a child has no row yet");
        rows.extend([row("c", "a", "TRIM_HORIZON")]);
        assert_eq!(outdated(&graph, &rows, true), [], "a child has not begun");
        rows.extend([row("c", "a", "8")]);
        assert_eq!(outdated(&graph, &rows, true), [id("a")]);
        rows.remove(&id("a"));
        assert_eq!(made(&make(&graph, &rows, None)), [""; 0]);
    }

    #[test]
    fn a_finished_row_whose_children_nobody_knows_stays() {
        let rows: Rows = [row("a", "", "SHARD_END")].into();
        assert_eq!(outdated(&graph(">a"), &rows, true), []);
        assert_eq!(outdated(&ShardGraph::default(), &rows, true), []);
        assert_eq!(outdated(&graph(">b"), &rows, true), [], "the only row");
        let rows: Rows = [row("a", "", "SHARD_END"), row("b", "", "7")].into();
        assert_eq!(outdated(&graph(">b"), &rows, false), [], "listed once");
        assert_eq!(outdated(&graph(">b"), &rows, true), [id("a")]);
    }
}
