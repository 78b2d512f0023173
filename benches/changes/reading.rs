//! A source at work, as an application has it: changes of a type, given to a handler.

use std::future::ready;

use dynamodb_connector::streams::{Batch, BatchError, StreamsControl, StreamsError, StreamsSource};
use tokio::task::JoinHandle;

use super::decision::Decision;
use crate::rig::Failure;

pub(crate) struct Reading {
    running: JoinHandle<Result<(), StreamsError>>,
    control: StreamsControl,
}

impl Reading {
    pub(crate) fn begin(
        source: StreamsSource,
        handler: impl Fn(&Batch<Decision>) + Send + Sync + 'static,
    ) -> Self {
        let control = source.control();
        let running = tokio::spawn(source.run(move |batch: Batch<Decision>| {
            handler(&batch);
            ready(Ok::<(), BatchError>(()))
        }));
        Self { running, control }
    }

    pub(crate) fn control(&self) -> &StreamsControl {
        &self.control
    }

    /// Does what is to be done while the source reads; fails where that ends early.
    pub(crate) async fn during<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            ended = &mut self.running => Err(match ended {
                Ok(Ok(())) => "the source ended early".into(),
                Ok(Err(error)) => error.into(),
                Err(error) => error.into(),
            }),
            done = work => done,
        }
    }

    /// Stops it, and waits until its leases are given up.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        self.control.stop();
        Ok((&mut self.running).await??)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // Where something failed: nobody waits for it any more.
        self.running.abort();
    }
}
