//! The lineage of a stream's shards, as far as it has been listed.
//!
//! A listing comes in pages, and the pages of one listing need not agree: shards are split, and expire, while it is read, and
//! the service is free to list a child before its parent or twice. So the graph takes any pages in any order and says only what
//! follows from all of them. What is *not* listed proves nothing: a shard that is gone shows when it is read.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::ShardId;

/// One shard as a listing tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedShard {
    pub(crate) id: ShardId,
    pub(crate) parent: Option<ShardId>,
}

/// Shards and their parents.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShardGraph {
    parents: BTreeMap<ShardId, Option<ShardId>>,
    children: BTreeMap<ShardId, BTreeSet<ShardId>>,
}

/// Pages that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Inconsistent {
    /// Two pages give one shard two parents.
    #[error("shard {0} is listed with two parents")]
    TwoParents(ShardId),
    /// A shard descends from itself.
    #[error("shard {0} is listed as its own ancestor")]
    Circle(ShardId),
}

impl ShardGraph {
    /// Adds shards, of one page or of many.
    ///
    /// A parent that one page leaves out and another gives is known; two different ones contradict each other. The graph is not
    /// to be used after an error: the listing is read again.
    pub(crate) fn merge(
        &mut self,
        shards: impl IntoIterator<Item = ListedShard>,
    ) -> Result<(), Inconsistent> {
        for shard in shards {
            match self.parents.entry(shard.id.clone()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(shard.parent.clone());
                }
                Entry::Occupied(mut known) => match (known.get(), &shard.parent) {
                    (_, None) => continue,
                    (None, Some(_)) => {
                        known.insert(shard.parent.clone());
                    }
                    (Some(known), Some(told)) if known == told => continue,
                    (Some(_), Some(_)) => return Err(Inconsistent::TwoParents(shard.id)),
                },
            }
            if let Some(parent) = shard.parent {
                if self
                    .ancestors(&parent)
                    .any(|ancestor| *ancestor == shard.id)
                    || parent == shard.id
                {
                    return Err(Inconsistent::Circle(shard.id));
                }
                self.children.entry(parent).or_default().insert(shard.id);
            }
        }
        Ok(())
    }

    pub(crate) fn contains(&self, shard: &ShardId) -> bool {
        self.parents.contains_key(shard)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    pub(crate) fn parent(&self, shard: &ShardId) -> Option<&ShardId> {
        self.parents.get(shard)?.as_ref()
    }

    /// The shards that a shard was split into, or that follows it.
    pub(crate) fn children(&self, shard: &ShardId) -> impl Iterator<Item = &ShardId> {
        self.children.get(shard).into_iter().flatten()
    }

    pub(crate) fn is_leaf(&self, shard: &ShardId) -> bool {
        !self.children.contains_key(shard)
    }

    /// From the parent on back, as far as listed; the last may be known only as somebody's parent.
    pub(crate) fn ancestors<'a>(
        &'a self,
        shard: &ShardId,
    ) -> impl Iterator<Item = &'a ShardId> + use<'a> {
        std::iter::successors(self.parent(shard), |shard| self.parent(shard))
    }

    /// All listed shards, each after its ancestors.
    pub(crate) fn in_order(&self) -> Vec<&ShardId> {
        let mut ordered = Vec::with_capacity(self.parents.len());
        let roots = self.parents.iter().filter(|(_, parent)| {
            parent
                .as_ref()
                .is_none_or(|parent| !self.parents.contains_key(parent))
        });
        let mut ahead: Vec<&ShardId> = roots.map(|(shard, _)| shard).rev().collect();
        while let Some(shard) = ahead.pop() {
            ordered.push(shard);
            ahead.extend(self.children(shard));
        }
        ordered
    }
}

/// How many listings in a row must leave a shard out before it is taken for gone.
pub(crate) const SURELY: u32 = 3;

/// What several listings say together: each alone may leave out a shard, or a shard's parent.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    graph: ShardGraph,
    /// How many of the last listings left a shard out.
    absent: BTreeMap<ShardId, u32>,
    /// How many listings have shown a shard with no parent beside it.
    rootless: BTreeMap<ShardId, u32>,
    listings: u32,
}

impl Lineage {
    /// Takes in one listing.
    pub(crate) fn listed(&mut self, listing: &ShardGraph) -> Result<(), Inconsistent> {
        let known = std::mem::take(&mut self.graph);
        let mut absent = std::mem::take(&mut self.absent);
        absent.retain(|shard, _| !listing.contains(shard));
        for shard in known.parents.keys() {
            if !listing.contains(shard) {
                *absent.entry(shard.clone()).or_default() += 1;
            }
        }
        absent.retain(|_, times| *times < SURELY);
        let kept = known
            .parents
            .iter()
            .filter(|(shard, _)| listing.contains(shard) || absent.contains_key(*shard));
        let all = kept.chain(&listing.parents);
        self.graph.merge(all.map(|(id, parent)| ListedShard {
            id: id.clone(),
            parent: parent.clone(),
        }))?;
        self.absent = absent;
        self.listings = self.listings.saturating_add(1);
        let graph = &self.graph;
        let is_rootless = |shard: &ShardId| {
            graph
                .parent(shard)
                .is_none_or(|parent| !graph.contains(parent))
        };
        self.rootless
            .retain(|shard, _| graph.contains(shard) && is_rootless(shard));
        for shard in listing.parents.keys().filter(|shard| is_rootless(shard)) {
            *self.rootless.entry(shard.clone()).or_default() += 1;
        }
        Ok(())
    }

    pub(crate) fn graph(&self) -> &ShardGraph {
        &self.graph
    }

    /// Whether enough listings have been seen to say of a shard that it is not there.
    pub(crate) fn is_whole(&self) -> bool {
        self.listings >= SURELY
    }

    /// Whether a shard's parent has been left out so often that there is none any more.
    pub(crate) fn is_root(&self, shard: &ShardId) -> bool {
        self.rootless
            .get(shard)
            .is_some_and(|times| *times >= SURELY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shard(id: &str, parent: &str) -> ListedShard {
        ListedShard {
            id: ShardId::new(id),
            parent: (!parent.is_empty()).then(|| ShardId::new(parent)),
        }
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
        let listing = |shards: &[(&str, &str)]| {
            let mut graph = ShardGraph::default();
            let shards = shards.iter().map(|(id, parent)| shard(id, parent));
            graph.merge(shards).expect("a lineage");
            graph
        };
        let mut lineage = Lineage::default();
        let full = listing(&[("a", ""), ("b", "a")]);
        let b = ShardId::new("b");
        lineage
            .listed(&listing(&[("b", "")]))
            .expect("a parent left out");
        assert!(!lineage.is_root(&b));
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
        assert!(!lineage.is_root(&b), "since one listing only");
        for _ in 0..2 {
            lineage
                .listed(&listing(&[("b", "a")]))
                .expect("named, not listed");
        }
        assert!(lineage.is_root(&b));
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
}
