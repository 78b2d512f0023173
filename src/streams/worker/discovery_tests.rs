use super::super::super::graph::ListedShard;
use super::super::super::lease::Checkpoint;
use super::*;

const NOW: Duration = Duration::from_secs(100);
const INTERVAL: Duration = Duration::from_secs(30);

fn listing(shards: &[(&str, &str)]) -> Listing {
    let mut graph = ShardGraph::default();
    let listed = shards.iter().map(|(id, parent)| ListedShard {
        id: ShardId::new(id),
        parent: (!parent.is_empty()).then(|| ShardId::new(parent)),
        first: None,
        closed: false,
    });
    graph.merge(listed).expect("a lineage");
    Listing {
        graph,
        disabled: false,
        keys_only: false,
    }
}

fn rows(stream: Option<&str>) -> Rows {
    let shard = ShardId::new("old");
    let mut row = LeaseRow::new(shard.clone(), Checkpoint::TrimHorizon);
    row.counter = 1;
    row.stream = stream.map(str::to_owned);
    [(shard, row)].into()
}

#[test]
fn at_latest_a_first_shard_is_waited_for_unless_none_will_come() {
    let mut discovery = Discovery::new(Begin::Latest);
    let none = discovery.listed(&listing(&[]), NOW);
    assert_eq!(none, Ok(false));
    assert_eq!(discovery.next(), NOW + FIRST_WAIT, "it is listed soon");
    assert!(discovery.waits_for_first_shard());
    let off = Listing {
        disabled: true,
        ..listing(&[])
    };
    assert_eq!(discovery.listed(&off, NOW), Ok(false));
    assert!(!discovery.waits_for_first_shard(), "it was switched off");
    assert_eq!(discovery.listed(&listing(&[("a", "")]), NOW), Ok(true));
    assert!(!discovery.waits_for_first_shard());
    let mut discovery = Discovery::new(Begin::TrimHorizon);
    assert_eq!(discovery.listed(&listing(&[]), NOW), Ok(false));
    assert!(!discovery.waits_for_first_shard(), "nothing can be missed");
}

#[test]
fn children_of_a_shard_whose_end_another_worker_saw_are_waited_for() {
    let mut discovery = Discovery::new(Begin::Latest);
    assert_eq!(discovery.listed(&listing(&[("a", "")]), NOW), Ok(true));
    let end = LeaseRow::new(ShardId::new("a"), Checkpoint::ShardEnd);
    let rows: Rows = [(end.shard.clone(), end)].into();
    assert!(discovery.lacks_children(&rows));
    let with_child = listing(&[("a", ""), ("b", "a")]);
    assert_eq!(discovery.listed(&with_child, NOW), Ok(true));
    assert!(!discovery.lacks_children(&rows));
}

#[test]
fn a_parent_that_is_not_listed_is_asked_for_and_waited_for() {
    let mut discovery = Discovery::new(Begin::TrimHorizon);
    let told = discovery.listed(&listing(&[("b", "a")]), NOW);
    assert_eq!(told, Ok(true));
    let parent = ShardId::new("a");
    assert!(discovery.questions(&Rows::new()).iter().eq([&parent]));
    assert!(!discovery.missing(&Rows::new()).is_all);
    discovery.settle(false, NOW, INTERVAL, (1, 1.0));
    assert_eq!(discovery.next(), NOW + FIRST_WAIT);
    discovery.is_gone(parent);
    assert_eq!(discovery.questions(&Rows::new()), []);
    assert!(discovery.missing(&Rows::new()).is_all);
    discovery.settle(true, NOW, INTERVAL, (2, 1.0));
    assert_eq!(discovery.next(), NOW + 2 * INTERVAL, "two workers share it");
}

#[test]
fn rows_say_of_which_stream_they_are() {
    let arn = |table: &str, time: &str| format!("arn:aws:dynamodb:r:1:table/{table}/stream/{time}");
    let (this, earlier, other) = (arn("t", "2"), arn("t", "1"), arn("other", "1"));
    let fresh = || {
        let mut discovery = Discovery::new(Begin::TrimHorizon);
        let told = discovery.listed(&listing(&[("new", "")]), NOW);
        assert_eq!(told, Ok(true));
        discovery
    };
    assert_eq!(fresh().compare(&Rows::new(), &this), Origin::Same);
    assert_eq!(fresh().compare(&rows(Some(&this)), &this), Origin::Same);
    assert_eq!(
        fresh().compare(&rows(Some(&earlier)), &this),
        Origin::Earlier
    );
    let foreign = Origin::Other(other.clone());
    assert_eq!(fresh().compare(&rows(Some(&other)), &this), foreign);
    // Rows of another library have no ARN: listings have to decide.
    let mut discovery = fresh();
    for _ in 1..LISTINGS_NEEDED {
        assert_eq!(discovery.compare(&rows(None), &this), Origin::Unknown);
    }
    assert_eq!(discovery.compare(&rows(None), &this), Origin::Earlier);
}

#[test]
fn contradictions_end_it_once_they_will_not_pass() {
    let mut discovery = Discovery::new(Begin::TrimHorizon);
    let problem = || Some(Inconsistent::TwoParents(ShardId::new("a")));
    for _ in 1..MAX_CONTRADICTIONS {
        assert_eq!(discovery.contradicted(problem()), Ok(()));
    }
    assert!(discovery.contradicted(problem()).is_err());
    assert_eq!(discovery.contradicted(None), Ok(()));
    assert_eq!(discovery.contradicted(problem()), Ok(()));
}
