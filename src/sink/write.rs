//! A write before its submission.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use serde::Serialize;

use super::core::SubmissionKeys;
use super::cost::Cost;
use super::error::SubmitError;
use super::expressions::More;
use super::guard::guard;
use super::outcome::{Outcome, WriteKind};
use super::payload::{Part, Payload};
use super::prepared::Prepared;
use super::receipt::Receipt;
use super::shared::Shared;
use super::submit::Submit;
use super::update;
use crate::item::{self, Encoded, ItemError, Key};

/// A write to a table, encoded, not yet submitted.
///
/// Made by [`TableSink::put`](super::TableSink::put), [`delete`](super::TableSink::delete), [`update`](super::TableSink::update) and
/// their kin. Awaiting it submits it and gives a [`Receipt`]; dropping it does nothing.
///
/// Without a condition, a put or delete rides in batches. With one, and for updates, it goes as a
/// call of its own. Either way writes of one key are applied in the order in which they were
/// accepted.
#[derive(Debug)]
#[must_use = "a write is submitted by awaiting it"]
pub struct Write<'a> {
    table: &'a Arc<Shared>,
    draft: Result<Draft, SubmitError>,
}

#[derive(Debug)]
struct Draft {
    kind: WriteKind,
    encoded: Encoded,
    /// The parts of a write that a plain one has none of.
    more: Option<Box<More>>,
    deadline: Option<Duration>,
}

/// A write that has expressions, in its wire form.
struct Ready {
    part: Part,
    key: Key,
    /// Set if applying it twice is the same as once.
    idempotent: bool,
    cost: Cost,
}

/// A write as a part of a transaction.
pub(super) struct TransactionPart {
    pub(super) part: Part,
    pub(super) key: Key,
    /// As if it were written by itself.
    pub(super) cost: Cost,
    /// Bytes as stored.
    pub(super) size: usize,
    pub(super) deadline: Option<Duration>,
}

impl<'a> Write<'a> {
    pub(super) fn new(
        table: &'a Arc<Shared>,
        kind: WriteKind,
        encoded: Result<Encoded, ItemError>,
    ) -> Self {
        let draft = match encoded {
            Ok(encoded) => Ok(Draft {
                kind,
                encoded,
                more: None,
                deadline: None,
            }),
            Err(error) => Err(SubmitError::Item {
                table: table.name.to_string(),
                error,
            }),
        };
        Self { table, draft }
    }

    pub(super) fn failed(table: &'a Arc<Shared>, error: SubmitError) -> Self {
        Self {
            table,
            draft: Err(error),
        }
    }

    /// Writes only if `expression` holds, e.g. `attribute_not_exists(pk)`. Names and values in it
    /// are given by [`name`](Self::name) and [`value`](Self::value).
    ///
    /// A condition that doesn't hold gives [`Outcome::ConditionFailed`] with the item as it is.
    /// Several conditions must all hold.
    pub fn condition(self, expression: impl Into<String>) -> Self {
        let expression = expression.into();
        self.more(|more| {
            more.condition = Some(match more.condition.take() {
                Some(other) => format!("({other}) AND ({expression})"),
                None => expression,
            });
        })
    }

    /// Makes a put never replace a newer version: it is written only if the table holds no item of
    /// this key, or one whose attribute `version` is less than this record's.
    ///
    /// The attribute must be in the record, as a string, number or binary. An item as new or newer
    /// gives [`Outcome::ConditionFailed`]. It also holds against a request that was given up and
    /// is applied late by the service, which order in the sink alone can't.
    pub fn newer_by(self, version: impl Into<String>) -> Self {
        let version = version.into();
        self.more(|more| more.newer_by = Some(version))
    }

    /// Sets the attribute name that a `#placeholder` of an expression stands for.
    pub fn name(self, placeholder: impl Into<String>, attribute: impl Into<String>) -> Self {
        let name = (placeholder.into(), attribute.into());
        self.more(|more| more.names.push(name))
    }

