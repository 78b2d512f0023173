//! The feedback of answers: on the rate, the counts, and the requests for the table's description.

use std::collections::VecDeque;

use super::*;
use crate::retry::RetryBudgetSettings;

/// Returns a core whose budget holds one retry, and earns one by a success and one by a second.
fn frugal() -> TestCore {
    let retry = RetryPolicy::default();
    let budget = RetryBudgetSettings::default()
        .burst(1)
        .ratio(1.0)
        .min_per_second(1);
    Core::new(
        &Arc::from(TABLE),
        rules(),
        // Above its minimum, so that throttling does not make it rest.
        ConcurrencyLimit::new((1..=8).into()),
        Budgets::blind(),
        Backoff::new(&retry),
        RetryBudget::new(&budget),
        fastrand::Rng::with_seed(7),
    )
}

fn fail(core: &mut TestCore, now: Duration, request: &Request) {
    let failure = error(ErrorClass::Transient, "ConnectFailed");
    if request.operation == Operation::BatchWriteItem {
        core.on_batch(now, request.id, Err(failure));
    } else {
        core.on_call(now, request.id, Err(failure));
    }
}

fn left(core: &mut TestCore, now: Duration, request: &Request, keys: &[u8]) {
    let unprocessed = keys.iter().map(|&k| key(k)).collect();
    core.on_batch(
        now,
        request.id,
        Ok(BatchOutcome {
            unprocessed,
            consumed: None,
        }),
    );
}

#[test]
fn a_success_pays_for_a_retry_and_an_answer_that_wrote_nothing_does_not() {
    /// The answer between the failure that uses the budget up and the one after it.
    enum Between {
        Nothing,
        Batch,
        Call,
        Unprocessed,
    }
    for (between, paid) in [
        (Between::Nothing, false),
        (Between::Batch, true),
        (Between::Call, true),
        (Between::Unprocessed, false),
    ] {
        let mut core = frugal();
        core.submit(ms(0), put(1, 1));
        let first = core.next_request(ms(0)).expect("a batch");
        fail(&mut core, ms(0), &first);
        let again = core.next_request(ms(50)).expect("it is saved up");
        left(&mut core, ms(50), &again, &[1]);
        match between {
            Between::Nothing => {}
            Between::Batch => {
                core.submit(ms(50), put(2, 2));
                let request = core.next_request(ms(50)).expect("a batch");
                all_written(&mut core, ms(50), &request);
            }
            Between::Call => {
                core.submit(ms(50), single(WriteKind::Put, 2, 2, true));
                let request = core.next_request(ms(50)).expect("a call");
                all_written(&mut core, ms(50), &request);
            }
            Between::Unprocessed => {
                core.submit(ms(50), put(2, 2));
                let request = core.next_request(ms(50)).expect("a batch");
                left(&mut core, ms(50), &request, &[2]);
            }
        }
        core.submit(ms(50), put(3, 3));
        let second = core.next_request(ms(50)).expect("a batch");
        assert_eq!(contents(&second), [("k3".to_owned(), Some(3))]);
        fail(&mut core, ms(50), &second);
        // The longest delay of a first or second retry is 100 ms; time alone pays after a second.
        let mut sent = Vec::new();
        while let Some(request) = core.next_request(ms(150)) {
            sent.extend(contents(&request));
        }
        assert_eq!(sent.contains(&("k3".to_owned(), Some(3))), paid);
    }
}

#[test]
fn what_is_in_flight_and_what_is_sent_again_is_counted() {
    let mut core = core(rules(), 4);
    assert_eq!((core.in_flight(), core.concurrency()), (0, 4));
    for n in 1..=3 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    core.submit(ms(0), single(WriteKind::Put, 4, 4, true));
    let batch = core.next_request(ms(0)).expect("a batch");
    let call = core.next_request(ms(0)).expect("a call");
    assert_eq!(core.in_flight(), 2);
    left(&mut core, ms(1), &batch, &[2, 3]);
    assert_eq!(core.in_flight(), 1);
    fail(&mut core, ms(1), &call);
    assert_eq!(core.in_flight(), 0);
    let counts = core.counts();
    assert_eq!((counts.throttled_items, counts.retried), (2, 3));
    let again = core.next_request(ms(200)).expect("both batched writes");
    left(&mut core, ms(201), &again, &[2]);
    let counts = core.counts();
    assert_eq!((counts.throttled_items, counts.retried), (3, 4));
}

