//! A pipeline's dead letter as one line of JSON: the envelope of [`crate::letter`], with
//! the members of a pipeline.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::dead_letter::{DeadLetter, Refusal};
use super::position::Position;
use super::reason::{Reason, ReasonKind};
use crate::error::ErrorKind;
use crate::letter::{self, DeadLetterFormatError, Letter, VERSION};

/// The members of a pipeline's letter beside those of the envelope.
#[derive(Serialize)]
struct Refusals<'a> {
    refusals: Vec<RefusalLine<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    unlisted: u32,
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    from: From<'a>,
    attempts: u32,
    #[serde(borrow)]
    refusals: Vec<RefusalLine<'a>>,
    #[serde(default)]
    unlisted: u32,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// The operator that gave the record up, and the record's position in the source.
#[derive(Serialize, Deserialize)]
struct From<'a> {
    #[serde(borrow)]
    operator: Cow<'a, str>,
    #[serde(borrow)]
    partition: Cow<'a, str>,
    #[serde(borrow)]
    position: At<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum At<'a> {
    Number(u64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

#[derive(Serialize, Deserialize)]
struct RefusalLine<'a> {
    #[serde(borrow)]
    operator: Cow<'a, str>,
    kind: ReasonKind,
    #[serde(borrow)]
    text: Cow<'a, str>,
    values: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl ReasonKind {
    /// Returns the kind of error that a reason of this kind is.
    pub(super) fn error_kind(self) -> ErrorKind {
        match self {
            Self::Invalid | Self::Rejected => ErrorKind::Invalid,
            Self::Absent => ErrorKind::NotFound,
            Self::Lookup => ErrorKind::Unavailable,
            Self::Setup => ErrorKind::Config,
            Self::TimedOut => ErrorKind::Timeout,
            Self::Panicked => ErrorKind::Handler,
        }
    }
}

impl<R: Serialize> DeadLetter<R> {
    /// Returns the letter as one line of JSON, without the line break at its end: for a file
    /// ([`LetterFile`](super::LetterFile)), or as the value of a Kafka record.
    ///
    /// ```json
    /// {"v":1,"from":{"operator":"amounts","partition":"orders-0","position":42},"reason":{"kind":"invalid","text":"negative amount"},"attempts":1,"refusals":[{"operator":"amounts","kind":"invalid","text":"negative amount","values":1}],"record":{…}}
    /// ```
    ///
    /// It is the envelope of
    /// [`sink::FailedWrite::to_json_line`](crate::sink::FailedWrite::to_json_line). `position` is a
    /// number or a text, as the source has it. `refusals` are the distinct reasons, and `unlisted`
    /// counts the values beyond them. `record` is what serde makes of the record: for a Kafka
    /// message take [`RawMessage`](super::RawMessage), for a table's change
    /// [`RawChange`](crate::streams::RawChange), by [`dead_letter_with`](super::Pipeline::dead_letter_with).
    /// Later versions may add members under the same `v`.
    ///
    /// # Errors
    ///
    /// [`DeadLetterFormatError::Malformed`] where serde can't make JSON of the record.
    pub fn to_json_line(&self) -> Result<String, DeadLetterFormatError> {
        let record = serde_json::to_string(&self.record)
            .and_then(RawValue::from_string)
            .map_err(|_| DeadLetterFormatError::malformed("the record has no form in JSON"))?;
        let position = match self.position.as_number() {
            Some(number) => At::Number(number),
            None => At::Text(self.position.as_text().unwrap_or_default().into()),
        };
        let refusals = self.refusals.iter().map(|refusal| RefusalLine {
            operator: (*refusal.operator).into(),
            kind: refusal.reason.kind(),
            text: refusal.reason.text().into(),
            values: refusal.values,
        });
        let line = Letter {
            v: VERSION,
            from: From {
                operator: (*self.operator).into(),
                partition: (**self.position.partition()).into(),
                position,
            },
            reason: letter::Reason {
                kind: self.reason.kind().error_kind(),
                text: self.reason.text().into(),
                code: None,
                may_have_applied: false,
            },
            attempts: self.attempts,
            more: Refusals {
                refusals: refusals.collect(),
                unlisted: self.unlisted,
            },
            record,
        };
        serde_json::to_string(&line)
            .map_err(|_| DeadLetterFormatError::malformed("the letter has no form in JSON"))
    }
}

impl<R: DeserializeOwned> DeadLetter<R> {
    /// Reads a letter that [`to_json_line`](Self::to_json_line) of this or an older version of the
    /// crate wrote, so that its record can be looked at and sent again. Members that this version
    /// doesn't know are ignored.
    ///
    /// # Errors
    ///
    /// [`DeadLetterFormatError::Version`] for a later version, [`DeadLetterFormatError::Malformed`]
    /// if the line is no letter of a pipeline, or its record is no `R`.
    pub fn from_json_line(line: &str) -> Result<Self, DeadLetterFormatError> {
        let read: Read<'_> = letter::read(line)?;
        let record = serde_json::from_str(read.record.get())
            .map_err(|_| DeadLetterFormatError::malformed("its record is not of this type"))?;
        let refusals = read.refusals.into_iter().map(|refusal| Refusal {
            operator: Arc::from(refusal.operator),
            reason: Reason::new(refusal.kind, refusal.text.into_owned()),
            values: refusal.values,
        });
        let refusals: Vec<Refusal> = refusals.collect();
        let first = refusals
            .first()
            .ok_or_else(|| DeadLetterFormatError::malformed("it has no reason"))?;
        let partition = Arc::from(read.from.partition);
        Ok(Self {
            operator: Arc::clone(&first.operator),
            reason: first.reason.clone(),
            attempts: read.attempts,
            position: match read.from.position {
                At::Number(number) => Position::number(partition, number),
                At::Text(text) => Position::text(partition, text.into_owned()),
            },
            record,
            refusals,
            unlisted: read.unlisted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"v":1,"from":{"operator":"amounts","partition":"shard-1","position":"0042"},"reason":{"kind":"not_found","text":"no \"name\""},"attempts":3,"refusals":[{"operator":"amounts","kind":"absent","text":"no \"name\"","values":2},{"operator":"sink","kind":"rejected","text":"too large","values":1}],"unlisted":7,"record":{"id":5}}"#;

    fn read(line: &str) -> Result<DeadLetter<serde_json::Value>, DeadLetterFormatError> {
        DeadLetter::from_json_line(line)
    }

    /// The format of version 1, which later versions read as well.
    #[test]
    fn a_letter_of_version_1_is_read_and_written_as_it_stands() {
        let letter = read(LINE).expect("a letter");
        assert_eq!(
            letter.to_string(),
            "amounts: shard-1@0042: no \"name\" (the first of 10 refused values)"
        );
        assert_eq!(
            (letter.attempts, letter.reason.kind()),
            (3, ReasonKind::Absent)
        );
        assert_eq!(letter.to_json_line().expect("JSON"), LINE);
        let numbered = LINE.replace("\"0042\"", "42");
        let letter = read(&numbered).expect("a letter");
        assert_eq!(letter.position, Position::number("shard-1".into(), 42));
        assert_eq!(letter.to_json_line().expect("JSON"), numbered);
        let more = LINE.replace("\"attempts\"", "\"new\":[1],\"attempts\"");
        read(&more).expect("members that are not known are ignored");
    }

    #[test]
    fn another_version_and_other_lines_are_refused_without_their_contents() {
        let later = LINE.replace("\"v\":1", "\"v\":2");
        assert_eq!(
            read(&later).unwrap_err(),
            DeadLetterFormatError::Version { found: 2 }
        );
        let of_sink = r#"{"v":1,"from":{"sink":"dynamodb","table":"secret"},"reason":{"kind":"invalid","text":"secret"},"attempts":1,"record":{}}"#;
        for line in [
            "",
            "secret",
            "{\"v\":\"secret\"}",
            of_sink,
            &LINE[..LINE.len() - 4],
        ] {
            let error = read(line).unwrap_err();
            assert!(
                matches!(error, DeadLetterFormatError::Malformed { .. }),
                "{error}"
            );
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let typed = DeadLetter::<u32>::from_json_line(LINE).unwrap_err();
        assert!(
            typed
                .to_string()
                .ends_with("its record is not of this type"),
            "{typed}"
        );
    }
}
