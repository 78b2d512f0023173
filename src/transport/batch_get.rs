//! `BatchGetItem`: items of one table by their keys.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::parse;
use super::{Operation, Transport};
use crate::retry::ServiceError;

/// The most keys of one request (API reference, `BatchGetItem`).
pub(crate) const MAX_KEYS: usize = 100;

/// The answer of a `BatchGetItem`, in no order. A key that is in neither has no item.
#[derive(Debug, Default)]
pub(crate) struct BatchGetAnswer {
    /// The items that were found, as DynamoDB JSON.
    pub(crate) items: Vec<Bytes>,
    /// The unprocessed keys, as DynamoDB JSON.
    pub(crate) unprocessed: Vec<Bytes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    #[serde(borrow)]
    responses: HashMap<Cow<'a, str>, Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    unprocessed_keys: HashMap<Cow<'a, str>, Unprocessed<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Unprocessed<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

impl Transport {
    /// Asks for the items of these keys once. Keys are DynamoDB JSON, none twice, [`MAX_KEYS`] at most.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call), and ambiguous where the answer can't be what the service sent.
    pub(crate) async fn batch_get<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]>,
    ) -> Result<BatchGetAnswer, ServiceError> {
        let name = Value::from(self.0.resource.as_str()).to_string();
        let mut body = format!("{{\"RequestItems\":{{{name}:{{\"Keys\":[").into_bytes();
        for (at, key) in keys.enumerate() {
            if at > 0 {
                body.push(b',');
            }
            body.extend_from_slice(key);
        }
        body.extend_from_slice(b"]}}}");
        let answer = self.call(Operation::BatchGetItem, body.into()).await?;
        read(&answer)
    }
}

/// A transport serves one table: all that is answered is of that table.
fn read(body: &Bytes) -> Result<BatchGetAnswer, ServiceError> {
    let body: Body<'_> = parse(body)?;
    let copy = |json: &RawValue| Bytes::copy_from_slice(json.get().as_bytes());
    let items = body.responses.into_values().flatten().map(copy);
    let unprocessed = body.unprocessed_keys.into_values();
    let unprocessed = unprocessed.flat_map(|table| table.keys).map(copy);
    Ok(BatchGetAnswer {
        items: items.collect(),
        unprocessed: unprocessed.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &'static str) -> Result<BatchGetAnswer, ServiceError> {
        read(&Bytes::from_static(json.as_bytes()))
    }

    #[test]
    fn an_answer_has_items_and_keys_that_were_not_processed() {
        let answer = of(
            r#"{"Responses":{"t":[{"id":{"S":"a"},"n":{"N":"1"}}]},"UnprocessedKeys":{"t":{"Keys":[{"id":{"S":"b"}}],"ConsistentRead":false}}}"#,
        );
        let answer = answer.expect("an answer");
        assert_eq!(answer.items, [r#"{"id":{"S":"a"},"n":{"N":"1"}}"#]);
        assert_eq!(answer.unprocessed, [r#"{"id":{"S":"b"}}"#]);
        let nothing = of(r#"{"Responses":{}}"#).expect("an answer");
        assert!(nothing.items.is_empty() && nothing.unprocessed.is_empty());
    }

    #[test]
    fn an_answer_to_something_else_is_garbled_and_not_shown() {
        for json in [
            r#"{"status":"secret"}"#,
            r#"["secret"]"#,
            r#"{"Responses":{"t":"secret"}}"#,
            "",
        ] {
            let error = of(json).expect_err("none");
            assert!(error.is_retryable(), "{error}");
            assert!(!format!("{error:?} {error}").contains("secret"));
        }
    }
}
