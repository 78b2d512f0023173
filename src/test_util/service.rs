//! One request from its arrival to its answer: checks, faults, execution, journal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value as Json;

use super::clock::Clock;
use super::error::Refusal;
use super::fault::{Delivery, Effects, Script};
use super::journal::{AppliedWrite, Journal, RequestOutcome, RequestRecord};
use super::operation::Operation;
use super::plan::FaultPlan;
use super::request::Targets;
use super::store::{Context, Done, Store};

/// Bytes a request's body may have; DynamoDB says 16 MB and counts them on the wire.
pub(super) const MAX_BODY_BYTES: usize = 16_777_216;

/// A request as it comes from the wire.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer as it goes to the wire.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
    pub(super) date: String,
    pub(super) request_id: String,
    /// The checksum of the whole body, also where only a part of it is sent.
    pub(super) checksum: u32,
    error_code: Option<String>,
    unprocessed: usize,
}

/// What the sender gets.
#[derive(Debug)]
pub(super) enum Outgoing {
    Whole(Answer),
    /// Only the first half of the body arrives.
    Truncated(Answer),
    Closed,
}

/// The service behind every handle, client and server.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) journal: Journal,
    pub(super) script: Script,
    pub(super) plan: Option<FaultPlan>,
    pub(super) tolerance: Option<Duration>,
    next_request: u64,
}

