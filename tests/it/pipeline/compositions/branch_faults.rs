//! A fault of one branch: its record, its sink or the run, and nothing of the other branch's.

use dynamodb_connector::pipeline::{
    DeadLetter, Delivery, EndpointError, FnSink, Pipeline, PipelineError, ReasonKind, Sink,
};
use dynamodb_connector::test_util::{CollectSink, IterSource};

use super::parts::{Holding, Log, Picky, Script, sorted};

/// The sink, the reason and the number of values of each refusal.
fn refusals<R>(letter: &DeadLetter<R>) -> Vec<(String, String, u32)> {
    let refusals = letter.refusals.iter().map(|refusal| {
        let reason = refusal.reason.to_string();
        (refusal.operator.to_string(), reason, refusal.values)
    });
    refusals.collect()
}

/// A run over these values, whose second sink fails at 4. Returns its result and the logs of the source and of both sinks.
async fn failing_at_four(values: Vec<u32>) -> (Result<u64, PipelineError>, [Log; 3]) {
    let logs = [Log::default(), Log::default(), Log::default()];
    let [source, good, bad] = &logs;
    let mut breaks = Holding::new(bad);
    breaks.fails_at = Some(4);
    let job = Pipeline::from(Script::new([values], source)).tee(
        |every| every.to_named("good", Holding::new(good)),
        |every| every.to_named("bad", breaks),
    );
    let result = job.run().await.map(|report| report.acknowledged);
    (result, logs)
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_ends_the_run_by_its_name_and_what_both_have_is_flushed() {
    let (result, [source, good, bad]) = failing_at_four(vec![1, 2, 3, 4, 5, 6]).await;
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "bad: the sink is broken");
    assert_eq!(error.operator(), Some("bad"));
    assert_eq!(
        source.of("done"),
        ["done 0", "done 1", "done 2"],
        "written by both"
    );
    assert_eq!(
        sorted(source.of("dropped")),
        ["dropped 3", "dropped 4", "dropped 5"]
    );
    assert_eq!(
        good.of("wrote"),
        ["wrote 1", "wrote 2", "wrote 3", "wrote 4"]
    );
    assert_eq!(bad.of("wrote"), ["wrote 1", "wrote 2", "wrote 3"]);
    for log in [&good, &bad] {
        assert_eq!((log.of("flush").len(), log.of("sink closed").len()), (1, 1));
    }
    assert_eq!(source.of("source closed").len(), 1);

    // The next run begins at what was not acknowledged, and the sink is well again.
    let (source, rest) = (Log::default(), [Log::default(), Log::default()]);
    let report = Pipeline::from(Script::new([vec![4, 5, 6]], &source))
        .tee(
            |every| every.to_named("good", Holding::new(&rest[0])),
            |every| every.to_named("bad", Holding::new(&rest[1])),
        )
        .run()
        .await
        .unwrap();
    assert_eq!(report.acknowledged, 3);
    for log in rest {
        assert_eq!(
            log.of("wrote"),
            ["wrote 4", "wrote 5", "wrote 6"],
            "at least once"
        );
    }
}

/// Takes values, and drops the deliveries of those from `from` on.
struct Forgetful {
    from: u32,
    kept: Vec<Delivery>,
}

