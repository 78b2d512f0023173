//! Who holds a key, and who waits for it.
//!
//! Every queued write stands in one line per key it touches (a transaction in several). Only the
//! head of a line may be sent; that alone keeps the writes of a key in order and out of each
//! other's requests.

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use slab::Slab;

use super::access::Suspicion;
use crate::item::Key;

/// The line of one key.
#[derive(Debug)]
struct Line {
    key: Key,
    head: usize,
    waiting: VecDeque<usize>,
    /// Set once a write of the key was refused by itself for a reason that it need not be the cause of.
    suspicion: Option<Box<Suspicion>>,
}

/// All keys with a queued write.
#[derive(Debug, Default)]
pub(super) struct Keys {
    table: HashTable<usize>,
    lines: Slab<Line>,
}

impl Keys {
    /// Puts a write at the end of its key's line. Returns the line.
    pub(super) fn enter(&mut self, key: Key, write: usize) -> usize {
        let Self { table, lines } = self;
        let found = table.entry(
            key.hash64(),
            |&line| lines.get(line).is_some_and(|line| line.key == key),
            |&line| lines.get(line).map_or(0, |line| line.key.hash64()),
        );
        match found {
            Slot::Occupied(slot) => {
                let line = *slot.get();
                if let Some(held) = lines.get_mut(line) {
                    held.waiting.push_back(write);
                }
                line
            }
            Slot::Vacant(slot) => {
                let line = lines.insert(Line {
                    key,
                    head: write,
                    waiting: VecDeque::new(),
                    suspicion: None,
                });
                slot.insert(line);
                line
            }
        }
    }

    /// Puts a write into a line, ahead of another that is in it.
    pub(super) fn enter_before(&mut self, line: usize, other: usize, write: usize) {
        let Some(held) = self.lines.get_mut(line) else {
            return;
        };
        if held.head == other {
            held.waiting.push_front(other);
            held.head = write;
        } else if let Some(place) = held.waiting.iter().position(|&found| found == other) {
            held.waiting.insert(place, write);
        }
    }

    /// Takes a write out of a line. Returns the new head, if it was the head and another waits.
    pub(super) fn leave(&mut self, line: usize, write: usize) -> Option<usize> {
        let held = self.lines.get_mut(line)?;
        if held.head != write {
            held.waiting.retain(|&waiting| waiting != write);
            return None;
        }
        if let Some(next) = held.waiting.pop_front() {
            held.head = next;
            if held.waiting.is_empty() {
                held.waiting = VecDeque::new();
            }
            return Some(next);
        }
        let hash = held.key.hash64();
        if let Ok(slot) = self.table.find_entry(hash, |&found| found == line) {
            slot.remove();
        }
        self.lines.remove(line);
        None
    }

    /// Returns whether a write is the head of a line.
    pub(super) fn is_head(&self, line: usize, write: usize) -> bool {
        self.lines.get(line).is_some_and(|line| line.head == write)
    }

    /// The last write in a key's line.
    pub(super) fn last(&self, key: &Key) -> Option<usize> {
        let found = self.table.find(key.hash64(), |&line| {
            self.lines.get(line).is_some_and(|line| line.key == *key)
        })?;
        let line = self.lines.get(*found)?;
        Some(line.waiting.back().copied().unwrap_or(line.head))
    }

    /// Returns the suspicion against the writes of a line.
    pub(super) fn suspicion(&mut self, line: usize) -> Option<&mut Option<Box<Suspicion>>> {
        self.lines.get_mut(line).map(|line| &mut line.suspicion)
    }

    pub(super) fn key(&self, line: usize) -> Option<&Key> {
        self.lines.get(line).map(|line| &line.key)
    }

    /// How many keys have a queued write.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }
}
