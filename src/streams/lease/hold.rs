//! A lease that this worker has: when to write to it, and whether it still has it.
//!
//! A lease is *valid* for the failover time after the last write that the service accepted, counted from when that write was sent: no
//! other worker can have seen the counter at its new value any earlier, so none can take the lease before. A worker that could not
//! write for so long stops what it does for the shard, without asking anybody.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::{SequenceNumber, ShardId};
use super::row::{Checkpoint, LeaseRow};
use super::table::Change;

/// How much earlier than others may take the lease the work on it ends: timers are not exact.
const MARGIN: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Hold {
    me: String,
    failover: Duration,
    checkpoint_interval: Duration,
    counter: u64,
    handing_over: bool,
    /// When the last accepted write was sent.
    renewed: Duration,
    /// When the last write was tried, accepted or not.
    tried: Duration,
    failures: u32,
    /// When the last checkpoint was written.
    checkpointed: Duration,
    stored: Checkpoint,
    /// A checkpoint further than what is stored.
    reached: Option<SequenceNumber>,
    /// Until when the shard was read, in milliseconds since 1970.
    read: Option<u64>,
    /// When the lease was first taken, in milliseconds since 1970, while its row does not say.
    first_taken: Option<u64>,
    end: End,
    /// Set if no other worker can take the lease.
    lasts: bool,
}

/// How the lease is to be given up.
#[derive(Clone, Debug, PartialEq)]
enum End {
    No,
    LetGo,
    Finished(BTreeSet<ShardId>),
}

/// What a refused write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// An earlier write of ours had been applied after all.
    Adopted,
    /// Another worker asks for the lease.
    HandOver,
    /// It was given up: an earlier write of ours that said so had been applied after all.
    GivenUp,
    /// Somebody else has it.
    Lost,
    /// The worker that had asked for the lease does no longer.
    Withdrawn,
    /// The row was deleted under us: it is made again, with what is known here.
    Missing,
}

impl Hold {
    /// `row` as it is after it was taken by a write sent at `taken`.
    pub(crate) fn new(
        me: &str,
        row: &LeaseRow,
        taken: Duration,
        failover: Duration,
        checkpoint_interval: Duration,
    ) -> Self {
        Self {
            me: me.to_owned(),
            failover,
            checkpoint_interval,
            counter: row.counter,
            handing_over: false,
            renewed: taken,
            tried: taken,
            failures: 0,
            checkpointed: taken,
            stored: row.checkpoint.clone(),
            reached: None,
            read: None,
            first_taken: None,
            end: End::No,
            lasts: false,
        }
    }

    /// The same lease where no other worker can take it: it does not lapse.
    pub(crate) fn lasting(self) -> Self {
        Self {
            lasts: true,
            ..self
        }
    }

    pub(crate) fn counter(&self) -> u64 {
        self.counter
    }

    pub(crate) fn is_handing_over(&self) -> bool {
        self.handing_over
    }

    pub(crate) fn stored(&self) -> &Checkpoint {
        &self.stored
    }

    /// When the lease is not this worker's any more, if no write is accepted before.
    pub(crate) fn valid_until(&self) -> Duration {
        if self.lasts {
            return Duration::MAX;
        }
        self.renewed + self.failover.saturating_sub(MARGIN)
    }

    /// All effects up to this record are durable.
    pub(crate) fn reach(&mut self, sequence: SequenceNumber) {
        self.reached = Some(sequence);
    }

    /// The shard was read at this time, in milliseconds since 1970.
    pub(crate) fn read_at(&mut self, time: u64) {
        self.read = Some(time);
    }

    /// The lease was taken at this time, in milliseconds since 1970, and its row is to say so.
    pub(crate) fn note_taken(&mut self, time: u64) {
        self.first_taken = Some(time);
    }

    /// Another worker is known to have asked for the lease.
    pub(crate) fn hand_over(&mut self) {
        self.handing_over = true;
    }

    /// Gives the lease up with the next write.
    pub(crate) fn let_go(&mut self) {
        if self.end == End::No {
            self.end = End::LetGo;
        }
    }

