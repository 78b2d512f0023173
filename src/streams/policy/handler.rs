//! The input of a handler, and its possible answers.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::super::ShardId;
use super::super::failure_log::FailureLog;
use super::super::raw_change::{RawChange, SOURCE, Sender, raw};
use super::super::record::{EventKind, MalformedRecord, Record};
use crate::error::{ErrorKind, text};
use crate::item::DecodeError;
use crate::letter::{self, Letter};
use crate::retry::{Decision, Retries};

/// A change of an item, with its images read as `T`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Change<T> {
    /// The kind of change: the item was added, changed or removed.
    pub kind: EventKind,
    /// The item after the change, where the stream's view holds it and the item was not removed.
    pub new: Option<T>,
    /// The item before the change, where the stream's view holds it and there was one.
    pub old: Option<T>,
    /// The record of the change, with its keys, sequence number and time.
    pub record: Record,
}

impl<T: DeserializeOwned> Change<T> {
    /// Reads a record's images.
    ///
    /// # Errors
    ///
    /// If an image can't be read as a `T`.
    pub fn read(record: Record) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: record.kind(),
            new: record.new_image()?,
            old: record.old_image()?,
            record,
        })
    }
}

/// Changes of one shard, in order.
#[derive(Debug)]
#[non_exhaustive]
pub struct Batch<T> {
    /// The shard.
    pub shard: ShardId,
    /// The changes, at least one. Those of one item are in the order in which they were made.
    pub changes: Vec<Change<T>>,
    /// The number of times that the handler has been given these changes and failed.
    pub failures: u32,
}

/// The reason why a handler did not handle a batch, or not all of it.
///
/// Any error converts by `?` or `into()` into one that has the whole batch given again: that of a
/// library, an `anyhow::Error`, a text. Its causes become part of the message.
#[derive(Debug)]
pub struct BatchError {
    ending: super::scheduler::Ending,
    problem: String,
}

impl BatchError {
    /// Returns an error that has the changes from this index on given again; those before are done.
    ///
    /// Lambda calls this a partial batch response. An index past the last change means that all are
    /// done.
    pub fn retry_from(index: usize, problem: impl fmt::Display) -> Self {
        Self {
            ending: super::scheduler::Ending::Retry { from: index },
            problem: problem.to_string(),
        }
    }

    /// Returns an error for a change that can never be handled: the one at this index is
    /// dead-lettered at once. Those before it are done, and those after it are given in another
    /// batch.
    pub fn refuse(index: usize, problem: impl fmt::Display) -> Self {
        Self {
            ending: super::scheduler::Ending::Refused { at: index },
            problem: problem.to_string(),
        }
    }

    /// Returns the kind of error: [`Handler`](ErrorKind::Handler), the caller's own code, or
    /// [`Invalid`](ErrorKind::Invalid) for a change that it [refused](Self::refuse).
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.ending {
            super::scheduler::Ending::Refused { .. } => ErrorKind::Invalid,
            super::scheduler::Ending::Done | super::scheduler::Ending::Retry { .. } => {
                ErrorKind::Handler
            }
        }
    }

    /// Returns whether the changes are given again, within the limits of
    /// [`StreamsSettings::retry`](crate::streams::StreamsSettings::retry): all but one that is
    /// [refused](Self::refuse).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self.ending, super::scheduler::Ending::Refused { .. })
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for BatchError {
    fn from(error: E) -> Self {
        Self::retry_from(0, text(&*error.into()))
    }
}

/// A record that is given up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedChange {
    /// The shard.
    pub shard: ShardId,
    /// The record, or the parts of it that could be read.
    pub record: Result<Record, MalformedRecord>,
    /// The reason why it is given up.
    pub reason: DeadReason,
    /// The number of times that the handler has failed on it.
    pub attempts: u32,
}

impl FailedChange {
    /// Returns the letter as one line of JSON, without the line break at its end.
    ///
    /// ```json
    /// {"v":1,"from":{"source":"dynamodb-streams","shard":"shardId-1"},"reason":{"kind":"handler","text":"the handler failed: no such customer"},"attempts":3,"record":{"kind":"insert","shard":"shardId-1","sequence_number":"100","created":1767225600000,"size":42,"keys":{"id":{"S":"d-1"}},"new":{"id":{"S":"d-1"}}}}
    /// ```
    ///
    /// It is the envelope of
    /// [`sink::FailedWrite::to_json_line`](crate::sink::FailedWrite::to_json_line). `record` has the
    /// form of a [`RawChange`], which [`RawChange::from_dead_letter`] reads. A record that can't be read is
    /// `{"malformed":…}` with the record as the service sent it, or as a text where that is no JSON.
    /// Later versions may add members under the same `v`.
    #[must_use]
    pub fn to_json_line(&self) -> String {
        let letter = Letter {
            v: letter::VERSION,
            from: Sender {
                source: SOURCE.into(),
                shard: self.shard.as_str().into(),
            },
            reason: letter::Reason {
                kind: self.reason.kind(),
                text: self.reason.to_string().into(),
                code: None,
                may_have_applied: false,
            },
            attempts: self.attempts,
            more: (),
            record: match &self.record {
                Ok(record) => Given::Change(RawChange::of(record)),
                Err(malformed) => Given::of(malformed),
            },
        };
        serde_json::to_string(&letter).expect("texts, numbers and items have a form in JSON")
    }
}

