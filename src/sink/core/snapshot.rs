//! The un-acknowledged writes, in submission order.

use super::Core;
use super::entry::State;
use crate::sink::payload::Payload;

/// A queued write as a snapshot holds it.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub(crate) payload: Payload,
    /// Set if an attempt went out whose answer is not known.
    pub(crate) may_have_applied: bool,
}

impl<C, F> Core<C, F> {
    /// Returns all writes without an outcome. Cheap: the data are shared, not copied.
    pub(crate) fn snapshot(&self) -> Vec<Saved> {
        let mut saved = Vec::new();
        for (_, entry) in self.queue.iter() {
            for write in entry.older.values() {
                saved.push((write.number, write.payload.clone(), false));
            }
            let sent =
                entry.write.attempts.may_have_applied || matches!(entry.state, State::InFlight);
            saved.push((entry.write.number, entry.write.payload.clone(), sent));
        }
        saved.sort_unstable_by_key(|(number, ..)| *number);
        let saved = saved.into_iter();
        let saved = saved.map(|(_, payload, may_have_applied)| Saved {
            payload,
            may_have_applied,
        });
        saved.collect()
    }
}
