//! `TransactWriteItems`: all or nothing, once per token.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::capacity::{Bill, Report};
use super::execution::{Applied, Context, Done, Store};
use super::request::Members;
use super::write::{AppliedKind, Failure, Intent};
use crate::item::error::Refusal;
use crate::item::key::Key;
use crate::item::value::{Item, item_size, item_to_json};
use crate::throughput::{Draw, Shortages, WriteCost};

/// Actions of one transaction (AWS: `API_TransactWriteItems`).
const MAX_ACTIONS: usize = 100;
/// Bytes of the items of one transaction (AWS: `API_TransactWriteItems`, "4 MB").
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// A transaction writes twice: to prepare and to commit.
const FACTOR: f64 = 2.0;
/// The time for which a token is remembered (AWS: `API_TransactWriteItems`).
const TOKEN_LIFE: Duration = Duration::from_mins(10);
/// Characters of a token.
const MAX_TOKEN: usize = 36;

/// The transactions carried out in the last ten minutes, by token.
#[derive(Debug, Default)]
pub(crate) struct Tokens(HashMap<String, Remembered>);

#[derive(Debug)]
struct Remembered {
    at: Duration,
    actions: Json,
    answer: Json,
}

impl Tokens {
    /// Returns the answer to a repeated request; none for a new one.
    fn recall(
        &mut self,
        token: &str,
        actions: &Json,
        now: Duration,
    ) -> Result<Option<Json>, Refusal> {
        self.0
            .retain(|_, earlier| now.saturating_sub(earlier.at) < TOKEN_LIFE);
        match self.0.get(token) {
            None => Ok(None),
            Some(earlier) if earlier.actions == *actions => Ok(Some(earlier.answer.clone())),
            Some(_) => Err(Refusal::new(
                400,
                "IdempotentParameterMismatchException",
                "A different request with the same client token was already made",
            )),
        }
    }
}

pub(crate) fn write(
    store: &mut Store,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    let report = Report::of(request)?;
    let token = request.text("ClientRequestToken")?;
    if let Some(token) = token.filter(|token| token.len() > MAX_TOKEN || token.is_empty()) {
        return Err(Refusal::validation(format!(
            "Value {token} at 'clientRequestToken' failed to satisfy constraint: Member must have \
             length between 1 and {MAX_TOKEN}"
        )));
    }
    let actions = request.list("TransactItems")?.unwrap_or_default();
    let intents = read_actions(actions)?;
    for intent in &intents {
        store.table(&intent.table)?;
    }
    let actions = Json::Array(actions.to_vec());
    if let Some(token) = token
        && let Some(answer) = store.tokens.recall(token, &actions, context.now)?
    {
        return Ok(Done::read(answer));
    }
    check_distinct(store, &intents)?;
    let judged = judge(store, &intents)?;
    let mut bill = Bill::default();
    for judged in &judged {
        bill.of(&judged.table)
            .add_write(store.table(&judged.table)?, &judged.cost, FACTOR);
    }
    draw(store, &judged, context.now)?;
    let applied = agreed(judged)?;
    let mut body = json!({});
    if report != Report::None {
        body["ConsumedCapacity"] = bill.to_json(report);
    }
    if let Some(token) = token {
        let remembered = Remembered {
            at: context.now,
            actions,
            answer: body.clone(),
        };
        store.tokens.0.insert(token.to_owned(), remembered);
    }
    // A check is no write; it was only judged and paid for.
    let writes = |intent: &Intent| intent.kind().is_some();
    let applied = applied
        .into_iter()
        .zip(&intents)
        .filter(|(_, i)| writes(i))
        .map(|(a, _)| a);
    Ok(Done {
        body,
        worded: None,
        applied: applied.collect(),
    })
}

fn read_actions(actions: &[Json]) -> Result<Vec<Intent>, Refusal> {
    if actions.is_empty() {
        return Err(Refusal::validation(
            "Value [] at 'transactItems' failed to satisfy constraint: Member must have length \
             greater than or equal to 1",
        ));
    }
    if actions.len() > MAX_ACTIONS {
        return Err(Refusal::validation(
            "1 validation error detected: Value at 'transactItems' failed to satisfy constraint: \
             Member must have length less than or equal to 100",
        ));
    }
    let intents = actions
        .iter()
        .map(read_action)
        .collect::<Result<Vec<_>, _>>()?;
    let bytes: usize = intents.iter().map(Intent::bytes).sum();
    if bytes > MAX_BYTES {
        return Err(Refusal::validation(format!(
            "Transaction payload size cannot exceed 4MB. Payload Size: {bytes}"
        )));
    }
    Ok(intents)
}

