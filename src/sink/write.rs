//! A write in the making.

use std::collections::{HashMap, HashSet};
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use serde::Serialize;

use super::core::{Submission, SubmissionKeys};
use super::error::SubmitError;
use super::gate::Charge;
use super::outcome::{Outcome, WriteKind};
use super::payload::{Part, Payload};
use super::receipt::Receipt;
use super::submit::Submit;
use super::table::TableSink;
use super::update;
use crate::item::{self, Encoded, ItemError, Key};

/// What a queued write takes of the buffer beside its bytes: its entry, key, receipt and place in
/// the queues, and its envelope in the request. Measured at 420 bytes on x86-64, rounded up.
pub(super) const RECORD_OVERHEAD: usize = 512;

/// Largest expression string (AWS developer guide, "Service, account, and table quotas").
const EXPRESSION_LIMIT: usize = 4 * 1024;

/// A write to a table, encoded, not yet submitted.
///
/// Made by [`TableSink::put`], [`delete`](TableSink::delete), [`update`](TableSink::update) and
/// their kin. Awaiting it submits it and gives a [`Receipt`]; dropping it does nothing.
///
/// Without a condition, a put or delete rides in batches. With one, and for updates, it goes as a
/// call of its own. Either way writes of one key are applied in the order in which they were
/// accepted.
#[derive(Debug)]
#[must_use = "a write is submitted by awaiting it"]
pub struct Write<'a> {
    table: &'a TableSink,
    draft: Result<Draft, SubmitError>,
}

/// A write that is ready to be submitted.
#[derive(Debug)]
pub(super) struct Prepared {
    payload: Payload,
    keys: SubmissionKeys,
    deadline: Option<Duration>,
    pub(super) charge: Charge,
}

impl Prepared {
    pub(super) fn new(
        payload: Payload,
        keys: SubmissionKeys,
        partition: u64,
        deadline: Option<Duration>,
    ) -> Self {
        // A batched record moves into its request's body; a single call's body is a copy.
        let copies = if payload.is_plain() { 1 } else { 2 };
        let parts = match &keys {
            SubmissionKeys::One(_) => 1,
            SubmissionKeys::Many(keys) => keys.len(),
        };
        let bytes = payload.len() * copies + RECORD_OVERHEAD * parts;
        Self {
            payload,
            keys,
            deadline,
            charge: Charge { bytes, partition },
        }
    }

    /// Whether two of its parts have the same key: it would wait for itself.
    pub(super) fn repeats_a_key(&self) -> bool {
        match &self.keys {
            SubmissionKeys::One(_) => false,
            SubmissionKeys::Many(keys) => {
                let mut seen = HashSet::with_capacity(keys.len());
                keys.iter().any(|key| !seen.insert(key))
            }
        }
    }

    /// A write larger than the whole buffer could never enter it.
    pub(super) fn check_bounds(self, table: &TableSink) -> Result<Self, SubmitError> {
        let limit = table.bounds().bytes;
        if self.charge.bytes > limit {
            let (table, bytes) = (table.name().to_owned(), self.charge.bytes);
            return Err(SubmitError::LargerThanBuffer {
                table,
                bytes,
                limit,
            });
        }
        Ok(self)
    }

    pub(super) fn submission<C>(self, completion: C, may_have_applied: bool) -> Submission<C> {
        let Self {
            payload,
            keys,
            deadline,
            ..
        } = self;
        Submission {
            payload,
            keys,
            deadline,
            completion,
            may_have_applied,
        }
    }
}

#[derive(Debug)]
struct Draft {
    kind: WriteKind,
    encoded: Encoded,
    /// All that a plain write has none of.
    more: Option<Box<More>>,
    deadline: Option<Duration>,
}

#[derive(Default)]
struct More {
    update: Option<String>,
    condition: Option<String>,
    newer_by: Option<String>,
    names: Vec<(String, String)>,
    values: Vec<(String, Vec<u8>)>,
    idempotent: Option<bool>,
    exactly_once: bool,
}

