//! The indexes of a table that an item is in.

/// A set of secondary indexes, by their positions in
/// [`TableShape::indexes`](super::TableShape::indexes).
///
/// Positions from 32 on are not represented: AWS's default quotas are 20 global and 5 local indexes
/// a table (developer guide, "Quotas in Amazon DynamoDB"). An index left out costs a prediction
/// only, which the service's own figures correct.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct IndexSet(u32);

impl IndexSet {
    pub(crate) fn insert(&mut self, position: usize) {
        self.0 |= bit(position);
    }

    pub(crate) fn contains(self, position: usize) -> bool {
        self.0 & bit(position) != 0
    }

    /// Returns a bit for each position.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the indexes in either.
    #[must_use]
    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Returns the bit of a position, or none for one that is not represented.
fn bit(position: usize) -> u32 {
    u32::try_from(position)
        .ok()
        .and_then(|position| 1_u32.checked_shl(position))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_kept_apart_up_to_the_last_bit() {
        let mut set = IndexSet::default();
        assert!(set.is_empty());
        for position in [0, 7, 31] {
            set.insert(position);
        }
        let held: Vec<usize> = (0..80).filter(|&position| set.contains(position)).collect();
        assert_eq!(held, [0, 7, 31]);
        let mut other = IndexSet::default();
        other.insert(7);
        other.insert(8);
        assert!(set.union(other).contains(31) && set.union(other).contains(8));
    }

    #[test]
    fn a_position_past_the_last_bit_is_left_out() {
        let mut set = IndexSet::default();
        for position in [32, 33, 64, usize::MAX] {
            set.insert(position);
            assert!(!set.contains(position), "{position}");
        }
        assert!(set.is_empty());
    }
}
