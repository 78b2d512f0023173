//! `TransactWriteItems`: all or nothing, once per token.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::capacity::{Bill, Report};
use super::error::Refusal;
use super::request::Members;
use super::store::{Applied, Context, Done, Store};
use super::value::{item_size, item_to_json};
use super::write::{Failure, Intent};

/// Actions of one transaction (AWS: `API_TransactWriteItems`).
const MAX_ACTIONS: usize = 100;
/// Bytes of the items of one transaction (AWS: `API_TransactWriteItems`, "4 MB").
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long a token is remembered (AWS: `API_TransactWriteItems`).
const TOKEN_LIFE: Duration = Duration::from_mins(10);
/// Characters of a token.
const MAX_TOKEN: usize = 36;

/// The transactions carried out in the last ten minutes, by token.
#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<String, Remembered>);

#[derive(Debug)]
struct Remembered {
    at: Duration,
    actions: Json,
    answer: Json,
}

impl Tokens {
    /// What a repeated request is answered; none for a new one.
    fn recall(
        &mut self,
        token: &str,
        actions: &Json,
        now: Duration,
    ) -> Result<Option<Json>, Refusal> {
        self.0
            .retain(|_, known| now.saturating_sub(known.at) < TOKEN_LIFE);
        match self.0.get(token) {
            None => Ok(None),
            Some(known) if known.actions == *actions => Ok(Some(known.answer.clone())),
            Some(_) => Err(Refusal::new(
                400,
                "IdempotentParameterMismatchException",
                "A different request with the same client token was already made",
            )),
        }
    }
}

pub(super) fn write(
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
    let applied = judge(store, &intents)?;
    let mut bill = Bill::default();
    for change in &applied {
        // A transaction writes twice: to prepare and to commit.
        bill.of(&change.table)
            .add_write(store.table(&change.table)?, &change.change, 2.0);
    }
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
        // A bad key is a reason for cancellation, told later.
        let Ok(key) = intent.key(table) else { continue };
        if !seen.insert((&intent.table, key)) {
            return Err(Refusal::validation(
                "Transaction request cannot include multiple operations on one item",
            ));
        }
    }
    Ok(())
}

/// The change of every action, or the reasons why there is none.
fn judge(store: &Store, intents: &[Intent]) -> Result<Vec<Applied>, Refusal> {
    let mut applied = Vec::new();
    let mut reasons = Vec::new();
    let mut codes = Vec::new();
    for intent in intents {
        let table = store.table(&intent.table)?;
        let (code, reason) = match intent.change(table) {
            Ok(change) => {
                let kind = intent.kind().unwrap_or(super::journal::WriteKind::Update);
                applied.push(Applied {
                    table: intent.table.clone(),
                    kind,
                    change,
                });
                ("None", json!({ "Code": "None" }))
            }
            Err(Failure::Condition(item)) => {
                let code = "ConditionalCheckFailed";
                let mut reason =
                    json!({ "Code": code, "Message": "The conditional request failed" });
                if let Some(item) = item {
                    reason["Item"] = item_to_json(&item);
                }
                (code, reason)
            }
            Err(Failure::Refused(refusal)) => {
                let code = "ValidationError";
                (code, json!({ "Code": code, "Message": refusal.message }))
            }
        };
        codes.push(code);
        reasons.push(reason);
    }
    if applied.len() < intents.len() {
        let message = format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        );
        return Err(Refusal::new(400, "TransactionCanceledException", message)
            .with("CancellationReasons", Json::Array(reasons)));
    }
    let after = applied
        .iter()
        .filter_map(|applied| applied.change.after.as_deref());
    let bytes: usize = after.map(item_size).sum();
    if bytes > MAX_BYTES {
        return Err(Refusal::validation(format!(
            "Transaction payload size cannot exceed 4MB. Payload Size: {bytes}"
        )));
    }
    Ok(applied)
}
