//! When an answer is due: so long after its request, and so long after the answer before.
//!
//! A thread of its own sleeps, since tokio's timer knows whole milliseconds only. What is asked
//! for is the same delay for all, so answers are due in the order of their requests.

use std::cell::Cell;
use std::sync::mpsc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Serving;
use crate::rig::clock;

pub(super) struct Pace {
    serving: Serving,
    last_due: Cell<Option<Instant>>,
    sleeper: mpsc::Sender<(Instant, oneshot::Sender<()>)>,
}

impl Pace {
    pub(super) fn new(serving: Serving) -> Self {
        let (sleeper, alarms) = mpsc::channel::<(Instant, oneshot::Sender<()>)>();
        std::thread::spawn(move || {
            for (due, ring) in alarms {
                clock::sleep_until(due);
                // A connection that went away needs no answer.
                let _ = ring.send(());
            }
        });
        Self {
            serving,
            last_due: Cell::new(None),
            sleeper,
        }
    }

    /// Waits until a request that has `arrived` may be answered.
    pub(super) async fn due(&self, arrived: Instant) {
        let Serving {
            delay, interval, ..
        } = self.serving;
        if delay.is_zero() && interval.is_zero() {
            return;
        }
        let mut due = arrived + delay;
        if let Some(last) = self.last_due.get() {
            due = due.max(last + interval);
        }
        self.last_due.set(Some(due));
        let (ring, alarm) = oneshot::channel();
        if self.sleeper.send((due, ring)).is_ok() {
            // The thread lives as long as this end of its channel.
            let _ = alarm.await;
        }
    }
}
