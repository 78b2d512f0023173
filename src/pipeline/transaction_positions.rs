//! The positions of a pipeline's transactions: what passed, what is committed, and what is to come again.

use std::sync::Arc;

use super::position::Position;
use super::transactions::Positions;
use crate::kafka::KafkaError;

/// Of each partition, where transactions begin and end.
#[derive(Debug, Default)]
pub(super) struct TransactionPositions {
    /// The last records in the open transaction.
    passed: Positions,
    /// The last records of transactions whose records were refused.
    suspects: Positions,
    /// The last records of transactions that are not known to be committed, and that have not passed again.
    given_back: Positions,
    /// The positions of the last commit, and of the one that is under way.
    committed: Positions,
    sent: Positions,
}

impl TransactionPositions {
    /// Notes a record that passes.
    pub(super) fn pass(&mut self, position: &Position) {
        let partition = Arc::clone(position.partition());
        self.passed.insert(partition, position.clone());
    }

    /// Returns the last records in the open transaction.
    pub(super) fn passed(&self) -> &Positions {
        &self.passed
    }

    /// Notes that a record of the open transaction was refused.
    pub(super) fn refused(&mut self) {
        raise(&mut self.suspects, &self.passed);
    }

    /// Notes what is about to be sent; `open` are the positions of all open partitions.
    pub(super) fn sending(&mut self, open: Positions) {
        self.sent = open;
        for (partition, passed) in &self.passed {
            let number = passed.as_number().unwrap_or_default();
            let behind = Position::number(Arc::clone(partition), number.saturating_add(1));
            self.sent.insert(Arc::clone(partition), behind);
        }
    }

    /// Notes that what was sent is committed.
    pub(super) fn settle(&mut self) {
        self.committed = std::mem::take(&mut self.sent);
        for positions in [&mut self.suspects, &mut self.given_back] {
            positions.retain(|partition, last| {
                let passed = self.passed.get(partition);
                passed.is_none_or(|passed| *passed < *last)
            });
        }
    }

    /// Returns whether something is left of transactions whose records were refused.
    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Notes that the source gives again what was in the open transaction.
    pub(super) fn give_back(&mut self) {
        raise(&mut self.given_back, &self.passed);
    }

    /// Ends the transaction. What is known of partitions that go is another reader's.
    pub(super) fn end(&mut self, leaving: &[Arc<str>]) {
        self.passed.clear();
        for partition in leaving {
            self.suspects.remove(partition);
            self.given_back.remove(partition);
        }
    }

    /// Returns whether a partition is further than at the last commit, or was in none; `open` are the positions of all open ones.
    pub(super) fn has_advanced(&self, open: &Positions) -> bool {
        open.iter().any(|(partition, position)| {
            let committed = self.committed.get(partition);
            committed.is_none_or(|committed| *committed < *position)
        })
    }

    /// Returns the words for records that are not published at the end; `open` are the positions of all open partitions.
    pub(super) fn unpublished(
        &self,
        open: &Positions,
        cause: Option<&KafkaError>,
    ) -> Option<String> {
        // One whose commit had no answer may have been committed all the same: then its source goes on behind it.
        let is_behind = |last: &Position| {
            let next = open.get(last.partition());
            next.is_some_and(|next| *last < *next)
        };
        let mut lasts: Vec<&Position> = self.given_back.values().collect();
        lasts.retain(|last| !is_behind(last));
        let first = lasts.iter().min()?;
        let records = match lasts.len() {
            1 => format!("records up to {first}"),
            several => format!("records of {several} partitions, up to {first}"),
        };
        let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
        Some(format!(
            "what was made of {records}, is not published: its transaction was aborted as the pipeline ended, and \
             the next run is given them{cause}"
        ))
    }
}

/// Raises positions to those of `others`, where these are further.
fn raise(positions: &mut Positions, others: &Positions) {
    for (partition, other) in others {
        let position = positions.entry(Arc::clone(partition));
        let position = position.or_insert_with(|| other.clone());
        if *position < *other {
            position.clone_from(other);
        }
    }
}
