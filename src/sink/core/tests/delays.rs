//! The delays of writes that are sent again, and the memory that they hold.

use super::budgets::indexed;
use super::*;

/// Throttles a write so many times. Returns the delay after each, in milliseconds.
fn throttled(core: &mut TestCore, times: usize) -> Vec<u128> {
    let mut now = ms(0);
    let mut delays = Vec::new();
    core.submit(now, put(1, 1));
    while delays.len() < times {
        let Some(request) = core.next_request(now) else {
            now = core.wake_at().expect("it waits").max(now + ms(1));
            continue;
        };
        let throttled = error(ErrorClass::Throttled, "ThrottlingException");
        core.on_batch(now, request.id, Err(throttled));
        delays.push((next_delayed(core) - now).as_millis());
    }
    delays
}

#[test]
fn a_throttled_write_waits_longer_each_time_but_not_long_where_a_rate_limits_the_table() {
    let mut free = core(rules(), 4);
    free.set_rate(ms(0), crate::capacity::Rate::Unlimited);
    let delays = throttled(&mut free, 8);
    assert!(delays[0] <= 50, "{delays:?}");
    assert!(delays[7] >= 1_000, "{delays:?}");
    let mut limited = indexed(1_000, &[]);
    let delays = throttled(&mut limited, 40);
    assert!(delays.iter().all(|delay| *delay <= 400), "{delays:?}");
    assert!(delays.iter().any(|delay| *delay > 200), "{delays:?}");
}

#[test]
fn another_failure_ends_a_row_of_throttles() {
    let mut core = indexed(1_000, &[]);
    throttled(&mut core, 10);
    let mut now = next_delayed(&core);
    let mut answer = |failure: ServiceError| loop {
        if let Some(request) = core.next_request(now) {
            core.on_batch(now, request.id, Err(failure));
            return next_delayed(&core) - now;
        }
        now = core.wake_at().expect("it waits").max(now + ms(1));
    };
    answer(error(ErrorClass::Transient, "ConnectFailed"));
    let delay = answer(error(ErrorClass::Throttled, "ThrottlingException"));
    assert!(delay <= ms(50), "{delay:?}");
}

#[test]
fn a_late_write_that_was_throttled_says_so() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), until(5, put(1, 1)));
    let request = core.next_request(ms(1)).expect("a batch");
    let throttled = error(ErrorClass::Throttled, "ThrottlingException");
    core.on_batch(ms(2), request.id, Err(throttled));
    assert!(core.next_request(ms(5)).is_none());
    let outcomes = settled(&mut core);
    let Outcome::Rejected {
        reason: RejectReason::DeadlineExceeded { last, .. },
        ..
    } = &outcomes[0].outcome
    else {
        panic!("{outcomes:?}");
    };
    let last = last.as_ref().expect("an error");
    assert_eq!(last.class(), ErrorClass::Throttled);
}

#[test]
fn a_write_that_waits_for_a_retry_does_not_hold_the_body_of_its_batch() {
    for class in [ErrorClass::Transient, ErrorClass::Invalid] {
        let mut core = core(rules(), 4);
        for n in 1..=4 {
            core.submit(ms(0), put(n, u64::from(n)));
        }
        let request = core.next_request(ms(5)).expect("a batch");
        let id = request.id;
        drop(request);
        core.on_batch(ms(5), id, Err(error(class, "ConnectFailed")));
        for (_, entry) in core.queue.iter() {
            let Payload::Plain { data, .. } = &entry.write.payload else {
                panic!("a put");
            };
            assert!(data.is_unique(), "{class:?}");
        }
    }
}
