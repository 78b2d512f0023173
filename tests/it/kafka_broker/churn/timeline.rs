//! What the members said, in the order of time, and what must hold of it.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day in microseconds, the same for all processes of a machine.
#[expect(
    clippy::disallowed_methods,
    reason = "the entries of several processes are put in order by it"
)]
pub(super) fn now_micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_micros()).expect("it fits")
}

#[derive(Clone, Debug)]
enum What {
    Open(i32),
    Read {
        partition: i32,
        from: i64,
        to: i64,
    },
    Closing(i32),
    Close(i32),
    /// All that the member has is given up, by leaving or by its death.
    Gone,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    at: u64,
    member: usize,
    what: What,
}

impl Entry {
    pub(super) fn read(member: usize, text: &str) -> Self {
        let mut words = text.split(' ');
        let mut word = || words.next().expect("a word");
        let at = word().parse().expect("a time");
        let what = word();
        let mut number = || {
            words
                .next()
                .expect("a word")
                .parse::<i64>()
                .expect("a number")
        };
        let mut partition = || i32::try_from(number()).expect("small");
        let what = match what {
            "OPEN" => What::Open(partition()),
            "CLOSING" => What::Closing(partition()),
            "CLOSE" => What::Close(partition()),
            "LEAVE" => What::Gone,
            "READ" => What::Read {
                partition: partition(),
                from: number(),
                to: number(),
            },
            other => panic!("{other}: what is that?"),
        };
        Self { at, member, what }
    }

    pub(super) fn killed(member: usize) -> Self {
        Self {
            at: now_micros(),
            member,
            what: What::Gone,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Timeline {
    entries: Vec<Entry>,
    /// The first offset of each partition that is not read yet, with all before it read.
    read: BTreeMap<i32, i64>,
    /// Ranges that were read further on.
    ahead: BTreeMap<i32, Vec<(i64, i64)>>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) openings: usize,
    /// Openings of a partition that another member had.
    pub(super) overlaps: usize,
    /// Reads of a partition that the member did not have open.
    pub(super) strays: usize,
    pub(super) problems: Vec<String>,
}

impl Timeline {
    pub(super) fn extend(&mut self, entries: impl Iterator<Item = Entry>) {
        for entry in entries {
            if let What::Read {
                partition,
                from,
                to,
            } = entry.what
            {
                self.note_read(partition, from, to);
            }
            self.entries.push(entry);
        }
    }

    fn note_read(&mut self, partition: i32, from: i64, to: i64) {
        let ahead = self.ahead.entry(partition).or_default();
        ahead.push((from, to));
        ahead.sort_unstable();
        let next = self.read.entry(partition).or_default();
        ahead.retain(|(from, to)| {
            if *from <= *next {
                *next = (*next).max(*to + 1);
            }
            *from > *next
        });
    }

    /// Returns the number of records of which some were not read, of so many in each partition.
    pub(super) fn unread(&self, written: i64) -> i64 {
        let read: i64 = self.read.values().map(|read| written - read).sum();
        let unseen = i64::from(super::PARTITIONS) - i64::try_from(self.read.len()).expect("small");
        read + unseen * written
    }

    /// Returns whether enough has happened to be checked.
    pub(super) fn has_shown(&mut self, overlaps: bool) -> bool {
        let found = self.check();
        found.openings > 20 && (!overlaps || found.overlaps > 0)
    }

    /// Goes through all of it.
    pub(super) fn check(&mut self) -> Found {
        self.entries.sort_by_key(|entry| entry.at);
        let mut found = Found::default();
        // The member that has a partition, and whether it reads on.
        let mut owners: HashMap<i32, (usize, bool)> = HashMap::new();
        for Entry { at, member, what } in &self.entries {
            match what {
                What::Open(partition) => {
                    found.openings += 1;
                    if let Some((other, _)) = owners.insert(*partition, (*member, true))
                        && other != *member
                    {
                        found.overlaps += 1;
                        found.problems.push(format!(
                            "{at}: {member} opens {partition}, which {other} has"
                        ));
                    }
                }
                What::Closing(partition) => {
                    if let Some(owner) =
                        owners.get_mut(partition).filter(|owner| owner.0 == *member)
                    {
                        owner.1 = false;
                    }
                }
                What::Close(partition) => {
                    if owners
                        .get(partition)
                        .is_some_and(|owner| owner.0 == *member)
                    {
                        owners.remove(partition);
                    }
                }
                What::Gone => owners.retain(|_, owner| owner.0 != *member),
                What::Read { partition, .. } => {
                    if owners.get(partition) != Some(&(*member, true)) {
                        found.strays += 1;
                        let owner = owners.get(partition);
                        found
                            .problems
                            .push(format!("{at}: {member} reads {partition}, owner {owner:?}"));
                    }
                }
            }
        }
        found
    }
}
