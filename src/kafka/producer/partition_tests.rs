//! The choice of the next record, and the effect of its report.

use proptest::prelude::*;
use rdkafka::error::RDKafkaErrorCode;

use super::*;

fn batch() -> Result<(), Failure> {
    Err(Failure::Batch {
        code: RDKafkaErrorCode::InvalidRecord,
        error: KafkaError::Closed,
    })
}

fn outage() -> Result<(), Failure> {
    Err(Failure::Outage(KafkaError::Closed))
}

fn returned() -> Result<(), Failure> {
    Err(Failure::Returned)
}

/// Hands over all that may be.
fn hand(flow: &mut Flow<u32>) -> Vec<(ClientKind, u64, u32)> {
    let mut handed = Vec::new();
    while let Some((kind, number, record)) = flow.next(false) {
        handed.push((kind, number, *record));
        flow.handed_over(kind);
    }
    handed
}

fn settled(verdict: Option<Verdict<u32>>) -> Option<(u32, bool)> {
    match verdict? {
        Verdict::Settled(record, result) => Some((record, result.is_ok())),
        Verdict::Undecided => None,
    }
}

/// A flow whose first record was confirmed, with `records` more, all handed over.
fn proven(records: u32) -> Flow<u32> {
    let mut flow = Flow::default();
    for record in 0..=records {
        flow.push(record, Duration::ZERO, false);
    }
    assert_eq!(
        hand(&mut flow),
        [(ClientKind::Batching, 0, 0)],
        "one record first"
    );
    assert_eq!(settled(flow.report(0, Ok(()))), Some((0, true)));
    assert_eq!(
        hand(&mut flow).len(),
        usize::try_from(records).expect("small")
    );
    flow
}

#[test]
fn a_refused_batch_goes_record_by_record_before_what_is_behind_it() {
    let mut flow = proven(5);
    for number in 1..=2 {
        assert!(
            settled(flow.report(number, batch())).is_none(),
            "not believed"
        );
    }
    for number in 3..=5 {
        assert!(settled(flow.report(number, returned())).is_none());
    }
    flow.push(6, Duration::ZERO, false);
    assert!(flow.resolve(None).is_empty());
    flow.enter_generation(1);
    assert_eq!(
        hand(&mut flow),
        [(ClientKind::Single, 1, 1)],
        "one at a time"
    );
    assert_eq!(
        settled(flow.report(1, batch())),
        Some((1, false)),
        "its own fault"
    );
    assert_eq!(hand(&mut flow), [(ClientKind::Single, 2, 2)]);
    assert_eq!(settled(flow.report(2, Ok(()))), Some((2, true)));
    assert_eq!(
        hand(&mut flow),
        [(ClientKind::Batching, 3, 3)],
        "a new client is proven first"
    );
    assert_eq!(settled(flow.report(3, Ok(()))), Some((3, true)));
    assert_eq!(hand(&mut flow).len(), 3);
}

#[test]
fn what_is_behind_a_record_that_an_outage_failed_fails_with_it() {
    let mut flow = proven(4);
    assert_eq!(settled(flow.report(1, Ok(()))), Some((1, true)));
    flow.report(2, returned());
    flow.report(3, outage());
    flow.report(4, returned());
    let failed = flow.resolve(None);
    let failed: Vec<_> = failed
        .into_iter()
        .map(|(record, own)| (record, own.is_some()))
        .collect();
    assert_eq!(failed, [(3, true), (4, false)]);
    assert_eq!(hand(&mut flow), [(ClientKind::Batching, 2, 2)]);
}

#[test]
fn an_overdue_partition_fails_as_a_whole() {
    let mut flow = proven(2);
    flow.report(1, returned());
    flow.report(2, returned());
    flow.push(3, Duration::ZERO, false);
    let failed = flow.resolve(Some(&KafkaError::Closed));
    let overdue: Vec<_> = failed.iter().map(|(_, own)| own.is_some()).collect();
    assert_eq!(overdue, [true, false, false], "only the oldest timed out");
    assert!(flow.oldest().is_none());
}

