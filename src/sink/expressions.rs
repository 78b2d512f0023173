//! Expressions, their names and values, as members of a request.

use std::collections::HashMap;

use bytes::Bytes;

/// The largest expression, in bytes (AWS developer guide, "Service, account, and table quotas").
const MAX_EXPRESSION_BYTES: usize = 4 * 1024;

/// The parts of a write that a plain one has none of.
#[derive(Default)]
pub(super) struct More {
    pub(super) update: Option<String>,
    pub(super) condition: Option<String>,
    pub(super) newer_by: Option<String>,
    pub(super) names: Vec<(String, String)>,
    pub(super) values: Vec<(String, Vec<u8>)>,
    pub(super) idempotent: Option<bool>,
    pub(super) exactly_once: bool,
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

impl More {
    /// Returns the request's members that hold the expressions, without braces.
    pub(super) fn expressions(&self) -> Result<Bytes, String> {
        let mut out = Vec::new();
        let texts = [
            ("UpdateExpression", &self.update),
            ("ConditionExpression", &self.condition),
        ];
        for (member, text) in texts {
            let Some(text) = text else { continue };
            if text.len() > MAX_EXPRESSION_BYTES {
                let len = text.len();
                return Err(format!(
                    "{member} of {len} bytes, at most {MAX_EXPRESSION_BYTES}"
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
