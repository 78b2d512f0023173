use super::*;
use proptest::prelude::*;

fn shard(id: &str, parent: &str) -> ListedShard {
    ListedShard {
        id: ShardId::new(id),
        parent: (!parent.is_empty()).then(|| ShardId::new(parent)),
        first: None,
        closed: false,
    }
}

fn listing(shards: &[(&str, &str)]) -> ShardGraph {
    let mut graph = ShardGraph::default();
    let shards = shards.iter().map(|(id, parent)| shard(id, parent));
    graph.merge(shards).expect("a lineage");
    graph
}

fn names(shards: &[&ShardId]) -> Vec<String> {
    shards.iter().map(ToString::to_string).collect()
}

#[test]
fn pages_in_any_order_give_one_lineage() {
    let mut graph = ShardGraph::default();
    graph
        .merge([shard("c", "b"), shard("b1", "a")])
        .expect("a child may be listed first");
    graph
        .merge([shard("a", "gone"), shard("b", "a"), shard("c", "b")])
        .expect("a shard may be listed twice");
    assert_eq!(names(&graph.in_order())[0], "a");
    let order = names(&graph.in_order());
    let place = |name: &str| order.iter().position(|id| id == name);
    assert_eq!(order.len(), 4);
    assert!(place("b") < place("c"));
    assert!(graph.is_leaf(&ShardId::new("c")) && !graph.is_leaf(&ShardId::new("b")));
    let ancestors: Vec<_> = graph.ancestors(&ShardId::new("c")).collect();
    assert_eq!(names(&ancestors), ["b", "a", "gone"]);
    assert!(!graph.contains(&ShardId::new("gone")));
}

#[test]
fn a_parent_left_out_by_one_page_is_taken_from_another() {
    let mut graph = ShardGraph::default();
    graph.merge([shard("b", "")]).expect("no parent told");
    graph
        .merge([shard("b", "a"), shard("a", "")])
        .expect("told");
    graph.merge([shard("b", "")]).expect("left out again");
    assert_eq!(graph.parent(&ShardId::new("b")), Some(&ShardId::new("a")));
    assert_eq!(names(&graph.in_order()), ["a", "b"]);
}

#[test]
fn what_one_listing_leaves_out_another_makes_good() {
    let mut lineage = Lineage::default();
    let full = listing(&[("a", ""), ("b", "a")]);
    let b = ShardId::new("b");
    lineage
        .listed(&listing(&[("b", "")]))
        .expect("a parent left out");
    assert!(!lineage.is_rootless(&b));
    lineage.listed(&full).expect("it is told now");
    for _ in 0..2 {
        lineage
            .listed(&listing(&[("b", "")]))
            .expect("left out again");
        assert_eq!(lineage.graph().parent(&b), Some(&ShardId::new("a")));
        assert!(lineage.graph().contains(&ShardId::new("a")));
    }
    lineage.listed(&listing(&[("b", "")])).expect("and again");
    assert!(!lineage.graph().contains(&ShardId::new("a")), "it is gone");
    assert!(!lineage.is_rootless(&b), "its parent is known");
    assert!(lineage.graph().unlisted_parents().eq([&ShardId::new("a")]));
}

#[test]
fn a_shard_that_listings_agree_to_have_no_parent_is_a_root() {
    let mut lineage = Lineage::default();
    let a = ShardId::new("a");
    for times in 1..=LISTINGS_NEEDED {
        lineage.listed(&listing(&[("a", "")])).expect("a root");
        assert_eq!(lineage.is_rootless(&a), times == LISTINGS_NEEDED);
    }
}

#[test]
fn a_wrong_parent_gives_way_to_listings_that_agree() {
    let wrong = listing(&[("a", ""), ("x", ""), ("b", "x")]);
    let right = listing(&[("a", ""), ("x", ""), ("b", "a")]);
    let [a, b, x] = ["a", "b", "x"].map(ShardId::new);
    for first in [&wrong, &right] {
        let mut lineage = Lineage::default();
        lineage.listed(first).expect("one listing");
        if std::ptr::eq(first, &right) {
            lineage.listed(&wrong).expect("another");
            assert_eq!(lineage.graph().parent(&b), Some(&a), "one against it");
            assert!(lineage.is_disputed(&b));
        }
        for _ in 0..LISTINGS_NEEDED {
            lineage.listed(&right).expect("again and again");
        }
        assert_eq!(lineage.graph().parent(&b), Some(&a));
        assert!(!lineage.is_disputed(&b));
        assert_eq!(lineage.confirmed_parent(&b), Some(&a));
        assert_eq!(lineage.graph().children(&x).count(), 0);
    }
}

#[test]
fn a_listing_that_makes_a_circle_changes_nothing() {
    let mut lineage = Lineage::default();
    lineage
        .listed(&listing(&[("a", ""), ("b", "a")]))
        .expect("a lineage");
    let circle = listing(&[("a", "b")]);
    for _ in 1..LISTINGS_NEEDED {
        let told = lineage.listed(&circle);
        assert_eq!(told, Err(Inconsistent::Circle(ShardId::new("b"))));
        assert_eq!(lineage.graph().children(&ShardId::new("a")).count(), 1);
    }
}

#[test]
fn contradictions_are_told() {
    let mut graph = ShardGraph::default();
    graph.merge([shard("c", "a")]).expect("one parent");
    assert_eq!(
        graph.merge([shard("c", "b")]),
        Err(Inconsistent::TwoParents(ShardId::new("c")))
    );
    for circle in [
        vec![shard("a", "a")],
        vec![shard("a", "b"), shard("b", "a")],
        vec![shard("a", "c"), shard("b", "a"), shard("c", "b")],
    ] {
        let merged = ShardGraph::default().merge(circle);
        assert!(matches!(merged, Err(Inconsistent::Circle(_))), "{merged:?}");
    }
}

proptest! {
    #[test]
    fn any_cut_into_pages_gives_each_shard_once_and_after_its_parent(
        parents in proptest::collection::vec(any::<proptest::sample::Index>(), 1..60),
        roots in proptest::collection::vec(any::<bool>(), 60),
        seed in any::<u64>(),
    ) {
        let name = |n: usize| format!("shardId-{n:05}");
        let mut all: Vec<ListedShard> = parents.iter().enumerate().map(|(n, parent)| {
            let parent = if n == 0 || roots[n] { String::new() } else { name(parent.index(n)) };
            shard(&name(n), &parent)
        }).collect();
        let mut rng = fastrand::Rng::with_seed(seed);
        rng.shuffle(&mut all);
        let mut graph = ShardGraph::default();
        for page in all.chunks(7) {
            graph.merge(page.iter().cloned()).expect("they agree");
        }
        graph.merge(all.iter().take(10).cloned()).expect("said again");
        let order = graph.in_order();
        prop_assert_eq!(order.len(), all.len());
        for (at, shard) in order.iter().enumerate() {
            if let Some(parent) = graph.parent(shard) {
                prop_assert!(order[..at].contains(&parent));
            }
        }
    }
}
