//! Refusals that no record causes.

mod actions;
mod tables;
mod writes;

use super::*;
use crate::sink::core::description::Described;

/// Runs a core until `until`, or until it is idle. `answer` gives the error of a request, or none
/// where it is carried out; `described` gives the answer of each description.
pub(super) fn run(
    core: &mut TestCore,
    mut now: Duration,
    until: Duration,
    mut answer: impl FnMut(Duration, &Request) -> Option<ServiceError>,
    mut described: impl FnMut(Duration) -> Described,
) -> Duration {
    while now < until && !core.is_idle() {
        if core.take_describe(now) {
            core.on_described(now, described(now));
            continue;
        }
        let Some(request) = core.next_request(now) else {
            let Some(wake) = core.wake_at() else {
                assert!(core.is_idle(), "it waits for a time");
                break;
            };
            now = wake.max(now + ms(1));
            continue;
        };
        now += ms(1);
        match answer(now, &request) {
            None => all_written(core, now, &request),
            Some(error) if request.operation == Operation::BatchWriteItem => {
                core.on_batch(now, request.id, Err(error));
            }
            Some(error) => core.on_call(now, request.id, Err(error)),
        }
    }
    now
}

pub(super) fn unchanged(_: Duration) -> Described {
    Described::Unchanged
}

pub(super) fn invalid() -> ServiceError {
    error(ErrorClass::Invalid, "ValidationException")
}

pub(super) fn missing() -> ServiceError {
    error(ErrorClass::Fatal, "ResourceNotFoundException")
}

pub(super) fn denied() -> ServiceError {
    error(ErrorClass::Fatal, "AccessDeniedException")
}

pub(super) fn holds(request: &Request, number: u64) -> bool {
    contents(request)
        .iter()
        .any(|(_, found)| *found == Some(number))
}
