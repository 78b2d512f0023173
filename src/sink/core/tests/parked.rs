//! Writes that wait for the budget of an index, and the lanes that they wait in.

use super::budgets::{entering, with_budgets};
use super::*;

fn done() -> Result<BatchOutcome, ServiceError> {
    Ok(BatchOutcome {
        unprocessed: Vec::new(),
        consumed: None,
    })
}

/// Sends all that may be sent until then, and answers each request at once. Returns the time and
/// the keys of each.
fn run(core: &mut TestCore, from: u64, until: u64) -> Vec<(u64, Vec<String>)> {
    let mut sent = Vec::new();
    for millis in from..until {
        if core.is_idle() {
            break;
        }
        while let Some(request) = core.next_request(ms(millis)) {
            let keys = contents(&request).into_iter().map(|(key, _)| key);
            sent.push((millis, keys.collect()));
            if request.operation == Operation::BatchWriteItem {
                core.on_batch(ms(millis), request.id, done());
            } else {
                core.on_call(ms(millis), request.id, Ok(None));
            }
        }
    }
    sent
}

/// Returns the rules of a core whose batches do not wait to fill.
fn prompt() -> Rules {
    Rules {
        linger: Duration::ZERO,
        ..rules()
    }
}

/// Returns a core whose indexes have ten units a second each, all used up for some seconds, and the
/// time.
fn used_up(indexes: usize) -> (TestCore, u64) {
    used_up_by(prompt(), indexes)
}

fn used_up_by(rules: Rules, indexes: usize) -> (TestCore, u64) {
    let mut core = with_budgets(rules, 8, 40_000, &vec![10; indexes]);
    let all: Vec<usize> = (0..indexes).collect();
    core.submit(ms(0), entering(200, 1_000, 100 * 1024, &all));
    let sent = run(&mut core, 0, 60_000);
    let (at, _) = sent.first().expect("it is sent");
    settled(&mut core);
    (core, at + 2_000)
}

#[test]
fn the_first_writes_of_a_lane_take_their_part_of_its_units() {
    let mut core = core(rules(), 4);
    for (key, units) in [(1, 1), (2, 1), (3, 1), (4, 5)] {
        core.submit(ms(0), entering(key, 1, units * 1_000, &[]));
    }
    let lane = core.queue.batched();
    let units: Vec<u32> = [1, 2, 4, 9].map(|writes| lane.units(writes)).into();
    assert_eq!(units, [2, 4, 8, 8]);
}

#[test]
fn a_write_waits_for_each_index_that_it_enters() {
    let mut core = with_budgets(prompt(), 8, 40_000, &[100, 10]);
    for key in 0..250 {
        core.submit(ms(0), entering(key, 1, 100, &[0, 1]));
    }
    let sent = run(&mut core, 0, 5_000);
    let writes: usize = sent.iter().map(|(_, keys)| keys.len()).sum();
    assert!(
        (40..=75).contains(&writes),
        "{writes} in 5 s at 10 a second"
    );
}

#[test]
fn parked_writes_leave_by_age_and_together() {
    let (mut core, now) = used_up(2);
    for (key, index) in [(1, 1), (2, 0), (3, 1)] {
        core.submit(ms(now), entering(key, 1, 1_500, &[index]));
    }
    assert!(core.next_request(ms(now)).is_none(), "all are parked");
    let request = core.next_request(ms(now + 20_000)).expect("a batch");
    let keys: Vec<String> = contents(&request).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["k1", "k3", "k2"], "the oldest first, all in one");
}

#[test]
fn parked_writes_leave_no_faster_than_their_index_allows() {
    let (mut core, now) = used_up(1);
    for key in 0..150 {
        core.submit(ms(now), entering(key, 1, 100, &[0]));
    }
    let sent = run(&mut core, now, now + 14_000);
    for from in (now..now + 13_000).step_by(500) {
        let within = sent
            .iter()
            .filter(|(at, _)| (from..from + 1_000).contains(at));
        let writes: usize = within.map(|(_, keys)| keys.len()).sum();
        assert!(writes <= 20, "{writes} in a second at {from}");
    }
}

