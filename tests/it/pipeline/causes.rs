//! The error of a pipeline names the real cause, never only that records were neither written nor rejected.

use std::time::Duration;

use dynamodb_connector::pipeline::{
    DeadLetter, Delivery, EndpointError, FnSink, Pipeline, PipelineError, Sink,
};
use dynamodb_connector::test_util::{CollectSink, IterSource};
use tokio::time::sleep;

use super::parts::{Log, Script};

/// The moment at which a sink gives the reason for the values that it dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gives {
    /// In the write that drops, after a wait.
    InWrite,
    InNextWrite,
    InFlush,
    InClose,
    Never,
}

/// Drops what it is given, and gives the reason later.
struct Dropping {
    gives: Gives,
    has_dropped: bool,
}

impl Dropping {
    fn new(gives: Gives) -> Self {
        Self {
            gives,
            has_dropped: false,
        }
    }

    fn reason(&self, at: Gives) -> Result<(), EndpointError> {
        if self.has_dropped && self.gives == at {
            return Err(EndpointError::new("disk full"));
        }
        Ok(())
    }
}

impl<T: Send + 'static> Sink<T> for Dropping {
    async fn write(&mut self, _: T, delivery: Delivery) -> Result<(), EndpointError> {
        self.reason(Gives::InNextWrite)?;
        drop(delivery);
        self.has_dropped = true;
        sleep(Duration::from_millis(100)).await;
        self.reason(Gives::InWrite)
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        self.reason(Gives::InFlush)
    }

    async fn close(self) -> Result<(), EndpointError> {
        // What only a flush or a write would give is given at the end at the latest.
        match self.gives {
            Gives::InNextWrite => self.reason(self.gives),
            _ => self.reason(Gives::InClose),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_dropped_its_deliveries_for_is_the_error_whenever_it_gives_it() {
    for gives in [
        Gives::InWrite,
        Gives::InNextWrite,
        Gives::InFlush,
        Gives::InClose,
    ] {
        for ends in [true, false] {
            let log = Log::default();
            let mut source = Script::new([vec![1, 2]], &log);
            source.ends = ends;
            let error = Pipeline::from(source)
                .to_named("archive", Dropping::new(gives))
                .run()
                .await
                .unwrap_err();
            assert_eq!(error.to_string(), "archive: disk full", "{gives:?} {ends}");
            assert_eq!(log.of("done"), Vec::<String>::new());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_dead_letter_output_dropped_its_deliveries_for_is_the_error() {
    for gives in [Gives::InWrite, Gives::InFlush, Gives::InClose] {
        let log = Log::default();
        let error = Pipeline::from(Script::new([vec![1]], &log).endless())
            .validate(|_| Err::<(), _>("odd"))
            .dead_letter(Dropping::new(gives))
            .to(CollectSink::new())
            .run()
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "dead letters: disk full", "{gives:?}");
    }
    let log = Log::default();
    let error = Pipeline::from(Script::new([vec![1]], &log).endless())
        .validate(|_| Err::<(), _>("odd"))
        .dead_letter(Dropping::new(Gives::Never))
        .to(CollectSink::new())
        .run()
        .await
        .unwrap_err();
    // There is no better reason; at least the right output is named.
    assert!(matches!(error, PipelineError::Lost { .. }), "{error}");
    assert_eq!(error.operator(), Some("dead-letter"));
}

/// Rejects within `write`.
struct Refusing;

impl Sink<u32> for Refusing {
    async fn write(&mut self, value: u32, delivery: Delivery) -> Result<(), EndpointError> {
        match value {
            3 => delivery.reject("too large"),
            _ => delivery.done(),
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_within_a_write_names_the_record_and_the_reason() {
    for ends in [true, false] {
        let log = Log::default();
        let mut source = Script::new([vec![1, 2, 3, 4]], &log);
        source.ends = ends;
        let error = Pipeline::from(source).to(Refusing).run().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "sink: record lane@2: too large",
            "{ends}"
        );
        assert_eq!(log.of("dropped 2").len(), 1);
        assert_eq!(log.of("done 2"), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn values_of_one_record_that_fail_are_one_letter_with_their_reasons() {
    let source = IterSource::new([1_000_u32, 2]);
    let acks = source.acks();
    let dead = CollectSink::new();
    let sink = CollectSink::new();
    let report = Pipeline::from(source)
        .flat_map(|n| 0..n)
        .validate(|n| match n % 100 {
            0 => Err("a hundred"),
            n if n % 2 == 1 => Err("odd"),
            _ => Ok(()),
        })
        .dead_letter(dead.clone())
        .to(sink.clone())
        .run()
        .await
        .unwrap();
    let mut letters: Vec<DeadLetter<u32>> = dead.take();
    letters.sort_by_key(|letter| letter.position.as_number());
    let records: Vec<u32> = letters.iter().map(|letter| letter.record).collect();
    assert_eq!(records, [1_000, 2]);
    assert_eq!(sink.len(), 490);
    assert_eq!(acks.done().len(), 2);
    let reasons = |letter: &DeadLetter<u32>| -> Vec<(String, u32)> {
        let refusals = letter.refusals.iter();
        refusals
            .map(|refusal| (refusal.reason.to_string(), refusal.values))
            .collect()
    };
    assert_eq!(
        reasons(&letters[0]),
        [("a hundred".to_owned(), 10), ("odd".to_owned(), 500)]
    );
    assert_eq!(
        letters[0].to_string(),
        "validate-2: records@0: a hundred (the first of 510 refused values)"
    );
    assert_eq!(report.dead_lettered(), 512, "values, of two letters");
}

#[tokio::test(start_paused = true)]
async fn the_reasons_of_one_letter_are_bounded_and_the_rest_counted() {
    let dead = CollectSink::new();
    Pipeline::from(IterSource::new([1_000_u32]))
        .flat_map(|n| 0..n)
        .validate(|n| Err::<(), _>(format!("value {n}")))
        .dead_letter(dead.clone())
        .to(CollectSink::new())
        .run()
        .await
        .unwrap();
    let letters: Vec<DeadLetter<u32>> = dead.take();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0].refusals.len(), letters[0].unlisted),
        (16, 1_000 - 16)
    );
    assert_eq!(letters[0].refused_values(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_record_is_acknowledged_once_the_letter_of_all_its_values_is_durable() {
    let log = Log::default();
    let dead = FnSink::new({
        let log = log.clone();
        move |letter: DeadLetter<u32>| {
            log.add(format!("letter {letter}"));
            async {
                sleep(Duration::from_secs(1)).await;
                Ok(())
            }
        }
    });
    let sink = super::parts::Holding::new(&log);
    let held = sink.held.clone();
    let job = Pipeline::from(Script::new([vec![5]], &log).endless())
        .flat_map(|n| 0..n)
        .validate(|n| if *n == 4 { Err("four") } else { Ok(()) })
        .dead_letter(dead)
        .to_named("outlet", sink);
    let running = tokio::spawn(job.run());
    crate::setup::settle().await;
    let take = || held.lock().pop_front().unwrap().1;
    take().reject("too large");
    take().done();
    take().reject("too old");
    crate::setup::settle().await;
    assert_eq!(
        log.of("letter"),
        Vec::<String>::new(),
        "one value is not settled: there may be another reason"
    );
    take().done();
    crate::setup::settle().await;
    assert_eq!(
        log.of("letter"),
        ["letter validate-2: lane@0: four (the first of 3 refused values)"]
    );
    assert_eq!(log.of("done"), Vec::<String>::new());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(log.of("done"), ["done 0"]);
    assert_eq!(log.of("dropped"), Vec::<String>::new());
    running.abort();
}