/// Counts only: a user may have written values into expressions.
impl std::fmt::Debug for More {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("More")
            .field("update", &self.update.is_some())
            .field("condition", &self.condition.is_some())
            .field("newer_by", &self.newer_by.is_some())
            .field("names", &self.names.len())
            .field("values", &self.values.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Write<'a> {
    pub(super) fn new(
        table: &'a TableSink,
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
                table: table.name().to_owned(),
                error,
            }),
        };
        Self { table, draft }
    }

    pub(super) fn failed(table: &'a TableSink, error: SubmitError) -> Self {
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

    /// A put that never replaces a newer version: it is written only if the table holds no item of
    /// this key, or one whose attribute `version` is less than this record's.
    ///
    /// The attribute must be in the record, as a string, number or binary. An item as new or newer
    /// gives [`Outcome::ConditionFailed`]. It also holds against a request that was given up and
    /// is applied late by the service, which order in the sink alone can't.
    pub fn newer_by(self, version: impl Into<String>) -> Self {
        let version = version.into();
        self.more(|more| more.newer_by = Some(version))
    }

    /// What a `#placeholder` of an expression stands for.
    pub fn name(self, placeholder: impl Into<String>, attribute: impl Into<String>) -> Self {
        let name = (placeholder.into(), attribute.into());
        self.more(|more| more.names.push(name))
    }

    /// What a `:placeholder` of an expression stands for: any value that serde can serialise.
    pub fn value<V: Serialize + ?Sized>(self, placeholder: impl Into<String>, value: &V) -> Self {
        self.encoded_value(placeholder.into(), item::encode_value(value))
    }

    /// What a `:placeholder` of an expression stands for, as the SDK's value.
    pub fn attribute_value(self, placeholder: impl Into<String>, value: &AttributeValue) -> Self {
        self.encoded_value(placeholder.into(), item::encode_attribute_value(value))
    }

    fn encoded_value(self, name: String, value: Result<Vec<u8>, ItemError>) -> Self {
        match value {
            Ok(value) => self.more(|more| more.values.push((name, value))),
            Err(error) => {
                let table = self.table.name().to_owned();
                Self {
                    draft: self.draft.and(Err(SubmitError::Item { table, error })),
                    ..self
                }
            }
        }
    }

    /// How long this write may take from its acceptance on, in place of the table's `deadline`.
    ///
    /// When it has passed, the write is rejected, save while an attempt is under way: then the
    /// answer decides.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        if let Ok(draft) = &mut self.draft {
            draft.deadline = Some(deadline);
        }
        self
    }

    /// Says that applying this update twice is the same as once (`true`) or not (`false`), where
    /// the sink's own reading of its expression is wrong.
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
    /// Costs twice the write units. The service remembers a token for 10 minutes; if no answer
    /// was had by then, the outcome is [`Outcome::Unknown`].
    pub fn exactly_once(self) -> Self {
        self.more(|more| more.exactly_once = true)
    }

    /// The write units that a put takes of its table, if it replaces no larger item: 1 for each
    /// KB begun, by its size as DynamoDB stores it. Indexes take theirs on top. `None` for what
    /// is not a put, since the item's size is not known.
    #[must_use]
    pub fn write_units(&self) -> Option<u64> {
        let draft = self.draft.as_ref().ok()?;
        (draft.kind == WriteKind::Put).then(|| item::write_units(draft.encoded.stored_size))
    }

    /// Submits if there is room now.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Full`] where there is none or other callers wait already; else as awaiting
    /// does.
    pub fn try_submit(self) -> Result<Receipt, SubmitError> {
        self.into_future().try_enter()
    }

    /// Submits and waits for the outcome.
    ///
    /// # Errors
    ///
    /// As submitting: nothing was written then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the write was accepted, nothing was submitted; after that, it goes on, and
    /// a failure is reported as that of a dropped receipt.
    pub async fn confirm(self) -> Result<Outcome, SubmitError> {
        Ok(self.await?.await)
    }

    fn more(mut self, change: impl FnOnce(&mut More)) -> Self {
        if let Ok(draft) = &mut self.draft {
            change(draft.more.get_or_insert_default());
        }
        self
    }

    fn invalid(table: &TableSink, what: impl Into<String>) -> SubmitError {
        SubmitError::Invalid {
            table: table.name().to_owned(),
            what: what.into(),
        }
    }

    pub(super) fn prepare(self) -> Result<Prepared, SubmitError> {
        let draft = self.draft?;
        let deadline = draft.deadline.or(self.table.default_deadline());
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
                return Err(Self::invalid(
                    self.table,
                    "a check stands only in a transaction",
                ));
            }
        };
        let prepared = if let Some(delete) = plain {
            let Encoded { json, key, .. } = encoded;
            let partition = key.partition_hash();
            let payload = Payload::Plain {
                delete,
                data: Bytes::from(json),
            };
            Prepared::new(payload, SubmissionKeys::One(key), partition, deadline)
        } else {
            let exactly_once = more.as_ref().is_some_and(|more| more.exactly_once);
            let (part, key, idempotent) = Self::part(self.table, kind, encoded, more)?;
            let partition = key.partition_hash();
            let payload = if exactly_once {
                Payload::Transaction {
                    parts: vec![part],
                    token: self.table.token(),
                }
            } else {
                Payload::Single {
                    part: Box::new(part),
                    idempotent,
                }
            };
            Prepared::new(payload, SubmissionKeys::One(key), partition, deadline)
        };
        prepared.check_bounds(self.table)
    }

    fn part(
        table: &TableSink,
        kind: WriteKind,
        encoded: Encoded,
        more: Option<Box<More>>,
    ) -> Result<(Part, Key, bool), SubmitError> {
        let Encoded { json, key, .. } = encoded;
        let mut more = more.unwrap_or_default();
        if let Some(version) = more.newer_by.take() {
            guard(&mut more, kind, &json, &version, table)?;
        }
        let idempotent = match (&more.update, more.idempotent) {
            (_, Some(said)) => said,
            (Some(expression), None) => update::is_idempotent(expression),
            (None, None) => true,
        };
        let conditional = more.condition.is_some();
        let expressions = more
            .expressions()
            .map_err(|what| Self::invalid(table, what))?;
        let data = Bytes::from(json);
        Ok((
            Part {
                kind,
                data,
                expressions,
                conditional,
            },
            key,
            idempotent,
        ))
    }

    /// As a part of a transaction.
    pub(super) fn into_part(self) -> Result<(Part, Key, usize, Option<Duration>), SubmitError> {
        let Draft {
            kind,
            encoded,
            more,
            deadline,
        } = self.draft?;
        if more.as_ref().is_some_and(|more| more.exactly_once) {
            return Err(Self::invalid(
                self.table,
                "a transaction is exactly once as a whole",
            ));
        }
        let size = encoded.stored_size;
        let (part, key, _) = Self::part(self.table, kind, encoded, more)?;
        if kind == WriteKind::Check && !part.conditional {
            return Err(Self::invalid(self.table, "a check needs a condition"));
        }
        Ok((part, key, size, deadline))
    }

    pub(super) fn with_update(self, expression: String) -> Self {
        self.more(|more| more.update = Some(expression))
    }

    pub(super) fn table(&self) -> &'a TableSink {
        self.table
    }
}

