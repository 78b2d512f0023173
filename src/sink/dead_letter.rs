//! Dead letters: writes that failed for good, and their handler.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::outcome::{Outcome, RejectReason};
use super::record::WriteRecord;
use super::wire::{WriteLine, one_line, write_object};
use crate::error::{self, ErrorKind};
use crate::letter::{self, DeadLetterFormatError, Letter, Opened, Reason};
use crate::retry::ServiceError;

/// The name of this sink in letters.
const SINK: &str = "dynamodb";

/// A write that failed for good, with the reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedWrite {
    /// The write.
    pub record: WriteRecord,
    /// The reason for its failure; `None` where it must not be sent twice and its answer was lost
    /// ([`Outcome::Unknown`]).
    pub reason: Option<RejectReason>,
    /// `true` if it may have been applied nevertheless.
    pub may_have_applied: bool,
}

impl FailedWrite {
    pub(super) fn of(outcome: &Outcome) -> Option<Self> {
        let record = outcome.record()?.clone();
        let reason = match outcome {
            Outcome::Rejected { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        Some(Self {
            record,
            reason,
            may_have_applied: outcome.may_have_applied(),
        })
    }

    /// Returns the kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.reason
            .as_ref()
            .map_or(ErrorKind::Unknown, RejectReason::kind)
    }

    /// Returns the letter as one line of JSON, without the line break at its end.
    ///
    /// ```json
    /// {"v":1,"from":{"sink":"dynamodb","table":"decisions"},"reason":{"kind":"invalid","text":"refused by the service: ValidationException (http 400)","code":"ValidationException"},"attempts":2,"record":{"call":"batch","parts":[{"kind":"put","data":{"pk":{"S":"42"}}}]}}
    /// ```
    ///
    /// `record` has the form of a write in a [snapshot](super::Snapshot). Where the row could not
    /// be made an item ([`RejectReason::Invalid`]) it is `{"row":…}` with the row as plain JSON,
    /// and `{"row":null}` where it has no form in JSON. A float that is no number is `null` in it.
    /// `code` stands there if the service refused the write, and `"may_have_applied":true` if it
    /// may be in the table nevertheless. Later versions may add members under the same `v`.
    ///
    /// [`WriteRecord::from_dead_letter`] reads it, and
    /// [`TableSink::resubmit`](super::TableSink::resubmit) sends it again.
    #[must_use]
    pub fn to_json_line(&self) -> String {
        let text = match &self.reason {
            Some(reason) => Cow::Owned(reason.to_string()),
            None => Cow::Borrowed("the answer was lost, and the write must not be sent twice"),
        };
        let code = self.reason.as_ref().and_then(RejectReason::service_error);
        let letter = Letter {
            v: letter::VERSION,
            from: Sender {
                sink: Some(SINK.into()),
                table: self.record.table().into(),
            },
            reason: Reason {
                kind: self.kind(),
                text,
                code: code.map(ServiceError::code),
                may_have_applied: self.may_have_applied,
            },
            attempts: self.record.attempts(),
            more: (),
            record: self.record.to_raw(),
        };
        serde_json::to_string(&letter).expect("texts, numbers and raw JSON have a form in JSON")
    }
}

impl fmt::Display for FailedWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason @ RejectReason::Invalid(_)) => reason.fmt(f),
            Some(reason) => write!(f, "{}: {reason}", self.record),
            None => write!(f, "{}: its answer was lost", self.record),
        }
    }
}

/// A letter's member `from`: the sink that it comes from, or was meant for.
#[derive(Serialize, Deserialize)]
struct Sender<'a> {
    #[serde(borrow, default)]
    sink: Option<Cow<'a, str>>,
    #[serde(borrow)]
    table: Cow<'a, str>,
}

/// A row that could not be made an item.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    #[serde(borrow)]
    row: Option<&'a RawValue>,
}

impl WriteRecord {
    /// Reads the record of a line that [`FailedWrite::to_json_line`] of this or an older version of
    /// the crate wrote. Members around the record that this version doesn't know are ignored.
    ///
    /// # Errors
    ///
    /// [`DeadLetterFormatError::Version`] for a later version, [`DeadLetterFormatError::Malformed`]
    /// if the line is no such letter.
    pub fn from_dead_letter(line: &str) -> Result<Self, DeadLetterFormatError> {
        let opened: Opened<Sender<'_>, &RawValue> = letter::read(line)?;
        if opened.from.sink.is_some_and(|sink| sink != SINK) {
            let what = "another part of the program gave it up";
            return Err(DeadLetterFormatError::malformed(what));
        }
        let table: Arc<str> = opened.from.table.as_ref().into();
        if let Ok(Row { row }) = serde_json::from_str(opened.record.get()) {
            let row = row.map(|row| one_line(row.get()));
            return Ok(Self::of_row(table, row));
        }
        let write: WriteLine<'_> = serde_json::from_str(opened.record.get())
            .map_err(|error| DeadLetterFormatError::json(&error))?;
        let payload = write
            .into_payload()
            .map_err(DeadLetterFormatError::malformed)?;
        Ok(Self::new(table, payload, opened.attempts))
    }

    /// Returns the record's form in a letter.
    fn to_raw(&self) -> Box<RawValue> {
        let mut out = Vec::new();
        match self.payload() {
            Some(payload) => write_object(&mut out, payload, false),
            None => {
                out.extend_from_slice(br#"{"row":"#);
                out.extend_from_slice(self.row().unwrap_or(b"null"));
                out.push(b'}');
            }
        }
        let text = String::from_utf8(out).expect("items and rows are JSON, which is UTF-8");
        RawValue::from_string(text).expect("items and rows are JSON")
    }
}

/// A dead-letter handler's failure.
pub type DeadLetterError = Box<dyn Error + Send + Sync>;

type Handler = dyn Fn(FailedWrite) -> BoxFuture<'static, Result<(), DeadLetterError>> + Send + Sync;

/// The handler of a sink.
#[derive(Clone)]
pub(super) struct DeadLetterHandler(Arc<Handler>);

impl DeadLetterHandler {
    pub(super) fn new<H, R>(handler: H) -> Self
    where
        H: Fn(FailedWrite) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), DeadLetterError>> + Send + 'static,
    {
        Self(Arc::new(move |letter| Box::pin(handler(letter))))
    }

    /// Hands the letter over, and returns the handler's error in words.
    ///
    /// Nothing of the caller's runs before this is polled, so that a handler that panics does so
    /// in the task that polls it.
    pub(super) async fn handle(self, letter: FailedWrite) -> Result<(), String> {
        let handled = (self.0)(letter).await;
        handled.map_err(|failed| error::text(&*failed))
    }
}

/// The handler's error if it panicked. The panic's message is left out, since it may quote the
/// record.
pub(super) const PANICKED: &str = "it panicked";

impl fmt::Debug for DeadLetterHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeadLetterHandler")
    }
}