#[test]
fn more_requests_go_out_side_by_side_once_as_many_as_allowed_were_answered_well() {
    let mut core = frugal();
    for n in 0..250 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let mut flying: VecDeque<Request> = VecDeque::new();
    flying.extend(std::iter::from_fn(|| core.next_request(ms(0))));
    assert_eq!((flying.len(), core.concurrency()), (4, 4));
    for _ in 0..3 {
        let request = flying.pop_front().expect("a batch");
        all_written(&mut core, ms(1), &request);
        flying.extend(std::iter::from_fn(|| core.next_request(ms(1))));
    }
    assert_eq!((flying.len(), core.concurrency()), (7, 7));
}

/// Returns the next request, after as long a wait as it takes.
fn next(core: &mut TestCore, now: &mut Duration) -> Request {
    loop {
        if let Some(request) = core.next_request(*now) {
            return request;
        }
        *now = core.wake_at().expect("something waits");
    }
}

fn throttle(core: &mut TestCore, now: Duration, request: &Request) {
    let failure = error(ErrorClass::Throttled, "ThrottlingException");
    core.on_batch(now, request.id, Err(failure));
}

#[test]
fn it_pauses_while_nothing_is_taken_and_goes_on_at_once_when_something_is() {
    let mut core = core(rules(), 4);
    for n in 0..100 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let mut now = ms(0);
    let mut requests = 0;
    while now < ms(10_000) {
        let request = next(&mut core, &mut now);
        now += ms(1);
        throttle(&mut core, now, &request);
        requests += u32::from(now > ms(2_000));
    }
    assert!(requests <= 12, "about one a second: {requests}");
    let request = next(&mut core, &mut now);
    now += ms(1);
    all_written(&mut core, now, &request);
    let before = now;
    next(&mut core, &mut now);
    assert!(now - before < ms(100), "{:?}", now - before);
}

#[test]
fn a_place_that_is_used_again_does_not_hurry_its_new_write() {
    let mut core = core(rules(), 4);
    let late = Submission {
        deadline: Some(ms(5)),
        ..put(1, 1)
    };
    core.submit(ms(0), late);
    let request = core.next_request(ms(0)).expect("a batch");
    fail(&mut core, ms(0), &request);
    // It was to be sent again by then, and is given up before.
    let matured = next_delayed(&core);
    assert!(core.next_request(ms(5)).is_none());
    assert_eq!(settled(&mut core).len(), 1);

    core.submit(ms(5), put(2, 2));
    let request = core.next_request(ms(5)).expect("a batch");
    fail(&mut core, matured, &request);
    assert!(
        core.next_request(matured).is_none(),
        "its own delay is not over"
    );
    assert!(core.next_request(matured + ms(50)).is_some());
}

#[test]
fn a_description_is_asked_for_when_one_is_needed_and_once_at_a_time() {
    let mut core = core(rules(), 4);
    assert!(!core.take_describe(ms(0)), "nothing is in doubt");
    let refuse_next = |core: &mut TestCore, now: Duration| {
        let request = core.next_request(now).expect("a call");
        let refusal = error(ErrorClass::Invalid, "ValidationException");
        core.on_call(now, request.id, Err(refusal));
    };
    let refuse = |core: &mut TestCore, k: u8| {
        core.submit(ms(0), single(WriteKind::Update, k, 1, true));
        refuse_next(core, ms(0));
    };
    refuse(&mut core, 1);
    assert!(core.take_describe(ms(0)));
    assert!(!core.take_describe(ms(0)), "it is under way");
    refuse(&mut core, 2);
    assert!(!core.take_describe(ms(0)), "it is under way");
    core.on_described(ms(1), Described::Unchanged);
    assert!(settled(&mut core).is_empty(), "it is sent once more");
    refuse_next(&mut core, ms(1));
    assert_eq!(settled(&mut core).len(), 1);
    assert!(
        core.take_describe(ms(501)),
        "the second was refused after the question"
    );
    core.on_described(ms(502), Described::Unchanged);
    refuse_next(&mut core, ms(502));
    assert!(!core.take_describe(ms(60_000)));
    assert_eq!(settled(&mut core).len(), 1);
}
