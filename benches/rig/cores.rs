//! Which cores a process uses, so that a server's cost is not taken for a client's.

/// The core that a server has to itself, counted among those that this process may use.
pub(crate) const SERVER: usize = 1;

/// Binds this process to the `nth` core that it may use.
pub(crate) fn pin(nth: usize) {
    restrict(|place| place == nth);
}

/// Leaves the `nth` core to others.
pub(crate) fn leave(nth: usize) {
    restrict(|place| place != nth);
}

fn restrict(keep: impl Fn(usize) -> bool) {
    if !bind(keep) {
        eprintln!("not bound to cores of its own: expect noise");
    }
}

#[cfg(target_os = "linux")]
fn bind(keep: impl Fn(usize) -> bool) -> bool {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let Ok(allowed) = sched_getaffinity(None) else {
        return false;
    };
    let mut kept = CpuSet::new();
    (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .enumerate()
        .filter(|(place, _)| keep(*place))
        .for_each(|(_, core)| kept.set(core));
    kept.count() > 0 && sched_setaffinity(None, &kept).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn bind(_keep: impl Fn(usize) -> bool) -> bool {
    false
}