#[test]
fn a_first_record_that_is_refused_was_alone() {
    let mut flow = Flow::default();
    flow.push(0, Duration::ZERO, false);
    flow.push(1, Duration::ZERO, false);
    assert_eq!(hand(&mut flow).len(), 1);
    assert_eq!(settled(flow.report(0, batch())), Some((0, false)));
}

#[test]
fn a_record_delivered_behind_one_that_is_undecided_is_settled_and_stays_so() {
    let mut flow = proven(3);
    flow.report(1, batch());
    assert_eq!(settled(flow.report(2, Ok(()))), Some((2, true)));
    flow.report(3, returned());
    assert!(flow.resolve(None).is_empty());
    assert_eq!(hand(&mut flow), [(ClientKind::Single, 1, 1)]);
}

#[test]
fn nothing_goes_behind_a_lone_record_that_an_outage_failed() {
    let mut flow = proven(3);
    flow.report(1, batch());
    flow.report(2, batch());
    flow.report(3, returned());
    assert!(hand(&mut flow).is_empty(), "to be put in order");
    assert!(flow.resolve(None).is_empty());
    assert_eq!(hand(&mut flow), [(ClientKind::Single, 1, 1)]);
    assert!(settled(flow.report(1, outage())).is_none());
    assert!(hand(&mut flow).is_empty());
    assert_eq!(flow.resolve(None).len(), 3, "they fail with it");
}

#[test]
fn a_record_that_names_a_partition_that_is_not_there_fails_by_itself() {
    let mut flow = proven(2);
    let failure = Failure::Record(KafkaError::Closed);
    assert_eq!(settled(flow.report(1, Err(failure))), Some((1, false)));
    assert_eq!(settled(flow.report(2, Ok(()))), Some((2, true)));
}

#[test]
fn a_record_that_failed_before_any_client_had_it_holds_back_what_is_behind_it() {
    let mut flow = proven(1);
    flow.push(2, Duration::ZERO, false);
    flow.push(3, Duration::ZERO, false);
    flow.fail_next(Failure::Outage(KafkaError::Closed));
    assert!(flow.next(false).is_none());
    assert_eq!(settled(flow.report(1, Ok(()))), Some((1, true)));
    assert!(flow.next(false).is_none());
    assert_eq!(flow.resolve(None).len(), 2);
}

#[test]
fn a_record_that_will_be_refused_goes_alone_between_the_batches() {
    let mut flow = proven(1);
    flow.push(2, Duration::ZERO, true);
    flow.push(3, Duration::ZERO, false);
    flow.push(4, Duration::ZERO, false);
    assert!(hand(&mut flow).is_empty(), "a batch is out");
    assert_eq!(settled(flow.report(1, Ok(()))), Some((1, true)));
    assert_eq!(hand(&mut flow), [(ClientKind::Single, 2, 2)]);
    assert_eq!(settled(flow.report(2, batch())), Some((2, false)));
    assert_eq!(hand(&mut flow), [(ClientKind::Batching, 3, 3)]);
    assert_eq!(settled(flow.report(3, Ok(()))), Some((3, true)));
    assert_eq!(hand(&mut flow), [(ClientKind::Batching, 4, 4)]);
}

#[test]
fn a_topic_that_cannot_be_used_fails_each_record_that_goes_alone_and_holds_back_a_batch() {
    let unusable = || Err(Failure::Topic(KafkaError::Closed));
    let mut flow = Flow::default();
    flow.push(0, Duration::ZERO, true);
    assert_eq!(hand(&mut flow), [(ClientKind::Single, 0, 0)]);
    assert_eq!(settled(flow.report(0, unusable())), Some((0, false)));
    flow.push(1, Duration::ZERO, false);
    assert_eq!(hand(&mut flow), [(ClientKind::Batching, 1, 1)]);
    assert!(settled(flow.report(1, unusable())).is_none());
    assert!(flow.topic_error().is_some());
}