    /// Sets the value that a `:placeholder` of an expression stands for: any that serde can
    /// serialize.
    pub fn value<V: Serialize + ?Sized>(self, placeholder: impl Into<String>, value: &V) -> Self {
        self.encoded_value(placeholder.into(), item::encode_value(value))
    }

    /// Sets the value that a `:placeholder` of an expression stands for, as the SDK's type.
    pub fn attribute_value(self, placeholder: impl Into<String>, value: &AttributeValue) -> Self {
        self.encoded_value(placeholder.into(), item::encode_attribute_value(value))
    }

    fn encoded_value(self, name: String, value: Result<Vec<u8>, ItemError>) -> Self {
        match value {
            Ok(value) => self.more(|more| more.values.push((name, value))),
            Err(error) => {
                let table = self.table.name.to_string();
                let error = error.within(&name);
                Self {
                    draft: self.draft.and(Err(SubmitError::Item { table, error })),
                    ..self
                }
            }
        }
    }

    /// Sets the time that this write may take from its acceptance on, in place of the table's
    /// `deadline`.
    ///
    /// When it has passed, the write is rejected, except while an attempt is under way: then the
    /// answer decides.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        if let Ok(draft) = &mut self.draft {
            draft.deadline = Some(deadline);
        }
        self
    }

    /// Sets whether applying this update twice is the same as once, where the sink's own reading of
    /// its expression is wrong.
    ///
    /// The sink takes an update for idempotent if it only sets whole attributes or map members to
    /// given values (`SET a = :a, b.c = :b`) or removes them. One that is not idempotent, and
    /// whose answer is lost, ends as [`Outcome::Unknown`] rather than being sent again.
    pub fn idempotent(self, idempotent: bool) -> Self {
        self.more(|more| more.idempotent = Some(idempotent))
    }

    /// Sends this write as a transaction of its own, with one token over all its retries, so that
    /// it is applied once even if answers are lost: for counters (`ADD n :one`).
    ///
    /// Costs twice the write units. The service remembers a token for 10 minutes; without an answer
    /// by then, the outcome is [`Outcome::Unknown`].
    pub fn exactly_once(self) -> Self {
        self.more(|more| more.exactly_once = true)
    }

    /// Returns the write units that a put takes of its table, if it replaces no larger item: 1 for
    /// each KB begun, by its size as DynamoDB stores it. Indexes take theirs on top. `None` for
    /// other kinds of write, since the item's size is not known.
    #[must_use]
    pub fn write_units(&self) -> Option<u64> {
        let draft = self.draft.as_ref().ok()?;
        (draft.kind == WriteKind::Put).then(|| item::write_units(draft.encoded.stored_size))
    }

    /// Submits the write if there is room now.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Full`] where there is none or other callers wait already; else as awaiting
    /// does.
    pub fn try_submit(self) -> Result<Receipt, SubmitError> {
        self.into_future().try_enter()
    }

    /// Submits the write and waits for its outcome.
    ///
    /// # Errors
    ///
    /// As submitting: nothing was written then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the write was accepted, nothing was submitted. After that, the write is
    /// carried out, and a failure is reported as that of a dropped receipt.
    pub async fn confirm(self) -> Result<Outcome, SubmitError> {
        Ok(self.await?.await)
    }

    fn more(mut self, change: impl FnOnce(&mut More)) -> Self {
        if let Ok(draft) = &mut self.draft {
            change(draft.more.get_or_insert_default());
        }
        self
    }

    pub(super) fn prepare(self) -> Result<Prepared, SubmitError> {
        let draft = self.draft?;
        let deadline = draft.deadline.or(self.table.deadline);
        let Draft {
            kind,
            encoded,
            more,
            ..
        } = draft;
        let plain = match (kind, &more) {
            (WriteKind::Put, None) => Some(false),
            (WriteKind::Delete, None) => Some(true),
            (WriteKind::Put | WriteKind::Delete, Some(_)) | (WriteKind::Update, _) => None,
            (WriteKind::Check, _) => {
                return Err(self.table.invalid("a check stands only in a transaction"));
            }
        };
        let shape = &self.table.shape();
        let prepared = if let Some(delete) = plain {
            let cost = if delete {
                Cost::delete()
            } else {
                Cost::put(&encoded, shape)
            };
            let Encoded { json, key, .. } = encoded;
            let partition = key.partition_hash();
            let payload = Payload::Plain {
                delete,
                data: Bytes::from(json),
            };
            Prepared::new(payload, SubmissionKeys::One(key), partition, cost, deadline)
        } else {
            let exactly_once = more.as_ref().is_some_and(|more| more.exactly_once);
            let Ready {
                part,
                key,
                idempotent,
                cost,
            } = Self::part(self.table, kind, encoded, more)?;
            let partition = key.partition_hash();
            let (payload, cost) = if exactly_once {
                let payload = Payload::Transaction {
                    parts: vec![part],
                    token: self.table.token(),
                };
                (payload, Cost::transaction([cost]))
            } else {
                let payload = Payload::Single {
                    part: Box::new(part),
                    idempotent,
                };
                (payload, cost)
            };
            Prepared::new(payload, SubmissionKeys::One(key), partition, cost, deadline)
        };
        prepared.check_bounds(self.table)?;
        Ok(prepared)
    }

    fn part(
        table: &Shared,
        kind: WriteKind,
        encoded: Encoded,
        more: Option<Box<More>>,
    ) -> Result<Ready, SubmitError> {
        let mut more = more.unwrap_or_default();
        if let Some(version) = more.newer_by.take() {
            guard(&mut more, kind, &encoded.json, &version, table)?;
        }
        let idempotent = match (&more.update, more.idempotent) {
            (_, Some(said)) => said,
            (Some(expression), None) => update::is_idempotent(expression),
            (None, None) => true,
        };
        let conditional = more.condition.is_some();
        let expressions = more.expressions().map_err(|what| table.invalid(what))?;
        let cost = Cost::single(kind, &encoded, &expressions, &table.shape());
        let Encoded { json, key, .. } = encoded;
        let data = Bytes::from(json);
        Ok(Ready {
            part: Part {
                kind,
                data,
                expressions,
                conditional,
            },
            key,
            idempotent,
            cost,
        })
    }

    /// Returns the write as a part of a transaction.
    pub(super) fn into_part(self) -> Result<TransactionPart, SubmitError> {
        let Draft {
            kind,
            encoded,
            more,
            deadline,
        } = self.draft?;
        if more.as_ref().is_some_and(|more| more.exactly_once) {
            return Err(self
                .table
                .invalid("a transaction is exactly once as a whole"));
        }
        let size = encoded.stored_size;
        let Ready {
            part, key, cost, ..
        } = Self::part(self.table, kind, encoded, more)?;
        if kind == WriteKind::Check && !part.conditional {
            return Err(self.table.invalid("a check needs a condition"));
        }
        Ok(TransactionPart {
            part,
            key,
            cost,
            size,
            deadline,
        })
    }

    pub(super) fn with_update(self, expression: String) -> Self {
        self.more(|more| more.update = Some(expression))
    }

    pub(super) fn table(&self) -> &'a Arc<Shared> {
        self.table
    }
}

impl<'a> IntoFuture for Write<'a> {
    type Output = Result<Receipt, SubmitError>;
    type IntoFuture = Submit;

    /// Submits the write. The future resolves once it is accepted, and waits for room where there
    /// is none.
    ///
    /// An accepted write ends in exactly one [`Outcome`]. It is not durable before its outcome is
    /// [`Outcome::Written`].
    fn into_future(self) -> Submit {
        let table = self.table;
        match self.prepare() {
            Ok(prepared) => Submit::enter(table, prepared),
            Err(error) => Submit::refused(error),
        }
    }
}
