//! The decisions that follow from listings: rows to make and to delete, parents to ask for, and the
//! time of the next listing. No I/O, no clock: rows and times are arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::ShardId;
use super::super::graph::{Inconsistent, LISTINGS_NEEDED, Lineage, ShardGraph};
use super::super::lease::{Ancestry, Begin, LeaseRow, Missing, Rows, has_begun, missing, outdated};
use super::super::listing::Listing;

/// The first delay before another listing, while shards are not believed yet or a closed shard
/// shows no child; doubles up to the discovery interval.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The contradictory listings in a row that end the source: some minutes, with the delays between.
const MAX_CONTRADICTIONS: u32 = 30;

/// The stream of the rows, compared with the one that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The rows are of this stream, or there are none.
    Same,
    /// More listings are needed.
    Unknown,
    /// The rows are of an earlier stream of the table, or of shards that have expired.
    Earlier,
    /// The rows are of a stream of another table.
    Other(String),
}

#[derive(Debug)]
pub(super) struct Discovery {
    lineage: Lineage,
    /// The start position of an application that has not begun.
    begin: Begin,
    /// Set once any lease of the application has been taken.
    begun: bool,
    /// Set once any shard has been listed.
    listed: bool,
    /// Shards that are named as parents and that the service does not have.
    gone: BTreeSet<ShardId>,
    /// Closed shards whose children have not been listed yet, each with the time of its end.
    childless: BTreeMap<ShardId, Duration>,
    /// The number of listings in a row that showed the stream switched off.
    disabled: u32,
    /// Set once the rows are compared with the stream; `strange` listings have shown none of them.
    compared: bool,
    strange: u32,
    contradictions: u32,
    next: Duration,
    wait: Duration,
}

impl Discovery {
    pub(super) fn new(begin: Begin) -> Self {
        Self {
            lineage: Lineage::default(),
            begin,
            begun: false,
            listed: false,
            gone: BTreeSet::new(),
            childless: BTreeMap::new(),
            disabled: 0,
            compared: false,
            strange: 0,
            contradictions: 0,
            next: Duration::ZERO,
            wait: FIRST_WAIT,
        }
    }

    /// Starts over for the stream that has replaced the table's earlier one.
    pub(super) fn replaced(&mut self, now: Duration) {
        *self = Self {
            begun: true,
            compared: true,
            next: now,
            ..Self::new(self.begin)
        };
    }

    pub(super) fn graph(&self) -> &ShardGraph {
        self.lineage.graph()
    }

    pub(super) fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Returns when the stream is to be listed next.
    pub(super) fn next(&self) -> Duration {
        self.next
    }

    /// Returns whether the stream was switched off, so that no shard will be added.
    pub(super) fn is_disabled(&self) -> bool {
        self.disabled >= LISTINGS_NEEDED
    }

    /// Returns whether a closed shard waits for its children to be listed.
    pub(super) fn is_childless(&self) -> bool {
        !self.childless.is_empty()
    }

    /// Returns the closed shards that wait for their children to be listed, each with the time of its end.
    pub(super) fn childless(&self) -> impl Iterator<Item = (&ShardId, Duration)> {
        self.childless.iter().map(|(shard, since)| (shard, *since))
    }

    /// Notes whether the rows show that the application has begun.
    pub(super) fn saw(&mut self, rows: &Rows) {
        self.begun |= has_begun(rows);
    }

    /// Notes that a lease of the application has been taken.
    pub(super) fn begins(&mut self) {
        self.begun = true;
    }

    /// Notes that a shard was read to its end, and schedules a listing of its children at once.
    pub(super) fn closed(&mut self, shard: &ShardId, now: Duration) {
        if self.graph().is_leaf(shard) {
            self.childless.entry(shard.clone()).or_insert(now);
        }
        self.wait = FIRST_WAIT;
        self.next = self.next.min(now);
    }

    /// Notes that a shard that seemed to be at its end is not.
    pub(super) fn reopened(&mut self, shard: &ShardId) {
        self.childless.remove(shard);
    }

    /// Processes a listing, and returns whether any shard has been listed so far.
    ///
    /// # Errors
    ///
    /// [`Inconsistent`] where too many listings in a row have contradicted each other.
    pub(super) fn listed(
        &mut self,
        listing: &Listing,
        now: Duration,
    ) -> Result<bool, Inconsistent> {
        let told = self.lineage.listed(&listing.graph);
        let disputed = listing.graph.ids().find(|id| self.lineage.is_disputed(id));
        let contradiction = match (told, disputed) {
            (Err(contradiction), _) => Some(contradiction),
            (Ok(()), Some(shard)) => Some(Inconsistent::TwoParents(shard.clone())),
            (Ok(()), None) => None,
        };
        self.contradicted(contradiction)?;
        self.disabled = if listing.disabled {
            self.disabled.saturating_add(1)
        } else {
            0
        };
        if !listing.graph.is_empty() && !std::mem::replace(&mut self.listed, true) {
            self.wait = FIRST_WAIT;
        }
        if self.listed {
            return Ok(true);
        }
        // The stream is being switched on, or the page was empty.
        self.again(now, FIRST_WAIT * 8);
        Ok(false)
    }

    /// Returns whether the application begins at LATEST, as far as is known.
    pub(super) fn is_first_start_at_latest(&self) -> bool {
        !self.begun && self.begin == Begin::Latest
    }

    /// Returns whether opening must wait for a shard to be listed: at LATEST, only the shards' rows
    /// show other workers since when changes are wanted.
    pub(super) fn waits_for_first_shard(&self) -> bool {
        !self.listed && self.disabled == 0 && self.is_first_start_at_latest()
    }

