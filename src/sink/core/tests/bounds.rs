//! The queue holds the writes that are in it, and gives back the memory of those that have left.

use super::*;
use crate::sink::core::queue::Queue;

#[test]
fn writes_that_expire_behind_a_stuck_head_leave_nothing() {
    let mut core = core(rules(), 1);
    core.submit(ms(0), put(9, 0));
    let stuck = core.next_request(ms(0)).expect("takes the one slot");
    let mut now = ms(1);
    for n in 0..20_000 {
        core.submit(now, until(10, put(u8::try_from(n % 7).expect("a key"), n)));
        now += ms(1);
        assert!(core.next_request(now).is_none());
        assert!(core.queue.len() <= 11);
        assert!(core.queue.batched().count() <= 10);
    }
    assert_eq!(settled(&mut core).len(), 20_000 - 9);
    all_written(&mut core, now, &stuck);
    assert!(core.wake_at().is_some_and(|wake| wake <= now + ms(10)));
}

#[test]
fn a_key_gives_up_many_late_writes_a_step_at_a_time() {
    const WRITES: u64 = 100_000;
    let mut core = core(rules(), 1);
    core.submit(ms(0), put(1, 0));
    let first = core.next_request(ms(0)).expect("takes the one slot");
    for n in 1..=WRITES {
        core.submit(ms(0), until(10, put(1, n)));
    }
    let (mut steps, mut late) = (0, 0);
    while core.queue.len() > 1 {
        assert!(core.wake_at().is_some_and(|wake| wake <= ms(10)));
        assert!(core.next_request(ms(10)).is_none());
        let given_up = settled(&mut core).len();
        assert!(given_up <= 1_000, "other tasks have their turn");
        late += given_up;
        steps += 1;
    }
    assert_eq!((late as u64, steps), (WRITES, 100));
    all_written(&mut core, ms(11), &first);
    assert_eq!(written(&mut core), [0]);
    assert!(core.is_idle());
}

#[test]
fn writes_that_were_superseded_may_be_late_in_any_order() {
    // With a step for each of the others at each of them, this takes minutes.
    const WRITES: u64 = 100_000;
    let rules = Rules {
        coalesce: true,
        ..rules()
    };
    let mut core = core(rules, 1);
    core.submit(ms(0), put(1, 0));
    let first = core.next_request(ms(0)).expect("takes the one slot");
    for n in 1..=WRITES {
        core.submit(ms(0), until(10 + n * 7_919 % WRITES, put(1, n)));
    }
    assert_eq!(core.queue.len(), 2, "one place for all but the first");
    let mut late = Vec::new();
    while core.queue.len() > 1 {
        assert!(core.next_request(ms(10 + WRITES)).is_none());
        late.extend(settled(&mut core).into_iter().map(|late| late.number));
    }
    let by_deadline = |number: &u64| number * 7_919 % WRITES;
    assert!(late.is_sorted_by_key(by_deadline));
    assert_eq!(late.len() as u64, WRITES);
    all_written(&mut core, ms(10 + WRITES), &first);
    assert!(core.is_idle());
}

#[test]
fn what_is_late_is_not_sent_while_others_are_given_up() {
    let mut core = core(rules(), 2);
    for n in 0..1_500 {
        core.submit(
            ms(0),
            until(10, put(u8::try_from(n % 250).expect("a key"), n)),
        );
    }
    assert!(core.next_request(ms(10)).is_none(), "the first thousand");
    assert!(core.next_request(ms(10)).is_none(), "the others");
    assert_eq!(settled(&mut core).len(), 1_500);
    assert!(core.is_idle());
}

