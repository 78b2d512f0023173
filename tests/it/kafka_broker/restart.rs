//! The broker is killed under load and started again: nothing is lost, nothing twice, nothing overtakes; and a source reads on.

use std::time::Duration;

use dynamodb_connector::kafka::{
    KafkaSettings, KafkaSink, KafkaSinkSettings, KafkaSource, KafkaSourceSettings, ProducerRecord,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::server::{Server, create_topic};
use super::{unique, variable};

const PARTITIONS: i32 = 3;
const KILLS: u32 = 2;
/// Records confirmed before each kill, and after the last one.
const CONFIRMED: u64 = 3_000;
const LONGEST: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_under_load_loses_nothing_and_orders_all() {
    let Some(jars) = variable("restart", "KAFKA_JARS") else {
        return;
    };
    let directory = std::env::temp_dir().join(unique("kafka"));
    let mut server = Server::start(&jars, &directory);
    create_topic(&server.bootstrap(), "numbers", PARTITIONS, &[]).await;
    let settings = KafkaSettings::new(server.bootstrap());
    // A small buffer, so that it is full while the broker is away.
    let own = KafkaSinkSettings::default().buffer_records(2_000);
    let sink = KafkaSink::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .expect("a sink");

    let (receipts, mut awaited) = mpsc::unbounded_channel();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writing = sink.clone();
    let writer = tokio::spawn(async move {
        let mut n = 0_u64;
        while !*stopped.borrow() {
            let partition = i32::try_from(n % 3).expect("small");
            let record = ProducerRecord::new("numbers", n.to_string()).partition(partition);
            let receipt = writing.send(record).await.expect("it is waited for");
            receipts.send((n, receipt)).expect("they are awaited");
            n += 1;
        }
        n
    });

    let source = KafkaSourceSettings::new("readers", ["numbers"]);
    let mut source = KafkaSource::builder(&settings)
        .settings(source.clone())
        .open()
        .await
        .expect("a source");
    let mut kills = 0;
    let mut confirmed = 0_u64;
    let mut killed_at = None;
    while kills < KILLS || confirmed < CONFIRMED {
        let (_, receipt) = timeout(LONGEST, awaited.recv())
            .await
            .expect("in time")
            .expect("more");
        timeout(LONGEST, receipt)
            .await
            .expect("in time")
            .expect("delivered, whatever happens to the broker");
        confirmed += 1;
        if confirmed >= CONFIRMED && kills < KILLS {
            (kills, confirmed) = (kills + 1, 0);
            server.kill();
            killed_at = Some(sink.stats());
            server.start_again();
        }
    }
    assert!(
        killed_at.is_some_and(|stats| stats.in_flight > 0),
        "no load"
    );
    stop.send(true).expect("it writes");
    let written = timeout(LONGEST, writer)
        .await
        .expect("in time")
        .expect("no panic");
    timeout(LONGEST, sink.close())
        .await
        .expect("in time")
        .expect("all delivered");
    assert_eq!(sink.stats().delivered, written);

    // The source was there all the while.
    let mut next: Vec<u64> = vec![0, 1, 2];
    let mut offsets = [0_i64; 3];
    while next.iter().any(|n| *n < written) {
        let batch = timeout(LONGEST, source.next_batch(1_000))
            .await
            .expect("in time");
        for message in batch.expect("more").expect("records") {
            let place = usize::try_from(message.partition).expect("small");
            let text = String::from_utf8(message.payload.expect("a value").to_vec());
            assert_eq!(text.expect("text"), next[place].to_string());
            assert_eq!(message.offset, offsets[place], "no duplicate between");
            next[place] += 3;
            offsets[place] += 1;
            message.ack.done();
        }
    }
    timeout(LONGEST, source.close())
        .await
        .expect("in time")
        .expect("committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_closes_although_its_broker_answers_nothing_more() {
    let Some(jars) = variable("restart", "KAFKA_JARS") else {
        return;
    };
    let directory = std::env::temp_dir().join(unique("kafka"));
    let server = Server::start(&jars, &directory);
    create_topic(&server.bootstrap(), "numbers", 1, &[]).await;
    let settings = KafkaSettings::new(server.bootstrap()).set("session.timeout.ms", "6000");
    let sink = KafkaSink::open(&KafkaSettings::new(server.bootstrap())).await;
    let sink = sink.expect("a sink");
    let receipt = sink.send(ProducerRecord::new("numbers", "0")).await;
    receipt.expect("accepted").await.expect("delivered");
    let own = KafkaSourceSettings::new("readers", ["numbers"])
        .drain_timeout(Duration::from_secs(2))
        .commit_interval(Duration::from_secs(60 * 60));
    let mut source = KafkaSource::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .expect("a source");
    let batch = timeout(LONGEST, source.next_batch(1))
        .await
        .expect("in time");
    batch.expect("more").expect("records").remove(0).ack.done();
    server.suspend();
    // The time-out of the session, and that of the last commit, several times over.
    let closed = timeout(Duration::from_secs(45), source.close()).await;
    let closed = closed.expect("it waits for the time-out of the session at most");
    assert!(closed.is_err(), "nothing was committed");
}