    /// Returns whether another worker has seen the end of a shard, in a first start at LATEST, and no
    /// listing has shown its children here: their rows may not be made yet.
    pub(super) fn lacks_children(&self, rows: &Rows) -> bool {
        let graph = self.graph();
        let mut ends = rows
            .values()
            .filter(|row| row.is_finished() && !row.was_taken());
        self.is_first_start_at_latest()
            && ends.any(|row| graph.contains(&row.shard) && graph.is_leaf(&row.shard))
    }

    /// Counts a listing that contradicts itself or earlier ones; any other resets the count.
    pub(super) fn contradicted(
        &mut self,
        contradiction: Option<Inconsistent>,
    ) -> Result<(), Inconsistent> {
        let Some(contradiction) = contradiction else {
            self.contradictions = 0;
            return Ok(());
        };
        self.contradictions += 1;
        let listings = self.contradictions;
        if listings >= MAX_CONTRADICTIONS {
            return Err(contradiction);
        }
        if listings.is_multiple_of(LISTINGS_NEEDED) {
            tracing::warn!(%contradiction, listings, "listings of the stream's shards contradict each other");
        }
        Ok(())
    }

    /// Compares the listed stream, of this ARN, with the stream of the rows.
    pub(super) fn compare(&mut self, rows: &Rows, arn: &str) -> Origin {
        if self.compared || rows.is_empty() {
            self.compared = true;
            return Origin::Same;
        }
        let told = |row: &LeaseRow| row.stream.as_deref() == Some(arn);
        let graph = self.lineage.graph();
        let known = |row: &LeaseRow| {
            graph.contains(&row.shard) || graph.children(&row.shard).next().is_some()
        };
        if rows.values().any(|row| told(row) || known(row)) {
            self.compared = true;
            return Origin::Same;
        }
        let other = rows.values().filter_map(|row| row.stream.as_deref()).next();
        if let Some(other) = other
            && table_of(other) != table_of(arn)
        {
            return Origin::Other(other.to_owned());
        }
        self.strange += 1;
        if other.is_none() && self.strange < LISTINGS_NEEDED {
            return Origin::Unknown;
        }
        self.compared = true;
        Origin::Earlier
    }

    /// Returns the shards to ask the service for while a shard waits for its ancestry to be settled:
    /// parents that children name and no listing shows. Any of them may be its link to one with a row.
    pub(super) fn questions(&self, rows: &Rows) -> Vec<ShardId> {
        self.unknown_parents(rows).cloned().collect()
    }

    fn unknown_parents<'a>(&'a self, rows: &'a Rows) -> impl Iterator<Item = &'a ShardId> {
        let unlisted = self.graph().unlisted_parents();
        unlisted.filter(|parent| !rows.contains_key(*parent) && !self.gone.contains(*parent))
    }

    /// Notes that the service does not have a shard that is named as a parent.
    pub(super) fn is_gone(&mut self, parent: ShardId) {
        self.gone.insert(parent);
    }

    /// Returns the rows that the stream's shards lack.
    pub(super) fn missing(&self, rows: &Rows) -> Missing {
        let graph = self.graph();
        // A shard that listings leave out may be the link to one that has a row.
        let is_linked = self.unknown_parents(rows).next().is_none();
        let ancestry = |shard: &ShardId| {
            let settled = match graph.parent(shard) {
                Some(parent) => self.gone.contains(parent),
                None => self.lineage.is_rootless(shard),
            };
            if settled && is_linked {
                Ancestry::Settled
            } else {
                Ancestry::Doubtful
            }
        };
        missing(
            graph,
            rows,
            (!self.begun).then_some(self.begin),
            ancestry,
            |shard| self.lineage.is_disputed(shard),
        )
    }

    /// Returns the finished leases whose rows are not needed any more.
    pub(super) fn outdated(&self, rows: &Rows) -> Vec<ShardId> {
        outdated(self.graph(), rows, self.lineage.is_whole())
    }

    /// Schedules the next listing after one was worked through; `complete` where every shard has
    /// its row now. `workers` list as often, and the random `spread` keeps their listings apart.
    pub(super) fn settle(
        &mut self,
        complete: bool,
        now: Duration,
        interval: Duration,
        (workers, spread): (usize, f64),
    ) {
        let disabled = self.is_disabled();
        let is_ending = self.disabled > 0 && !disabled;
        let graph = self.lineage.graph();
        self.childless
            .retain(|shard, _| !disabled && graph.contains(shard) && graph.is_leaf(shard));
        if complete && self.childless.is_empty() && self.contradictions == 0 && !is_ending {
            self.wait = FIRST_WAIT;
            // Together the workers list about once an interval.
            let workers = u32::try_from(workers).unwrap_or(u32::MAX);
            self.next = now + interval.saturating_mul(workers).mul_f64(spread);
        } else {
            self.again(now, interval);
        }
    }

    /// Schedules a listing soon: each time later, at most `most` from now.
    pub(super) fn again(&mut self, now: Duration, most: Duration) {
        self.next = now + self.wait.min(most);
        self.wait = (self.wait * 2).min(most);
    }

    /// Schedules a listing at once.
    pub(super) fn list_soon(&mut self, now: Duration) {
        self.next = self.next.min(now);
    }

    /// Schedules a listing at this time.
    pub(super) fn list_at(&mut self, time: Duration) {
        self.next = time;
    }
}

/// Returns the table's part of a stream's ARN.
fn table_of(stream: &str) -> &str {
    stream
        .split_once("/stream/")
        .map_or(stream, |(table, _)| table)
}

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;
