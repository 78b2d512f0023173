//! Bounds, closing and properties.

use super::*;

#[tokio::test]
async fn the_buffer_is_bounded_and_callers_beyond_wait() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick().buffer_records(8)).await;
    let first = soon(sink.send(record("x"))).await.expect("accepted");
    soon(first).await.expect("delivered");
    soon(sink.flush()).await.expect("nothing is under way");
    kafka.broker_down().expect("down");
    let mut receipts = Vec::new();
    for _ in 0..8 {
        receipts.push(soon(sink.send(record("x"))).await.expect("room"));
    }
    let full = sink.try_send(&record("x")).map(drop).expect_err("full");
    assert!(matches!(full, KafkaError::Full { .. }), "{full}");
    let mut waits = Box::pin(sink.send(record("x")));
    assert!(futures::poll!(&mut waits).is_pending());
    let mut later = Box::pin(sink.send(record("x")));
    assert!(futures::poll!(&mut later).is_pending());
    assert_eq!(sink.stats().waiting_callers, 2);
    kafka.broker_up().expect("up");
    let waited = soon(waits).await.expect("room");
    let later = soon(later).await.expect("room");
    let mut last = 0;
    for receipt in receipts.into_iter().chain([waited, later]) {
        let offset = soon(receipt).await.expect("delivered").offset;
        let offset = offset.expect("sent once");
        assert!(offset > last, "in the order of the callers");
        last = offset;
    }
}

#[tokio::test]
async fn a_closed_sink_refuses_on_every_clone_and_tells_what_was_under_way() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &KafkaSinkSettings::default()).await;
    let other = sink.clone();
    let receipt = soon(sink.send(record("x"))).await.expect("accepted");
    soon(sink.close()).await.expect("closed");
    soon(receipt).await.expect("delivered");
    let error = soon(other.send(record("y"))).await.map(drop);
    assert_eq!(error.expect_err("closed").kind(), ErrorKind::Closed);
    let error = other.try_send(&record("y")).map(drop);
    assert_eq!(error.expect_err("closed").kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn what_a_dropped_sink_accepted_is_delivered() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let first = sink(&kafka, &KafkaSinkSettings::default()).await;
    let receipt = soon(first.send(record("x"))).await.expect("accepted");
    drop(first);
    assert_eq!(soon(receipt).await.expect("delivered").offset, Some(0));
}

#[tokio::test]
async fn many_callers_at_once_lose_nothing() {
    let kafka = EmbeddedKafka::start(&[("events", 4)]).expect("a mock");
    let sink = Arc::new(sink(&kafka, &quick().buffer_records(16)).await);
    let callers = (0..32_u32).map(|caller| {
        let sink = sink.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                let record = record("x").key(caller.to_be_bytes().to_vec());
                let receipt = sink.send(record).await.expect("accepted");
                receipt.await.expect("delivered");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        soon(caller).await.expect("no panic");
    }
    assert_eq!(sink.stats().delivered, 640);
}

#[tokio::test]
async fn unknown_and_refused_properties_are_named() {
    let kafka = EmbeddedKafka::start(&[]).expect("a mock");
    let open = async |settings: KafkaSettings| {
        let sink = KafkaSink::open(&settings).await;
        let error = sink.map(drop).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    };
    let unknown = open(settings(&kafka).set("compresion.type", "lz4")).await;
    assert!(
        unknown.starts_with("kafka property \"compresion.type\":"),
        "{unknown}"
    );
    let wrong = open(settings(&kafka).set("compression.type", "rar")).await;
    assert!(wrong.contains("compression.type"), "{wrong}");
    let together = open(settings(&kafka).set("max.in.flight", "50")).await;
    assert!(together.contains("max.in.flight"), "{together}");
}
