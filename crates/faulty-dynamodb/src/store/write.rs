//! `PutItem`, `DeleteItem`, `UpdateItem`: read, judged by their condition, worked out.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::capacity::{Consumption, Report};
use super::execution::{Applied, Context, Done, Store};
use super::expression::{Condition, Scope, Update};
use super::request::Members;
use super::table::{Change, Table};
use crate::item::error::Refusal;
use crate::item::key::{Key, KeyRules as _, check_item_size};
use crate::item::value::{Item, item_size, item_to_json};
use crate::throughput::{Shortages, WriteCost};

/// The kind of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AppliedKind {
    /// The whole item was replaced.
    Put,
    /// The item was removed; it may not have been there.
    Delete,
    /// Attributes were changed by an update expression.
    Update,
}

/// Parameters from before expressions existed. The fake does without them.
const LEGACY: [&str; 7] = [
    "AttributeUpdates",
    "AttributesToGet",
    "ConditionalOperator",
    "Expected",
    "KeyConditions",
    "QueryFilter",
    "ScanFilter",
];

/// A write of one item, as it was requested.
#[derive(Debug)]
pub(crate) struct Intent {
    pub(crate) table: String,
    pub(crate) action: Action,
    condition: Option<Condition>,
    /// Set where a failed condition hands the item back.
    all_old: bool,
}

#[derive(Debug)]
pub(crate) enum Action {
    Put(Item),
    Delete(Item),
    Update(Item, Update),
    /// Only the condition counts.
    Check(Item),
}

/// The reason for which an intent comes to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The item, where it was asked for, and what the attempt costs all the same.
    Condition(Option<Arc<Item>>, WriteCost),
    Refused(Refusal),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Condition(item, _) => {
                let code = "ConditionalCheckFailedException";
                let refusal = Self::new(400, code, "The conditional request failed");
                match item {
                    Some(item) => refusal.with("Item", item_to_json(&item)),
                    None => refusal,
                }
            }
        }
    }
}

impl Intent {
    pub(crate) fn put(request: Members<'_>) -> Result<Self, Refusal> {
        let item = request
            .item("Item")?
            .ok_or_else(|| Refusal::validation("Item to put in PutItem cannot be null"))?;
        check_item_size(&item, false)?;
        Self::read(request, |_| Ok(Action::Put(item)), false)
    }

    pub(crate) fn delete(request: Members<'_>) -> Result<Self, Refusal> {
        let key = request.key()?;
        Self::read(request, |_| Ok(Action::Delete(key)), false)
    }

    pub(crate) fn check(request: Members<'_>) -> Result<Self, Refusal> {
        let key = request.key()?;
        if request.text("ConditionExpression")?.is_none() {
            return Err(Refusal::validation(
                "Value null at 'conditionCheck.conditionExpression' failed to satisfy constraint: \
                 Member must not be null",
            ));
        }
        Self::read(request, |_| Ok(Action::Check(key)), false)
    }

    pub(crate) fn update(request: Members<'_>) -> Result<Self, Refusal> {
        let key = request.key()?;
        let text = request.text("UpdateExpression")?;
        let action = |scope: &Scope| {
            let update = text.map(|text| Update::parse(text, scope)).transpose()?;
            Ok(Action::Update(key, update.unwrap_or_default()))
        };
        Self::read(request, action, true)
    }

    fn read(
        request: Members<'_>,
        action: impl FnOnce(&Scope) -> Result<Action, Refusal>,
        updating: bool,
    ) -> Result<Self, Refusal> {
        refuse_legacy(request)?;
        let table = request.table_name()?.to_owned();
        let condition = request.text("ConditionExpression")?;
        let mut expressions = vec![("ConditionExpression", condition)];
        if updating {
            expressions.insert(0, ("UpdateExpression", request.text("UpdateExpression")?));
        }
        let scope = Scope::read(request, &expressions)?;
        let action = action(&scope)?;
        let condition = condition
            .map(|text| Condition::parse(text, "ConditionExpression", &scope))
            .transpose()?;
        scope.finish()?;
        let all_old = match request.text("ReturnValuesOnConditionCheckFailure")? {
            None | Some("NONE") => false,
            Some("ALL_OLD") => true,
            Some(_) => return Err(Refusal::validation("Return values set to invalid value")),
        };
        Ok(Self {
            table,
            action,
            condition,
            all_old,
        })
    }

    /// The key of the item it is about.
    pub(crate) fn key(&self, table: &Table) -> Result<Key, Refusal> {
        match &self.action {
            Action::Put(item) => table.keys().of_item(item),
            Action::Delete(key) | Action::Update(key, _) | Action::Check(key) => {
                table.keys().of_key(key)
            }
        }
    }

    /// The kind of write it comes to; none for a mere check.
    pub(crate) fn kind(&self) -> Option<AppliedKind> {
        match self.action {
            Action::Put(_) => Some(AppliedKind::Put),
            Action::Delete(_) => Some(AppliedKind::Delete),
            Action::Update(..) => Some(AppliedKind::Update),
            Action::Check(_) => None,
        }
    }

