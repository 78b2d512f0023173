use futures::FutureExt as _;

use super::*;
use crate::admission::Limits;

fn admission(records: usize) -> Arc<Admission> {
    let bytes = 1_000;
    Arc::new(Admission::new(Limits { records, bytes }, Arc::default()))
}

fn tracker(admission: &Arc<Admission>) -> Arc<PartitionTracker> {
    let tracker = PartitionTracker::new("t".into(), 0, Arc::clone(admission));
    tracker.start(0, "mark".into());
    tracker
}

fn commit(tracker: &PartitionTracker) -> Option<i64> {
    tracker.take_commit().map(|(offset, _)| offset)
}

#[test]
fn only_offsets_without_a_gap_are_committed_and_each_once() {
    let tracker = tracker(&admission(100));
    let numbers: Vec<u64> = [5, 6, 9]
        .map(|offset| tracker.push(offset, 1).expect("open"))
        .into();
    assert_eq!(commit(&tracker), Some(5), "there is nothing before it");
    tracker.done(numbers[1]);
    assert_eq!(commit(&tracker), None, "5 is not done");
    assert_eq!(tracker.resume(), Some(5));
    tracker.done(numbers[0]);
    assert_eq!(commit(&tracker), Some(7));
    assert_eq!(commit(&tracker), None);
    tracker.not_committed();
    assert_eq!(commit(&tracker), Some(7), "again");
    tracker.done(numbers[2]);
    assert_eq!(commit(&tracker), Some(10));
}

#[test]
fn what_has_no_record_is_passed_once_all_before_it_is_done() {
    let tracker = tracker(&admission(100));
    let record = tracker.push(0, 1).expect("open");
    assert!(tracker.advance(3));
    assert!(!tracker.advance(2), "never back");
    assert_eq!(tracker.resume(), Some(0));
    tracker.done(record);
    assert_eq!(tracker.resume(), Some(3));
    assert!(tracker.advance(4), "with nothing out it counts at once");
    assert_eq!(commit(&tracker), Some(4));

    let dropped = tracker.push(4, 1).expect("open");
    tracker.dropped(dropped);
    assert!(!tracker.advance(9), "the partition goes back");
    assert_eq!(tracker.renew().resume(), Some(4));
}

#[test]
fn a_retired_partition_frees_what_is_out_and_ignores_the_rest() {
    let admission = admission(100);
    let tracker = tracker(&admission);
    let first = tracker.push(0, 10).expect("open");
    let second = tracker.push(1, 20).expect("open");
    tracker.done(first);
    assert!(tracker.is_current(second));
    tracker.retire();
    assert!(!tracker.is_current(second));
    assert_eq!(admission.level(), Level::default());
    tracker.done(second);
    tracker.dropped(second);
    assert_eq!(admission.level(), Level::default());
    assert_eq!(commit(&tracker), Some(1), "what was done before counts");
    assert_eq!(tracker.push(2, 1), None);
}

#[test]
fn a_partition_that_closes_waits_for_records_and_guards_and_hands_out_nothing() {
    let tracker = tracker(&admission(100));
    let first = tracker.push(0, 1).expect("open");
    let second = tracker.push(1, 1).expect("open");
    tracker.close();
    let guard = tracker.guard();
    assert_eq!(tracker.push(2, 1), None);
    assert!(tracker.is_current(first) && !tracker.is_settled());
    tracker.done(first);
    assert!(!tracker.is_settled(), "one is out");
    tracker.dropped(second);
    assert!(!tracker.is_settled(), "the guard is held");
    drop(guard);
    assert!(tracker.is_settled(), "what was dropped is not awaited");
    assert!(!tracker.has_failed(), "the next owner goes back");
    assert_eq!(commit(&tracker), Some(1));
}

#[test]
fn a_failed_partition_hands_out_nothing_more_but_goes_on_counting() {
    let tracker = tracker(&admission(100));
    let first = tracker.push(0, 1).expect("open");
    let second = tracker.push(1, 1).expect("open");
    tracker.dropped(second);
    assert!(tracker.has_failed());
    assert_eq!(tracker.push(2, 1), None);
    tracker.done(first);
    assert_eq!(tracker.resume(), Some(1));
}

#[test]
fn a_full_partition_stays_full_until_a_quarter_of_its_share_is_done_and_fills_no_other() {
    let admission = admission(16);
    admission.share_among(2);
    let (slow, quick) = (tracker(&admission), tracker(&admission));
    let numbers: Vec<u64> = (0..8).map(|n| slow.push(n, 1).expect("open")).collect();
    assert!(slow.is_full());
    assert!(!quick.is_full());
    slow.done(numbers[0]);
    assert!(slow.is_full());
    slow.done(numbers[1]);
    assert!(!slow.is_full());

    admission.share_among(100);
    assert!(slow.is_full(), "its share is one record");
    assert!(!quick.is_full(), "each has one");
}

#[test]
fn all_that_a_revocation_waits_for_wakes_the_source() {
    let admission = admission(100);
    let is_woken = || admission.wake.notified().now_or_never().is_some();
    let tracker = tracker(&admission);
    let numbers: Vec<u64> = (0..3).map(|n| tracker.push(n, 1).expect("open")).collect();
    tracker.done(numbers[0]);
    assert!(!is_woken(), "an open partition waits for the next commit");
    tracker.close();
    let guard = tracker.guard();
    assert!(!is_woken());
    tracker.done(numbers[1]);
    assert!(is_woken(), "a record is done");
    tracker.dropped(numbers[2]);
    assert!(is_woken(), "a record is dropped");
    drop(guard);
    assert!(is_woken(), "the guard is dropped");
    assert!(tracker.is_settled());
}

#[test]
fn a_partition_that_closes_waits_for_a_record_that_takes_no_room_any_more() {
    let tracker = tracker(&admission(100));
    let record = tracker.push(0, 1).expect("open");
    tracker.close();
    tracker.release(record);
    assert!(!tracker.is_settled(), "it is not done");
    tracker.done(record);
    assert!(tracker.is_settled());
    assert_eq!(commit(&tracker), Some(1));
}

#[test]
fn a_partition_that_was_rewound_while_it_closed_commits_nothing_and_waits_for_guards_alone() {
    let admission = admission(100);
    let tracker = tracker(&admission);
    tracker.forfeit();
    assert!(tracker.is_open(), "an open one begins anew instead");
    let first = tracker.push(0, 1).expect("open");
    tracker.push(1, 1).expect("open");
    tracker.close();
    let guard = tracker.guard();
    assert!(tracker.owned().is_some() && tracker.is_current(first));
    tracker.forfeit();
    assert_eq!(tracker.owned(), None);
    assert!(!tracker.is_current(first));
    assert_eq!(admission.level(), Level::default());
    tracker.release(first);
    tracker.done(first);
    assert_eq!(admission.level(), Level::default());
    assert_eq!(tracker.resume(), Some(0), "it comes again");
    assert!(tracker.was_opened() && !tracker.is_settled());
    drop(guard);
    assert!(tracker.is_settled());
}
