//! A source and a sink that do as a test tells them.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dynamodb_connector::pipeline::{
    Delivery, EndpointError, NextEvent, Position, Sink, Source, SourceEvent, SourceRecord,
};
use dynamodb_connector::{Ack, Acknowledge};
use tokio::sync::Notify;

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>, Arc<AtomicBool>);

impl Log {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().push(what.into());
    }

    /// From now on no record that was given is the source's any more.
    pub(crate) fn revoke(&self) {
        self.1.store(true, Ordering::SeqCst);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    pub(crate) fn of(&self, prefix: &str) -> Vec<String> {
        let mut all = self.all();
        all.retain(|what| what.starts_with(prefix));
        all
    }
}

/// Gives batches as scripted, then waits for ever or ends.
pub(crate) struct Script {
    pub(crate) batches: VecDeque<Result<Vec<u32>, &'static str>>,
    pub(crate) ends: bool,
    pub(crate) close_hangs: bool,
    pub(crate) log: Log,
    given: u64,
}

impl Script {
    pub(crate) fn new(batches: impl IntoIterator<Item = Vec<u32>>, log: &Log) -> Self {
        Self {
            batches: batches.into_iter().map(Ok).collect(),
            ends: true,
            close_hangs: false,
            log: log.clone(),
            given: 0,
        }
    }

    pub(crate) fn endless(mut self) -> Self {
        self.ends = false;
        self
    }

    pub(crate) fn then_fails(mut self, with: &'static str) -> Self {
        self.batches.push_back(Err(with));
        self
    }
}

impl Acknowledge for Log {
    fn done(&self, number: u64) {
        self.add(format!("done {number}"));
    }

    fn dropped(&self, number: u64) {
        self.add(format!("dropped {number}"));
    }

    fn is_current(&self, _: u64) -> bool {
        !self.1.load(Ordering::SeqCst)
    }
}

impl Source for Script {
    type Item = u32;

    async fn next_event(&mut self) -> NextEvent<u32> {
        match self.batches.pop_front() {
            Some(Ok(batch)) => {
                let lane: Arc<str> = "lane".into();
                let log: Arc<dyn Acknowledge> = Arc::new(self.log.clone());
                let first = self.given;
                self.given += batch.len() as u64;
                let records = batch
                    .into_iter()
                    .zip(first..)
                    .map(|(value, number)| SourceRecord {
                        value,
                        position: Position::number(lane.clone(), number),
                        ack: Ack::new(log.clone(), number),
                        bytes: 100,
                    });
                let records: Vec<_> = records.collect();
                self.log.add(format!("given {}", records.len()));
                Some(Ok(SourceEvent::Records(records)))
            }
            Some(Err(error)) => Some(Err(EndpointError::new(error).retryable(true))),
            None if self.ends => None,
            None => std::future::pending().await,
        }
    }

    fn stop(&mut self) {
        self.log.add("source stopped");
    }

    async fn close(self) -> Result<(), EndpointError> {
        if self.close_hangs {
            self.log.add("source closing");
            std::future::pending::<()>().await;
        }
        self.log.add("source closed");
        Ok(())
    }
}

/// Holds values until it is flushed or told; fails where told.
pub(crate) struct Holding {
    pub(crate) log: Log,
    pub(crate) held: Arc<Mutex<VecDeque<(u32, Delivery)>>>,
    pub(crate) fails_at: Option<u32>,
    pub(crate) flush_hangs: bool,
    pub(crate) close_hangs: bool,
    /// Where given, each write waits for a permit.
    pub(crate) permits: Option<Arc<tokio::sync::Semaphore>>,
    pub(crate) wrote: Arc<Notify>,
}

impl Holding {
    pub(crate) fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            held: Arc::default(),
            fails_at: None,
            flush_hangs: false,
            close_hangs: false,
            permits: None,
            wrote: Arc::default(),
        }
    }
}

impl Sink<u32> for Holding {
    async fn write(&mut self, value: u32, delivery: Delivery) -> Result<(), EndpointError> {
        if let Some(permits) = &self.permits {
            permits.acquire().await.unwrap().forget();
        }
        if self.fails_at == Some(value) {
            return Err(EndpointError::new("the sink is broken"));
        }
        self.log.add(format!("wrote {value}"));
        self.held.lock().push_back((value, delivery));
        self.wrote.notify_one();
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        self.log.add("flush");
        if self.flush_hangs {
            std::future::pending::<()>().await;
        }
        let held = std::mem::take(&mut *self.held.lock());
        for (_, delivery) in held {
            delivery.done();
        }
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
        if self.close_hangs {
            std::future::pending::<()>().await;
        }
        self.log.add("sink closed");
        Ok(())
    }
}
