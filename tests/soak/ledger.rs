//! What was offered to the sink, and what became of it.
//!
//! Each write has a number, its id, which all but deletes carry into the table. A key is written by one task
//! alone, so the ids of a key grow in the order of acceptance; counters, which all tasks share, are summed up
//! instead. A write is forgotten once its outcome has been compared with what the table took, so the ledger is
//! as small as what is under way.

use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Instant;

use dynamodb_connector::sink::Outcome;

use crate::LONGEST;
use crate::tables::{Spot, Table};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    Delete,
    /// An update that may be applied twice.
    Set,
    /// One that may not, and whose answer may be lost.
    Add,
    /// The same under a token.
    AddOnce,
    /// A put where there is no item.
    IfAbsent,
    NewerBy,
    /// A put and an addition, on two keys.
    Transaction,
    /// A record that the service refuses.
    Bad,
    /// An addition to a counter, under a token.
    Count,
}

impl Kind {
    fn at_most_once(self) -> bool {
        matches!(self, Self::Add | Self::AddOnce | Self::Transaction)
    }

    /// Whether sent again after an abort, it is applied whatever the table holds.
    fn is_certain(self) -> bool {
        matches!(self, Self::Put | Self::Delete | Self::Set | Self::NewerBy)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ended {
    Written,
    Superseded,
    ConditionFailed,
    Rejected,
    Unwritten,
    Unknown,
    /// Its receipt was dropped, and a flush has passed it.
    Unheard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Offered,
    Accepted,
    /// Never accepted: the caller gave up, or it was refused.
    Withdrawn,
    Ended(Ended, /* may have applied */ bool),
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    spots: Vec<Spot>,
    state: State,
    since: Instant,
    applied: u32,
    letters: u32,
}

/// What a key should hold, by the last write that had an effect on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Nothing,
    Id(u64),
    Unsure,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) last_applied: u64,
    /// Deletes that may still be applied; they carry no id.
    pub(super) deletes: VecDeque<u64>,
    effect: (u64, Expected),
}