impl<'a> IntoFuture for Write<'a> {
    type Output = Result<Receipt, SubmitError>;
    type IntoFuture = Submit;

    /// Submits: resolves once the write is accepted, waiting for room where there is none.
    ///
    /// An accepted write ends in exactly one [`Outcome`]. It is not durable before its outcome is
    /// [`Outcome::Written`].
    fn into_future(self) -> Submit {
        let table = self.table;
        match self.prepare() {
            Ok(prepared) => table.enter(prepared),
            Err(error) => Submit::refused(error),
        }
    }
}

/// Turns `newer_by` into a condition.
fn guard(
    more: &mut More,
    kind: WriteKind,
    item: &[u8],
    version: &str,
    table: &TableSink,
) -> Result<(), SubmitError> {
    if kind != WriteKind::Put {
        let what = format!("newer_by is for puts, not for a {}", kind.as_str());
        return Err(Write::invalid(table, what));
    }
    let value = item::find_attribute(item, version).ok_or_else(|| {
        Write::invalid(
            table,
            format!("the version attribute {version:?} is not in the record"),
        )
    })?;
    if ![b"{\"N\":".as_slice(), b"{\"S\":", b"{\"B\":"]
        .iter()
        .any(|kind| value.starts_with(kind))
    {
        let what = format!("the version attribute {version:?} is no string, number or binary");
        return Err(Write::invalid(table, what));
    }
    let newer = "attribute_not_exists(#dc_key) OR #dc_version < :dc_version";
    more.condition = Some(match more.condition.take() {
        Some(other) => format!("({other}) AND ({newer})"),
        None => newer.to_owned(),
    });
    let key = table.shape().keys().partition().name().to_owned();
    more.names.push(("#dc_key".to_owned(), key));
    more.names
        .push(("#dc_version".to_owned(), version.to_owned()));
    more.values.push((":dc_version".to_owned(), value.to_vec()));
    Ok(())
}

