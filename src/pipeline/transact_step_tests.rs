//! Transactions whose steps end as a test has them end.

use tokio::time::timeout;

use super::*;
use crate::health::Health;
use crate::kafka::ProducerRecord;
use crate::kafka::test_log::Log;
use crate::pipeline::builder::Pipeline;
use crate::pipeline::driver::Driver as _;
use crate::pipeline::transaction_stats::TransactionReport;
use crate::pipeline::transactional_output::KafkaRecords;
use crate::pipeline::transactional_sink::{TransactionalSink, Way};
use crate::recorded::Recorded;
use crate::test_util::IterSource;

#[path = "transact_script.rs"]
mod script;

use script::{COMMIT, Parts, Script, Steps};

fn too_large() -> KafkaError {
    KafkaError::TooLarge {
        topic: "out".into(),
        size: 9,
        limit: None,
    }
}

#[tokio::test(start_paused = true)]
async fn transactions_are_counted_by_their_ends_and_commits_are_timed() {
    let script = Script::new(Steps {
        failures: [vec![KafkaError::Closed], vec![too_large()]].into(),
        sends: [Verdict::Abort].into(),
        commits: [Verdict::Fenced].into(),
        again: Some(7),
        ..Steps::default()
    });
    let (parts, mut transact) = (Parts::new(), script.transact());
    let counts = transact.counts();
    script.enter(7);
    script.gate.finish();
    let ended = transact.run(parts.room(&script)).await;
    ended.expect("it comes again until it is committed");
    let expected = TransactionReport {
        committed: 1,
        fenced: 1,
        failed: 1,
        refused: 1,
        undelivered: 1,
        // Behind a record that failed, and once fenced.
        renewed: 3,
        rewound: 4,
        open: None,
    };
    assert_eq!(counts.report(script.in_flight.clock().now()), expected);
    assert_eq!(
        (counts.take_commits(), counts.take_commits()),
        (vec![COMMIT], vec![])
    );
}

#[tokio::test(start_paused = true)]
async fn the_open_transaction_has_an_age() {
    let script = Script::new(Steps::default());
    let (parts, mut transact) = (Parts::new(), script.transact());
    let (counts, clock) = (transact.counts(), script.in_flight.clock());
    script.enter(7);
    let open = || counts.report(clock.now()).open;
    {
        let mut running = transact.run(parts.room(&script));
        let half = Duration::from_millis(500);
        timeout(half, &mut running).await.expect_err("it goes on");
        assert_eq!(open(), Some(half));
        timeout(half * 2, &mut running)
            .await
            .expect_err("it goes on");
        assert_eq!((open(), script.committed()), (None, 1));
        script.enter(8);
        timeout(half, &mut running).await.expect_err("it goes on");
        assert!(open().is_some());
    }
    transact.close().await;
    assert_eq!(open(), None, "a run that is dropped");
}

#[tokio::test(start_paused = true)]
async fn transactions_that_fail_again_and_again_are_unhealthy_with_their_cause_and_lines_are_rare()
{
    let (log, _collecting) = Log::collect();
    let script = Script::new(Steps {
        commits: vec![Verdict::Abort; 10_000].into(),
        again: Some(7),
        ..Steps::default()
    });
    let (parts, mut transact) = (Parts::new(), script.transact());
    script.enter(7);
    let mut running = transact.run(parts.room(&script));
    let lasts = Duration::from_secs(600);
    timeout(lasts, &mut running).await.expect_err("it goes on");
    let health = parts.sink.health();
    let Health::Failing {
        operation, cause, ..
    } = health
    else {
        panic!("{health}");
    };
    assert_eq!((operation, &*cause), ("transaction", "closed"));
    let lines = log.lines("transaction on \"topic\" has failed");
    assert!((2..=6).contains(&lines.len()), "{lines:?}");
    script.steps.lock().commits.clear();
    script.gate.finish();
    running.await.expect("committed at last");
    assert!(parts.sink.health().is_healthy());
}