    /// The shard has been worked through to its end.
    pub(crate) fn finish(&mut self, children: BTreeSet<ShardId>) {
        self.end = End::Finished(children);
    }

    /// When the next write is due.
    pub(crate) fn due(&self) -> Duration {
        if self.failures > 0 {
            // A lease is lost after a failover time without a write: until then a renewal that fails is tried several times more.
            let pause = self.failover / 20 * self.failures.min(2);
            return self.tried + pause;
        }
        if self.end != End::No || self.first_taken.is_some() {
            return Duration::ZERO;
        }
        let renewal = self.renewed + self.failover / 3;
        match self.reached {
            Some(_) => renewal.min(self.checkpointed + self.checkpoint_interval),
            None => renewal,
        }
    }

    /// What to write now. `None` where the checkpoint is what it was and nothing else is due.
    pub(crate) fn change(&self) -> Change {
        let checkpoint = match &self.end {
            End::Finished(_) => Some(Checkpoint::ShardEnd),
            _ => self.reached.map(Checkpoint::After),
        };
        Change {
            checkpoint,
            children: match &self.end {
                End::Finished(children) => children.clone(),
                _ => BTreeSet::new(),
            },
            created: self.first_taken,
            read: self
                .read
                .filter(|_| self.stored == Checkpoint::Latest && self.reached.is_none()),
            let_go: self.end != End::No,
        }
    }

    /// A write that was sent at `sent` was accepted.
    pub(crate) fn accepted(&mut self, change: &Change, sent: Duration) {
        self.counter += 1;
        self.renewed = sent;
        self.tried = sent;
        self.failures = 0;
        if change.created.is_some() {
            self.first_taken = None;
        }
        if let Some(checkpoint) = &change.checkpoint {
            self.checkpointed = sent;
            self.stored = checkpoint.clone();
            if self.reached.as_ref().map(|r| Checkpoint::After(*r)) == change.checkpoint {
                self.reached = None;
            }
        }
    }

    /// A write that was sent at `sent` failed; nobody knows whether it was applied.
    pub(crate) fn failed(&mut self, sent: Duration) {
        self.tried = sent;
        self.failures += 1;
    }

    /// A write that was sent at `sent` was refused, and `row` is what stands there.
    pub(crate) fn refused(&mut self, row: Option<&LeaseRow>, sent: Duration) -> Verdict {
        self.tried = sent;
        let Some(row) = row else {
            return Verdict::Missing;
        };
        if row.reader() != Some(self.me.as_str()) {
            let next = self.counter + 1;
            let given_up = self.end != End::No && row.counter == next && self.failures > 0;
            return if given_up {
                Verdict::GivenUp
            } else {
                Verdict::Lost
            };
        }
        let asked = row.checkpoint_owner.is_some() && !self.handing_over;
        let withdrawn = row.checkpoint_owner.is_none() && self.handing_over;
        if row.counter == self.counter && !asked && !withdrawn {
            // The same counter and yet refused: it is not the row that this worker thinks it is.
            return Verdict::Lost;
        }
        self.counter = row.counter;
        self.failures = 0;
        if asked {
            self.handing_over = true;
            return Verdict::HandOver;
        }
        if withdrawn {
            self.handing_over = false;
            return Verdict::Withdrawn;
        }
        Verdict::Adopted
    }

