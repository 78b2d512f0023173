//! Listings of shards as they are seen while the service is busy: incomplete, repeated, out of order.

use super::shard::Shard;

/// Spoils the pages of a stream's listing, by seed. Every third listing is right, so that a reader that
/// lists again sees all of it in the end.
#[derive(Clone, Debug)]
pub(crate) struct ListingFaults {
    rng: fastrand::Rng,
    listings: u64,
}

impl ListingFaults {
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