#[tokio::test(start_paused = true)]
async fn the_search_for_a_refused_record_is_logged_once() {
    let (log, _collecting) = Log::collect();
    let script = Script::new(Steps {
        failures: vec![vec![too_large()]; 3].into(),
        again: Some(7),
        ..Steps::default()
    });
    let (parts, mut transact) = (Parts::new(), script.transact());
    script.enter(7);
    script.gate.finish();
    let ended = transact.run(parts.room(&script)).await;
    ended.expect("the record is a letter then");
    let lines = log.lines("brokers refuse a record");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("WARN"), "{lines:?}");
}

/// The end of a run whose first commit fails with this verdict, as the pipeline is stopped, before or after.
async fn end_of(
    verdict: Verdict,
    stops_before: bool,
    then: impl Fn(&Script),
) -> Result<(), String> {
    let script = Script::new(Steps {
        commits: [verdict].into(),
        ..Steps::default()
    });
    let (parts, mut transact) = (Parts::new(), script.transact());
    script.enter(7);
    if stops_before {
        script.gate.finish();
    }
    let stopping = async {
        script.rewound.notified().await;
        then(&script);
        script.gate.finish();
    };
    let (ended, ()) = tokio::join!(transact.run(parts.room(&script)), stopping);
    ended.map_err(|error| {
        assert!(error.is_retryable(), "{error}");
        error.to_string()
    })
}