/// A letter's record.
#[derive(Serialize)]
#[serde(untagged)]
enum Given {
    Change(RawChange),
    Json { malformed: Box<RawValue> },
    Text { malformed: String },
}

impl Given {
    fn of(record: &MalformedRecord) -> Self {
        match raw(record.json()) {
            Ok(malformed) => Self::Json { malformed },
            Err(_) => Self::Text {
                malformed: String::from_utf8_lossy(record.json()).into_owned(),
            },
        }
    }
}

/// The reason why a record is given up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DeadReason {
    /// The handler refused it, or failed too often. Holds the handler's last message.
    Handler(String),
    /// It is older than [`max_age`](super::super::StreamsSettings::max_age).
    TooOld(Duration),
    /// An image can't be read.
    Undecodable(DecodeError),
    /// Its form is not one that this crate can read.
    Malformed,
}

impl DeadReason {
    /// Returns the kind of error that it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Handler(_) => ErrorKind::Handler,
            Self::TooOld(_) => ErrorKind::Timeout,
            Self::Undecodable(_) | Self::Malformed => ErrorKind::Invalid,
        }
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(problem) => write!(f, "the handler failed: {problem}"),
            Self::TooOld(age) => write!(f, "{} s old", age.as_secs()),
            Self::Undecodable(error) => write!(f, "{error}"),
            Self::Malformed => f.write_str("no change that is known"),
        }
    }
}

/// The result of handling records, for the policy.
#[derive(Debug)]
pub(crate) struct Handled {
    pub(crate) ending: super::scheduler::Ending,
    pub(crate) reason: Option<DeadReason>,
}

pub(crate) type HandleFn =
    Arc<dyn Fn(ShardId, Vec<Record>, u32) -> BoxFuture<'static, Handled> + Send + Sync>;
pub(crate) type DeadLetterFn =
    Arc<dyn Fn(FailedChange) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Wraps a handler of typed batches in the form that the policy calls.
pub(crate) fn erase<T, H, F, E>(handler: H) -> HandleFn
where
    T: DeserializeOwned + Send + 'static,
    H: Fn(Batch<T>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BatchError> + Send + 'static,
{
    use super::scheduler::Ending;
    Arc::new(move |shard, records, failures| {
        let mut changes = Vec::with_capacity(records.len());
        let mut undecodable = None;
        for record in records {
            match Change::read(record) {
                Ok(change) => changes.push(change),
                Err(error) => {
                    undecodable = Some(error);
                    break;
                }
            }
        }
        let readable = changes.len();
        let undecodable = move || match undecodable {
            None => Handled {
                ending: Ending::Done,
                reason: None,
            },
            Some(error) => Handled {
                ending: Ending::Refused { at: readable },
                reason: Some(DeadReason::Undecodable(error)),
            },
        };
        if changes.is_empty() {
            return Box::pin(std::future::ready(undecodable()));
        }
        let handling = handler(Batch {
            shard,
            changes,
            failures,
        });
        Box::pin(async move {
            let Err(error) = handling.await else {
                return undecodable();
            };
            let BatchError { ending, problem } = error.into();
            match ending {
                // All changes that were given are done. What is left begins with the record that
                // could not be read.
                Ending::Retry { from: at } | Ending::Refused { at } if at >= readable => {
                    undecodable()
                }
                ending => Handled {
                    ending,
                    reason: Some(DeadReason::Handler(problem)),
                },
            }
        })
    })
}

/// Gives a dead letter to its handler, repeatedly until the handler takes it, or the letter is not
/// wanted any more. Returns whether it was taken.
pub(crate) async fn write_dead_letter(
    dead_letters: &DeadLetterFn,
    letter: FailedChange,
    retries: &mut Retries,
    failure_log: &FailureLog,
    is_wanted: impl Fn() -> bool,
) -> bool {
    let give = || {
        let given = letter.clone();
        // The call itself is inside, since it may panic too.
        let taking = AssertUnwindSafe(async { dead_letters(given).await });
        async move {
            let taken = taking.catch_unwind().await;
            taken.unwrap_or_else(|_| Err("it panicked".to_owned()))
        }
    };
    let decide = |problem: String, _| {
        if !is_wanted() {
            return Decision::GiveUp(());
        }
        let problem = format!("a dead letter was not taken: {problem}");
        failure_log.handler_failed(&letter.shard, &problem);
        Decision::Retry
    };
    retries.call(give, decide).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error that is none of `std`'s and converts into one, as `anyhow::Error` is.
    struct Report(&'static str);

    impl From<Report> for Box<dyn Error + Send + Sync> {
        fn from(report: Report) -> Self {
            report.0.into()
        }
    }

    #[test]
    fn any_error_converts_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the archive refused it")]
        struct Outer(#[source] std::io::Error);

        fn handled<E: Into<BatchError>>(result: Result<(), E>) -> Result<(), BatchError> {
            result.map_err(Into::into)
        }
        let problem = |result: Result<(), BatchError>| result.expect_err("it failed").problem;
        let outer = Outer(std::io::Error::other("disk full"));
        assert_eq!(
            problem(handled(Err(outer))),
            "the archive refused it: disk full"
        );
        assert_eq!(problem(handled(Err(Report("odd")))), "odd");
        assert_eq!(problem(handled(Err("out of stock"))), "out of stock");
        let refused = BatchError::refuse(2, "no");
        let ending = handled(Err(refused)).expect_err("it failed").ending;
        assert_eq!(ending, super::super::scheduler::Ending::Refused { at: 2 });
    }
}
