//! The contents of requests, and the time of their sending.

use super::*;

#[test]
fn a_lone_write_is_sent_at_once() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let request = core.next_request(ms(0)).expect("low load doesn't linger");
    all_written(&mut core, ms(5), &request);
    assert_eq!(written(&mut core), [1]);
    assert!(core.is_idle());
    assert_eq!(core.queue.keys(), 0);
}

#[test]
fn an_exact_multiple_of_the_batch_size_flushes_whole_batches() {
    let mut core = core(rules(), 4);
    for n in 0..50 {
        core.submit(ms(0), put(u8::try_from(n).expect("small"), n));
    }
    let sizes: Vec<usize> =
        std::iter::from_fn(|| core.next_request(ms(0)).map(|request| request.items)).collect();
    assert_eq!(sizes, [25, 25]);
}

#[test]
fn under_load_a_batch_fills_but_no_longer_than_the_linger() {
    let mut core = core(rules(), 2);
    core.submit(ms(0), put(1, 1));
    assert!(core.next_request(ms(0)).is_some());
    core.submit(ms(0), put(2, 2));
    assert!(
        core.next_request(ms(0)).is_none(),
        "half of the slots are taken: let it fill"
    );
    core.submit(ms(0), put(3, 3));
    assert_eq!(
        core.wake_at(),
        Some(ms(1)),
        "one timer, at the oldest write's linger"
    );
    let request = core.next_request(ms(1)).expect("lingered");
    assert_eq!(
        request.items, 2,
        "the timer flush takes all that is buffered"
    );
}

#[test]
fn the_byte_limit_is_inclusive() {
    let one = put(1, 1).payload.batch_len();
    let overhead = Bodies::new(TABLE, false).batch_overhead();
    // Two writes and the comma between them.
    let exact = overhead + 2 * one - 1;
    for (limit, expected) in [(exact, vec![2]), (exact - 1, vec![1, 1])] {
        let mut core = core(
            Rules {
                max_batch_bytes: limit,
                ..rules()
            },
            4,
        );
        core.submit(ms(0), put(1, 1));
        core.submit(ms(0), put(2, 2));
        let mut sizes = Vec::new();
        while let Some(request) = core.next_request(ms(0)) {
            assert!(request.body.len() <= limit);
            sizes.push(request.items);
        }
        assert_eq!(sizes, expected, "limit {limit}");
    }
}

#[test]
fn the_body_is_as_long_as_reckoned() {
    let mut core = core(rules(), 4);
    let mut reckoned = Bodies::new(TABLE, false).batch_overhead() - 1;
    for n in 0..3 {
        let put = put(n, u64::from(n));
        reckoned += put.payload.batch_len();
        core.submit(ms(0), put);
    }
    assert_eq!(
        core.next_request(ms(0)).expect("a batch").body.len(),
        reckoned
    );
}

#[test]
fn a_key_is_never_twice_in_flight_and_its_lanes_keep_one_order() {
    let mut core = core(rules(), 8);
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), single(WriteKind::Update, 1, 2, true));
    core.submit(ms(0), delete(1, 3));
    core.submit(ms(0), transaction(&[1, 2], 4));
    core.submit(ms(0), put(2, 5));
    let mut order = Vec::new();
    while let Some(request) = core.next_request(ms(0)) {
        assert!(core.next_request(ms(0)).is_none(), "all wait for the key");
        order.push(request.operation.name());
        all_written(&mut core, ms(0), &request);
    }
    let expected = [
        "BatchWriteItem",
        "UpdateItem",
        "BatchWriteItem",
        "TransactWriteItems",
        "BatchWriteItem",
    ];
    assert_eq!(order, expected);
    assert_eq!(written(&mut core), [1, 2, 3, 4, 5]);
}

#[test]
fn unprocessed_writes_alone_are_sent_again_and_before_newer_ones_of_their_key() {
    let mut core = core(rules(), 4);
    for n in 1..=3 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let request = core.next_request(ms(0)).expect("a batch");
    core.submit(ms(0), put(2, 4));
    core.on_batch(
        ms(1),
        request.id,
        Ok(BatchOutcome {
            unprocessed: vec![key(2)],
            consumed: None,
        }),
    );
    assert_eq!(written(&mut core), [1, 3]);
    assert!(
        core.next_request(ms(1)).is_none(),
        "it waits its delay, and its successor with it"
    );
    let at = core.wake_at().expect("a delay");
    assert!(at > ms(1));
    let again = core.next_request(at).expect("again");
    assert_eq!(contents(&again), [("k2".to_owned(), Some(2))]);
    all_written(&mut core, at, &again);
    let last = core.next_request(at).expect("its successor");
    assert_eq!(contents(&last), [("k2".to_owned(), Some(4))]);
}

#[test]
fn a_snapshot_holds_all_that_has_no_outcome_in_order() {
    let mut core = core(rules(), 1);
    for n in 0..30 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let request = core.next_request(ms(0)).expect("a batch");
    let saved = core.snapshot();
    assert_eq!(saved.len(), 30);
    for (n, saved) in (0..30).zip(&saved) {
        let Payload::Plain { data: held, .. } = &saved.payload else {
            panic!("a put")
        };
        assert_eq!(*held, data(n, Some(u64::from(n))));
        assert_eq!(saved.may_have_applied, n < 25);
    }
    all_written(&mut core, ms(1), &request);
    assert_eq!(core.snapshot().len(), 5);
}
