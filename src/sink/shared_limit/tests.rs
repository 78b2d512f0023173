//! Tests of the limit over all tables.

use proptest::prelude::*;

use super::*;

fn shares(limit: usize, tables: usize) -> (Arc<SharedLimit>, Vec<Share>) {
    joined(SharedLimit::of_bytes(limit), tables)
}

fn joined(shared: Arc<SharedLimit>, tables: usize) -> (Arc<SharedLimit>, Vec<Share>) {
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
    assert_eq!(shared.lock().used, 1_501);
}

#[test]
fn a_table_above_its_even_share_leaves_room_for_the_others_to_begin() {
    let (_, shares) = shares(800, 2);
    for _ in 0..70 {
        assert!(shares[0].try_take(10, true));
    }
    assert!(!shares[0].try_take(10, true), "an eighth is left");
    assert!(shares[1].try_take(60, true));
    assert!(shares[1].try_take(40, true));
    assert!(!shares[1].try_take(10, true), "now all is taken");
}

#[test]
fn what_is_freed_goes_first_to_a_table_below_its_even_share() {
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
    assert_eq!(shared.lock().used, 0);
    assert!(shared.lock().line.is_empty());
    drop(shares);
    assert!(shared.lock().tables.is_empty());
}

#[test]
fn requests_are_never_more_than_the_limit_and_each_table_has_its_turn() {
    let (shared, shares) = joined(SharedLimit::of_requests(8), 20);
    let granted = |shares: &[Share]| -> Vec<usize> {
        let taken = shares.iter().map(|share| share.try_take(1, true));
        let places = taken.enumerate().filter(|(_, taken)| *taken);
        places.map(|(at, _)| at).collect()
    };
    assert_eq!(granted(&shares), (0..8).collect::<Vec<_>>());
    assert_eq!(shared.lock().used, 8);
    // These wait for a second one, before most of the others.
    assert_eq!(granted(&shares[..8]), Vec::<usize>::new());
    for first in [0, 8] {
        for share in &shares[first..first + 4] {
            share.free(1);
        }
        let next = if first == 0 { 8..12 } else { 12..16 };
        assert_eq!(
            granted(&shares[8..]),
            (next.start - 8..next.end - 8).collect::<Vec<_>>()
        );
        assert_eq!(shared.lock().used, 8);
    }
}

proptest! {
    /// However tables ask for requests and end them, there are never more than the limit. Once all have
    /// ended, each table that waits has its turn.
    #[test]
    fn requests_stay_within_the_limit(
        limit in 1..8_usize,
        tables in 1..20_usize,
        steps in prop::collection::vec((0..20_usize, any::<bool>()), 0..300),
    ) {
        let (shared, shares) = joined(SharedLimit::of_requests(limit), tables);
        let mut held = vec![0; tables];
        let mut waits = vec![false; tables];
        for (at, asks) in steps {
            let at = at % tables;
            if asks {
                waits[at] = !shares[at].try_take(1, true);
                held[at] += usize::from(!waits[at]);
            } else if held[at] > 0 {
                shares[at].free(1);
                held[at] -= 1;
            }
            prop_assert!(shared.lock().used <= limit);
        }
        for (share, held) in shares.iter().zip(&held) {
            share.free(*held);
        }
        for _ in 0..tables {
            for (share, waits) in shares.iter().zip(&mut waits) {
                if *waits && share.try_take(1, true) {
                    *waits = false;
                    share.free(1);
                }
            }
        }
        prop_assert!(!waits.contains(&true));
        prop_assert_eq!(shared.lock().used, 0);
    }

    /// Tables take and free as they like. The sums agree, nothing but first records exceeds the limit,
    /// and once what is held is given back all that wait have what they wait for.
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
                    let amount = waits[at].unwrap_or(amount);
                    let taken = shares[at].try_take(amount, true);
                    if taken {
                        held[at].push(amount);
                    }
                    waits[at] = (!taken).then_some(amount);
                }
            }
            let state = shared.lock();
            let sum: usize = state.tables.iter().map(|(_, table)| table.used).sum();
            prop_assert_eq!(sum, state.used);
            for (at, (_, table)) in state.tables.iter().enumerate() {
                let own: usize = held[at].iter().sum();
                prop_assert_eq!(table.used, own + table.granted);
                prop_assert_eq!(table.waits.is_some() || table.granted > 0, waits[at].is_some());
            }
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
        prop_assert_eq!(shared.lock().used, 0);
    }
}
