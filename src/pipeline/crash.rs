//! The points at which a test has its process crash, as a kill does.

use parking_lot::Mutex;

use super::commit::Step;

static POINT: Mutex<Option<Point>> = Mutex::new(None);

struct Point {
    step: String,
    /// The times that are left.
    left: u32,
}

/// Has this process crash when a pipeline's transactions come to this step for the `nth` time: `Begin`, `Pass`, `Deliver`,
/// `SendOffsets`, `Commit`, `Settle`, `Abort`, `Renew`, `Rewind` or `Wait`. For tests of this crate.
#[doc(hidden)]
pub fn crash_before(step: &str, nth: u32) {
    let step = step.to_owned();
    *POINT.lock() = Some(Point { step, left: nth });
}

/// Crashes where the point is reached.
pub(super) fn reached(step: Step) {
    let mut point = POINT.lock();
    let Some(point) = point.as_mut() else { return };
    // Without its fields.
    let name = format!("{step:?}");
    if name.split(' ').next() != Some(&point.step) {
        return;
    }
    point.left = point.left.saturating_sub(1);
    if point.left == 0 {
        std::process::abort();
    }
}
