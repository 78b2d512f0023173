//! A write as one line of JSON, as snapshots and dead letters hold it; see
//! [`snapshot`](super::snapshot) for the format.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::outcome::WriteKind;
use super::payload::{Part, Payload};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteLine<'a> {
    call: Call,
    #[serde(borrow)]
    parts: Vec<PartLine<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub(super) token: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) idempotent: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) may_have_applied: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Call {
    Batch,
    Single,
    Transaction,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartLine<'a> {
    pub(super) kind: Kind,
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub(super) expressions: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) conditional: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Put,
    Delete,
    Update,
    Check,
}

impl From<WriteKind> for Kind {
    fn from(kind: WriteKind) -> Self {
        match kind {
            WriteKind::Put => Self::Put,
            WriteKind::Delete => Self::Delete,
            WriteKind::Update => Self::Update,
            WriteKind::Check => Self::Check,
        }
    }
}

impl From<Kind> for WriteKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Put => Self::Put,
            Kind::Delete => Self::Delete,
            Kind::Update => Self::Update,
            Kind::Check => Self::Check,
        }
    }
}

/// The most bytes of a write's object beside its parts and token. Counted in [`write_object`].
const MAX_OBJECT_LEN: usize = 96;

/// The most bytes of a part beside its data and expressions. Counted in [`write_object`].
const MAX_PART_LEN: usize = 72;

/// Returns the most bytes that [`write_object`] writes.
pub(super) fn max_object_len(payload: &Payload) -> usize {
    let (parts, token) = match payload {
        Payload::Plain { .. } | Payload::Single { .. } => (1, 0),
        Payload::Transaction { parts, token } => (parts.len(), token.len()),
    };
    payload.len() + MAX_OBJECT_LEN + parts * MAX_PART_LEN + token
}

/// Writes a write as a JSON object, without a line break. By hand, since the data are JSON already
/// and need no second look.
pub(super) fn write_object(out: &mut Vec<u8>, payload: &Payload, may_have_applied: bool) {
    let plain;
    let (call, parts, token, idempotent) = match payload {
        Payload::Plain { delete, data } => {
            plain = Part {
                kind: if *delete {
                    WriteKind::Delete
                } else {
                    WriteKind::Put
                },
                data: data.clone(),
                expressions: Bytes::new(),
                conditional: false,
            };
            ("batch", std::slice::from_ref(&plain), None, false)
        }
        Payload::Single { part, idempotent } => {
            ("single", std::slice::from_ref(&**part), None, *idempotent)
        }
        Payload::Transaction { parts, token } => ("transaction", &parts[..], Some(token), false),
    };
    out.extend_from_slice(br#"{"call":""#);
    out.extend_from_slice(call.as_bytes());
    out.extend_from_slice(br#"","parts":["#);
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"kind":""#);
        out.extend_from_slice(part.kind.as_str().as_bytes());
        out.extend_from_slice(br#"","data":"#);
        out.extend_from_slice(&part.data);
        if !part.expressions.is_empty() {
            out.extend_from_slice(br#","expressions":{"#);
            out.extend_from_slice(&part.expressions);
            out.push(b'}');
        }
        if part.conditional {
            out.extend_from_slice(br#","conditional":true"#);
        }
        out.push(b'}');
    }
    out.push(b']');
    if let Some(token) = token {
        out.extend_from_slice(br#","token":""#);
        out.extend_from_slice(token.as_bytes());
        out.push(b'"');
    }
    for (name, flag) in [
        ("idempotent", idempotent),
        ("may_have_applied", may_have_applied),
    ] {
        if flag {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":true");
        }
    }
    out.push(b'}');
}

impl WriteLine<'_> {
    /// Returns the write, or its fault.
    pub(super) fn into_payload(self) -> Result<Payload, &'static str> {
        let parts: Result<Vec<Part>, _> = self.parts.iter().map(PartLine::to_part).collect();
        let parts = parts?;
        if matches!(self.call, Call::Transaction) {
            return match self.token {
                Some(token) if is_token(&token) && !parts.is_empty() => Ok(Payload::Transaction {
                    parts,
                    token: token.as_ref().into(),
                }),
                _ => Err("a transaction needs parts and a token"),
            };
        }
        let mut parts = parts.into_iter();
        let (Some(part), None) = (parts.next(), parts.next()) else {
            return Err("this call has one part");
        };
        if part.kind == WriteKind::Check {
            return Err("a check stands only in a transaction");
        }
        if matches!(self.call, Call::Single) {
            return Ok(Payload::Single {
                part: Box::new(part),
                idempotent: self.idempotent,
            });
        }
        if part.conditional || !part.expressions.is_empty() {
            return Err("a write in a batch has no expressions");
        }
        if part.kind == WriteKind::Update {
            return Err("an update can't be in a batch");
        }
        Ok(Payload::Plain {
            delete: part.kind == WriteKind::Delete,
            data: part.data,
        })
    }
}

impl PartLine<'_> {
    fn to_part(&self) -> Result<Part, &'static str> {
        let expressions = self.expressions.map_or("{}", RawValue::get).trim();
        let inner = expressions
            .strip_prefix('{')
            .and_then(|inner| inner.strip_suffix('}'))
            .ok_or("expressions must be an object")?;
        Ok(Part {
            kind: self.kind.into(),
            data: one_line(self.data.get()),
            expressions: one_line(inner.trim()),
            conditional: self.conditional,
        })
    }
}

/// Returns JSON without its line breaks, which stand between its tokens alone.
pub(super) fn one_line(json: &str) -> Bytes {
    Bytes::from(json.replace(['\n', '\r'], " "))
}

/// Returns whether a token has the characters and the length that the sink's own have, and the
/// service takes.
fn is_token(token: &str) -> bool {
    (1..=36).contains(&token.len())
        && token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_object_is_longer_than_reckoned() {
        let part = |kind| Part {
            kind,
            data: Bytes::from_static(br#"{"pk":{"S":"k"}}"#),
            expressions: Bytes::from_static(br#""ConditionExpression":"a""#),
            conditional: true,
        };
        let token = "0123456789abcdef0123456789abcdef";
        let mut payloads = vec![Payload::Plain {
            delete: true,
            data: part(WriteKind::Delete).data,
        }];
        for kind in [
            WriteKind::Put,
            WriteKind::Delete,
            WriteKind::Update,
            WriteKind::Check,
        ] {
            let single = Box::new(part(kind));
            payloads.push(Payload::Single {
                part: single,
                idempotent: true,
            });
            payloads.push(Payload::Transaction {
                parts: vec![part(kind); 100],
                token: token.into(),
            });
        }
        for payload in payloads {
            let mut out = Vec::new();
            write_object(&mut out, &payload, true);
            assert!(out.len() <= max_object_len(&payload), "{payload:?}");
            assert!(max_object_len(&payload) < out.len() * 3 / 2 + MAX_OBJECT_LEN);
        }
    }
}
