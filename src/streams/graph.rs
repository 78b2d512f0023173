//! The lineage of a stream's shards, as far as it has been listed.
//!
//! A listing comes in pages, and the pages of one listing need not agree: shards are split, and
//! expire, while it is read, and the service is free to list a child before its parent or twice. So
//! the graph accepts any pages in any order and states only what follows from all of them. The
//! absence of a shard proves nothing: only reading a shard shows that it is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::{SequenceNumber, ShardId};

/// One shard as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedShard {
    pub(crate) id: ShardId,
    pub(crate) parent: Option<ShardId>,
    /// The shard's first number: no record of it has a lower one.
    pub(crate) first: Option<SequenceNumber>,
    /// Set if the shard takes no more records.
    pub(crate) closed: bool,
}

/// Shards and their parents.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShardGraph {
    shards: BTreeMap<ShardId, Place>,
    children: BTreeMap<ShardId, BTreeSet<ShardId>>,
}

/// A shard's place in the graph.
#[derive(Clone, Debug, Default)]
struct Place {
    parent: Option<ShardId>,
    first: Option<SequenceNumber>,
    closed: bool,
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
    /// A parent that one page leaves out and another names is known; two different ones contradict
    /// each other. After an error the graph must not be used: the listing is read again.
    pub(crate) fn merge(
        &mut self,
        shards: impl IntoIterator<Item = ListedShard>,
    ) -> Result<(), Inconsistent> {
        for shard in shards {
            let place = self.shards.entry(shard.id.clone()).or_default();
            place.first = place.first.or(shard.first);
            place.closed |= shard.closed;
            let Some(parent) = shard.parent else {
                continue;
            };
            match &place.parent {
                Some(known) if *known == parent => continue,
                Some(_) => return Err(Inconsistent::TwoParents(shard.id)),
                None => place.parent = Some(parent.clone()),
            }
            if parent == shard.id || self.ancestors(&parent).any(|old| *old == shard.id) {
                return Err(Inconsistent::Circle(shard.id));
            }
            self.children.entry(parent).or_default().insert(shard.id);
        }
        Ok(())
    }

    /// Returns the names of the listed shards.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &ShardId> {
        self.shards.keys()
    }

    /// Returns every listed shard, in the order of their names.
    fn listed(&self) -> impl Iterator<Item = ListedShard> {
        self.shards.iter().map(|(id, place)| ListedShard {
            id: id.clone(),
            parent: place.parent.clone(),
            first: place.first,
            closed: place.closed,
        })
    }

    pub(crate) fn contains(&self, shard: &ShardId) -> bool {
        self.shards.contains_key(shard)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    pub(crate) fn parent(&self, shard: &ShardId) -> Option<&ShardId> {
        self.shards.get(shard)?.parent.as_ref()
    }

    /// Returns the number at which a shard begins, if it is listed.
    pub(crate) fn first(&self, shard: &ShardId) -> Option<SequenceNumber> {
        self.shards.get(shard)?.first
    }

    /// Returns whether a shard takes no more records, as far as listed.
    pub(crate) fn is_closed(&self, shard: &ShardId) -> bool {
        self.shards.get(shard).is_some_and(|place| place.closed) || !self.is_leaf(shard)
    }

    /// Returns the shards that are named as parents but not listed.
    pub(crate) fn unlisted_parents(&self) -> impl Iterator<Item = &ShardId> {
        self.children.keys().filter(|parent| !self.contains(parent))
    }

    /// Returns the shards that a shard was split into, or the one that follows it.
    pub(crate) fn children(&self, shard: &ShardId) -> impl Iterator<Item = &ShardId> {
        self.children.get(shard).into_iter().flatten()
    }

    pub(crate) fn is_leaf(&self, shard: &ShardId) -> bool {
        !self.children.contains_key(shard)
    }

    /// Returns a shard's ancestors, from its parent backward, as far as listed. The last may only
    /// be named as a parent.
    pub(crate) fn ancestors<'a>(
        &'a self,
        shard: &ShardId,
    ) -> impl Iterator<Item = &'a ShardId> + use<'a> {
        std::iter::successors(self.parent(shard), |shard| self.parent(shard))
    }

    /// Returns all listed shards, each after its ancestors.
    pub(crate) fn in_order(&self) -> Vec<&ShardId> {
        let mut ordered = Vec::with_capacity(self.shards.len());
        let roots = self.shards.iter().filter(|(_, place)| {
            let parent = place.parent.as_ref();
            parent.is_none_or(|parent| !self.shards.contains_key(parent))
        });
        let mut ahead: Vec<&ShardId> = roots.map(|(shard, _)| shard).rev().collect();
        while let Some(shard) = ahead.pop() {
            ordered.push(shard);
            ahead.extend(self.children(shard));
        }
        ordered
    }
}

