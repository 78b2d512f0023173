//! The cause of an end is the error of the branch that failed, whatever the other branch does at the time.

use std::time::Duration;

use dynamodb_connector::pipeline::{
    Delivery, EndpointError, Pipeline, PipelineError, PipelineSettings, Sink,
};

use super::parts::{Holding, Log, Script};

/// Drops what it takes, and gives the reason by its next flush, once.
struct Outage(Option<&'static str>);

impl Sink<u32> for Outage {
    async fn write(&mut self, _: u32, delivery: Delivery) -> Result<(), EndpointError> {
        self.0 = Some("the topic is missing");
        drop(delivery);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        self.0.take().map_or(Ok(()), |reason| Err(reason.into()))
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_flush_is_the_cause_though_the_other_branch_never_ends_its_own() {
    for outage_first in [true, false] {
        let log = Log::default();
        let mut hangs = Holding::new(&Log::default());
        hangs.flush_hangs = true;
        let settings = PipelineSettings::default().stop_timeout(Duration::from_secs(10));
        let (outage, hangs) = (Outage(None).boxed(), hangs.boxed());
        let pipeline = Pipeline::from(Script::new([vec![1, 2]], &log).endless()).settings(settings);
        let job = match outage_first {
            true => pipeline
                .tee(
                    |every| every.to_named("topic", outage),
                    |every| every.to_named("table", hangs),
                )
                .boxed(),
            false => pipeline
                .tee(
                    |every| every.to_named("table", hangs),
                    |every| every.to_named("topic", outage),
                )
                .boxed(),
        };
        let error = job.run().await.unwrap_err();
        assert!(matches!(error, PipelineError::Sink { .. }), "{error}");
        assert_eq!(error.to_string(), "topic: the topic is missing");
        assert_eq!(
            (log.of("done").len(), log.of("source closed").len()),
            (0, 1)
        );
    }
}
