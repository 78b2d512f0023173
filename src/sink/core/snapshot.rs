//! The un-acknowledged writes, in submission order.

use super::Core;
use super::lane::Ticket;
use crate::sink::payload::Payload;

/// A queued write as a snapshot holds it.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub(crate) payload: Payload,
    /// An attempt went out whose answer is not known.
    pub(crate) may_have_applied: bool,
}

impl<C, F> Core<C, F> {
    /// All writes without an outcome. Cheap: the data are shared, not copied.
    pub(crate) fn snapshot(&self) -> Vec<Saved> {
        let mut order: Vec<Ticket> = self
            .entries
            .iter()
            .map(|(at, entry)| Ticket { seq: entry.seq, at })
            .collect();
        order.sort_unstable();
        order
            .into_iter()
            .filter_map(|ticket| self.entries.get(ticket.at))
            .flat_map(|entry| {
                let older = entry.older.iter().map(|older| Saved {
                    payload: older.payload.clone(),
                    may_have_applied: false,
                });
                older.chain([Saved {
                    payload: entry.payload.clone(),
                    may_have_applied: entry.may_have_applied
                        || matches!(entry.state, super::State::InFlight),
                }])
            })
            .collect()
    }
}
