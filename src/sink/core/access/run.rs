//! Refusals for one reason that follow each other without a pause.

use std::time::Duration;

/// The time for which refusals that no record causes are tried again.
///
/// Chosen: a provider has rotated credentials by then, and a new policy has reached all servers
/// (IAM: usually seconds). A pipeline still learns of it soon.
pub(crate) const REFUSAL_GRACE: Duration = Duration::from_secs(30);

/// The least number of refusals that count as lasting. Chosen: two may be two separate moments with
/// nothing sent in between.
const MIN_LASTING_REFUSALS: u32 = 3;

/// Refusals for one reason without a pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) since: Duration,
    pub(super) last: Duration,
    pub(super) count: u32,
    /// The time between those that followed each other.
    lasted: Duration,
    /// Set if a failure of another kind came after the last one.
    pub(super) interrupted: bool,
}

impl Run {
    /// Adds a refusal to a run, or to a new one after a pause.
    pub(super) fn add(run: &mut Option<Self>, now: Duration, pause: Duration) -> Self {
        let mut next = Self {
            since: now,
            last: now,
            count: 1,
            lasted: Duration::ZERO,
            interrupted: false,
        };
        if let Some(before) = run.filter(|run| now.saturating_sub(run.last) < pause) {
            next.since = before.since;
            next.count += before.count;
            next.lasted = before.lasted;
            if !before.interrupted {
                next.lasted += now.saturating_sub(before.last);
            }
        }
        *run.insert(next)
    }

    /// Notes a failure that is unrelated to the reason.
    pub(super) fn interrupt(run: &mut Option<Self>) {
        if let Some(run) = run {
            run.interrupted = true;
        }
    }

    /// Returns whether they have gone on for [`REFUSAL_GRACE`].
    pub(super) fn is_lasting(self) -> bool {
        self.count >= MIN_LASTING_REFUSALS && self.lasted >= REFUSAL_GRACE
    }
}