    /// Bytes that count against the size of a transaction.
    pub(crate) fn bytes(&self) -> usize {
        match &self.action {
            Action::Put(item) => item_size(item),
            Action::Delete(key) | Action::Update(key, _) | Action::Check(key) => item_size(key),
        }
    }

    /// Judges the condition and works out the change, without applying it.
    pub(crate) fn change(&self, table: &Table) -> Result<Change, Failure> {
        let key = self.key(table)?;
        let before = table.items.get(&key).cloned();
        if let Action::Put(item) = &self.action {
            table.check_indexes(item)?;
        }
        if self
            .condition
            .as_ref()
            .is_some_and(|condition| !condition.matches(before.as_deref()))
        {
            let put = match &self.action {
                Action::Put(item) => Some(item),
                Action::Delete(_) | Action::Update(..) | Action::Check(_) => None,
            };
            let cost = WriteCost::attempt(before.as_deref(), put);
            return Err(Failure::Condition(before.filter(|_| self.all_old), cost));
        }
        let after = match &self.action {
            Action::Put(item) => Some(Arc::new(item.clone())),
            Action::Delete(_) => None,
            Action::Check(_) => before.clone(),
            Action::Update(key, update) => {
                Some(Arc::new(updated(table, before.as_deref(), key, update)?))
            }
        };
        Ok(Change { key, before, after })
    }
}

fn updated(
    table: &Table,
    before: Option<&Item>,
    key: &Item,
    update: &Update,
) -> Result<Item, Refusal> {
    if let Some(part) = update
        .attributes()
        .iter()
        .find(|name| table.keys().contains(name))
    {
        return Err(Refusal::invalid_values(&format!(
            "Cannot update attribute {part}. This attribute is part of the key"
        )));
    }
    let mut item = before.unwrap_or(key).clone();
    update.apply(&mut item)?;
    check_item_size(&item, true)?;
    table.check_indexes(&item)?;
    Ok(item)
}

/// Refuses the parameters that expressions have replaced.
pub(crate) fn refuse_legacy(request: Members<'_>) -> Result<(), Refusal> {
    match LEGACY.iter().find(|name| request.get(name).is_some()) {
        None => Ok(()),
        Some(name) => Err(Refusal::validation(format!(
            "The faulty DynamoDB knows no {name}: use an expression"
        ))),
    }
}

pub(crate) fn put(
    store: &mut Store,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    single(store, request, context, &Intent::put(request)?)
}

pub(crate) fn delete(
    store: &mut Store,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    single(store, request, context, &Intent::delete(request)?)
}

pub(crate) fn update(
    store: &mut Store,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    single(store, request, context, &Intent::update(request)?)
}

fn single(
    store: &mut Store,
    request: Members<'_>,
    context: &Context<'_>,
    intent: &Intent,
) -> Result<Done, Refusal> {
    let report = Report::of(request)?;
    let requested = request.text("ReturnValues")?.unwrap_or("NONE");
    let updating = matches!(intent.action, Action::Update(..));
    let legal = matches!(requested, "NONE" | "ALL_OLD")
        || updating && matches!(requested, "ALL_NEW" | "UPDATED_OLD" | "UPDATED_NEW");
    if !legal {
        return Err(Refusal::validation("Return values set to invalid value"));
    }
    let table = store.table_mut(&intent.table)?;
    let (key, outcome) = (intent.key(table)?, intent.change(table));
    let cost = match &outcome {
        Ok(change) => WriteCost::of(table, change),
        // A write that its condition forbids is paid for as well.
        Err(Failure::Condition(_, cost)) => cost.clone(),
        Err(Failure::Refused(refusal)) => return Err(refusal.clone()),
    };
    let mut short = Shortages::default();
    if !table.admit(&key, &cost, context.now, &mut short) {
        return Err(short.exception());
    }
    let change = outcome?;
    let mut body = json!({});
    let touched = match &intent.action {
        Action::Update(_, update) => update.attributes(),
        Action::Put(_) | Action::Delete(_) | Action::Check(_) => BTreeSet::new(),
    };
    let attributes = match requested {
        "ALL_OLD" => change.before.as_deref().map(item_to_json),
        "ALL_NEW" => change.after.as_deref().map(item_to_json),
        "UPDATED_OLD" => only(change.before.as_deref(), &touched),
        "UPDATED_NEW" => only(change.after.as_deref(), &touched),
        _ => None,
    };
    if let Some(attributes) = attributes {
        body["Attributes"] = attributes;
    }
    if report != Report::None {
        let mut consumed = Consumption::default();
        consumed.add_write(table, &cost, 1.0);
        body["ConsumedCapacity"] = consumed.to_json(&intent.table, report);
    }
    let kind = intent.kind().unwrap_or(AppliedKind::Update);
    Ok(Done {
        body,
        worded: None,
        applied: vec![Applied {
            table: intent.table.clone(),
            kind,
            change,
        }],
    })
}

/// The touched attributes of an item; none where there are none.
fn only(item: Option<&Item>, touched: &BTreeSet<String>) -> Option<Json> {
    let part: Item = item?
        .iter()
        .filter(|(name, _)| touched.contains(*name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (!part.is_empty()).then(|| item_to_json(&part))
}