#[tokio::test(start_paused = true)]
async fn an_abort_at_the_stop_is_an_error_whenever_its_records_do_not_come_again() {
    let unpublished = "topic: offsets not committed: what was made of records up to p-0@7, is not published: its transaction \
         was aborted as the pipeline ended, and the next run is given them: closed";
    for stops_before in [false, true] {
        let lost = end_of(Verdict::Abort, stops_before, |_| ()).await;
        assert_eq!(lost, Err(unpublished.to_owned()), "{stops_before}");
    }
    // The commit's answer was lost, and it was carried out all the same: the source goes on behind it.
    let published = end_of(Verdict::Renew, false, |script| script.advance(8));
    assert_eq!(published.await, Ok(()));
    let at_it = end_of(Verdict::Renew, false, |script| script.advance(7));
    assert_eq!(at_it.await, Err(unpublished.to_owned()));
    let gone = end_of(Verdict::Abort, false, |script| {
        script.gate.leaving(&"p-0".into());
    });
    assert_eq!(gone.await, Ok(()), "it is another member's");
    let again = end_of(Verdict::Abort, false, |script| script.enter(7));
    assert_eq!(again.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn positions_that_move_without_a_record_are_committed_but_rarely() {
    let script = Script::new(Steps::default());
    script.advance(5);
    // As when a partition is opened.
    script.gate.hurry();
    let (parts, mut transact) = (Parts::new(), script.transact());
    let mut running = transact.run(parts.room(&script));
    let mut commits_by = async |seconds: u64| {
        let time = Duration::from_secs(seconds);
        timeout(time, &mut running).await.expect_err("it goes on");
        script.committed()
    };
    assert_eq!(commits_by(1).await, 1, "of its opening");
    assert_eq!(commits_by(60).await, 1, "nothing has moved");
    script.advance(9);
    assert_eq!(commits_by(6).await, 2);
    assert_eq!(commits_by(60).await, 2, "once");
    for marker in 0..60 {
        script.advance(10 + marker);
        commits_by(1).await;
    }
    let of_markers = commits_by(10).await - 2;
    assert!((9..=13).contains(&of_markers), "{of_markers} of 60");
    // A record's own transaction leaves nothing to commit.
    script.enter(100);
    let before = commits_by(2).await;
    script.advance(101);
    assert_eq!(commits_by(60).await, before);
}

#[tokio::test(start_paused = true)]
async fn a_position_that_was_in_no_commit_is_committed_by_itself_and_before_the_end() {
    let script = Script::new(Steps::default());
    script.advance(5);
    let (parts, mut transact) = (Parts::new(), script.transact());
    let mut running = transact.run(parts.room(&script));
    let waited = timeout(Duration::from_secs(6), &mut running).await;
    waited.expect_err("it goes on");
    assert_eq!(script.committed(), 1, "although nothing asked for it");
    // As when a partition is opened right before a stop.
    script.gate.hurry();
    script.gate.finish();
    running.await.expect("nothing fails");
    assert_eq!(script.committed(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_commit_without_partitions_is_no_transaction() {
    let script = Script::new(Steps::default());
    let (parts, mut transact) = (Parts::new(), script.transact());
    let counts = transact.counts();
    // As when the only partition has gone.
    script.gate.hurry();
    let mut running = transact.run(parts.room(&script));
    let mut commits_by = async |seconds: u64| {
        let time = Duration::from_secs(seconds);
        timeout(time, &mut running).await.expect_err("it goes on");
        script.committed()
    };
    assert_eq!(commits_by(60).await, 0);
    script.advance(5);
    assert_eq!(commits_by(6).await, 1, "once there is one");
    assert!(parts.sink.health().is_healthy());
    drop(running);
    let report = counts.report(script.in_flight.clock().now());
    assert_eq!((report.aborted(), report.committed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn records_of_a_partition_that_went_with_its_transaction_are_its_next_readers() {
    let script = Script::new(Steps {
        commits: [Verdict::Abort].into(),
        ..Steps::default()
    });
    let (parts, mut transact) = (Parts::new(), script.transact());
    // The word of its leaving was taken by the transaction before.
    script.enter_of(7, true);
    let stopping = async {
        script.rewound.notified().await;
        script.gate.finish();
    };
    let (ended, ()) = tokio::join!(transact.run(parts.room(&script)), stopping);
    ended.expect("they are given to another member");
}

/// Runs a pipeline of three records whose first commits fail with these verdicts.
async fn run_a_pipeline(commits: &[Verdict]) -> Result<Option<TransactionReport>, String> {
    let script = Script::new(Steps {
        commits: commits.iter().copied().collect(),
        ..Steps::default()
    });
    let output = KafkaRecords::new(|number: &i32| {
        Ok::<_, String>(Some(ProducerRecord::new("out", number.to_string())))
    });
    let way = Way::Gate(Arc::clone(&script.gate));
    let sink = TransactionalSink::new(output, way);
    let pipeline = Pipeline::from(IterSource::new(0..3));
    let mut job = pipeline.end_in(Operator::new("sink", "sink"), sink);
    job.driver = Some(Box::new(script.transact()));
    let report = job.run().await.map_err(|error| error.to_string())?;
    assert_eq!(report.acknowledged, 3);
    Ok(report.transactions)
}

#[test]
fn a_pipelines_transactions_are_in_its_report_and_its_metrics() {
    let (recorded, ()) = Recorded::of(async |_| {
        let failed = run_a_pipeline(&[Verdict::Abort]).await;
        failed.expect_err("a source that gives nothing again");
        let transactions = run_a_pipeline(&[]).await.expect("committed");
        assert_eq!(
            transactions.map(|of| (of.committed, of.aborted())),
            Some((1, 0))
        );
    });
    let count = |name: &str| recorded.count(&format!("pipeline_{name}"));
    assert_eq!(count("transactions_committed_total{pipeline}"), Some(1));
    assert_eq!(
        count("transactions_aborted_total{pipeline,failed}"),
        Some(1)
    );
    assert_eq!(
        count("transactions_aborted_total{pipeline,fenced}"),
        Some(0)
    );
    assert_eq!(count("producers_renewed_total{pipeline}"), Some(0));
    assert_eq!(count("rewinds_total{pipeline}"), Some(1));
    assert_eq!(recorded.values("pipeline_commit_seconds{pipeline}"), [300]);
    assert_eq!(
        recorded.gauge("pipeline_transaction_age_seconds{pipeline}"),
        Some(0)
    );
    let described = recorded.described();
    for name in [
        "transactions_committed_total",
        "transactions_aborted_total",
        "producers_renewed_total",
        "rewinds_total",
        "commit_seconds",
        "transaction_age_seconds",
    ] {
        let name = format!("pipeline_{name}");
        assert!(described.contains(&name), "{name}");
    }
}