#[test]
fn the_reason_of_a_refused_batch_is_that_of_the_record_at_fault() {
    let refused = |code| {
        let topic_partition =
            super::super::super::topic_partition::TopicPartition::new("t".into(), Some(0));
        Err(Failure::of(code, topic_partition, 1, true))
    };
    let mut flow = proven(2);
    flow.report(1, refused(RDKafkaErrorCode::InvalidDifferentRecord));
    let neighbor = flow.refusal().expect("refused").to_string();
    flow.report(2, refused(RDKafkaErrorCode::InvalidTimestamp));
    let at_fault = flow.refusal().expect("refused").to_string();
    assert_ne!(at_fault, neighbor);
    assert!(
        at_fault.contains(&RDKafkaErrorCode::InvalidTimestamp.to_string()),
        "{at_fault}"
    );
}

#[test]
fn all_records_go_one_by_one_for_as_long_as_they_are_to() {
    let mut flow = proven(0);
    for record in 1..=4 {
        flow.push(record, Duration::ZERO, false);
    }
    for number in 1..=2 {
        let next = flow.next(true).map(|(kind, number, _)| (kind, number));
        assert_eq!(next, Some((ClientKind::Single, number)));
        flow.handed_over(ClientKind::Single);
        assert!(flow.next(true).is_none() && flow.next(false).is_none());
        let refused = number == 1;
        let report = if refused { batch() } else { Ok(()) };
        assert!(settled(flow.report(number, report)).is_some());
    }
    assert_eq!(hand(&mut flow), [(ClientKind::Batching, 3, 3)]);
}

#[test]
fn brokers_that_may_have_forgotten_the_client_get_a_single_record_first() {
    let mut flow = proven(0);
    let accepted = |flow: &mut Flow<u32>, secs| {
        flow.push(1, Duration::from_secs(secs), false);
        flow.push(2, Duration::from_secs(secs), false);
        let handed = hand(flow);
        for (_, number, _) in &handed {
            assert!(settled(flow.report(*number, Ok(()))).is_some());
        }
        for (_, number, _) in hand(flow) {
            assert!(settled(flow.report(number, Ok(()))).is_some());
        }
        handed.len()
    };
    assert_eq!(accepted(&mut flow, 599), 2);
    assert_eq!(accepted(&mut flow, 599 + 600), 1);
    assert_eq!(accepted(&mut flow, 599 + 601), 2);
}

proptest! {
    #[test]
    fn each_record_is_given_out_once_and_is_handed_over_behind_all_older_ones(
        steps in proptest::collection::vec((0_u8..9, any::<usize>()), 1..200),
    ) {
        let mut flow = Flow::default();
        let mut pushed = 0;
        let mut given: Vec<u32> = Vec::new();
        // The records with a client, and the newest one handed over.
        let mut out: Vec<(u64, u32)> = Vec::new();
        let mut newest = None;
        for (step, which) in steps {
            match step {
                0 | 1 => {
                    flow.push(pushed, Duration::ZERO, which.is_multiple_of(5));
                    pushed += 1;
                }
                2 if flow.next(false).is_some() => given.extend(flow.take_next()),
                2 | 3 => {
                    if out.is_empty() && flow.has_failed() {
                        let failed = flow.resolve(None);
                        given.extend(failed.into_iter().map(|(record, _)| record));
                        newest = None;
                    }
                    for (_, number, record) in hand(&mut flow) {
                        prop_assert!(newest.is_none_or(|newest| newest < record));
                        newest = Some(record);
                        out.push((number, record));
                        let older = (0..record).filter(|older| !given.contains(older));
                        let with_a_client = out.iter().filter(|(_, older)| *older < record);
                        prop_assert_eq!(older.count(), with_a_client.count());
                    }
                }
                _ if out.is_empty() => {}
                _ => {
                    let (number, record) = out.swap_remove(which % out.len());
                    let result = match step {
                        4 | 5 => Ok(()),
                        6 => batch(),
                        7 => outage(),
                        _ => returned(),
                    };
                    if let Some((settled, _)) = settled(flow.report(number, result)) {
                        prop_assert_eq!(settled, record);
                        given.push(settled);
                    }
                }
            }
        }
        given.extend(flow.take_all());
        given.sort_unstable();
        prop_assert_eq!(given, (0..pushed).collect::<Vec<_>>());
    }
}
