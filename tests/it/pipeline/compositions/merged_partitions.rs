//! The partitions of two merged sources open, close and are lost as those of one do, and have names of their own.

use std::time::Duration;

use dynamodb_connector::pipeline::{Pipeline, PipelineSettings, Source};
use dynamodb_connector::test_util::CollectSink;
use tokio::time::sleep;

use super::parts::{Holding, Log, Scripted, Step};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_end_of_a_partition_passes_through_and_its_guard_waits_for_its_records() {
    for wraps in [false, true] {
        let (a, b, sink_log) = (Log::default(), Log::default(), Log::default());
        let sink = Holding::new(&sink_log);
        let held = sink.held.clone();
        let first = Scripted::new(
            [
                Step::Opened("a"),
                Step::Records("a", &[1]),
                Step::Waits(SECOND),
                Step::Closing("a"),
            ],
            &a,
        );
        let second = Scripted::new(
            [
                Step::Opened("b"),
                Step::Records("b", &[2]),
                Step::Waits(2 * SECOND),
                Step::Lost("b"),
            ],
            &b,
        );
        let merged = first.endless().merge(second.endless());
        // By way of a box and of other items, it is the same.
        let source = match wraps {
            true => merged
                .map_item(|n| n + 10)
                .boxed()
                .map_item(|n| n - 10)
                .boxed(),
            false => merged.boxed(),
        };
        let running = tokio::spawn(Pipeline::from(source).to(sink).run());
        sleep(SECOND + SECOND / 2).await;
        assert_eq!((a.of("closing").len(), a.of("released").len()), (1, 0));
        // The two sources are read in no fixed order.
        let of_first = |(value, _): &(u32, _)| *value == 1;
        let at = held.lock().iter().position(of_first).unwrap();
        let (_, delivery) = held.lock().remove(at).unwrap();
        delivery.done();
        assert_eq!(a.all(), ["closing a", "done 0", "released a"]);
        sleep(SECOND).await;
        // Another reader has it: what is dropped is not lost.
        held.lock().clear();
        sleep(SECOND).await;
        assert!(!running.is_finished(), "it goes on");
        assert_eq!(b.of("dropped"), ["dropped 0"]);
        running.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn one_name_for_two_partitions_is_an_error_that_names_it() {
    for late in [false, true] {
        let (a, b) = (Log::default(), Log::default());
        let opens = |log, name, after| {
            let steps = [
                Step::Waits(after),
                Step::Opened(name),
                Step::Records(name, &[1, 2]),
            ];
            Scripted::new(steps, log).endless()
        };
        let own = opens(&a, "orders-0", Duration::ZERO);
        let other = opens(&b, "orders-0", SECOND);
        let merged = match late {
            true => other.merge(own).boxed(),
            false => own.merge(other).boxed(),
        };
        let sink = CollectSink::new();
        let error = Pipeline::from(merged)
            .to(sink.clone())
            .run()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("\"orders-0\""), "{error}");
        assert_eq!(sink.len(), 2, "those of the first alone");
        assert_eq!(
            (a.of("source closed").len(), b.of("source closed").len()),
            (1, 1)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_free_again_once_its_partition_has_ended() {
    let (a, b) = (Log::default(), Log::default());
    let first = Scripted::new(
        [
            Step::Opened("p"),
            Step::Records("p", &[1]),
            Step::Closing("p"),
        ],
        &a,
    );
    let second = [
        Step::Waits(SECOND),
        Step::Opened("p"),
        Step::Records("p", &[2]),
    ];
    let sink = CollectSink::new();
    let merged = first.merge(Scripted::new(second, &b));
    Pipeline::from(merged).to(sink.clone()).run().await.unwrap();
    assert_eq!(sink.take(), [1, 2]);
    assert_eq!(a.of("released").len(), 1);
}

/// News of partitions come by `next_closing` while there is no room.
#[tokio::test(start_paused = true)]
async fn news_that_come_while_there_is_no_room_are_those_of_both() {
    let (a, b) = (Log::default(), Log::default());
    let first = Scripted::new([Step::Opened("a"), Step::Records("a", &[1, 2])], &a).endless();
    let second = Scripted::new([Step::Opened("b")], &b).endless().closings([
        Step::Waits(SECOND),
        Step::Closing("b"),
        Step::Opened("c"),
        Step::Closing("c"),
    ]);
    let sink = Holding::new(&Log::default());
    let settings = PipelineSettings::default().max_in_flight(1);
    let job = Pipeline::from(first.merge(second))
        .settings(settings)
        .to(sink);
    let running = tokio::spawn(job.run());
    sleep(5 * SECOND).await;
    assert_eq!(
        b.all(),
        ["closing b", "released b", "closing c", "released c"]
    );
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn one_name_for_two_partitions_is_an_error_also_where_it_opens_while_there_is_no_room() {
    let (a, b) = (Log::default(), Log::default());
    let first = Scripted::new([Step::Opened("p"), Step::Records("p", &[1, 2])], &a).endless();
    let second = Scripted::new([], &b)
        .endless()
        .closings([Step::Waits(SECOND), Step::Opened("p")]);
    let sink = Holding::new(&Log::default());
    let held = sink.held.clone();
    let settings = PipelineSettings::default().max_in_flight(1);
    let job = Pipeline::from(first.merge(second))
        .settings(settings)
        .to(sink);
    let running = tokio::spawn(job.run());
    sleep(2 * SECOND).await;
    for _ in 0..2 {
        let (_, delivery) = held.lock().pop_front().unwrap();
        delivery.done();
        sleep(SECOND).await;
    }
    assert!(
        running.is_finished(),
        "it does not go on as if nothing were"
    );
    let error = running.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("\"p\""), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_ended_is_not_asked_for_news() {
    let (short, long) = (Log::default(), Log::default());
    let ended = Scripted::new([Step::Records("a", &[1])], &short);
    let goes_on = [Step::Waits(SECOND), Step::Records("b", &[2, 3, 4])];
    let goes_on = Scripted::new(goes_on, &long).endless();
    let settings = PipelineSettings::default().max_in_flight(2);
    let job = Pipeline::from(ended.merge(goes_on))
        .settings(settings)
        .to(Holding::new(&Log::default()));
    let running = tokio::spawn(job.run());
    sleep(5 * SECOND).await;
    running.abort();
    assert_eq!(short.of("asked"), Vec::<String>::new());
}
