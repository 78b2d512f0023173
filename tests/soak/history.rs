//! What the faulty service's journal says, compared with the ledger.

use dynamodb_connector::test_util::{
    AppliedKind, AppliedWrite, FaultyDynamoDb, RequestOutcome, RequestRecord,
};

use crate::ledger::{Books, Kind, Ledger};
use crate::report::Tally;
use crate::tables::{Spot, Table, number};

impl Ledger {
    /// Reads what was applied since the last time, and then compares the writes that had ended before.
    pub(crate) fn sweep(&self, fake: Option<&FaultyDynamoDb>, last: bool, tally: &mut Tally) {
        let ended = self.ended(last);
        if let Some(fake) = fake {
            for write in fake.take_applied() {
                self.books().took(&write);
                tally.applied += 1;
            }
            for request in fake.take_requests() {
                self.books().answered(&request);
                tally.request(&request);
            }
        }
        self.compare(&ended, fake.is_some());
    }

    /// Judges the applications out of turn, once all requests have ended.
    pub(crate) fn check_suspects(&self) -> usize {
        let books = self.books();
        let guilty = |(request, _): &&(u64, String)| !books.given_up.contains(request);
        let guilty: Vec<_> = books.suspects.iter().filter(guilty).take(20).collect();
        assert!(guilty.is_empty(), "{guilty:#?}");
        books.suspects.len()
    }
}

impl Books {
    fn answered(&mut self, request: &RequestRecord) {
        if request.outcome() == RequestOutcome::GivenUp {
            self.given_up.insert(request.number());
        }
    }

    fn took(&mut self, write: &AppliedWrite) {
        let Some(table) = Table::of_name(write.table()) else {
            return self.problem(format!("a write to {:?}", write.table()));
        };
        // Counters are added up at the end, the rounds look after themselves.
        if matches!(table, Table::Counters | Table::Rounds) {
            return;
        }
        let Some(spot) = Spot::of_key(table, &write.key()) else {
            return self.problem(format!("a write to a strange key of {table:?}"));
        };
        if write.kind() == AppliedKind::Delete {
            self.took_delete(spot, write);
        } else {
            self.took_id(spot, write);
        }
    }

    fn took_delete(&mut self, spot: Spot, write: &AppliedWrite) {
        let line = self.lines.entry(spot).or_default();
        while line
            .deletes
            .front()
            .is_some_and(|id| *id < line.last_applied)
        {
            line.deletes.pop_front();
        }
        // It stays in front: sent again after a lost answer it is applied once more.
        match line.deletes.front() {
            Some(id) => line.last_applied = *id,
            None => {
                let what = format!("{spot:?}: a delete landed after {}", line.last_applied);
                self.suspects.push((write.request(), what));
            }
        }
    }

    fn took_id(&mut self, spot: Spot, write: &AppliedWrite) {
        let id = write
            .attribute("id")
            .and_then(|value| value.as_n().ok()?.parse().ok());
        let Some(id) = id else {
            return self.problem(format!("{spot:?} took a write without an id"));
        };
        let entry = self.applied(id);
        let line = self.lines.entry(spot).or_default();
        if id < line.last_applied {
            let what = format!(
                "{spot:?}: write {id} landed after {}, {entry:?}",
                line.last_applied
            );
            if spot.table == Table::Guarded {
                return self.problem(what);
            }
            return self.suspects.push((write.request(), what));
        }
        // Matched already, these can be sent no more.
        while line.deletes.front().is_some_and(|delete| *delete < id) {
            line.deletes.pop_front();
        }
        line.last_applied = id;
        match entry {
            None => {
                let what = format!("{spot:?}: write {id} was applied after its outcome");
                self.suspects.push((write.request(), what));
            }
            Some((Kind::Add | Kind::AddOnce, times @ 2..)) => {
                self.problem(format!("{spot:?}: write {id} was applied {times} times"));
            }
            Some(_) => {}
        }
        let before = write.before().and_then(|item| number(&item, "id"));
        if spot.table == Table::Guarded && before.is_some_and(|before| before >= id) {
            self.problem(format!("{spot:?}: write {id} replaced {before:?}"));
        }
    }
}