impl Service {
    pub(super) fn new() -> Self {
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
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request. When the returned future is dropped, the request is given up.
    pub(super) async fn serve(self: Arc<Self>, incoming: Incoming) -> Outgoing {
        let mut flight = Flight::begin(&self, incoming);
        let effects = std::mem::take(&mut flight.effects);
        let answer = if let Some(late) = effects.late {
            flight.carry_out_detached(late).await
        } else {
            pause(effects.before).await;
            flight.carry_out(&effects)
        };
        pause(effects.after).await;
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

    fn answer(&self, number: u64, status: u16, body: Option<&Json>) -> Answer {
        let body = body.map_or_else(Bytes::new, |json| Bytes::from(json.to_string()));
        let unprocessed = 0;
        Answer {
            status,
            content_type: "application/x-amz-json-1.0",
            checksum: crc32fast::hash(&body),
            body,
            date: self.clock.http_date(),
            request_id: format!("FAULTY{number:046}"),
            error_code: None,
            unprocessed,
        }
    }

    fn refuse(&self, number: u64, refusal: &Refusal) -> Answer {
        let mut answer = self.answer(number, refusal.status, Some(&refusal.body()));
        answer.error_code = Some(refusal.code.clone());
        answer
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// A request under way. Dropped before its end it counts as given up by its sender.
struct Flight {
    service: Arc<Service>,
    number: u64,
    target: Option<String>,
    operation: Option<Operation>,
    body: Arc<Parsed>,
    effects: Effects,
    rng: fastrand::Rng,
    ended: bool,
}

/// A body read once, for the journal and for the execution.
#[derive(Debug)]
enum Parsed {
    Json(Json),
    Refused(Refusal),
    TooLarge,
}

impl Flight {
    fn begin(service: &Arc<Service>, incoming: Incoming) -> Self {
        let header = |name: &str| {
            incoming
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let target = header("x-amz-target").map(str::to_owned);
        let operation = target.as_deref().and_then(Operation::from_target);
        let tolerance = service.state().tolerance;
        // Read before the state is locked: a body may have 16 MB.
        let body = if incoming.body.len() > MAX_BODY_BYTES {
            Parsed::TooLarge
        } else if let Err(refusal) = check_headers(&incoming, &service.clock, tolerance) {
            Parsed::Refused(refusal)
        } else {
            match serde_json::from_slice(&incoming.body) {
                Ok(json) => Parsed::Json(json),
                Err(error) => Parsed::Refused(Refusal::serialization(error.to_string())),
            }
        };
        let state = &mut *service.state();
        let targets = match &body {
            Parsed::Json(json) => Targets::read(json, &state.store.tables),
            Parsed::Refused(_) | Parsed::TooLarge => Targets::default(),
        };
        state.next_request += 1;
        let number = state.next_request;
        let seed = state.plan.as_ref().map_or(0, FaultPlan::seed);
        let mut rng = FaultPlan::rng(seed, number);
        let effects = operation
            .and_then(|operation| {
                let scripted = state.script.strike(operation, &targets);
                scripted.or_else(|| Some(state.plan.as_ref()?.roll(operation, &mut rng)))
            })
            .unwrap_or_default();
        state.journal.arrived(
            RequestRecord {
                number,
                operation,
                tables: targets.tables.clone(),
                items: targets.count,
                body_bytes: incoming.body.len(),
                headers: incoming.headers,
                received: service.clock.elapsed(),
                ended: None,
                outcome: RequestOutcome::Pending,
                error_code: None,
                fault: effects.name,
                applied: 0,
                unprocessed: 0,
            },
            &targets,
        );
        let service = Arc::clone(service);
        let body = Arc::new(body);
        Self {
            service,
            number,
            target,
            operation,
            body,
            effects,
            rng,
            ended: false,
        }
    }

    /// Applies the request, unless a fault prevents it, and words the answer.
    fn carry_out(&mut self, effects: &Effects) -> Answer {
        let refused = effects.refuse.is_some() || effects.delivery != Delivery::Whole;
        let answer = if !refused || effects.applies {
            self.execute(effects)
        } else {
            self.service.answer(self.number, 200, None)
        };
        match &effects.refuse {
            Some(refusal) => self.service.refuse(self.number, refusal),
            None => answer,
        }
    }

    /// Applies the request after some time, on a task that outlives the sender.
    async fn carry_out_detached(&mut self, late: Duration) -> Answer {
        let mut detached = Self {
            service: Arc::clone(&self.service),
            number: self.number,
            target: self.target.clone(),
            operation: self.operation,
            body: Arc::clone(&self.body),
            effects: Effects::default(),
            rng: self.rng.clone(),
            // The journal follows the sender, not this task.
            ended: true,
        };
        let task = tokio::spawn(async move {
            tokio::time::sleep(late).await;
            detached.execute(&Effects::default())
        });
        match task.await {
            Ok(answer) => answer,
            // The runtime is shutting down: nobody waits for this answer.
            Err(_) => std::future::pending().await,
        }
    }

    fn execute(&mut self, effects: &Effects) -> Answer {
        let json = match &*self.body {
            Parsed::Json(json) => json,
            Parsed::Refused(refusal) => return self.service.refuse(self.number, refusal),
            Parsed::TooLarge => {
                return self.service.answer(
                    self.number,
                    413,
                    Some(&serde_json::json!({ "Message": "" })),
                );
            }
        };
        let Some(operation) = self.operation else {
            let refusal = Refusal::new(
                400,
                "UnknownOperationException",
                match &self.target {
                    Some(target) => format!("An unknown operation was requested: {target}"),
                    None => "An unknown operation was requested.".to_owned(),
                },
            );
            return self.service.refuse(self.number, &refusal);
        };
        let clock = &self.service.clock;
        let mut context = Context {
            leave: effects.leave.as_ref(),
            rng: &mut self.rng,
            now: clock.elapsed(),
            unix_seconds: clock.unix_seconds(),
        };
        let state = &mut *self.service.state();
        match state.store.execute(operation, json, &mut context) {
            Ok(done) => {
                record(state, self.number, context.now, &done);
                let mut answer = self.service.answer(self.number, 200, Some(&done.body));
                answer.unprocessed = done.body["UnprocessedItems"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(_, writes)| writes.as_array().map_or(0, Vec::len))
                    .sum();
                answer
            }
            Err(refusal) => self.service.refuse(self.number, &refusal),
        }
    }

    fn end(&mut self, outcome: RequestOutcome, answer: Option<&Answer>) {
        self.ended = true;
        let now = self.service.clock.elapsed();
        let journal = &mut self.service.state().journal;
        journal.ended(self.number);
        if let Some(record) = journal.record(self.number) {
            record.outcome = outcome;
            record.ended = Some(now);
            record.error_code = answer.and_then(|answer| answer.error_code.clone());
            record.unprocessed = answer.map_or(0, |answer| answer.unprocessed);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.ended {
            self.end(RequestOutcome::GivenUp, None);
        }
    }
}

fn record(state: &mut State, request: u64, at: Duration, done: &Done) {
    for applied in &done.applied {
        let Some(table) = state.store.tables.get(&applied.table) else {
            continue;
        };
        state.journal.wrote(AppliedWrite {
            sequence: 0,
            request,
            at,
            table: applied.table.clone(),
            kind: applied.kind,
            key: Arc::new(table.keys().to_item(&applied.change.key)),
            before: applied.change.before.clone(),
            after: applied.change.after.clone(),
        });
    }
}

/// What DynamoDB's front end looks at before the body.
fn check_headers(
    incoming: &Incoming,
    clock: &Clock,
    tolerance: Option<Duration>,
) -> Result<(), Refusal> {
    let header = |name: &str| {
        incoming
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let authorization = header("authorization").unwrap_or_default();
    if authorization.is_empty() {
        return Err(Refusal::new(
            400,
            "MissingAuthenticationTokenException",
            "Request is missing Authentication Token",
        ));
    }
    let complete = ["Credential=", "SignedHeaders=", "Signature="]
        .iter()
        .all(|part| authorization.contains(part));
    let signed_v4 = authorization.starts_with("AWS4-") && complete;
    if !signed_v4 && !authorization.starts_with("Bearer ") {
        return Err(Refusal::new(
            400,
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders' parameters.",
        ));
    }
    if let Some(length) = header("content-length")
        && length.parse() != Ok(incoming.body.len())
    {
        return Err(Refusal::serialization(
            "Content-Length does not match the body",
        ));
    }
    let Some(tolerance) = tolerance else {
        return Ok(());
    };
    match header("x-amz-date").and_then(|date| clock.distance(date)) {
        Some(distance) if distance <= tolerance => Ok(()),
        _ => Err(Refusal::new(
            400,
            "InvalidSignatureException",
            format!(
                "Signature expired: {} is now too far from {}",
                header("x-amz-date").unwrap_or("a missing X-Amz-Date"),
                clock.http_date()
            ),
        )),
    }
}
