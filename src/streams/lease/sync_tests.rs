//! The rows that are made and deleted.

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