#[test]
fn a_write_that_was_asked_alone_waits_for_its_own_delay() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let batch = core.next_request(ms(0)).expect("a batch");
    core.on_batch(ms(1), batch.id, Ok(left_over(&batch)));
    let first = next_delayed(&core);
    core.throttle
        .probe_cause(core.queue.tickets(|_| true).first().copied());
    let alone = core.next_request(ms(1)).expect("it is asked alone");
    core.on_batch(first, alone.id, Ok(left_over(&alone)));
    let second = next_delayed(&core);
    assert!(second > first);
    core.throttle.probe_cause(None);
    assert!(
        core.next_request(first).is_none(),
        "its first delay is void"
    );
    assert_eq!(core.wake_at(), Some(second));
}

#[test]
fn a_queue_without_writes_gives_its_memory_back() {
    let mut core = core(rules(), 4);
    for n in 0..1_000 {
        core.submit(ms(0), put(u8::try_from(n % 250).expect("a key"), n));
    }
    while let Some(request) = core.next_request(ms(0)) {
        all_written(&mut core, ms(0), &request);
    }
    assert_eq!(written(&mut core).len(), 1_000);
    assert!(core.queue.slots() >= 1_000);
    core.shrink();
    assert_eq!(core.queue.slots(), 0);
    core.submit(ms(1), put(1, 1));
    let slots = core.queue.slots();
    core.shrink();
    assert_eq!(core.queue.slots(), slots, "it is in use");
}

#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "a write in flight is not queued")]
fn a_state_that_cannot_be_panics_where_it_is_met() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let batch = core.next_request(ms(0)).expect("a batch");
    core.queue = Queue::default();
    all_written(&mut core, ms(1), &batch);
}

#[cfg(not(debug_assertions))]
#[test]
fn a_state_that_cannot_be_ends_the_table() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(2, 2));
    let batch = core.next_request(ms(0)).expect("a batch");
    core.queue = Queue::default();
    all_written(&mut core, ms(1), &batch);
    assert!(
        core.failure()
            .is_some_and(|error| error.to_string().contains("defect"))
    );
}

fn left_over(request: &Request) -> BatchOutcome {
    let keys = contents(request).into_iter();
    let number = |name: String| name[1..].parse().expect("a key's number");
    BatchOutcome {
        unprocessed: keys.map(|(name, _)| key(number(name))).collect(),
        consumed: None,
    }
}

/// The worker asks for a request only where there may be one.
#[test]
fn no_time_is_waited_for_in_vain_once_the_writes_have_left() {
    let mut core = super::budgets::with_budgets(rules(), 4, 5, &[]);
    let large = |n: u64| Submission {
        cost: Cost::of_size(5_000, crate::item::IndexSet::default()),
        ..until(100, put(u8::try_from(n).expect("a key"), n))
    };
    for n in 0..8 {
        core.submit(ms(0), large(n));
    }
    while let Some(request) = core.next_request(ms(0)) {
        all_written(&mut core, ms(0), &request);
    }
    assert!(core.wake_at().is_some_and(|wake| wake <= ms(100)));
    assert!(!core.is_idle(), "the rate holds some back");
    core.advance(ms(100));
    assert!(core.is_idle());
    assert!(!core.may_send());
    assert_eq!(core.wake_at(), None);
}

#[test]
fn a_ticket_is_of_one_write_whatever_has_its_slot_since() {
    let mut core = core(rules(), 4);
    for n in 0..3 {
        core.submit(ms(0), put(u8::try_from(n).expect("a key"), n));
    }
    let [first, second, third] = core.queue.tickets(|_| true)[..] else {
        panic!("three writes");
    };
    assert!(core.queue.remove(ms(0), first, false).is_some());
    core.submit(ms(0), put(9, 9));
    assert!(core.queue.get(first).is_none());
    assert!(core.queue.get_mut(first).is_none());
    let later = core.queue.tickets(|_| true);
    assert_eq!(later[..2], [second, third], "by age, not by slot");
    assert_eq!(later[2].at, first.at);
}