#[test]
fn a_parked_call_goes_alone() {
    let (mut core, now) = used_up(1);
    core.submit(ms(now), entering(1, 1, 100, &[0]));
    let call = Submission {
        cost: entering(2, 2, 100, &[0]).cost,
        ..single(WriteKind::Put, 2, 2, true)
    };
    core.submit(ms(now), call);
    core.submit(ms(now), entering(3, 3, 100, &[0]));
    assert!(core.next_request(ms(now)).is_none(), "all are parked");
    let sent = run(&mut core, now + 20_000, now + 22_000);
    let alone = sent.iter().filter(|(_, keys)| *keys == ["k2"]).count();
    assert_eq!(alone, 1, "{sent:?}");
    let mut keys: Vec<String> = sent.into_iter().flat_map(|(_, keys)| keys).collect();
    keys.sort();
    assert_eq!(keys, ["k1", "k2", "k3"]);
    assert!(core.is_idle());
    assert_eq!(settled(&mut core).len(), 3);
}

#[test]
fn a_request_of_parked_writes_is_no_longer_than_a_batch_may_be() {
    let rules = Rules {
        max_batch_bytes: 300,
        ..prompt()
    };
    let (mut core, now) = used_up_by(rules, 1);
    for key in 0..9 {
        core.submit(ms(now), entering(key, 1, 100, &[0]));
    }
    assert!(core.next_request(ms(now)).is_none(), "all are parked");
    let (later, mut most) = (ms(now + 20_000), 0);
    while let Some(request) = core.next_request(later) {
        assert!(request.body.len() <= 300, "{} bytes", request.body.len());
        most = most.max(request.items);
        core.on_batch(later, request.id, done());
    }
    assert!(core.is_idle());
    assert!(most > 1, "they share requests");
}

#[test]
fn a_parked_write_that_moves_on_to_another_index_keeps_its_age() {
    let (mut core, now) = used_up(2);
    core.submit(ms(now), entering(1, 1, 100, &[0, 1]));
    core.submit(ms(now), entering(2, 2, 100, &[1]));
    let sent = run(&mut core, now, now + 20_000);
    let keys: Vec<_> = sent.into_iter().flat_map(|(_, keys)| keys).collect();
    assert_eq!(keys, ["k1", "k2"]);
}

#[test]
fn a_newer_write_that_takes_a_parked_place_takes_its_weight_too() {
    let coalescing = Rules {
        coalesce: true,
        ..prompt()
    };
    let (mut core, now) = used_up_by(coalescing, 1);
    let parked = |core: &TestCore| -> u32 {
        let lanes = core.queue.parked().values();
        lanes.map(|lane| lane.units(lane.count())).sum()
    };
    for (write, size, units) in [(1, 4_000, 80), (2, 100, 20), (3, 2_000, 40)] {
        for key in 0..20 {
            core.submit(ms(now), entering(key, write, size, &[0]));
        }
        assert!(core.next_request(ms(now)).is_none());
        assert_eq!(parked(&core), units);
    }
    run(&mut core, now, now + 60_000);
    assert!(core.is_idle());
    assert_eq!(settled(&mut core).len(), 60);
}

#[test]
fn indexes_count_as_short_while_writes_wait_for_them_and_a_second_longer() {
    let (mut core, now) = used_up(3);
    for index in [1, 2] {
        let key = u8::try_from(index).expect("small");
        core.submit(ms(now), entering(key, 1, 100, &[index]));
    }
    assert!(core.next_request(ms(now)).is_none());
    assert_eq!(core.short_indexes(ms(now)), 0b110);
    assert_eq!(
        core.short_indexes(ms(now + 5_000)),
        0b110,
        "they wait still"
    );
    let sent = run(&mut core, now, now + 20_000);
    assert!(core.is_idle());
    let (last, _) = sent.last().expect("both are sent");
    assert_eq!(core.short_indexes(ms(last + 1_100)), 0);
}
