//! How much of this process is in memory.

use std::fs;

use super::Failure;

/// In MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) now: f64,
    /// The most since the process began.
    pub(crate) peak: f64,
}

/// Returns the present figures, or an error where the system has none.
pub(crate) fn read() -> Result<Resident, Failure> {
    now().ok_or_else(|| "this system has no /proc/self/status".into())
}

/// Returns the present figures, or `None` where the system has none.
pub(crate) fn now() -> Option<Resident> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u32 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(f64::from(kilobytes) / 1024.0)
    };
    Some(Resident {
        now: field("VmRSS:")?,
        peak: field("VmHWM:")?,
    })
}

pub(crate) fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
