//! What operators do to records.

use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::{CollectSink, IterSource};

#[tokio::test(start_paused = true)]
async fn records_go_through_the_operators_in_order_and_are_acknowledged() {
    let source = IterSource::new(0..10_u32).batch(3);
    let acks = source.acks();
    let sink = CollectSink::new();
    let job = Pipeline::from(source)
        .filter(|n| n % 2 == 0)
        .map(|n| n * 10)
        .filter_map(|n| (n != 40).then(|| format!("{n}")))
        .to(sink.clone());
    let report = job.run().await.unwrap();
    assert_eq!(sink.take(), ["0", "20", "60", "80"]);
    assert_eq!(acks.done().len(), 10);
    assert_eq!(acks.dropped(), []);
    assert_eq!(report.acknowledged, 10);
    assert_eq!(
        report.to_string(),
        "source: 10 in, 10 out\nfilter-1: 10 in, 5 out, 5 skipped\nmap-2: 5 in, 5 out\n\
         filter_map-3: 5 in, 4 out, 1 skipped\nsink: 4 in, 4 out\n10 acknowledged"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_stays_with_its_value_and_inspect_sees_the_order() {
    let sink = CollectSink::new();
    let (seen, looked) = std::sync::mpsc::channel();
    Pipeline::from(IterSource::new(1..=4_u32))
        .named("numbers")
        .key_by(|n| n % 2)
        .map_value(|n| n * 100)
        .inspect(move |keyed| seen.send(*keyed.value()).unwrap())
        .to(sink.clone())
        .run()
        .await
        .unwrap();
    let parts: Vec<_> = sink
        .take()
        .into_iter()
        .map(dynamodb_connector::pipeline::Keyed::into_parts)
        .collect();
    assert_eq!(parts, [(1, 100), (0, 200), (1, 300), (0, 400)]);
    assert_eq!(looked.iter().collect::<Vec<_>>(), [100, 200, 300, 400]);
}

#[tokio::test(start_paused = true)]
async fn counts_can_be_read_while_it_runs() {
    let log = super::parts::Log::default();
    let script = super::parts::Script::new([vec![1, 2]], &log).endless();
    let job = Pipeline::from(script)
        .map(|n| n)
        .named("same")
        .to(super::parts::Holding::new(&log));
    let stats = job.stats();
    assert_eq!(stats.report().operator("same").unwrap().taken, 0);
    let running = tokio::spawn(job.run());
    crate::setup::settle().await;
    let report = stats.report();
    assert_eq!(report.operator("same").unwrap().passed, 2);
    assert_eq!(report.operator("sink").unwrap().taken, 2);
    assert_eq!(report.acknowledged, 0);
    running.abort();
}
