use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::embedded::{EmbeddedKafka, KafkaFault};

#[tokio::test]
async fn callbacks_are_called_with_every_outcome_and_a_panic_in_one_stops_no_other() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let settings = KafkaSettings::new(kafka.bootstrap_servers());
    let own = crate::kafka::KafkaSinkSettings::default().linger(Duration::ZERO);
    let sink = KafkaSink::builder(&settings)
        .settings(own)
        .open()
        .await
        .expect("a sink");
    let record = ProducerRecord::new("events", "x");
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let note = || {
        let outcomes = outcomes.clone();
        move |result: Result<RecordMetadata, KafkaError>| {
            let offset = result.map(|delivered| delivered.offset);
            outcomes.lock().push(offset);
        }
    };
    kafka.fail_next(KafkaFault::TooLarge, 1).expect("it will");
    sink.send_with(record.clone(), note())
        .await
        .expect("accepted");
    sink.flush().await.expect("its callback was called");
    sink.send_with(record.clone(), |_| panic!("a callback's own"))
        .await
        .expect("accepted");
    sink.send_with(record.clone(), note())
        .await
        .expect("accepted");
    sink.close().await.expect("all settled");
    let outcomes = outcomes.lock();
    assert!(
        matches!(outcomes[0], Err(KafkaError::TooLarge { .. })),
        "{outcomes:?}"
    );
    assert!(matches!(outcomes[1], Ok(Some(1))), "{outcomes:?}");
    assert_eq!(outcomes.len(), 2);
}

#[tokio::test]
async fn too_many_unobserved_failures_stop_their_handle_and_no_other() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let settings = KafkaSettings::new(kafka.bootstrap_servers());
    let sink = KafkaSink::open(&settings).await.expect("a sink");
    let (own, other) = (sink.separate(), sink.separate());
    let record = ProducerRecord::new("events", "x");
    let before = own.send(record.clone()).await.expect("accepted");
    for _ in 0..1_000 {
        own.scope.keep_unobserved(KafkaError::Closed, None);
    }
    let refused = own.clone().send(record.clone()).await.map(drop);
    let tried = own.try_send(&record).map(drop);
    for stopped in [refused, tried] {
        let stopped = stopped.expect_err("it has stopped");
        assert!(
            matches!(stopped, KafkaError::Stopped { failures: 1_000 }),
            "{stopped}"
        );
        assert!(!stopped.is_retryable());
    }
    before.await.expect("what was accepted is carried out");
    let receipt = other.send(record.clone()).await.expect("it goes on");
    receipt.await.expect("delivered");
    other.flush().await.expect("it has no failure");
    let error = own.flush().await.expect_err("failures are reported");
    assert!(
        matches!(&error, KafkaError::Unobserved { failures } if failures.len() == 1_000),
        "{error}"
    );
    let stopped = own.close().await.expect_err("it stays so");
    assert!(matches!(stopped, KafkaError::Stopped { .. }), "{stopped}");
    assert_eq!(sink.stats().in_flight, 0, "no place in the buffer is lost");
}

#[tokio::test]
async fn try_send_gives_out_why_a_known_topic_is_not_found_again() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let settings = KafkaSettings::new(kafka.bootstrap_servers());
    let own = crate::kafka::KafkaSinkSettings::default().topic_timeout(Duration::from_millis(300));
    let sink = KafkaSink::builder(&settings)
        .settings(own)
        .open()
        .await
        .expect("a sink");
    // As librdkafka says it of a topic that was deleted.
    let topic = sink.destinations.insert(&"deleted".into());
    topic.partition(0).expect("the one").set_missing(true);
    let record = ProducerRecord::new("deleted", "x");
    let answered = async {
        loop {
            match sink.try_send(&record) {
                Err(KafkaError::LookingUp { .. }) => tokio::task::yield_now().await,
                other => break other.map(drop),
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(60), answered).await;
    let error = answer.expect("not for ever").expect_err("not found");
    assert!(matches!(error, KafkaError::UnknownTopic { .. }), "{error}");
    let next = sink.try_send(&record).expect_err("it is looked up again");
    assert!(matches!(next, KafkaError::LookingUp { .. }), "{next}");
}

/// Notes how many records were under way when its task was woken.
struct InFlightWhenWoken {
    sink: KafkaSink,
    seen: std::sync::mpsc::Sender<usize>,
}

impl futures::task::ArcWake for InFlightWhenWoken {
    fn wake_by_ref(this: &Arc<Self>) {
        // The test may have ended.
        let _ = this.seen.send(this.sink.stats().in_flight);
    }
}

#[tokio::test]
async fn a_record_whose_outcome_is_given_out_takes_no_room_any_more() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let settings = KafkaSettings::new(kafka.bootstrap_servers());
    let sink = KafkaSink::open(&settings).await.expect("a sink");
    let record = ProducerRecord::new("events", "x");
    let (seen, woken) = std::sync::mpsc::channel();
    let waker = futures::task::waker(Arc::new(InFlightWhenWoken {
        sink: sink.clone(),
        seen,
    }));
    let mut context = std::task::Context::from_waker(&waker);
    let known = sink.send(record.clone()).await.expect("accepted");
    known.await.expect("delivered");
    sink.flush().await.expect("nothing is under way");
    kafka.broker_down().expect("down");
    let mut receipt = std::pin::pin!(sink.send(record).await.expect("accepted"));
    let mut flush = std::pin::pin!(sink.flush());
    assert!(receipt.as_mut().poll(&mut context).is_pending());
    assert!(flush.as_mut().poll(&mut context).is_pending());
    assert_eq!(sink.stats().in_flight, 1);
    kafka.broker_up().expect("up");
    for of in ["the receipt", "the flush"] {
        let in_flight = woken.recv_timeout(Duration::from_secs(60));
        assert_eq!(in_flight, Ok(0), "{of}");
    }
}