impl Default for Line {
    fn default() -> Self {
        Self {
            last_applied: 0,
            deletes: VecDeque::new(),
            effect: (0, Expected::Nothing),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Books {
    next: u64,
    entries: HashMap<u64, Entry>,
    pub(super) lines: HashMap<Spot, Line>,
    pub(super) totals: BTreeMap<Ended, u64>,
    pub(super) accepted: HashMap<Table, u64>,
    /// Per counter: how often it was surely, and how often maybe, added to.
    counters: HashMap<u32, (u64, u64)>,
    /// Writes in the last snapshot: sent again whatever they had come to by the abort.
    saved: HashSet<u64>,
    pub(super) problems: Vec<String>,
    /// Applications out of turn, by the request that brought them: forgiven if it had been given up.
    pub(super) suspects: Vec<(u64, String)>,
    pub(super) given_up: HashSet<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    books: Mutex<Books>,
}

impl Ledger {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock()
    }

    /// Takes down a write before it is submitted, so that it is known however soon it is applied.
    pub(crate) fn offer(&self, kind: Kind, spots: &[Spot]) -> u64 {
        let books = &mut *self.books();
        books.next += 1;
        let id = books.next;
        if kind == Kind::Delete {
            for spot in spots {
                books.lines.entry(*spot).or_default().deletes.push_back(id);
            }
        }
        let entry = Entry {
            kind,
            spots: spots.to_vec(),
            state: State::Offered,
            since: Instant::now(),
            applied: 0,
            letters: 0,
        };
        books.entries.insert(id, entry);
        id
    }

    pub(crate) fn accept(&self, id: u64) {
        let books = &mut *self.books();
        let entry = books.entries.get_mut(&id).expect("it was offered");
        entry.state = State::Accepted;
        *books.accepted.entry(entry.spots[0].table).or_default() += 1;
    }

    pub(crate) fn withdraw(&self, id: u64) {
        let books = &mut *self.books();
        let entry = books.entries.get_mut(&id).expect("it was offered");
        entry.state = State::Withdrawn;
        for spot in entry.spots.iter().filter(|_| entry.kind == Kind::Delete) {
            let line = books.lines.entry(*spot).or_default();
            line.deletes.retain(|delete| *delete != id);
        }
    }

    /// The dead-letter handler has seen a write.
    pub(crate) fn letter(&self, id: u64) {
        let books = &mut *self.books();
        match books.entries.get_mut(&id) {
            Some(entry) => entry.letters += 1,
            None => books.problem(format!("write {id} was dead-lettered after its outcome")),
        }
    }

    pub(crate) fn end(&self, id: u64, outcome: &Outcome) {
        let ended = match outcome {
            Outcome::Written => Ended::Written,
            Outcome::Superseded => Ended::Superseded,
            Outcome::ConditionFailed { .. } => Ended::ConditionFailed,
            Outcome::Rejected { .. } => Ended::Rejected,
            Outcome::Unwritten { .. } => Ended::Unwritten,
            Outcome::Unknown { .. } => Ended::Unknown,
            _ => panic!("an outcome that is new: {outcome}"),
        };
        self.settle(id, ended, outcome.may_have_applied());
    }

    /// A write whose receipt was dropped has its outcome: written, if it was not dead-lettered.
    pub(crate) fn end_unheard(&self, id: u64) {
        self.settle(id, Ended::Unheard, true);
    }

    fn settle(&self, id: u64, ended: Ended, may_have_applied: bool) {
        let books = &mut *self.books();
        *books.totals.entry(ended).or_default() += 1;
        let entry = books.entries.get_mut(&id).expect("it was accepted once");
        let before = std::mem::replace(&mut entry.state, State::Ended(ended, may_have_applied));
        if !matches!(before, State::Accepted) {
            let problem = format!("write {id} ended as {ended:?} and was {before:?}");
            return books.problem(problem);
        }
        let (kind, letters) = (entry.kind, entry.letters);
        if let (Kind::Count, Some(spot)) = (kind, entry.spots.first()) {
            let (surely, maybe) = books.counters.entry(spot.key).or_default();
            match ended {
                Ended::Written => *surely += 1,
                // Handed back, it is sent again by the second sink.
                Ended::Unwritten => *maybe += 1,
                _ if may_have_applied => *maybe += 1,
                _ => {}
            }
            return;
        }
        let lost = matches!(ended, Ended::Rejected | Ended::Unknown);
        let certain = match ended {
            Ended::Written => true,
            // Sent again from the snapshot.
            Ended::Unwritten => kind.is_certain(),
            Ended::Unheard => letters == 0 && kind.is_certain(),
            _ => false,
        };
        if !certain && !may_have_applied && !books.saved.contains(&id) {
            return;
        }
        let expected = match (certain && !lost, kind) {
            (true, Kind::Delete) => Expected::Nothing,
            (true, _) => Expected::Id(id),
            (false, _) => Expected::Unsure,
        };
        for spot in entry.spots.clone() {
            let line = books.lines.entry(spot).or_default();
            // Outcomes are heard of in any order; the last write counts.
            if id > line.effect.0 {
                line.effect = (id, expected);
            }
        }
    }

    /// The writes that have ended by now: to be compared once the journal has been read. Those
    /// handed back are not over before they were sent again: until `last`.
    pub(super) fn ended(&self, last: bool) -> Vec<u64> {
        let books = self.books();
        let over = |entry: &Entry| match entry.state {
            State::Ended(Ended::Unwritten, _) => last,
            State::Ended(..) | State::Withdrawn => true,
            State::Offered | State::Accepted => false,
        };
        let entries = books.entries.iter().filter(|(_, entry)| over(entry));
        entries.map(|(id, _)| *id).collect()
    }

    /// Takes down which writes are sent again after the abort.
    pub(crate) fn restore(&self, saved: HashSet<u64>) {
        self.books().saved = saved;
    }

    /// Compares outcomes with what was applied, where a journal tells that, and forgets the writes.
    pub(super) fn compare(&self, ids: &[u64], journal: bool) {
        let books = &mut *self.books();
        for id in ids {
            let Some(entry) = books.entries.remove(id) else {
                continue;
            };
            let again = books.saved.contains(id);
            for problem in entry.problems(*id, journal, again) {
                books.problem(problem);
            }
        }
    }

    /// Fails if a write has waited for its outcome for too long.
    pub(crate) fn check_none_is_stuck(&self) {
        let books = self.books();
        for (id, entry) in &books.entries {
            let waits = matches!(entry.state, State::Offered | State::Accepted);
            assert!(
                !waits || entry.since.elapsed() < LONGEST,
                "write {id} is stuck: {entry:?}"
            );
        }
    }

    pub(crate) fn under_way(&self) -> usize {
        self.books().entries.len()
    }

    /// Fails with what went wrong so far, except for suspects.
    pub(crate) fn check(&self) {
        let books = self.books();
        assert!(books.problems.is_empty(), "{:#?}", books.problems);
    }

    pub(crate) fn expected(&self) -> Vec<(Spot, Expected)> {
        let books = self.books();
        let lines = books.lines.iter();
        lines.map(|(spot, line)| (*spot, line.effect.1)).collect()
    }

    pub(crate) fn accepted(&self) -> HashMap<Table, u64> {
        self.books().accepted.clone()
    }

    pub(crate) fn counters(&self) -> HashMap<u32, (u64, u64)> {
        self.books().counters.clone()
    }
}

impl Books {
    pub(super) fn problem(&mut self, what: String) {
        if self.problems.len() < 20 {
            self.problems.push(what);
        }
    }

    /// A write was applied: its kind and how often it was by now, while it is not forgotten.
    pub(super) fn applied(&mut self, id: u64) -> Option<(Kind, u32)> {
        let entry = self.entries.get_mut(&id)?;
        entry.applied += 1;
        Some((entry.kind, entry.applied))
    }
}

impl Entry {
    fn problems(&self, id: u64, journal: bool, again: bool) -> Vec<String> {
        let mut problems = Vec::new();
        let mut problem = |what: &str| problems.push(format!("write {id} {what}: {self:?}"));
        let (ended, may_have_applied) = match self.state {
            State::Withdrawn => {
                if self.applied > 0 {
                    problem("was never accepted and was applied");
                }
                return problems;
            }
            State::Ended(ended, may_have_applied) => (ended, may_have_applied),
            State::Offered | State::Accepted => return problems,
        };
        let traceable = journal && !matches!(self.kind, Kind::Delete | Kind::Count);
        let applied = self.applied > 0;
        // There a newer one may have taken its place.
        let coalesced = self.spots.iter().any(|spot| spot.table == Table::Coalesced);
        if traceable && ended == Ended::Written && !applied {
            problem("was not applied");
        }
        let silent = ended == Ended::Unheard && self.letters == 0 && !coalesced;
        if traceable && silent && !applied {
            problem("was dropped in silence");
        }
        if traceable && !may_have_applied && applied && !again {
            problem("was applied all the same");
        }
        if self.kind.at_most_once() && self.applied as usize > self.spots.len() {
            problem("was applied more than once");
        }
        let guarded = self.spots.iter().any(|spot| spot.table == Table::Guarded);
        if guarded && !matches!(ended, Ended::Written | Ended::Unheard | Ended::Unwritten) {
            problem("is newer than all before it and yet was not written");
        }
        let lost = matches!(ended, Ended::Rejected | Ended::Unknown);
        let carries_id = !matches!(self.kind, Kind::Delete | Kind::Count);
        // The abort may have come while the handler had it: then the second sink gives it once more.
        let once = self.letters == 1 || (again && self.letters == 2);
        if lost && carries_id && !once {
            problem("should have been dead-lettered once");
        }
        let heard = !matches!(ended, Ended::Unheard | Ended::Unwritten);
        // Sent again, a condition may find another's item, and not know whether its own was there before.
        if !lost && heard && self.letters > 0 && !again {
            problem("was dead-lettered and is not lost");
        }
        let coalesced = self.spots.iter().any(|spot| spot.table == Table::Coalesced);
        let back = ended == Ended::Unwritten && self.kind.is_certain() && !coalesced;
        if traceable && back && !applied {
            problem("was handed back, restored, and not applied");
        }
        problems
    }
}
