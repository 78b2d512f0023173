//! A record, and what becomes of it.

use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tokio::sync::mpsc;

use crate::rig::{Failure, clock};

/// A record to write. Two of the same key differ, for an unchanged item costs its indexes nothing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    pub(crate) pk: String,
    pub(crate) sk: u32,
    /// The index's key, so that those without it are not in the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    pub(crate) body: String,
    /// Its place in [`MIXED`](crate::load::MIXED).
    #[serde(skip)]
    pub(crate) size: u8,
}

/// The results of one class's records in one client.
pub(crate) struct Log {
    started: Instant,
    /// The sizes in the order of acceptance.
    accepted: Mutex<Vec<u8>>,
    written: Mutex<Vec<Written>>,
    failed: mpsc::UnboundedSender<Failure>,
}

/// A record that was acknowledged. Seconds, the first from the scenario's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) at: f32,
    pub(crate) from_accepted: f32,
    /// Not a number where nothing was due at a time.
    pub(crate) from_due: f32,
    pub(crate) size: u8,
}

/// The part of a record that a client keeps until it is acknowledged.
pub(crate) struct Ticket {
    log: Arc<Log>,
    due: Option<Instant>,
    accepted: Instant,
    size: u8,
}

impl Log {
    pub(crate) fn new(started: Instant, failed: mpsc::UnboundedSender<Failure>) -> Arc<Self> {
        Arc::new(Self {
            started,
            accepted: Mutex::default(),
            written: Mutex::default(),
            failed,
        })
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Returns the ticket of a record that is offered now.
    pub(crate) fn ticket(self: &Arc<Self>, record: &Record, due: Option<Instant>) -> Ticket {
        Ticket {
            log: Arc::clone(self),
            due,
            accepted: clock::instant(),
            size: record.size,
        }
    }

    pub(crate) fn accepted(&self) -> MutexGuard<'_, Vec<u8>> {
        self.accepted.lock()
    }

    pub(crate) fn written(&self) -> MutexGuard<'_, Vec<Written>> {
        self.written.lock()
    }
}

impl Ticket {
    /// The client has taken the record: a submitter may go on.
    pub(crate) fn accepted(mut self) -> Self {
        self.accepted = clock::instant();
        self.log.accepted().push(self.size);
        self
    }

    pub(crate) fn written(self) {
        let now = clock::instant();
        let since = |then: Instant| now.saturating_duration_since(then).as_secs_f32();
        let written = Written {
            at: since(self.log.started),
            from_accepted: since(self.accepted),
            from_due: self.due.map_or(f32::NAN, since),
            size: self.size,
        };
        self.log.written().push(written);
    }

    /// The record can't be written at all, which ends the benchmark.
    pub(crate) fn failed(&self, failure: Failure) {
        // The receiver is gone where the scenario has ended.
        drop(self.log.failed.send(failure));
    }
}