impl More {
    /// The request's members that hold the expressions, without braces.
    fn expressions(&self) -> Result<Bytes, String> {
        let mut out = Vec::new();
        let texts = [
            ("UpdateExpression", &self.update),
            ("ConditionExpression", &self.condition),
        ];
        for (member, text) in texts {
            let Some(text) = text else { continue };
            if text.len() > EXPRESSION_LIMIT {
                let len = text.len();
                return Err(format!(
                    "{member} of {len} bytes, at most {EXPRESSION_LIMIT}"
                ));
            }
            member_name(&mut out, member);
            out.extend_from_slice(quoted(text).as_bytes());
        }
        if !self.names.is_empty() {
            member_name(&mut out, "ExpressionAttributeNames");
            let names = self
                .names
                .iter()
                .map(|(name, to)| (name, quoted(to).into_bytes()));
            object(&mut out, names, '#')?;
        }
        if !self.values.is_empty() {
            member_name(&mut out, "ExpressionAttributeValues");
            let values = self
                .values
                .iter()
                .map(|(name, value)| (name, value.clone()));
            object(&mut out, values, ':')?;
        }
        Ok(Bytes::from(out))
    }
}

fn member_name(out: &mut Vec<u8>, name: &str) {
    if !out.is_empty() {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn object<'n>(
    out: &mut Vec<u8>,
    members: impl Iterator<Item = (&'n String, Vec<u8>)>,
    sigil: char,
) -> Result<(), String> {
    let mut seen: HashMap<&str, ()> = HashMap::new();
    out.push(b'{');
    for (name, value) in members {
        if !name.starts_with(sigil) {
            return Err(format!("placeholder {name:?} must begin with {sigil:?}"));
        }
        if seen.insert(name, ()).is_some() {
            return Err(format!("placeholder {name:?} is given twice"));
        }
        if seen.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(quoted(name).as_bytes());
        out.push(b':');
        out.extend_from_slice(&value);
    }
    out.push(b'}');
    Ok(())
}

/// A token for a transaction: `ClientRequestToken` takes 1 to 36 characters.
pub(super) fn token(prefix: u64, number: u64) -> Arc<str> {
    format!("{prefix:016x}{number:016x}").into()
}
