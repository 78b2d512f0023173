//! A queue whose entries are known by number.

use std::collections::VecDeque;

/// A queue whose entries have consecutive numbers, which they keep while others leave the front.
///
/// Work that ends in any order is put in order again by it: an entry is marked by its number when
/// its work is done, and leaves once it is at the front.
#[derive(Debug)]
pub(crate) struct NumberedQueue<T> {
    /// The number of the front.
    first: u64,
    entries: VecDeque<T>,
}

impl<T> NumberedQueue<T> {
    pub(crate) fn new() -> Self {
        Self::starting_at(0)
    }

    /// Returns an empty queue whose first entry will have this number.
    pub(crate) fn starting_at(first: u64) -> Self {
        Self {
            first,
            entries: VecDeque::new(),
        }
    }

    /// Appends an entry, and returns its number.
    pub(crate) fn push(&mut self, entry: T) -> u64 {
        let number = self.next();
        self.entries.push_back(entry);
        number
    }

    /// Returns the number that the next entry will have.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the entry of this number; `None` where it has left, or is still to come.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let at = self.index(number)?;
        self.entries.get_mut(at)
    }

    /// Takes the front where `leaves` says so.
    pub(crate) fn pop_front_if(&mut self, leaves: impl FnOnce(&mut T) -> bool) -> Option<T> {
        let entry = self.entries.pop_front_if(leaves)?;
        self.first += 1;
        Some(entry)
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

#[cfg(any(feature = "kafka", feature = "streams"))]
impl<T> NumberedQueue<T> {
    /// Returns the number of the front, or of the next entry where there is none.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }
}

#[cfg(feature = "kafka")]
impl<T> NumberedQueue<T> {
    /// Returns the entry of this number; `None` where it has left, or is still to come.
    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.entries.get(self.index(number)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter()
    }

    /// Returns the entries to be put together anew: the front keeps its number, and those behind it
    /// are numbered from there.
    pub(crate) fn entries_mut(&mut self) -> &mut VecDeque<T> {
        &mut self.entries
    }

    /// Takes all entries. Their numbers do not come again.
    pub(crate) fn take(&mut self) -> VecDeque<T> {
        self.first = self.next();
        std::mem::take(&mut self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_keeps_its_number_and_leaves_at_the_front_only() {
        let mut queue = NumberedQueue::new();
        for entry in ["a", "b", "c"] {
            queue.push(entry);
        }
        assert_eq!(queue.pop_front_if(|entry| *entry == "b"), None);
        assert_eq!(queue.pop_front_if(|entry| *entry == "a"), Some("a"));
        assert_eq!(queue.get_mut(0), None, "it has left");
        assert_eq!(queue.get_mut(2), Some(&mut "c"));
        assert_eq!(queue.get_mut(3), None, "it is still to come");
        assert_eq!((queue.push("d"), queue.next()), (3, 4));
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn numbers_of_entries_that_were_taken_do_not_come_again() {
        let mut queue = NumberedQueue::new();
        queue.push(1);
        queue.push(2);
        assert_eq!(queue.take(), [1, 2]);
        assert!(queue.is_empty() && queue.get(0).is_none());
        assert_eq!((queue.first(), queue.push(3)), (2, 2));
    }
}