#[test]
fn all_writes_leave_their_groups_at_once() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(2, 2));
    for ticket in core.queue.tickets(|_| true) {
        core.queue.get_mut(ticket).expect("queued").write.group = Some(7);
    }
    core.queue.leave_groups();
    let mut groups = core.queue.iter().map(|(_, entry)| entry.write.group);
    assert!(groups.all(|group| group.is_none()));
}

#[test]
fn one_description_is_under_way_at_a_time() {
    let mut core = super::budgets::with_budgets(rules(), 4, 100, &[]);
    core.submit(ms(0), put(1, 1));
    let batch = core.next_request(ms(0)).expect("a batch");
    let refreshed = (1..100).filter(|second| core.take_refresh(ms(second * 1_000)));
    assert_eq!(refreshed.count(), 1, "it hangs");
    core.isolation.description.request();
    assert!(!core.take_describe(ms(100_000)));
    assert!(core.wake_at().is_none_or(|wake| wake > ms(100_000)));
    core.refreshed();
    assert!(core.take_describe(ms(100_000)));
    assert!(!core.take_refresh(ms(200_000)), "another hangs now");
    core.on_described(ms(200_000), Described::Unchanged);
    assert!(core.take_refresh(ms(300_000)));
    core.refreshed();
    all_written(&mut core, ms(300_000), &batch);
    assert!(core.is_idle());
}

#[test]
fn a_part_that_is_unpaid_waits_for_the_budget_and_others_for_their_time() {
    let mut isolation = crate::sink::core::isolation::Isolation::default();
    let paid = isolation.add_part(Vec::new(), ms(20), false);
    let unpaid = isolation.add_part(Vec::new(), ms(10), true);
    assert!(isolation.take_part(ms(10), false).is_none());
    assert_eq!(isolation.wake_at(ms(30)), Some(ms(20)));
    assert_eq!(isolation.wake_at(ms(5)), Some(ms(10)));
    assert!(!isolation.has_unpaid_part(ms(9)) && isolation.has_unpaid_part(ms(10)));
    let part = isolation.take_part(ms(10), true).expect("it is paid for");
    assert_eq!(part.number, unpaid);
    assert!(isolation.take_part(ms(19), true).is_none());
    let part = isolation
        .take_part(ms(20), false)
        .expect("it costs nothing");
    assert_eq!(part.number, paid);
    assert!(!isolation.has_parts());
}

#[test]
fn batches_of_a_table_that_drains_do_not_wait_to_fill() {
    let mut core = core(rules(), 2);
    core.submit(ms(0), put(1, 1));
    assert!(core.next_request(ms(0)).is_some());
    core.submit(ms(0), put(2, 2));
    assert!(core.next_request(ms(0)).is_none(), "half is in flight");
    core.drain();
    assert!(core.next_request(ms(0)).is_some());
}

#[test]
fn outcomes_of_a_failure_are_in_order_behind_those_that_were_there() {
    let mut core = core(rules(), 4);
    for n in 0..4 {
        core.submit(ms(0), put(u8::try_from(n).expect("a key"), n));
    }
    let tickets = core.queue.tickets(|_| true);
    core.unwritten(ms(0), &tickets[3..]);
    core.fail(ms(0), error(ErrorClass::Fatal, "AccessDeniedException"));
    let order = settled(&mut core)
        .into_iter()
        .map(|settled| settled.completion);
    assert_eq!(order.collect::<Vec<_>>(), [3, 0, 1, 2]);
}

#[test]
fn a_write_that_comes_back_goes_before_those_that_came_after_it() {
    let one = Rules {
        max_batch_items: 1,
        ..rules()
    };
    let mut core = core(one, 1);
    for (k, n) in [(1, 0), (1, 1), (2, 2)] {
        core.submit(ms(0), put(k, n));
    }
    for n in 0..3 {
        let request = core.next_request(ms(0)).expect("a write");
        assert_eq!(contents(&request)[0].1, Some(n), "the oldest");
        all_written(&mut core, ms(0), &request);
    }
}
