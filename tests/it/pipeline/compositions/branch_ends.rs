//! The end of a run while one branch hangs: within its bound, and nothing is acknowledged that only one branch has.

use std::time::Duration;

use dynamodb_connector::pipeline::{
    Delivery, EndpointError, Pipeline, PipelineError, PipelineSettings, Sink,
};
use tokio::time::{Instant, sleep};

use super::parts::{Holding, Log, Script};

const SECOND: Duration = Duration::from_secs(1);

/// Writes at once, and notes it.
struct Quick(Log);

impl Sink<u32> for Quick {
    async fn write(&mut self, value: u32, delivery: Delivery) -> Result<(), EndpointError> {
        self.0.add(format!("wrote {value}"));
        delivery.done();
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        self.0.add("flush");
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
        self.0.add("sink closed");
        Ok(())
    }
}

/// A run of three records, of whose branches one operator waits from 2 on for ever, or whose second sink never ends a flush.
async fn hanging(
    in_sink: bool,
    abort_after: Option<Duration>,
) -> (PipelineError, Duration, Log, Log) {
    let (source, quick) = (Log::default(), Log::default());
    let mut hangs = Holding::new(&Log::default());
    hangs.flush_hangs = true;
    let settings = PipelineSettings::default().stop_timeout(10 * SECOND);
    let job = Pipeline::from(Script::new([vec![1, 2, 3]], &source).endless())
        .settings(settings)
        .tee(
            |every| every.to_named("quick", Quick(quick.clone())),
            |every| {
                every
                    .map_async(move |n| async move {
                        if n > 1 && !in_sink {
                            std::future::pending::<()>().await;
                        }
                        Ok::<_, String>(n)
                    })
                    .timeout(1_000 * SECOND)
                    .to_named("hangs", hangs)
            },
        );
    let abort = async {
        match abort_after {
            Some(after) => sleep(SECOND + after).await,
            None => std::future::pending().await,
        }
    };
    let started = Instant::now();
    let error = job
        .run_until_or_abort(sleep(SECOND), abort)
        .await
        .unwrap_err();
    let took = started.elapsed().checked_sub(SECOND).unwrap();
    (error, took, source, quick)
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_within_its_bound_and_an_abort_cuts_it() {
    for in_sink in [false, true] {
        let (error, took, source, quick) = hanging(in_sink, None).await;
        assert!(
            matches!(error, PipelineError::DrainTimeout { in_flight: 3, .. }),
            "{error}"
        );
        assert!(took <= 10 * SECOND, "{took:?}");
        assert_eq!(source.of("done"), Vec::<String>::new(), "{in_sink}");
        assert_eq!(source.of("source closed").len(), 1);
        assert_eq!(quick.of("wrote").len(), 3, "the other branch goes on");

        let (error, took, source, _) = hanging(in_sink, Some(SECOND)).await;
        assert!(
            matches!(error, PipelineError::Aborted { in_flight: 3, .. }),
            "{error}"
        );
        assert!(took <= 2 * SECOND, "{took:?}");
        assert_eq!(source.of("done"), Vec::<String>::new());
        assert_eq!(source.of("source closed").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_both_branches() {
    let logs = [Log::default(), Log::default(), Log::default()];
    let [source, first, second] = &logs;
    let job = Pipeline::from(Script::new([vec![1, 2, 3]], source).endless()).tee(
        |every| every.to_named("first", Holding::new(first)),
        |every| {
            every
                .map_async(|n| async move {
                    sleep(3 * SECOND).await;
                    Ok::<_, String>(n)
                })
                .to_named("second", Holding::new(second))
        },
    );
    let report = job.run_until(sleep(SECOND)).await.unwrap();
    assert_eq!(report.acknowledged, 3);
    for log in [first, second] {
        assert_eq!(
            log.all(),
            ["wrote 1", "wrote 2", "wrote 3", "flush", "sink closed"]
        );
    }
    assert_eq!(source.of("dropped"), Vec::<String>::new());
}
