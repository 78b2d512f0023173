//! Jobs, pipelines, sources and sinks without their types do as those with them.

use std::collections::BTreeMap;
use std::time::Duration;

use dynamodb_connector::pipeline::{
    BoxJob, BoxPipeline, BoxSink, BoxSource, Pipeline, PipelineError, PipelineReport,
    PipelineSettings, PipelineStats, Sink, Source,
};
use dynamodb_connector::test_util::{CollectSink, IterSource};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::parts::{Holding, Log, Picky, Script, Scripted, Step, names};

const SECOND: Duration = Duration::from_secs(1);

/// An application with a job that is made in one place and run in another.
struct App {
    job: BoxJob,
    stats: PipelineStats,
}

impl App {
    fn new(job: BoxJob) -> Self {
        let stats = job.stats();
        Self { job, stats }
    }

    fn start(
        self,
    ) -> (
        JoinHandle<Result<PipelineReport, PipelineError>>,
        PipelineStats,
    ) {
        // Spawned, so its future is `Send`.
        let running = tokio::spawn(self.job.run_until(sleep(2 * SECOND)));
        (running, self.stats)
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_in_a_struct_runs_counts_and_stops() {
    let (source, sink) = (Log::default(), CollectSink::new());
    let job = Pipeline::from(Script::new([vec![1, 2, 3]], &source).endless())
        .map(|n| n + 1)
        .tee(
            |every| every.to_named("all", sink.clone()),
            |every| every.to_named("held", Holding::new(&Log::default())),
        );
    let app = App::new(job.boxed());
    assert!(format!("{:?}", app.job).contains("map-1"));
    let (running, stats) = app.start();
    sleep(SECOND).await;
    let report = stats.report();
    assert_eq!((report.acknowledged, report.in_flight), (0, 3));
    assert_eq!(report.operator("all").unwrap().passed, 3);
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.acknowledged, sink.take()), (3, vec![2, 3, 4]));
    assert_eq!(source.of("source stopped").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_without_types_fails_and_aborts_as_with_them() {
    let log = Log::default();
    let mut sink = Holding::new(&log);
    sink.fails_at = Some(2);
    let job = Pipeline::from(Script::new([vec![1, 2]], &log))
        .to_named("table", sink)
        .boxed();
    assert_eq!(
        job.run().await.unwrap_err().to_string(),
        "table: the sink is broken"
    );

    let log = Log::default();
    let job = Pipeline::from(Script::new([vec![1, 2]], &log).endless())
        .to(Holding::new(&log))
        .boxed();
    let error = job
        .run_until_or_abort(std::future::pending(), sleep(SECOND))
        .await;
    assert!(matches!(
        error.unwrap_err(),
        PipelineError::Aborted { in_flight: 2, .. }
    ));

    let settings = PipelineSettings::default().max_in_flight(0);
    let job = Pipeline::from(Script::new([], &log))
        .settings(settings)
        .to(CollectSink::new());
    let error = job.boxed().run().await.unwrap_err();
    assert!(matches!(error, PipelineError::Config(_)), "{error}");
}

async fn late(n: u32) -> Result<u32, String> {
    sleep(Duration::from_millis(u64::from(n * 7 % 13))).await;
    match n % 10 {
        9 => Err("nine".to_owned()),
        _ => Ok(n),
    }
}

fn chosen(source: impl Source<Item = u32>, looks_up: bool) -> BoxPipeline<u32, u32> {
    let pipeline = Pipeline::from(source)
        .filter(|n| *n != 3)
        .named("not-three");
    match looks_up {
        true => pipeline
            .map_async(late)
            .named("late")
            .concurrency(3)
            .boxed(),
        false => pipeline.boxed(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_chosen_at_run_time_keeps_order_and_names_behind_and_before_the_box() {
    for looks_up in [false, true] {
        let source = IterSource::new(0..100_u32).partitions(|n| format!("p{}", n % 4));
        let acks = source.acks();
        let (sink, dead) = (CollectSink::new(), CollectSink::new());
        let report = chosen(source, looks_up)
            .map_async(|n| async move {
                sleep(Duration::from_millis(u64::from(n * 5 % 11))).await;
                Ok::<_, String>(n)
            })
            .concurrency(5)
            .dead_letter(dead.clone())
            .to(sink.clone())
            .run()
            .await
            .unwrap();
        let is_expected = |n: &u32| *n != 3 && !(looks_up && n % 10 == 9);
        let mut got: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for n in sink.take() {
            got.entry(n % 4).or_default().push(n);
        }
        for (partition, got) in got {
            let of_partition = |n: &u32| n % 4 == partition && is_expected(n);
            assert_eq!(got, (0..100).filter(of_partition).collect::<Vec<_>>());
        }
        let expected: &[&str] = match looks_up {
            true => &["source", "not-three", "late", "map_async-3", "sink"],
            false => &["source", "not-three", "map_async-2", "sink"],
        };
        assert_eq!(names(&report), expected);
        let letters = dead.take();
        assert_eq!(letters.len(), if looks_up { 10 } else { 0 });
        assert!(
            letters
                .iter()
                .all(|letter| &*letter.operator == "late" && letter.record % 10 == 9)
        );
        assert_eq!((report.acknowledged, acks.done().len()), (100, 100));
    }
}

#[tokio::test(start_paused = true)]
async fn a_setting_of_an_operator_within_a_box_is_checked() {
    let pipeline = Pipeline::from(IterSource::new(0..3_u32))
        .map_async(late)
        .concurrency(0);
    let error = pipeline
        .boxed()
        .to(CollectSink::new())
        .run()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("map_async-1"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn sinks_of_several_types_are_one_and_reject_by_the_name_of_the_branch() {
    let sinks: [BoxSink<u32>; 2] = [
        Picky::new("odd", |n: &u32| n % 2 == 1).boxed(),
        CollectSink::new().boxed().boxed(),
    ];
    let [picky, all] = sinks;
    let dead = CollectSink::new();
    let report = Pipeline::from(IterSource::new(0..4_u32))
        .boxed()
        .dead_letter(dead.clone().boxed())
        .tee(
            |every| every.to_named("picky", picky),
            |every| every.to_named("all", all),
        )
        .boxed()
        .run()
        .await
        .unwrap();
    let letters: Vec<String> = dead.take().iter().map(ToString::to_string).collect();
    assert_eq!(letters, ["picky: records@1: odd", "picky: records@3: odd"]);
    assert_eq!((report.acknowledged, report.dead_letters), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn a_boxed_source_keeps_guards_lag_stop_and_close() {
    let log = Log::default();
    let steps = [Step::Opened("a"), Step::Records("a", &[1, 2])];
    let source = Scripted::new(steps, &log)
        .endless()
        .closings([Step::Waits(SECOND), Step::Closing("a")]);
    let source: BoxSource<u32> = source.boxed();
    assert!(source.lag().is_none());
    let sink = Holding::new(&Log::default());
    let held = sink.held.clone();
    let settings = PipelineSettings::default().max_in_flight(1);
    let job = Pipeline::from(source).settings(settings).to(sink);
    let running = tokio::spawn(job.run_until(sleep(5 * SECOND)));
    sleep(2 * SECOND).await;
    assert_eq!(
        log.all(),
        ["closing a", "dropped 1"],
        "the second has not entered"
    );
    let (_, delivery) = held.lock().pop_front().unwrap();
    delivery.done();
    assert_eq!(log.of("released"), ["released a"]);
    running.await.unwrap().unwrap();
    assert_eq!(log.all()[4..], ["source stopped", "source closed"]);
}
