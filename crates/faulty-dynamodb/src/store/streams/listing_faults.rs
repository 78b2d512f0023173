//! The faults of a stream's listings of shards: late, misnamed, or as they are seen while the service is
//! busy: incomplete, repeated, out of order.

use std::time::Duration;

use super::shard::Shard;

/// The faults of the listings of one stream. By default there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListingFaults {
    /// The time for which children stay out of listings.
    pub(crate) children_late: Duration,
    /// Listings show no shard before this time.
    pub(crate) listed_from: Duration,
    pub(crate) ignores_filter: bool,
    pub(crate) spoiled: Option<SpoiledPages>,
    pub(crate) misnamed: Option<Misnamed>,
}

impl ListingFaults {
    /// Returns whether listings show a shard by now.
    pub(crate) fn shows(&self, shard: &Shard, now: Duration) -> bool {
        shard.listed_from.max(self.listed_from) <= now
    }

    /// Spoils a page; `first` where it begins a listing.
    pub(crate) fn spoil<'a>(&mut self, page: &mut Vec<&'a Shard>, all: &[&'a Shard], first: bool) {
        if let Some(spoiled) = &mut self.spoiled {
            spoiled.spoil(page, all, first);
        }
    }

    /// Returns the parent that listings name for a shard.
    pub(crate) fn parent<'a>(&'a self, shard: &'a Shard) -> Option<&'a String> {
        match &self.misnamed {
            Some(misnamed) if misnamed.shard == shard.id => misnamed.parent(),
            _ => shard.parent.as_ref(),
        }
    }

    /// Notes that a listing has shown its last page.
    pub(crate) fn listed(&mut self) {
        if let Some(misnamed) = &mut self.misnamed {
            misnamed.listings = misnamed.listings.saturating_sub(1);
        }
        self.misnamed.take_if(|misnamed| misnamed.listings == 0);
    }
}

/// A shard for which listings name parents that it has not.
#[derive(Clone, Debug)]
pub(crate) struct Misnamed {
    pub(crate) shard: String,
    /// One a listing, in turn.
    pub(crate) parents: Vec<String>,
    /// The number of listings that still do.
    pub(crate) listings: u32,
}

impl Misnamed {
    fn parent(&self) -> Option<&String> {
        let turn = usize::try_from(self.listings).unwrap_or(0);
        self.parents.get(turn.checked_rem(self.parents.len())?)
    }
}

/// Spoils the pages of a stream's listing, by seed. Every third listing is right, so that a reader that
/// lists again sees all of it in the end.
#[derive(Clone, Debug)]
pub(crate) struct SpoiledPages {
    rng: fastrand::Rng,
    listings: u64,
}

impl SpoiledPages {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            listings: 0,
        }
    }

    /// Spoils a page; `first` where it begins a listing.
    pub(crate) fn spoil<'a>(&mut self, page: &mut Vec<&'a Shard>, all: &[&'a Shard], first: bool) {
        self.listings += u64::from(first);
        if self.listings.is_multiple_of(3) {
            return;
        }
        match self.rng.u8(0..5) {
            // A child without its parent.
            0 => {
                let parents: Vec<&str> = page
                    .iter()
                    .filter_map(|shard| shard.parent.as_deref())
                    .collect();
                if let Some(&parent) = self.rng.choice(&parents) {
                    page.retain(|shard| shard.id != parent);
                }
            }
            1 if !page.is_empty() => {
                page.remove(self.rng.usize(0..page.len()));
            }
            // One of another page, or of this one, again.
            2 => page.extend(self.rng.choice(all.iter().copied())),
            // Children before their parents.
            3 => page.reverse(),
            _ => self.rng.shuffle(page),
        }
    }
}
