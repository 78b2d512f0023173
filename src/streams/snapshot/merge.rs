//! Pages of a scan, on hold until the stream has been read past the moment of the scan.
//!
//! ```text
//!             scan is sent      it is answered        every shard has been read past that
//!  stream ───────┼──── a ────────────┼────── b ────────────────┼─────────── c ───▶
//!  page          └───── reading ─────┘─────── on hold ─────────┘ handed out
//! ```
//!
//! A change that the stream gave *before* the scan was sent was made before it: the scan shows that
//! change or a newer one. A change given *after* the page is released was made after the scan was
//! answered, and is newer. An item that changes in between (`a`, `b`) may be older or newer in the
//! page than in the stream; there is no way to decide. But the stream has given that change and
//! gives all later ones, so the item is dropped from the page. So a page that is handed out at that
//! point never shows an item as it was before a change that was given already.
//!
//! No I/O, no clock: `now` is an argument.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

/// A primary key, in one form for scanned items and stream records.
pub(crate) type ItemKey = String;

/// The position up to which a segment has been worked through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cursor {
    #[default]
    Start,
    /// After this key, in DynamoDB's JSON.
    After(String),
    End,
}

/// The page that a scan returned.
#[derive(Debug)]
pub(crate) struct ScanPage<T> {
    pub(crate) items: Vec<(ItemKey, T)>,
    pub(crate) cursor: Cursor,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Merge<T> {
    /// For each scan under way, the keys that the stream gave since it was sent.
    readings: HashMap<usize, HashSet<ItemKey>>,
    /// The pages on hold, in the order in which they were answered.
    held: VecDeque<Held<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Held<T> {
    segment: usize,
    items: Vec<Option<T>>,
    places: HashMap<ItemKey, usize>,
    cursor: Cursor,
    bytes: usize,
    answered: Duration,
}

/// A page that may be handed out, with its remaining items.
#[derive(Debug)]
pub(crate) struct Ripe<T> {
    pub(crate) segment: usize,
    pub(crate) items: Vec<T>,
    pub(crate) cursor: Cursor,
    pub(crate) bytes: usize,
}

impl<T> Merge<T> {
    pub(crate) fn new() -> Self {
        Self {
            readings: HashMap::new(),
            held: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Begins a scan of this segment, before it is sent. Each segment has one at a time.
    pub(crate) fn sent(&mut self, segment: usize) {
        self.readings.insert(segment, HashSet::new());
    }

    /// Ends a scan that returned no page.
    pub(crate) fn failed(&mut self, segment: usize) {
        self.readings.remove(&segment);
    }

    /// Puts a scan's page on hold, without the items that the stream gave since the scan was sent.
    pub(crate) fn answered(&mut self, segment: usize, page: ScanPage<T>, now: Duration) {
        let Some(seen) = self.readings.remove(&segment) else {
            return;
        };
        let left = page
            .items
            .into_iter()
            .filter(|(key, _)| !seen.contains(key));
        let (keys, items): (Vec<ItemKey>, Vec<Option<T>>) =
            left.map(|(key, item)| (key, Some(item))).unzip();
        self.bytes += page.bytes;
        self.held.push_back(Held {
            segment,
            items,
            places: keys
                .into_iter()
                .enumerate()
                .map(|(at, key)| (key, at))
                .collect(),
            cursor: page.cursor,
            bytes: page.bytes,
            answered: now,
        });
    }

    /// Takes in a change that the stream has given: its item is dropped from all pages.
    pub(crate) fn seen(&mut self, key: &ItemKey) {
        for seen in self.readings.values_mut() {
            seen.insert(key.clone());
        }
        for page in &mut self.held {
            if let Some(at) = page.places.remove(key)
                && let Some(item) = page.items.get_mut(at)
            {
                *item = None;
            }
        }
    }

    /// Returns whether a page may be handed out if every shard has been read as it was at
    /// `read_up`.
    pub(crate) fn is_ripe(&self, read_up: Duration, settling: Duration) -> bool {
        let first = self.held.front();
        first.is_some_and(|page| page.answered.saturating_add(settling) <= read_up)
    }

    /// Removes and returns the pages that may be handed out.
    pub(crate) fn release(&mut self, read_up: Duration, settling: Duration) -> Vec<Ripe<T>> {
        let mut ripe = Vec::new();
        while self.is_ripe(read_up, settling)
            && let Some(page) = self.held.pop_front()
        {
            self.bytes -= page.bytes;
            ripe.push(Ripe {
                segment: page.segment,
                items: page.items.into_iter().flatten().collect(),
                cursor: page.cursor,
                bytes: page.bytes,
            });
        }
        ripe
    }

    /// Returns the bytes of the pages on hold.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