    /// The row was made again, by a write sent at `sent`.
    pub(crate) fn made_again(&mut self, sent: Duration) {
        self.counter = 0;
        self.handing_over = false;
        self.renewed = sent;
        self.tried = sent;
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn row(owner: &str, handing: Option<&str>, counter: u64) -> LeaseRow {
        LeaseRow {
            owner: Some(owner.to_owned()),
            counter,
            checkpoint_owner: handing.map(str::to_owned),
            ..LeaseRow::new(ShardId::new("s"), Checkpoint::TrimHorizon)
        }
    }

    fn hold() -> Hold {
        Hold::new("me", &row("me", None, 5), SECOND, 10 * SECOND, SECOND)
    }

    fn sequence(text: &str) -> SequenceNumber {
        text.parse().expect("digits")
    }

    #[test]
    fn a_lease_is_valid_from_when_its_last_write_was_sent() {
        let mut hold = hold();
        assert_eq!(hold.valid_until(), 11 * SECOND - MARGIN);
        assert!(hold.due() < 5 * SECOND);
        hold.failed(4 * SECOND);
        assert_eq!(
            hold.valid_until(),
            11 * SECOND - MARGIN,
            "a failure renews nothing"
        );
        assert!(hold.due() <= 5 * SECOND, "and is tried again soon");
        hold.accepted(&hold.change(), 5 * SECOND);
        assert_eq!(
            (hold.counter(), hold.valid_until()),
            (6, 15 * SECOND - MARGIN)
        );
    }

    #[test]
    fn a_lease_that_no_other_worker_can_take_never_lapses() {
        let mut hold = hold().lasting();
        hold.failed(4 * SECOND);
        assert_eq!(hold.valid_until(), Duration::MAX);
    }

    #[test]
    fn a_checkpoint_waits_for_its_interval_and_is_written_once() {
        let mut hold = hold();
        hold.reach(sequence("7"));
        assert_eq!(hold.due(), 2 * SECOND);
        let change = hold.change();
        hold.reach(sequence("8"));
        hold.accepted(&change, 2 * SECOND);
        assert_eq!(hold.stored().text(), "7");
        assert_eq!(
            hold.due(),
            3 * SECOND,
            "what was reached meanwhile is still to be written"
        );
        hold.accepted(&hold.change(), 3 * SECOND);
        assert_eq!(hold.change().checkpoint, None);
    }

    #[test]
    fn a_refusal_is_told_apart_by_what_stands_in_the_row() {
        assert_eq!(
            hold().refused(Some(&row("me", None, 6)), SECOND),
            Verdict::Adopted
        );
        assert_eq!(
            hold().refused(Some(&row("other", None, 6)), SECOND),
            Verdict::Lost
        );
        assert_eq!(
            hold().refused(Some(&row("me", None, 5)), SECOND),
            Verdict::Lost
        );
        assert_eq!(hold().refused(None, SECOND), Verdict::Missing);
        let mut asked = hold();
        assert_eq!(
            asked.refused(Some(&row("new", Some("me"), 6)), SECOND),
            Verdict::HandOver
        );
        assert!(asked.is_handing_over());
        assert_eq!(
            asked.refused(Some(&row("new", Some("me"), 7)), SECOND),
            Verdict::Adopted
        );
        assert_eq!(
            asked.refused(Some(&row("new", None, 8)), SECOND),
            Verdict::Lost
        );
        assert_eq!(
            asked.refused(Some(&row("me", None, 7)), SECOND),
            Verdict::Withdrawn,
        );
        assert!(!asked.is_handing_over());
    }

    #[test]
    fn a_lease_that_was_given_up_by_a_write_whose_answer_was_lost_is_not_lost() {
        let mut hold = hold();
        hold.let_go();
        let mut free = row("me", None, 6);
        free.owner = None;
        assert_eq!(hold.refused(Some(&free), SECOND), Verdict::Lost);
        hold.failed(SECOND);
        assert_eq!(hold.refused(Some(&free), 2 * SECOND), Verdict::GivenUp);
    }

    #[test]
    fn when_a_lease_was_first_taken_is_written_at_once_and_once() {
        let mut hold = hold();
        hold.note_taken(77);
        assert_eq!(hold.due(), Duration::ZERO);
        let change = hold.change();
        assert_eq!(change.created, Some(77));
        hold.accepted(&change, SECOND);
        assert_eq!(hold.change().created, None);
        assert!(hold.due() > 2 * SECOND);
    }

    #[test]
    fn the_end_of_a_shard_is_written_at_once_and_gives_the_lease_up() {
        let mut hold = hold();
        hold.reach(sequence("9"));
        hold.finish([ShardId::new("child")].into());
        assert_eq!(hold.due(), Duration::ZERO);
        let change = hold.change();
        assert_eq!(change.checkpoint, Some(Checkpoint::ShardEnd));
        assert!(change.let_go && change.children.len() == 1);
        hold.let_go();
        assert_eq!(hold.change(), change);
    }
}