/// The number of listings in a row that must agree before they overrule what was known.
pub(crate) const LISTINGS_NEEDED: u32 = 3;

/// The combined result of several listings. Each alone may leave out a shard, or name a wrong parent.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    graph: ShardGraph,
    hearsay: BTreeMap<ShardId, Hearsay>,
    listings: u32,
}

/// The evidence from listings about one shard.
#[derive(Clone, Debug, Default)]
struct Hearsay {
    /// The number of listings in a row, up to the last, that left the shard out.
    absent: u32,
    /// A parent other than the known one, and the number of listings in a row that named it.
    contrary: Option<(ShardId, u32)>,
    /// The number of listings that showed the shard with no parent.
    rootless: u32,
    /// The number of listings that named the known parent.
    confirmed: u32,
}

impl Lineage {
    /// Adds one listing. After an error the graph is unchanged.
    pub(crate) fn listed(&mut self, listing: &ShardGraph) -> Result<(), Inconsistent> {
        let mut hearsay = std::mem::take(&mut self.hearsay);
        let mut shards: BTreeMap<ShardId, Place> = self.graph.shards.clone();
        for listed in listing.listed() {
            let known = shards.entry(listed.id.clone()).or_default();
            let heard = hearsay.entry(listed.id).or_default();
            heard.absent = 0;
            known.first = known.first.or(listed.first);
            known.closed |= listed.closed;
            heard.hear(&mut known.parent, listed.parent);
        }
        shards.retain(|shard, _| {
            let heard = hearsay.entry(shard.clone()).or_default();
            if !listing.contains(shard) {
                heard.absent += 1;
            }
            heard.absent < LISTINGS_NEEDED
        });
        hearsay.retain(|shard, _| shards.contains_key(shard));
        // Built beside the current graph: a listing that makes a circle leaves that unchanged.
        let mut graph = ShardGraph::default();
        let merged = graph.merge(shards.into_iter().map(|(id, place)| ListedShard {
            id,
            parent: place.parent,
            first: place.first,
            closed: place.closed,
        }));
        self.hearsay = hearsay;
        merged?;
        self.graph = graph;
        self.listings = self.listings.saturating_add(1);
        Ok(())
    }

    pub(crate) fn graph(&self) -> &ShardGraph {
        &self.graph
    }

    /// Returns whether enough listings were added to conclude that a shard is absent.
    pub(crate) fn is_whole(&self) -> bool {
        self.listings >= LISTINGS_NEEDED
    }

    /// Returns whether enough listings showed the shard with no parent to conclude that it has none.
    pub(crate) fn is_rootless(&self, shard: &ShardId) -> bool {
        self.hearsay
            .get(shard)
            .is_some_and(|heard| heard.rootless >= LISTINGS_NEEDED)
    }

    /// Returns whether the last listings contradict the known parent of a shard.
    pub(crate) fn is_disputed(&self, shard: &ShardId) -> bool {
        self.hearsay
            .get(shard)
            .is_some_and(|heard| heard.contrary.is_some())
    }

    /// Returns a shard's parent, if enough listings named it.
    pub(crate) fn confirmed_parent(&self, shard: &ShardId) -> Option<&ShardId> {
        let heard = self.hearsay.get(shard)?;
        (heard.confirmed >= LISTINGS_NEEDED && heard.contrary.is_none())
            .then(|| self.graph.parent(shard))
            .flatten()
    }
}

impl Hearsay {
    /// Applies the parent that a listing names. It becomes the known one if none was known, or once
    /// enough listings agree on it.
    fn hear(&mut self, known: &mut Option<ShardId>, told: Option<ShardId>) {
        let Some(told) = told else {
            // The listing leaves the parent out, or there is none.
            self.rootless += u32::from(known.is_none());
            return;
        };
        self.rootless = 0;
        if known.as_ref().is_none_or(|known| *known == told) {
            *known = Some(told);
            self.contrary = None;
            self.confirmed = self.confirmed.saturating_add(1);
            return;
        }
        let times = match self.contrary.take() {
            Some((other, times)) if other == told => times + 1,
            _ => 1,
        };
        if times < LISTINGS_NEEDED {
            self.contrary = Some((told, times));
        } else {
            *known = Some(told);
            self.confirmed = times;
        }
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
