//! Tests of the limit over all tables.

use proptest::prelude::*;

use super::*;

fn shares(limit: usize, tables: usize) -> (Arc<SharedLimit>, Vec<Share>) {
    share(SharedLimit::of_bytes(limit), tables)
}

fn share(shared: Arc<SharedLimit>, tables: usize) -> (Arc<SharedLimit>, Vec<Share>) {
    let join = |_| shared.join(&Arc::new(Notify::new()));
    let shares = (0..tables).map(join).collect();
    (shared, shares)
}

#[test]
fn a_lone_table_takes_the_whole_limit() {
    let (_, shares) = shares(100, 1);
    assert!(shares[0].try_take(60, true));
    assert!(shares[0].try_take(40, true));
    assert!(!shares[0].try_take(1, true));
    shares[0].free(40);
    assert!(shares[0].try_take(1, true));
}

#[test]
fn a_table_that_holds_nothing_takes_one_record_whatever_its_size() {
    let (shared, shares) = shares(100, 3);
    assert!(shares[0].try_take(1_000, true));
    assert!(shares[1].try_take(500, true));
    assert!(!shares[1].try_take(1, true));
    assert!(shares[2].try_take(1, true));
    assert_eq!(shared.state.lock().used, 1_501);
}

#[test]
fn requests_never_exceed_the_limit_and_go_round() {
    let (shared, shares) = share(SharedLimit::of_requests(4), 10);
    let taken = shares.iter().filter(|share| share.try_take(1, true));
    assert_eq!(taken.count(), 4);
    for first in 0..6 {
        shares[first].free(1);
        assert!(shares[first + 4].try_take(1, true), "it is the next");
        assert!(!shares[first].try_take(1, true), "others waited before it");
        assert_eq!(shared.state.lock().used, 4);
    }
}

#[test]
fn a_table_leaves_the_floors_of_the_others_free() {
    let (_, shares) = shares(800, 2);
    for _ in 0..75 {
        assert!(shares[0].try_take(10, true));
    }
    assert!(!shares[0].try_take(10, true), "a sixteenth is the other's");
    assert!(shares[1].try_take(20, true));
    assert!(shares[1].try_take(30, true));
    assert!(!shares[1].try_take(10, true), "now all is taken");
}

/// Some tables hang with all that they can have: each of the others still has its floor.
#[test]
fn stuck_tables_below_their_even_share_keep_no_other_from_its_floor() {
    let (_, shares) = shares(1_000, 10);
    for stuck in &shares[..6] {
        assert!(stuck.try_take(1, true));
    }
    for stuck in shares[..6].iter().cycle().take(10_000) {
        stuck.try_take(1, true);
    }
    for healthy in &shares[6..] {
        assert!((0..12).all(|_| healthy.try_take(1, true)));
        healthy.free(5);
        assert!(healthy.try_take(5, true), "what it frees is its own");
    }
}

#[test]
fn tables_that_begin_find_room_beside_stuck_ones_however_many_there_are() {
    for tables in [20, 40, 100, 1_000] {
        let (shared, shares) = share(SharedLimit::of_requests(256), tables);
        let (stuck, healthy) = shares.split_at(9);
        for stuck in stuck.iter().cycle().take(9 * 32) {
            stuck.try_take(1, true);
        }
        let begun = healthy.iter().filter(|healthy| healthy.try_take(1, true));
        assert_eq!(begun.count(), healthy.len().min(32), "of {tables} tables");
        assert!(shared.state.lock().used <= 256);
    }
}

#[test]
fn a_share_that_ends_wakes_a_table_that_waits_for_what_it_held() {
    let shared = SharedLimit::of_requests(4);
    let (ends, wake) = (shared.join(&Arc::default()), Arc::new(Notify::new()));
    let waits = shared.join(&wake);
    assert!((0..4).all(|_| ends.try_take(1, true)));
    assert!(!waits.try_take(1, true));
    drop(ends);
    assert_eq!(shared.state.lock().tables[waits.at].granted, 1);
    let woken = std::pin::pin!(wake.notified());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(woken.poll(&mut cx).is_ready());
}

#[test]
fn a_table_beyond_its_share_passes_none_that_waited_before() {
    let (_, shares) = shares(90, 3);
    assert!(shares[0].try_take(50, true) && shares[1].try_take(31, true));
    assert!(!shares[0].try_take(20, true), "6 are free for it");
    assert!(!shares[1].try_take(5, false), "5 would fit");
}

