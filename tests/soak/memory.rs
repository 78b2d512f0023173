//! What the process holds in memory.

/// What the last quarter of a run may hold more than its second one: allocators keep what they once had.
const ALLOWED: u64 = 32 << 20;
/// What the faulty service keeps of a transaction for ten minutes, at most.
const TOKEN: u64 = 4 << 10;

/// The highest samples of each quarter of the run, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    quarters: [u64; 4],
}

impl Memory {
    /// Takes a sample at this share of the run.
    pub(crate) fn sample(&mut self, share: f64) {
        let quarter = match share {
            ..0.25 => 0,
            ..0.5 => 1,
            ..0.75 => 2,
            _ => 3,
        };
        let now = resident().unwrap_or(0);
        self.quarters[quarter] = self.quarters[quarter].max(now);
    }

    pub(crate) fn check(&self, transactions: u64) {
        let [_, early, _, late] = self.quarters;
        assert!(
            late <= early + ALLOWED + TOKEN * transactions,
            "memory grew from {} MiB to {} MiB: {self}",
            early >> 20,
            late >> 20
        );
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, second, third, last] = self.quarters.map(|bytes| bytes >> 20);
        write!(
            f,
            "{first}, {second}, {third}, {last} MiB at most in the run's quarters"
        )
    }
}

/// The resident set in bytes, where the system tells: Linux, in `/proc`.
pub(crate) fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
