//! Records that a commit publishes, and that an abort or a close takes back.

use super::super::sort::Verdict;
use super::{NotTaken, Rig, add, verdict};
use crate::kafka::KafkaError;

#[tokio::test]
async fn records_are_published_by_the_commit_and_those_of_an_abort_never() {
    let name = "records_are_published_by_the_commit_and_those_of_an_abort_never";
    let Some(rig) = Rig::new(name, &[]).await else {
        return;
    };
    let mut producer = rig.producer().await;
    assert!(producer.id().ends_with("/i/0"), "{producer:?}");
    for round in 0..3 {
        for (end, is_committed) in [("kept", true), ("dropped", false)] {
            if producer.is_worn() {
                producer.renew().await.expect("renewed");
            }
            producer.begin().await.expect("begun");
            for number in 0..2 {
                let value = format!("{end} {round} {number}");
                add(&mut producer, &rig.record(&value)).await;
            }
            producer.delivered().await;
            if is_committed {
                producer.commit().await.expect("committed");
            } else {
                producer.abort().await.expect("aborted");
            }
            assert!(producer.failures().is_empty());
        }
    }
    let expected = [
        "kept 0 0", "kept 0 1", "kept 1 0", "kept 1 1", "kept 2 0", "kept 2 1",
    ];
    assert_eq!(rig.published(), expected);
}

#[tokio::test]
async fn an_abort_ends_with_ten_thousand_records_that_were_not_sent_yet() {
    let name = "an_abort_ends_with_ten_thousand_records_that_were_not_sent_yet";
    let Some(rig) = Rig::new(name, &[]).await else {
        return;
    };
    let mut producer = rig.producer().await;
    producer.begin().await.expect("begun");
    for _ in 0..10_000 {
        add(&mut producer, &rig.record("dropped")).await;
    }
    assert_eq!(
        verdict(producer.commit().await),
        Verdict::Abort,
        "not delivered yet"
    );
    producer.abort().await.expect("aborted");
    producer.delivered().await;
    assert!(producer.failures().is_empty(), "given back, not failed");
    producer.renew().await.expect("renewed");
    producer.begin().await.expect("begun");
    add(&mut producer, &rig.record("kept")).await;
    producer.delivered().await;
    producer.commit().await.expect("committed");
    assert_eq!(rig.published(), ["kept"]);
}

#[tokio::test]
async fn a_close_aborts_what_is_open_so_that_no_reader_waits_for_it() {
    let name = "a_close_aborts_what_is_open_so_that_no_reader_waits_for_it";
    let Some(rig) = Rig::new(name, &[]).await else {
        return;
    };
    let mut producer = rig.producer().await;
    producer.begin().await.expect("begun");
    add(&mut producer, &rig.record("dropped")).await;
    producer.delivered().await;
    producer.close().await.expect("closed");
    assert!(rig.published().is_empty());
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_refused_and_the_transaction_goes_on() {
    let name = "a_topic_that_is_not_there_is_refused_and_the_transaction_goes_on";
    let Some(rig) = Rig::new(name, &[]).await else {
        return;
    };
    let mut producer = rig.producer().await;
    let missing = crate::kafka::ProducerRecord::new(format!("{}-missing", rig.topic), "x");
    assert!(matches!(producer.produce(&missing), Err(NotTaken::Ended)));
    producer.begin().await.expect("begun");
    assert!(matches!(producer.produce(&missing), Err(NotTaken::Full)));
    producer.room().await;
    let Err(NotTaken::Refused(error)) = producer.produce(&missing) else {
        panic!("there is none")
    };
    assert!(matches!(error, KafkaError::UnknownTopic { .. }), "{error}");
    add(&mut producer, &rig.record("kept")).await;
    producer.delivered().await;
    producer.commit().await.expect("committed");
    assert_eq!(rig.published(), ["kept"]);
}

/// The end of the one overtakes the registration of the other at the broker, now and then.
#[tokio::test]
async fn aborts_right_after_the_first_record_leave_a_producer_that_goes_on() {
    let name = "aborts_right_after_the_first_record_leave_a_producer_that_goes_on";
    let Some(rig) = Rig::new(name, &[]).await else {
        return;
    };
    let mut producer = rig.producer().await;
    let mut renewals = 0;
    for _ in 0..200 {
        if producer.is_worn() {
            renewals += 1;
            producer.renew().await.expect("renewed");
        }
        producer.begin().await.expect("begun");
        add(&mut producer, &rig.record("dropped")).await;
        if let Err((verdict, error)) = producer.abort().await {
            assert_eq!(verdict, Verdict::Renew, "{error}");
            assert!(producer.is_worn());
        }
    }
    if producer.is_worn() {
        producer.renew().await.expect("renewed");
    }
    producer.begin().await.expect("begun");
    add(&mut producer, &rig.record("kept")).await;
    producer.delivered().await;
    producer.commit().await.expect("committed");
    println!("{renewals} renewals");
    assert_eq!(rig.published(), ["kept"]);
}
