//! What is said at the end: how it went, and whether the table holds what was written.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::decision::Decision;
use crate::run::Run;

/// The decisions that were submitted against those that the table holds.
pub struct Comparison {
    equal: usize,
    different: Vec<u32>,
    missing: Vec<u32>,
    unexpected: usize,
}

impl Comparison {
    pub fn new(submitted: &[Decision], found: Vec<Decision>) -> Self {
        let mut found: HashMap<_, _> = found
            .into_iter()
            .map(|decision| ((decision.customer.clone(), decision.application), decision))
            .collect();
        let mut comparison = Self {
            equal: 0,
            different: Vec::new(),
            missing: Vec::new(),
            unexpected: 0,
        };
        for decision in submitted {
            match found.remove(&(decision.customer.clone(), decision.application)) {
                Some(same) if same == *decision => comparison.equal += 1,
                Some(_) => comparison.different.push(decision.application),
                None => comparison.missing.push(decision.application),
            }
        }
        comparison.unexpected = found.len();
        comparison
    }

    pub fn matches(&self) -> bool {
        self.different.is_empty() && self.missing.is_empty() && self.unexpected == 0
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.matches() {
            return write!(f, "all {} read back equal", self.equal);
        }
        write!(
            f,
            "MISMATCH: {} equal, {} different {:?}, {} missing {:?}, {} unexpected",
            self.equal,
            self.different.len(),
            &self.different[..self.different.len().min(10)],
            self.missing.len(),
            &self.missing[..self.missing.len().min(10)],
            self.unexpected,
        )
    }
}

pub struct Summary {
    /// How many decisions there were to write.
    pub of: usize,
    pub run: Run,
    pub comparison: Comparison,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = &self.run;
        let written = run.acknowledged.len();
        let rate = f64::from(u32::try_from(written).unwrap_or(u32::MAX)) / run.took.as_secs_f64();
        let mut times = run.acknowledged.clone();
        times.sort_unstable();
        if run.interrupted {
            writeln!(f, "interrupted   after {} of {}", run.submitted, self.of)?;
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
        for failure in run.failures.iter().take(10) {
            writeln!(f, "not written   {failure}")?;
        }
        if run.failures.len() > 10 {
            writeln!(f, "not written   and {} more", run.failures.len() - 10)?;
        }
        write!(f, "compared      {}", self.comparison)
    }
}

/// The least value that at least `percent` of the sorted values do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}
