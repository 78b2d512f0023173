//! A request under way: faults drawn, executed, recorded.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::headers::check_headers;
use super::service::{Answer, Incoming, MAX_BODY_BYTES, Service, State};
use crate::faults::effects::{Delivery, Effects};
use crate::faults::plan::{FaultPlan, Selection};
use crate::item::error::Refusal;
use crate::item::key::KeyRules as _;
use crate::journal::{AppliedWrite, RequestOutcome, RequestRecord};
use crate::random::generator;
use crate::store::execution::{Context, Done, Leave};
use crate::store::operation::Operation;
use crate::store::request::{Targets, checked_table_name};
use crate::store::streams::Reading;

/// A request under way. Dropped before its end it counts as given up by its sender.
pub(crate) struct Flight {
    service: Arc<Service>,
    number: u64,
    target: Option<String>,
    operation: Option<Operation>,
    body: Arc<Parsed>,
    pub(crate) effects: Effects,
    rng: fastrand::Rng,
    /// Writes by table, of the tables whose capacity is enforced.
    tally: Vec<(String, usize)>,
    /// The shard that is read.
    reading: Option<Reading>,
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
    pub(crate) fn begin(service: &Arc<Service>, incoming: Incoming) -> Self {
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
            Parsed::Json(json) => {
                // Keys are read only for those who look at them.
                let keys = state.journal.keep || state.script.len() > 0;
                Targets::read(json, keys.then_some(&state.store.tables))
            }
            Parsed::Refused(_) | Parsed::TooLarge => Targets::default(),
        };
        state.next_request += 1;
        let number = state.next_request;
        let seed = state.plan.as_ref().map_or(0, FaultPlan::seed);
        let mut rng = generator(seed, number);
        let mut effects = operation
            .and_then(|operation| {
                let scripted = state.script.strike(operation, &targets);
                scripted.or_else(|| Some(state.plan.as_ref()?.roll(operation, &mut rng)))
            })
            .unwrap_or_default();
        let mut tally = Vec::new();
        let mut takes = Duration::ZERO;
        for (name, items) in targets.tables.iter().zip(&targets.items) {
            let table = state.store.tables.get(name);
            if let Some(throughput) = table.and_then(|table| table.throughput.as_ref()) {
                takes = takes.max(throughput.service_time(number));
                tally.push((name.clone(), *items));
            }
        }
        let mut reading = None;
        if let (Some(Operation::GetRecords), Parsed::Json(json)) = (operation, &body)
            && let Some(iterator) = json["ShardIterator"].as_str()
            && let Some((found, slow)) = state.store.streams.reading(iterator)
        {
            reading = Some(found);
            takes = takes.max(slow);
        }
        effects.before += takes / 2;
        effects.after += takes / 2;
        state.journal.arrived(
            RequestRecord {
                number,
                operation,
                tables: targets.tables.clone(),
                items: targets.count(),
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
            tally,
            reading,
            ended: false,
        }
    }

    /// Applies the request, unless a fault prevents it, and words the answer.
    pub(crate) fn carry_out(&mut self, effects: &Effects) -> Answer {
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
    pub(crate) async fn carry_out_detached(
        &mut self,
        late: Duration,
        leave: Option<Selection>,
    ) -> Answer {
        let mut detached = Self {
            service: Arc::clone(&self.service),
            number: self.number,
            target: self.target.clone(),
            operation: self.operation,
            body: Arc::clone(&self.body),
            effects: Effects::default(),
            rng: self.rng.clone(),
            tally: Vec::new(),
            reading: None,
            // The journal follows the sender, not this task.
            ended: true,
        };
        let task = tokio::spawn(async move {
            tokio::time::sleep(late).await;
            detached.execute(&Effects {
                leave,
                ..Effects::default()
            })
        });
        match task.await {
            Ok(answer) => answer,
            // The runtime is shutting down: no task waits for this answer.
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
            leave: effects
                .leave
                .as_ref()
                .map(|selection| selection as &dyn Leave),
            rng: &mut self.rng,
            now: clock.elapsed(),
            unix_millis: clock.unix_millis(),
            unix_seconds: clock.unix_seconds(),
        };
        let state = &mut *self.service.state();
        match state.store.execute(operation, json, &mut context) {
            Ok(done) => {
                record(state, self.number, context.now, &done);
                if let Some(text) = done.worded {
                    return self.service.answer_worded(self.number, 200, text);
                }
                let mut answer = self.service.answer(self.number, 200, Some(&done.body));
                let unprocessed = done.body["UnprocessedItems"].as_object();
                answer.unprocessed = unprocessed
                    .into_iter()
                    .flatten()
                    .map(|(given, writes)| {
                        let name = checked_table_name(given).unwrap_or(given);
                        (name.to_owned(), writes.as_array().map_or(0, Vec::len))
                    })
                    .collect();
                answer
            }
            Err(refusal) => self.service.refuse(self.number, &refusal),
        }
    }

    pub(crate) fn end(&mut self, outcome: RequestOutcome, answer: Option<&Answer>) {
        self.ended = true;
        let now = self.service.clock.elapsed();
        let state = &mut *self.service.state();
        if let (RequestOutcome::Answered(_), Some(answer)) = (outcome, answer)
            && self.operation.is_some_and(Operation::is_write)
        {
            count(state, &self.tally, answer);
        }
        if let Some(reading) = &self.reading {
            state.store.streams.has_read(reading);
        }
        let journal = &mut state.journal;
        journal.ended(self.number);
        if let Some(record) = journal.record(self.number) {
            record.outcome = outcome;
            record.ended = Some(now);
            record.error_code = answer.and_then(|answer| answer.error_code.clone());
            let unprocessed = answer.map(|answer| answer.unprocessed.iter());
            record.unprocessed = unprocessed.map_or(0, |all| all.map(|(_, count)| count).sum());
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

/// Counts an answered write request in the usage of the tables whose capacity is enforced.
fn count(state: &mut State, tally: &[(String, usize)], answer: &Answer) {
    for (name, items) in tally {
        let table = state.store.tables.get_mut(name);
        let Some(throughput) = table.and_then(|table| table.throughput.as_mut()) else {
            continue;
        };
        let unprocessed = answer.unprocessed.iter().find(|(table, _)| table == name);
        let throttled = if answer.throttled {
            *items
        } else {
            unprocessed.map_or(0, |(_, count)| *count)
        };
        throughput.count(*items, throttled, answer.throttled);
    }
}

fn record(state: &mut State, request: u64, at: Duration, done: &Done) {
    if !state.journal.keep {
        return state.journal.wrote_unrecorded(request, done.applied.len());
    }
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
