//! The gate alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

const COLD: u64 = 1;
const HOT: u64 = 2;

fn gate(records: usize, bytes: usize, share: usize) -> Gate<u32> {
    Gate::new(Bounds {
        records,
        bytes,
        share,
    })
}

fn charge(bytes: usize, partition: u64) -> Charge {
    Charge {
        bytes,
        partition,
        indexes: 0,
    }
}

fn enters(gate: &Gate<u32>, charge: Charge, message: u32) -> bool {
    gate.try_enter(charge, &mut Some(message)).unwrap()
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(gate: &Gate<u32>, turn: Turn, message: u32) -> Poll<Result<(), SubmitError>> {
    let waker = Arc::new(Woken::default()).into();
    gate.poll_turn(turn, &mut Some(message), &mut Context::from_waker(&waker))
}

#[test]
fn room_is_bounded_by_records_and_by_bytes() {
    let gate = gate(2, 100, 2);
    assert!(enters(&gate, charge(60, COLD), 1));
    assert!(!enters(&gate, charge(41, COLD), 2), "too many bytes");
    assert!(enters(&gate, charge(40, COLD), 2));
    assert!(!enters(&gate, charge(0, 9), 3), "too many records");
    gate.release([charge(60, COLD)].into_iter());
    assert!(enters(&gate, charge(60, 9), 3));
}

#[test]
fn waiting_callers_are_served_in_order_even_if_a_later_one_would_fit() {
    let gate = gate(10, 100, 10);
    assert!(enters(&gate, charge(90, COLD), 1));
    let large = gate.queue(charge(50, 5));
    let small = gate.queue(charge(5, 6));
    assert!(poll(&gate, small, 3).is_pending());
    assert!(!enters(&gate, charge(1, 7), 4), "no barging");
    gate.release([charge(90, COLD)].into_iter());
    assert!(poll(&gate, large, 2).is_ready());
    assert!(poll(&gate, small, 3).is_ready());
}

#[test]
fn callers_of_a_hot_key_wait_apart_and_in_order() {
    let gate = gate(10, 1_000, 2);
    assert!(enters(&gate, charge(1, HOT), 1));
    assert!(enters(&gate, charge(1, HOT), 2));
    let first = gate.queue(charge(1, HOT));
    let second = gate.queue(charge(1, HOT));
    assert!(enters(&gate, charge(1, COLD), 3), "its neighbours go on");
    assert!(poll(&gate, first, 4).is_pending());
    gate.release([charge(1, HOT)].into_iter());
    assert!(poll(&gate, second, 5).is_pending());
    assert!(poll(&gate, first, 4).is_ready());
    gate.release([charge(1, HOT)].into_iter());
    assert!(poll(&gate, second, 5).is_ready());
}

#[test]
fn a_caller_that_leaves_passes_its_grant_on() {
    let gate = gate(1, 100, 1);
    assert!(enters(&gate, charge(1, COLD), 1));
    let first = gate.queue(charge(1, 5));
    let second = gate.queue(charge(1, 6));
    gate.release([charge(1, COLD)].into_iter());
    gate.leave(first);
    assert!(poll(&gate, second, 2).is_ready());
    assert_eq!(gate.level(), (1, 1, 0));
}

#[test]
fn a_hot_caller_that_leaves_the_line_lets_the_next_one_join() {
    let gate = gate(2, 100, 1);
    assert!(enters(&gate, charge(1, HOT), 1));
    let first = gate.queue(charge(1, HOT));
    let second = gate.queue(charge(1, HOT));
    gate.release([charge(1, HOT)].into_iter());
    gate.leave(first);
    assert!(poll(&gate, second, 2).is_ready());
}

#[test]
fn closing_wakes_who_waits_and_refuses_who_comes() {
    let gate = gate(1, 100, 1);
    assert!(enters(&gate, charge(1, COLD), 1));
    let turn = gate.queue(charge(1, 5));
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let mut message = Some(2);
    assert!(
        gate.poll_turn(turn, &mut message, &mut Context::from_waker(&waker))
            .is_pending()
    );
    gate.close(SubmitError::Closed);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(matches!(
        poll(&gate, turn, 2),
        Poll::Ready(Err(SubmitError::Closed))
    ));
    assert!(gate.try_enter(charge(1, 5), &mut Some(3)).is_err());
    let mut inbox = Vec::new();
    gate.receive(&mut inbox);
    assert_eq!(inbox, [1], "what was let in before is still there");
}