impl Sink<u32> for Forgetful {
    async fn write(&mut self, value: u32, delivery: Delivery) -> Result<(), EndpointError> {
        if value < self.from {
            self.kept.push(delivery);
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        self.kept.drain(..).for_each(Delivery::done);
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_drops_deliveries_is_named() {
    for second_forgets in [false, true] {
        let source = Log::default();
        let forgetful = |forgets: bool| Forgetful {
            from: if forgets { 3 } else { u32::MAX },
            kept: Vec::new(),
        };
        let job = Pipeline::from(Script::new([vec![1, 2, 3, 4]], &source)).tee(
            |every| every.to_named("first", forgetful(!second_forgets)),
            |every| every.to_named("second", forgetful(second_forgets)),
        );
        let error = job.run().await.unwrap_err();
        assert!(matches!(error, PipelineError::Lost { .. }), "{error}");
        let expected = if second_forgets { "second" } else { "first" };
        assert_eq!(error.operator(), Some(expected), "{error}");
        assert_eq!(source.of("done"), ["done 0", "done 1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_sink_rejects_is_one_letter_though_the_other_wrote_it() {
    let dead = CollectSink::new();
    let all = CollectSink::new();
    let picky = Picky::new("three", |n: &u32| n.is_multiple_of(3));
    let taken = picky.taken.clone();
    let source = IterSource::new(1..8_u32);
    let acks = source.acks();
    let report = Pipeline::from(source)
        .dead_letter(dead.clone())
        .tee(
            |every| every.to_named("all", all.clone()),
            |every| every.flat_map(|n| [n, n]).to_named("picky", picky),
        )
        .run()
        .await
        .unwrap();
    assert_eq!(all.take(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(*taken.lock(), [1, 1, 2, 2, 4, 4, 5, 5, 7, 7]);
    let letters = dead.take();
    let records: Vec<u32> = letters.iter().map(|letter| letter.record).collect();
    assert_eq!(records, [3, 6]);
    for letter in &letters {
        assert_eq!(refusals(letter), [("picky".into(), "three".into(), 2)]);
        assert_eq!(letter.reason.kind(), ReasonKind::Rejected);
    }
    assert_eq!((report.acknowledged, report.dead_letters), (7, 2));
    let refused = |name: &str| report.operator(name).unwrap().dead_lettered;
    assert_eq!((refused("picky"), refused("all")), (4, 0));
    assert_eq!(acks.done().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_both_sinks_reject_is_one_letter_with_both_refusals() {
    let dead = CollectSink::new();
    let report = Pipeline::from(IterSource::new(0..4_u32))
        .dead_letter(dead.clone())
        .tee(
            |every| every.to_named("table", Picky::new("too large", |n: &u32| *n == 2)),
            |every| every.to_named("topic", Picky::new("too old", |n: &u32| *n == 2)),
        )
        .run()
        .await
        .unwrap();
    let letters = dead.take();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].record, &*letters[0].operator), (2, "table"));
    assert_eq!(
        refusals(&letters[0]),
        [
            ("table".into(), "too large".into(), 1),
            ("topic".into(), "too old".into(), 1)
        ]
    );
    assert_eq!((report.acknowledged, report.dead_letters), (4, 1));
}

/// Names are the caller's: two of them may be the same.
#[tokio::test(start_paused = true)]
async fn a_refusal_counts_for_the_sink_that_refused_whatever_others_are_called() {
    let dead = CollectSink::new();
    let report = Pipeline::from(IterSource::new(0..4_u32))
        .dead_letter(dead.clone())
        .tee(
            |every| every.to_named("events", Picky::new("two", |n: &u32| *n == 2)),
            |every| {
                every
                    .map(|n| n)
                    .named("events")
                    .to_named("other", CollectSink::new())
            },
        )
        .run()
        .await
        .unwrap();
    let refused: Vec<_> = report
        .operators
        .iter()
        .map(|at| (at.kind, at.dead_lettered))
        .collect();
    assert_eq!(
        refused.iter().find(|(_, refused)| *refused > 0),
        Some(&("sink", 1)),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejection_without_a_dead_letter_output_ends_the_run_by_the_name_of_the_sink() {
    let error = Pipeline::from(IterSource::new(0..4_u32))
        .tee(
            |every| every.to_named("all", CollectSink::new()),
            |every| every.to_named("picky", Picky::new("two", |n: &u32| *n == 2)),
        )
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "picky: record records@2: two");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_branch_is_that_records_letter_and_no_other_branchs() {
    let (dead, all, some) = (CollectSink::new(), CollectSink::new(), CollectSink::new());
    let report = Pipeline::from(IterSource::new(0..5_u32))
        .dead_letter(dead.clone())
        .tee(
            |every| every.to_named("all", all.clone()),
            |every| {
                every
                    .map(|n| if n == 2 { panic!("secret") } else { n })
                    .named("breaks")
                    .map_async(|n| {
                        assert!(n != 3, "secret");
                        async move { Ok::<_, String>(n) }
                    })
                    .to_named("some", some.clone())
            },
        )
        .run()
        .await
        .unwrap();
    assert_eq!(
        (all.take(), some.take()),
        (vec![0, 1, 2, 3, 4], vec![0, 1, 4])
    );
    let letters = sorted(dead.take().iter().map(ToString::to_string).collect());
    assert_eq!(letters.len(), 2);
    assert!(letters[0].starts_with("breaks: records@2: "), "{letters:?}");
    assert!(
        letters[1].starts_with("map_async-6: records@3: "),
        "{letters:?}"
    );
    assert!(!letters.concat().contains("secret"));
    assert_eq!(report.acknowledged, 5);
}

/// A value whose copy panics, where it is 1.
#[derive(Debug, PartialEq)]
struct Fragile(u32);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(self.0 != 1, "secret");
        Self(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_or_a_choice_that_panics_is_that_records_letter() {
    let dead = CollectSink::new();
    let seen = [CollectSink::new(), CollectSink::new()];
    let letters = || -> Vec<String> { dead.take().iter().map(ToString::to_string).collect() };
    let report = Pipeline::from(IterSource::new((0..3).map(Fragile)))
        .dead_letter_with(|value| value.0, dead.clone())
        .tee(
            |every| every.to(seen[0].clone()),
            |every| every.to(seen[1].clone()),
        )
        .run()
        .await
        .unwrap();
    assert_eq!(
        letters(),
        ["tee-1: records@1: the operator's closure panicked"]
    );
    for sink in &seen {
        assert_eq!(sink.take(), [Fragile(0), Fragile(2)]);
    }
    assert_eq!(
        (
            report.acknowledged,
            report.operator("tee-1").unwrap().dead_lettered
        ),
        (3, 1)
    );

    Pipeline::from(IterSource::new((0..3).map(Fragile)))
        .dead_letter_with(|value| value.0, dead.clone())
        .split_by(
            |value| {
                if value.0 == 1 {
                    panic!("secret")
                } else {
                    value.0 == 0
                }
            },
            |yes| yes.to(seen[0].clone()),
            |no| no.to(seen[1].clone()),
        )
        .run()
        .await
        .unwrap();
    assert_eq!(
        letters(),
        ["split_by-1: records@1: the operator's closure panicked"]
    );
    assert_eq!(
        (seen[0].take(), seen[1].take()),
        (vec![Fragile(0)], vec![Fragile(2)])
    );
}

#[tokio::test(start_paused = true)]
async fn a_branch_may_lead_to_the_dead_letters_alone() {
    let (dead, good) = (CollectSink::new(), CollectSink::new());
    let never = FnSink::new(|(): ()| async { panic!("nothing comes here") });
    let report = Pipeline::from(IterSource::new(0..6_u32))
        .dead_letter(dead.clone())
        .split_by(
            |n| *n < 4,
            |yes| yes.to(good.clone()),
            |no| {
                no.try_map(|n| Err::<(), _>(format!("{n} is too much")))
                    .named("rest")
                    .to(never)
            },
        )
        .run()
        .await
        .unwrap();
    assert_eq!(good.take(), [0, 1, 2, 3]);
    let letters: Vec<String> = dead.take().iter().map(ToString::to_string).collect();
    assert_eq!(
        letters,
        [
            "rest: records@4: 4 is too much",
            "rest: records@5: 5 is too much"
        ]
    );
    assert_eq!((report.acknowledged, report.dead_letters), (6, 2));
}
