//! Tests of admission alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;
use crate::admission::Limits;

const COLD: u64 = 1;
const HOT: u64 = 2;

fn admission(records: usize, bytes: usize, share: usize) -> Admission<u32> {
    let bounds = Bounds {
        buffer: Limits { records, bytes },
        share,
    };
    Admission::new(bounds, Arc::default(), &SharedLimit::of_bytes(usize::MAX))
}

fn charge(bytes: usize, partition: u64) -> Charge {
    Charge {
        bytes,
        partition,
        indexes: 0,
    }
}

fn enters(admission: &Admission<u32>, charge: Charge, message: u32) -> bool {
    admission.try_enter(charge, &mut Some(message)).unwrap()
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(admission: &Admission<u32>, turn: Turn, message: u32) -> Poll<Result<(), SubmitError>> {
    let waker = Arc::new(Woken::default()).into();
    admission.poll_turn(turn, &mut Some(message), &mut Context::from_waker(&waker))
}

#[test]
fn room_is_bounded_by_records_and_by_bytes() {
    let admission = admission(2, 100, 2);
    assert!(enters(&admission, charge(60, COLD), 1));
    assert!(!enters(&admission, charge(41, COLD), 2), "too many bytes");
    assert!(enters(&admission, charge(40, COLD), 2));
    assert!(!enters(&admission, charge(0, 9), 3), "too many records");
    admission.release([charge(60, COLD)].into_iter());
    assert!(enters(&admission, charge(60, 9), 3));
}

#[test]
fn waiting_callers_are_served_in_order_even_if_a_later_one_would_fit() {
    let admission = admission(10, 100, 10);
    assert!(enters(&admission, charge(90, COLD), 1));
    let large = admission.queue(charge(50, 5));
    let small = admission.queue(charge(5, 6));
    assert!(poll(&admission, small, 3).is_pending());
    assert!(!enters(&admission, charge(1, 7), 4), "no barging");
    admission.release([charge(90, COLD)].into_iter());
    assert!(poll(&admission, large, 2).is_ready());
    assert!(poll(&admission, small, 3).is_ready());
}

#[test]
fn callers_of_a_hot_key_wait_apart_and_in_order() {
    let admission = admission(10, 1_000, 2);
    assert!(enters(&admission, charge(1, HOT), 1));
    assert!(enters(&admission, charge(1, HOT), 2));
    let first = admission.queue(charge(1, HOT));
    let second = admission.queue(charge(1, HOT));
    assert!(
        enters(&admission, charge(1, COLD), 3),
        "its neighbours go on"
    );
    assert!(poll(&admission, first, 4).is_pending());
    admission.release([charge(1, HOT)].into_iter());
    assert!(poll(&admission, second, 5).is_pending());
    assert!(poll(&admission, first, 4).is_ready());
    admission.release([charge(1, HOT)].into_iter());
    assert!(poll(&admission, second, 5).is_ready());
}

#[test]
fn a_caller_that_leaves_passes_its_grant_on() {
    let admission = admission(1, 100, 1);
    assert!(enters(&admission, charge(1, COLD), 1));
    let first = admission.queue(charge(1, 5));
    let second = admission.queue(charge(1, 6));
    admission.release([charge(1, COLD)].into_iter());
    admission.leave(first);
    assert!(poll(&admission, second, 2).is_ready());
    assert_eq!(admission.level(), (1, 1, 0));
}

#[test]
fn a_caller_that_leaves_gives_the_bytes_of_all_tables_back_that_it_was_granted() {
    let bytes = SharedLimit::of_bytes(100);
    let bounds = Bounds {
        buffer: Limits {
            records: 1,
            bytes: 100,
        },
        share: 1,
    };
    let left: Admission<u32> = Admission::new(bounds, Arc::default(), &bytes);
    assert!(enters(&left, charge(80, COLD), 1));
    let turn = left.queue(charge(80, 5));
    left.release([charge(80, COLD)].into_iter());
    left.leave(turn);
    let other = bytes.join(&Arc::default());
    assert!(other.try_take(1, true), "its first");
    assert!(other.try_take(70, true), "all but the floor of the other");
}

#[test]
fn a_hot_caller_that_leaves_the_line_lets_the_next_one_join() {
    let admission = admission(2, 100, 1);
    assert!(enters(&admission, charge(1, HOT), 1));
    let first = admission.queue(charge(1, HOT));
    let second = admission.queue(charge(1, HOT));
    admission.release([charge(1, HOT)].into_iter());
    admission.leave(first);
    assert!(poll(&admission, second, 2).is_ready());
}

#[test]
fn closing_wakes_who_waits_and_refuses_who_comes() {
    let admission = admission(1, 100, 1);
    assert!(enters(&admission, charge(1, COLD), 1));
    let turn = admission.queue(charge(1, 5));
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let mut message = Some(2);
    assert!(
        admission
            .poll_turn(turn, &mut message, &mut Context::from_waker(&waker))
            .is_pending()
    );
    admission.close(SubmitError::Closed);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(matches!(
        poll(&admission, turn, 2),
        Poll::Ready(Err(SubmitError::Closed))
    ));
    assert!(admission.try_enter(charge(1, 5), &mut Some(3)).is_err());
    let mut inbox = VecDeque::new();
    admission.receive(&mut inbox);
    assert_eq!(inbox, [1], "what was let in before is still there");
}
