//! What is said at the end: how it went, and whether the table holds what was written.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use dynamodb_connector::sink::Outcome;

use crate::decision::Decision;
use crate::run::Run;

/// The decisions that were submitted against those that the table holds.
pub(crate) struct Comparison {
    equal: usize,
    different: Vec<u32>,
    missing: Vec<u32>,
    /// There although their write was not acknowledged; the sink said that this may be.
    unacknowledged: usize,
    unexpected: usize,
}

impl Comparison {
    pub(crate) fn new(
        submitted: &[Decision],
        failures: &BTreeMap<usize, Outcome>,
        found: Vec<Decision>,
    ) -> Self {
        let key = |decision: &Decision| (decision.customer.clone(), decision.application);
        let mut found: HashMap<_, _> = found.into_iter().map(|one| (key(&one), one)).collect();
        let mut comparison = Self {
            equal: 0,
            different: Vec::new(),
            missing: Vec::new(),
            unacknowledged: 0,
            unexpected: 0,
        };
        for (place, decision) in submitted.iter().enumerate() {
            match (found.remove(&key(decision)), failures.get(&place)) {
                (Some(same), None) if same == *decision => comparison.equal += 1,
                (Some(_), None) => comparison.different.push(decision.application),
                (None, None) => comparison.missing.push(decision.application),
                (Some(_), Some(outcome)) if outcome.may_have_applied() => {
                    comparison.unacknowledged += 1;
                }
                (Some(_), Some(_)) => comparison.unexpected += 1,
                (None, Some(_)) => {}
            }
        }
        comparison.unexpected += found.len();
        comparison
    }

    pub(crate) fn matches(&self) -> bool {
        self.different.is_empty() && self.missing.is_empty() && self.unexpected == 0
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.matches() {
            write!(f, "all {} written read back equal", self.equal)?;
        } else {
            write!(
                f,
                "MISMATCH: {} equal, {} different {:?}, {} missing {:?}, {} unexpected",
                self.equal,
                self.different.len(),
                &self.different[..self.different.len().min(10)],
                self.missing.len(),
                &self.missing[..self.missing.len().min(10)],
                self.unexpected,
            )?;
        }
        if self.unacknowledged > 0 {
            let count = self.unacknowledged;
            write!(f, ", {count} there without acknowledgement")?;
        }
        Ok(())
    }
}

pub(crate) struct Summary {
    /// How many decisions there were to write.
    pub(crate) of: usize,
    pub(crate) run: Run,
    pub(crate) comparison: Comparison,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = &self.run;
        let written = run.acknowledged.len();
        let rate = f64::from(u32::try_from(written).unwrap_or(u32::MAX)) / run.took.as_secs_f64();
        let mut times = run.acknowledged.clone();
        times.sort_unstable();
        if run.interrupted {
            writeln!(f, "interrupted   after {} were submitted", run.submitted)?;
        }
        writeln!(
            f,
            "written       {written} of {} items in {:.1?}, {rate:.0} items/s",
            self.of, run.took
        )?;
        writeln!(
            f,
            "requests      {}, {} items sent again",
            run.stats.requests, run.stats.retried
        )?;
        if let (Some(half), Some(most)) = (percentile(&times, 50), percentile(&times, 99)) {
            writeln!(f, "acknowledged  p50 {half:.1?}, p99 {most:.1?}")?;
        }
        let mut reasons = BTreeMap::new();
        for outcome in run.failures.values() {
            *reasons.entry(outcome.to_string()).or_insert(0) += 1;
        }
        for (reason, count) in reasons.iter().take(10) {
            writeln!(f, "not written   {count}: {reason}")?;
        }
        if reasons.len() > 10 {
            writeln!(f, "not written   for {} more reasons", reasons.len() - 10)?;
        }
        write!(f, "compared      {}", self.comparison)
    }
}

/// The least value that at least `percent` of the sorted values do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}
