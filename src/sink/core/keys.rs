//! The lines of the keys: one for each key that has a queued write.
//!
//! A queued write has a place in the line of each key that it touches (a transaction in several).
//! Only the head of a line may be sent. That alone keeps the writes of a key in order and out of
//! each other's requests.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use slab::Slab;

use super::access::RecordEvidence;
use super::list::{Linked, Links, List};
use crate::item::Key;

/// The line of one key.
#[derive(Debug)]
struct Line {
    key: Key,
    places: List,
    /// The evidence against the key's writes, once one was refused by itself.
    evidence: Option<Box<RecordEvidence>>,
}

/// The place of a write in a line.
#[derive(Debug)]
struct Place {
    line: usize,
    write: usize,
    links: Links,
}

impl Linked for Place {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// The lines of all keys with a queued write.
#[derive(Debug, Default)]
pub(super) struct Keys {
    table: HashTable<usize>,
    lines: Slab<Line>,
    places: Slab<Place>,
}

impl Keys {
    /// Puts a write at the end of its key's line. Returns its place.
    pub(super) fn enter(&mut self, key: Key, write: usize) -> usize {
        let Self {
            table,
            lines,
            places,
        } = self;
        let found = table.entry(
            key.hash64(),
            |&line| lines.get(line).is_some_and(|line| line.key == key),
            |&line| lines.get(line).map_or(0, |line| line.key.hash64()),
        );
        let line = match found {
            Slot::Occupied(slot) => *slot.get(),
            Slot::Vacant(slot) => {
                let line = lines.insert(Line {
                    key,
                    places: List::default(),
                    evidence: None,
                });
                slot.insert(line);
                line
            }
        };
        let place = places.insert(Place {
            line,
            write,
            links: Links::default(),
        });
        if let Some(line) = lines.get_mut(line) {
            line.places.push_back(places, place);
        }
        place
    }

    /// Puts a write into the line of another's place, ahead of it. Returns its place.
    pub(super) fn enter_before(&mut self, other: usize, write: usize) -> Option<usize> {
        let line = self.places.get(other)?.line;
        let held = self.lines.get_mut(line)?;
        let place = self.places.insert(Place {
            line,
            write,
            links: Links::default(),
        });
        held.places.insert_before(&mut self.places, place, other);
        Some(place)
    }

    /// Gives a place up. Returns the write that is the head of the line from now on, if it was not
    /// before.
    pub(super) fn leave(&mut self, place: usize) -> Option<usize> {
        let line = self.places.get(place)?.line;
        let held = self.lines.get_mut(line)?;
        let was_head = held.places.first() == Some(place);
        held.places.remove(&mut self.places, place);
        self.places.remove(place);
        if let Some(head) = held.places.first() {
            let head = self.places.get(head).map(|head| head.write);
            return head.filter(|_| was_head);
        }
        let hash = held.key.hash64();
        if let Ok(slot) = self.table.find_entry(hash, |&found| found == line) {
            slot.remove();
        }
        self.lines.remove(line);
        None
    }

    /// Returns whether a place is the head of its line.
    pub(super) fn is_head(&self, place: usize) -> bool {
        self.line(place)
            .is_some_and(|line| line.places.first() == Some(place))
    }

    /// Returns the last write in a key's line.
    pub(super) fn last(&self, key: &Key) -> Option<usize> {
        let found = self.table.find(key.hash64(), |&line| {
            self.lines.get(line).is_some_and(|line| line.key == *key)
        })?;
        let last = self.lines.get(*found)?.places.last()?;
        self.places.get(last).map(|place| place.write)
    }

    /// Returns the evidence against the writes of a place's line.
    pub(super) fn evidence(&mut self, place: usize) -> Option<&mut Option<Box<RecordEvidence>>> {
        let line = self.places.get(place)?.line;
        self.lines.get_mut(line).map(|line| &mut line.evidence)
    }

    /// Returns the key of a place's line.
    pub(super) fn key(&self, place: usize) -> Option<&Key> {
        self.line(place).map(|line| &line.key)
    }

    fn line(&self, place: usize) -> Option<&Line> {
        self.lines.get(self.places.get(place)?.line)
    }

    /// Returns the number of keys that have a queued write.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(
            self.table.len(),
            self.lines.len(),
            "each line has its entry"
        );
        self.lines.len()
    }
}
