use super::super::validity::MARGIN;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn row(owner: &str, handing: Option<&str>, counter: u64) -> LeaseRow {
    LeaseRow {
        owner: Some(owner.to_owned()),
        counter,
        checkpoint_owner: handing.map(str::to_owned),
        ..LeaseRow::new(ShardId::new("s"), Checkpoint::TrimHorizon)
    }
}

fn lease() -> HeldLease {
    HeldLease::new("me", &row("me", None, 5), SECOND, 10 * SECOND, SECOND)
}

fn sequence(text: &str) -> SequenceNumber {
    text.parse().expect("digits")
}

#[test]
fn a_lease_is_valid_from_when_its_last_write_was_sent() {
    let mut lease = lease();
    assert_eq!(lease.valid_until(), 11 * SECOND - MARGIN);
    assert!(lease.due() < 5 * SECOND);
    lease.failed(4 * SECOND);
    assert_eq!(
        lease.valid_until(),
        11 * SECOND - MARGIN,
        "a failure renews nothing"
    );
    assert!(lease.due() <= 5 * SECOND, "and is tried again soon");
    lease.accepted(&lease.change(), 5 * SECOND);
    assert_eq!(
        (lease.counter(), lease.valid_until()),
        (6, 15 * SECOND - MARGIN)
    );
}

#[test]
fn a_lease_that_no_other_worker_can_take_never_lapses() {
    let mut lease = lease().lasting();
    lease.failed(4 * SECOND);
    assert_eq!(lease.valid_until(), Duration::MAX);
}

#[test]
fn a_checkpoint_waits_for_its_interval_and_is_written_once() {
    let mut lease = lease();
    lease.reach(sequence("7"));
    assert_eq!(lease.due(), 2 * SECOND);
    let change = lease.change();
    lease.reach(sequence("8"));
    lease.accepted(&change, 2 * SECOND);
    assert_eq!(lease.stored().text(), "7");
    assert_eq!(
        lease.due(),
        3 * SECOND,
        "what was reached meanwhile is still to be written"
    );
    lease.accepted(&lease.change(), 3 * SECOND);
    assert_eq!(lease.change().checkpoint, None);
}

#[test]
fn a_refusal_is_told_apart_by_what_stands_in_the_row() {
    assert_eq!(
        lease().refused(Some(&row("me", None, 6)), SECOND),
        Verdict::Adopted
    );
    assert_eq!(
        lease().refused(Some(&row("other", None, 6)), SECOND),
        Verdict::Lost
    );
    assert_eq!(
        lease().refused(Some(&row("me", None, 5)), SECOND),
        Verdict::Lost
    );
    assert_eq!(lease().refused(None, SECOND), Verdict::Missing);
    let mut asked = lease();
    assert_eq!(
        asked.refused(Some(&row("new", Some("me"), 6)), SECOND),
        Verdict::HandOver
    );
    assert!(asked.is_handing_over());
    assert_eq!(
        asked.refused(Some(&row("new", Some("me"), 7)), SECOND),
        Verdict::Adopted
    );
    assert_eq!(
        asked.refused(Some(&row("new", None, 8)), SECOND),
        Verdict::Lost
    );
    assert_eq!(
        asked.refused(Some(&row("me", None, 7)), SECOND),
        Verdict::Withdrawn,
    );
    assert!(!asked.is_handing_over());
}

#[test]
fn a_lease_that_was_given_up_by_a_write_whose_answer_was_lost_is_not_lost() {
    let mut lease = lease();
    lease.let_go();
    let mut free = row("me", None, 6);
    free.owner = None;
    assert_eq!(lease.refused(Some(&free), SECOND), Verdict::Lost);
    lease.failed(SECOND);
    assert_eq!(lease.refused(Some(&free), 2 * SECOND), Verdict::GivenUp);
}

#[test]
fn a_lease_whose_row_seems_to_be_gone_is_written_at_once_and_once() {
    let mut lease = lease();
    lease.doubt(3 * SECOND);
    assert_eq!(lease.due(), Duration::ZERO);
    lease.accepted(&lease.change(), 2 * SECOND);
    assert_eq!(lease.due(), Duration::ZERO, "that was sent before the look");
    lease.accepted(&lease.change(), 3 * SECOND);
    assert!(lease.due() > 3 * SECOND);
    lease.doubt(4 * SECOND);
    assert_eq!(lease.refused(None, 4 * SECOND), Verdict::Missing);
    lease.made_again(4 * SECOND);
    assert!(lease.due() > 4 * SECOND);
}

#[test]
fn when_a_lease_was_first_taken_is_written_at_once_and_once() {
    let mut lease = lease();
    lease.note_taken(77);
    assert_eq!(lease.due(), Duration::ZERO);
    let change = lease.change();
    assert_eq!(change.created, Some(77));
    lease.accepted(&change, SECOND);
    assert_eq!(lease.change().created, None);
    assert!(lease.due() > 2 * SECOND);
}

#[test]
fn the_end_of_a_shard_is_written_at_once_and_gives_the_lease_up() {
    let mut lease = lease();
    lease.reach(sequence("9"));
    lease.finish([ShardId::new("child")].into());
    assert_eq!(lease.due(), Duration::ZERO);
    let change = lease.change();
    assert_eq!(change.checkpoint, Some(Checkpoint::ShardEnd));
    assert!(change.let_go && change.children.len() == 1);
    lease.let_go();
    assert_eq!(lease.change(), change);
}