fn read_action(json: &Json) -> Result<Intent, Refusal> {
    type Read = fn(Members<'_>) -> Result<Intent, Refusal>;
    let readers: [(&str, Read); 4] = [
        ("ConditionCheck", |members| Intent::check(members)),
        ("Put", |members| Intent::put(members)),
        ("Delete", |members| Intent::delete(members)),
        ("Update", |members| Intent::update(members)),
    ];
    let action = Members::of(json)?;
    let mut intents = Vec::new();
    for (name, read) in readers {
        if let Some(members) = action.structure(name)? {
            if name == "Update" && members.get("UpdateExpression").is_none() {
                return Err(Refusal::validation(
                    "Value null at 'transactItems.update.updateExpression' failed to satisfy \
                     constraint: Member must not be null",
                ));
            }
            intents.push(read(members)?);
        }
    }
    match (intents.pop(), intents.is_empty()) {
        (Some(intent), true) => Ok(intent),
        (Some(_), false) => Err(Refusal::validation(
            "TransactItems can only contain one of Check, Put, Update or Delete",
        )),
        (None, _) => Err(Refusal::validation(
            "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request",
        )),
    }
}

fn check_distinct(store: &Store, intents: &[Intent]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for intent in intents {
        let table = store.table(&intent.table)?;
        // A bad key is a reason for cancellation, reported later.
        let Ok(key) = intent.key(table) else { continue };
        if !seen.insert((&intent.table, key)) {
            return Err(Refusal::validation(
                "Transaction request cannot include multiple operations on one item",
            ));
        }
    }
    Ok(())
}

/// An action worked out: its change, or what its condition found; and what it costs either way.
struct Judged {
    table: String,
    key: Key,
    cost: WriteCost,
    outcome: Result<Applied, Option<Arc<Item>>>,
}

/// Works out every action, or cancels where one is not allowed at all.
fn judge(store: &Store, intents: &[Intent]) -> Result<Vec<Judged>, Refusal> {
    let mut judged = Vec::new();
    let mut reasons = Vec::new();
    let mut refused = false;
    for intent in intents {
        let table = store.table(&intent.table)?;
        let (cost, outcome) = match intent.change(table) {
            Ok(change) => {
                let kind = intent.kind().unwrap_or(AppliedKind::Update);
                let cost = WriteCost::of(table, &change);
                let applied = Applied {
                    table: intent.table.clone(),
                    kind,
                    change,
                };
                (cost, Ok(applied))
            }
            Err(Failure::Condition(item, cost)) => (cost, Err(item)),
            Err(Failure::Refused(refusal)) => {
                refused = true;
                let code = "ValidationError";
                reasons.push((code, json!({ "Code": code, "Message": refusal.message })));
                continue;
            }
        };
        reasons.push(reason(&outcome));
        judged.push(Judged {
            table: intent.table.clone(),
            key: intent.key(table)?,
            cost,
            outcome,
        });
    }
    if refused {
        return Err(cancelled(reasons));
    }
    let after = judged
        .iter()
        .filter_map(|judged| judged.outcome.as_ref().ok()?.change.after.as_deref());
    let bytes: usize = after.map(item_size).sum();
    if bytes > MAX_BYTES {
        return Err(Refusal::validation(format!(
            "Transaction payload size cannot exceed 4MB. Payload Size: {bytes}"
        )));
    }
    Ok(judged)
}

/// Takes what all actions cost, or cancels where any of it is short.
fn draw(store: &mut Store, judged: &[Judged], now: Duration) -> Result<(), Refusal> {
    let mut draws: BTreeMap<&str, Vec<(usize, Draw)>> = BTreeMap::new();
    for (at, judged) in judged.iter().enumerate() {
        let table = store.table(&judged.table)?;
        if let Some(throughput) = &table.throughput {
            let draw = throughput.draw(&table.spec, &judged.key, &judged.cost, FACTOR);
            draws.entry(&judged.table).or_default().push((at, draw));
        }
    }
    let mut reasons = vec![("None", json!({ "Code": "None" })); judged.len()];
    let mut short = false;
    let mut taken = Vec::new();
    for (name, draws) in draws {
        let (indexes, draws): (Vec<usize>, Vec<Draw>) = draws.into_iter().unzip();
        let table = store.table_mut(name)?;
        let Some(throughput) = &mut table.throughput else {
            continue;
        };
        let limits = throughput.exceeded_limits(&draws, now);
        for (at, draw) in indexes.into_iter().zip(&draws) {
            let mut shortages = Shortages::default();
            let limits = limits.iter().copied().filter(|limit| draw.meets(*limit));
            shortages.add(&table.spec, throughput, limits);
            if !shortages.is_empty() {
                short = true;
                reasons[at] = shortages.cancellation();
            }
        }
        taken.push((name, draws));
    }
    if short {
        return Err(cancelled(reasons));
    }
    for (name, draws) in taken {
        if let Some(throughput) = &mut store.table_mut(name)?.throughput {
            throughput.take(&draws);
        }
    }
    Ok(())
}

/// The changes where every condition held.
fn agreed(judged: Vec<Judged>) -> Result<Vec<Applied>, Refusal> {
    if judged.iter().any(|judged| judged.outcome.is_err()) {
        let reasons = judged.iter().map(|judged| reason(&judged.outcome));
        return Err(cancelled(reasons.collect()));
    }
    let applied = judged.into_iter().filter_map(|judged| judged.outcome.ok());
    Ok(applied.collect())
}

fn reason(outcome: &Result<Applied, Option<Arc<Item>>>) -> (&'static str, Json) {
    match outcome {
        Ok(_) => ("None", json!({ "Code": "None" })),
        Err(item) => {
            let code = "ConditionalCheckFailed";
            let mut reason = json!({ "Code": code, "Message": "The conditional request failed" });
            if let Some(item) = item {
                reason["Item"] = item_to_json(item);
            }
            (code, reason)
        }
    }
}

fn cancelled(reasons: Vec<(&'static str, Json)>) -> Refusal {
    let (codes, reasons): (Vec<&str>, Vec<Json>) = reasons.into_iter().unzip();
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    Refusal::new(400, "TransactionCanceledException", message)
        .with("CancellationReasons", Json::Array(reasons))
}