#[test]
fn a_freed_amount_goes_first_to_a_table_below_its_even_share() {
    let (_, shares) = shares(80, 2);
    for _ in 0..7 {
        assert!(shares[0].try_take(10, true));
    }
    assert!(!shares[0].try_take(10, true), "it waits before the other");
    assert!(shares[1].try_take(10, true));
    assert!(!shares[1].try_take(10, true));
    for _ in 0..3 {
        shares[0].free(10);
        assert!(shares[1].try_take(10, true), "it was granted");
        assert!(!shares[0].try_take(10, false));
        assert!(!shares[1].try_take(10, true));
    }
}

#[test]
fn a_table_that_asks_for_less_lets_those_behind_it_go_on() {
    let (shared, shares) = shares(90, 3);
    assert!(shares[2].try_take(30, true) && shares[2].try_take(26, true));
    assert!(shares[0].try_take(5, true) && shares[1].try_take(5, true));
    assert!(!shares[0].try_take(25, true), "24 are free");
    assert!(!shares[1].try_take(10, true), "it waits behind");
    assert!(shares[0].try_take(3, true));
    assert_eq!(shared.state.lock().tables[1].granted, 10);
}

#[test]
fn a_large_amount_is_not_passed_by_small_ones() {
    let (_, shares) = shares(100, 3);
    for share in &shares {
        assert!(share.try_take(33, true));
    }
    shares[0].free(32);
    assert!(!shares[1].try_take(34, true), "33 are free");
    shares[1].free(13);
    assert!(!shares[0].try_take(20, true), "the other waits for them");
    shares[2].free(10);
    assert!(shares[1].try_take(13, true), "it asks for less now");
}

#[test]
fn a_share_that_ends_frees_what_it_held_and_was_granted() {
    let (shared, mut shares) = shares(10, 2);
    assert!(shares[0].try_take(8, true));
    assert!(shares[1].try_take(2, true));
    assert!(!shares[1].try_take(3, true));
    drop(shares.remove(0));
    assert!(shares[0].try_take(3, true));
    assert!(!shares[0].try_take(6, true));
    shares[0].free(5);
    shares[0].stop_waiting();
    assert_eq!(shared.state.lock().used, 0);
    assert!(shared.state.lock().line.is_empty());
    drop(shares);
    assert!(shared.state.lock().tables.is_empty());
}

proptest! {
    /// Tables take and free as they like. The sums agree, nothing but first records exceeds the
    /// limit, and once what is held is given back all that wait have what they wait for.
    #[test]
    fn no_table_is_forgotten_and_the_limit_holds(
        limit in 1..200_usize,
        tables in 1..6_usize,
        steps in prop::collection::vec((0..6_usize, 0..3_u8, 1..60_usize), 0..200),
    ) {
        let (shared, shares) = shares(limit, tables);
        let mut held: Vec<Vec<usize>> = vec![Vec::new(); tables];
        let mut waits: Vec<Option<usize>> = vec![None; tables];
        for (at, step, amount) in steps {
            let at = at % tables;
            match step {
                0 if !held[at].is_empty() => shares[at].free(held[at].remove(0)),
                1 if waits[at].is_some() => {
                    shares[at].stop_waiting();
                    waits[at] = None;
                }
                _ => {
                    // A head that leaves is followed by another record.
                    let amount = waits[at].filter(|_| amount % 3 > 0).unwrap_or(amount);
                    let taken = shares[at].try_take(amount, true);
                    if taken {
                        held[at].push(amount);
                    }
                    waits[at] = (!taken).then_some(amount);
                }
            }
            let state = shared.state.lock();
            let sum: usize = state.tables.iter().map(|(_, table)| table.used).sum();
            prop_assert_eq!(sum, state.used);
            for (at, (_, table)) in state.tables.iter().enumerate() {
                let own: usize = held[at].iter().sum();
                prop_assert_eq!(table.used, own + table.granted);
                prop_assert_eq!(table.waits.is_some() || table.granted > 0, waits[at].is_some());
            }
            prop_assert_eq!(shared.next_to_grant(&state), None, "a table sleeps that could go on");
            // Beyond the limit there is no more than a first record of each table.
            prop_assert!(state.used <= limit + tables * 60);
        }
        for (at, held) in held.iter_mut().enumerate() {
            held.drain(..).for_each(|amount| shares[at].free(amount));
        }
        for _ in 0..tables {
            for (at, waits) in waits.iter_mut().enumerate() {
                if let Some(amount) = *waits && shares[at].try_take(amount, true) {
                    *waits = None;
                    shares[at].free(amount);
                }
            }
        }
        prop_assert!(waits.iter().all(Option::is_none));
        prop_assert_eq!(shared.state.lock().used, 0);
    }
}
