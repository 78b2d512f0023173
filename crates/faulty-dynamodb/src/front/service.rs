//! One request from its arrival to its answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value as Json;

use super::clock::Clock;
use super::flight::Flight;
use crate::faults::effects::{Delivery, Script};
use crate::faults::plan::FaultPlan;
use crate::item::error::Refusal;
use crate::journal::{Journal, RequestOutcome};
use crate::store::execution::Store;

/// Bytes a request's body may have; DynamoDB says 16 MB and counts them on the wire.
pub(crate) const MAX_BODY_BYTES: usize = 16_777_216;

/// A request as it comes from the wire.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer as it goes to the wire.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    pub(crate) date: String,
    pub(crate) request_id: String,
    /// The checksum of the whole body, also where only a part of it is sent.
    pub(crate) checksum: u32,
    pub(crate) error_code: Option<String>,
    /// Writes handed back, by the table's name.
    pub(crate) unprocessed: Vec<(String, usize)>,
    /// The answer refuses for want of capacity.
    pub(crate) throttled: bool,
}

/// The result that the sender gets.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Whole(Answer),
    /// Only the first half of the body arrives.
    Truncated(Answer),
    Closed,
}

/// The service behind every handle, client and server.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    pub(crate) script: Script,
    pub(crate) plan: Option<FaultPlan>,
    pub(crate) tolerance: Option<Duration>,
    pub(crate) next_request: u64,
}

impl Service {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::start(),
            state: Mutex::new(State {
                store: Store::default(),
                journal: Journal::new(),
                script: Script::default(),
                plan: None,
                tolerance: None,
                next_request: 0,
            }),
        }
    }

    /// The state. A predicate of a test may have panicked while it was held; every change to the
    /// state is complete at any such point, so it is used on.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request. When the returned future is dropped, the request is given up.
    pub(crate) async fn serve(self: Arc<Self>, incoming: Incoming) -> Outgoing {
        let arrived = self.clock.elapsed();
        let mut flight = Flight::begin(&self, incoming);
        let effects = std::mem::take(&mut flight.effects);
        let answer = if let Some(late) = effects.late {
            flight
                .carry_out_detached(effects.before + late, effects.leave.clone())
                .await
        } else {
            self.pause(arrived, effects.before).await;
            flight.carry_out(&effects)
        };
        let slept = effects.before + effects.late.unwrap_or_default();
        self.pause(arrived + slept, effects.after).await;
        match effects.delivery {
            Delivery::Whole => {}
            Delivery::Close => {
                flight.end(RequestOutcome::Closed, None);
                return Outgoing::Closed;
            }
            Delivery::Never => std::future::pending().await,
            Delivery::Truncated => {
                flight.end(RequestOutcome::Answered(answer.status), Some(&answer));
                return Outgoing::Truncated(answer);
            }
            Delivery::Garbage => {
                let body = Bytes::from_static(b"\x1f\x8b{\"Unproc<<garbage>>");
                let checksum = crc32fast::hash(&body);
                let answer = Answer {
                    body,
                    checksum,
                    ..answer
                };
                flight.end(RequestOutcome::Answered(answer.status), Some(&answer));
                return Outgoing::Whole(answer);
            }
            Delivery::Bare(status, text) => {
                let body = Bytes::from_static(text.as_bytes());
                let checksum = crc32fast::hash(&body);
                let content_type = if text.starts_with('<') {
                    "text/html"
                } else {
                    "application/x-amz-json-1.0"
                };
                let answer = Answer {
                    status,
                    content_type,
                    body,
                    checksum,
                    ..answer
                };
                flight.end(RequestOutcome::Answered(status), Some(&answer));
                return Outgoing::Whole(answer);
            }
        }
        flight.end(RequestOutcome::Answered(answer.status), Some(&answer));
        Outgoing::Whole(answer)
    }

    pub(crate) fn answer(&self, number: u64, status: u16, body: Option<&Json>) -> Answer {
        let body = body.map_or_else(Bytes::new, |json| Bytes::from(json.to_string()));
        self.answer_worded(number, status, body)
    }

    /// An answer whose body is worded already.
    pub(crate) fn answer_worded(&self, number: u64, status: u16, body: Bytes) -> Answer {
        Answer {
            status,
            content_type: "application/x-amz-json-1.0",
            checksum: crc32fast::hash(&body),
            body,
            date: self.clock.http_date(),
            request_id: format!("FAULTY{number:046}"),
            error_code: None,
            unprocessed: Vec::new(),
            throttled: false,
        }
    }

    /// Waits for a time that began at another one: tokio rounds every wait up to a millisecond, and
    /// two of them that are counted on from each other would add up.
    async fn pause(&self, from: Duration, time: Duration) {
        if !time.is_zero() {
            tokio::time::sleep_until(self.clock.instant(from + time)).await;
        }
    }

    pub(crate) fn refuse(&self, number: u64, refusal: &Refusal) -> Answer {
        let mut answer = self.answer(number, refusal.status, Some(&refusal.body()));
        answer.error_code = Some(refusal.code.clone());
        answer.throttled = refusal.is_throttling();
        answer
    }
}
