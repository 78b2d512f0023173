//! A source of any events and a sink that refuses, as a test says.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::pipeline::{
    Delivery, EndpointError, LagProbe, NextEvent, PipelineReport, Position, Sink, Source,
    SourceEvent, SourceLag, SourceRecord,
};
use dynamodb_connector::{Ack, Acknowledge, PartitionGuard};
use tokio::time::Instant;

pub(super) use super::super::parts::{Holding, Log, Script};

/// An event of a [`Scripted`] source.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Records(&'static str, &'static [u32]),
    Opened(&'static str),
    Closing(&'static str),
    Lost(&'static str),
    Fails(&'static str),
    Waits(Duration),
}

/// Gives what its script says, and notes each call after its end.
pub(super) struct Scripted {
    steps: VecDeque<Step>,
    /// The events that it gives by `next_closing`, one each.
    closings: VecDeque<Step>,
    ends: bool,
    has_ended: bool,
    lag: Option<Arc<Mutex<Option<SourceLag>>>>,
    log: Log,
    given: u64,
    until: Option<Instant>,
}

/// Waits where its script says so, also over several calls of which all but the last are dropped.
async fn wait(steps: &mut VecDeque<Step>, until: &mut Option<Instant>) {
    while let Some(Step::Waits(time)) = steps.front() {
        tokio::time::sleep_until(*until.get_or_insert(Instant::now() + *time)).await;
        (*until, _) = (None, steps.pop_front());
    }
}

impl Scripted {
    pub(super) fn new(steps: impl IntoIterator<Item = Step>, log: &Log) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            closings: VecDeque::new(),
            ends: true,
            has_ended: false,
            lag: None,
            log: log.clone(),
            given: 0,
            until: None,
        }
    }

    pub(super) fn endless(mut self) -> Self {
        self.ends = false;
        self
    }

    pub(super) fn closings(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.closings = steps.into_iter().collect();
        self
    }

    pub(super) fn lag(mut self, lag: &Arc<Mutex<Option<SourceLag>>>) -> Self {
        self.lag = Some(Arc::clone(lag));
        self
    }

    fn event(&mut self, step: Step) -> NextEvent<u32> {
        Some(Ok(match step {
            Step::Records(partition, values) => {
                let acks: Arc<dyn Acknowledge> = Arc::new(self.log.clone());
                let records = values.iter().map(|value| {
                    self.given += 1;
                    SourceRecord {
                        value: *value,
                        position: Position::number(partition.into(), self.given - 1),
                        ack: Ack::new(Arc::clone(&acks), self.given - 1),
                        bytes: 1,
                    }
                });
                SourceEvent::Records(records.collect())
            }
            Step::Opened(partition) => SourceEvent::Opened(partition.into()),
            Step::Closing(partition) => {
                self.log.add(format!("closing {partition}"));
                let log = self.log.clone();
                let guard = PartitionGuard::new(move || log.add(format!("released {partition}")));
                SourceEvent::Closing(partition.into(), guard)
            }
            Step::Lost(partition) => {
                self.log.revoke();
                SourceEvent::Lost(partition.into())
            }
            Step::Fails(error) => return Some(Err(error.into())),
            Step::Waits(_) => return None,
        }))
    }
}

impl Source for Scripted {
    type Item = u32;

    async fn next_event(&mut self) -> NextEvent<u32> {
        if self.has_ended {
            self.log.add("asked after its end");
        }
        wait(&mut self.steps, &mut self.until).await;
        match self.steps.pop_front() {
            Some(step) => self.event(step),
            None if self.ends => {
                self.has_ended = true;
                None
            }
            None => std::future::pending().await,
        }
    }

    async fn next_closing(&mut self) -> SourceEvent<u32> {
        if self.has_ended {
            self.log.add("asked after its end");
        }
        wait(&mut self.closings, &mut self.until).await;
        let step = self.closings.pop_front();
        match step.and_then(|step| self.event(step)) {
            Some(Ok(event)) => event,
            _ => std::future::pending().await,
        }
    }

    fn lag(&self) -> Option<LagProbe> {
        let lag = Arc::clone(self.lag.as_ref()?);
        Some(LagProbe::new(move || std::future::ready(*lag.lock())))
    }

    fn stop(&mut self) {
        self.log.add("source stopped");
    }

    async fn close(self) -> Result<(), EndpointError> {
        self.log.add("source closed");
        Ok(())
    }
}

/// Keeps the values that it takes, and rejects those that it does not like.
pub(super) struct Picky<T> {
    pub(super) taken: Arc<Mutex<Vec<T>>>,
    rejects: fn(&T) -> bool,
    reason: &'static str,
}

impl<T> Picky<T> {
    pub(super) fn new(reason: &'static str, rejects: fn(&T) -> bool) -> Self {
        Self {
            taken: Arc::default(),
            rejects,
            reason,
        }
    }
}

impl<T: Send + 'static> Sink<T> for Picky<T> {
    async fn write(&mut self, value: T, delivery: Delivery) -> Result<(), EndpointError> {
        if (self.rejects)(&value) {
            delivery.reject(self.reason);
        } else {
            self.taken.lock().push(value);
            delivery.done();
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

/// The names of all operators, in their order. Fails where two have one.
pub(super) fn names(report: &PipelineReport) -> Vec<String> {
    let names: Vec<String> = report
        .operators
        .iter()
        .map(|at| at.name.to_string())
        .collect();
    let mut distinct = names.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
    names
}

/// The texts of a log, in alphabetical order.
pub(super) fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}
