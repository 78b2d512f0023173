//! The meaning of `#names` and `:values`, all of which must be used.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::item::error::Refusal;
use crate::item::value::{Value, unexpected};
use crate::store::request::Members;

/// The placeholders of one request.
#[derive(Debug)]
pub(crate) struct Scope {
    names: BTreeMap<String, String>,
    values: BTreeMap<String, Value>,
    used: RefCell<BTreeSet<String>>,
}

impl Scope {
    /// Reads the placeholders. `expressions` are the names and contents of the members that may use
    /// them.
    pub(crate) fn read(
        request: Members<'_>,
        expressions: &[(&str, Option<&str>)],
    ) -> Result<Self, Refusal> {
        let mut names = BTreeMap::new();
        let mut values = BTreeMap::new();
        let written = expressions.iter().any(|(_, text)| text.is_some());
        if let Some(members) = request.structure("ExpressionAttributeNames")? {
            if !written {
                return Err(Refusal::validation(
                    "ExpressionAttributeNames can only be specified when using expressions",
                ));
            }
            if members.0.is_empty() {
                return Err(Refusal::validation(
                    "ExpressionAttributeNames must not be empty",
                ));
            }
            for (name, json) in members.0 {
                check_placeholder(name, '#', "ExpressionAttributeNames")?;
                let attribute = json
                    .as_str()
                    .ok_or_else(|| unexpected("an attribute name is no string"))?;
                names.insert(name.clone(), attribute.to_owned());
            }
        }
        if let Some(members) = request.structure("ExpressionAttributeValues")? {
            if !written {
                let absent: Vec<&str> = expressions.iter().map(|(name, _)| *name).collect();
                return Err(Refusal::validation(format!(
                    "ExpressionAttributeValues can only be specified when using expressions: {} is null",
                    absent.join(" and ")
                )));
            }
            if members.0.is_empty() {
                return Err(Refusal::validation(
                    "ExpressionAttributeValues must not be empty",
                ));
            }
            for (name, json) in members.0 {
                check_placeholder(name, ':', "ExpressionAttributeValues")?;
                let value = Value::from_json(json).map_err(|refusal| {
                    Refusal::validation(format!(
                        "ExpressionAttributeValues contains invalid value: {} for key {name}",
                        refusal.message
                    ))
                })?;
                values.insert(name.clone(), value);
            }
        }
        Ok(Self {
            names,
            values,
            used: RefCell::default(),
        })
    }

    pub(super) fn name(&self, placeholder: &str, label: &str) -> Result<String, Refusal> {
        self.used.borrow_mut().insert(placeholder.to_owned());
        self.names.get(placeholder).cloned().ok_or_else(|| {
            Refusal::validation(format!(
                "Invalid {label}: An expression attribute name used in the document path is not \
                 defined; attribute name: {placeholder}"
            ))
        })
    }

    pub(super) fn value(&self, placeholder: &str, label: &str) -> Result<Value, Refusal> {
        self.used.borrow_mut().insert(placeholder.to_owned());
        self.values.get(placeholder).cloned().ok_or_else(|| {
            Refusal::validation(format!(
                "Invalid {label}: An expression attribute value used in expression is not defined; \
                 attribute value: {placeholder}"
            ))
        })
    }

    /// Refuses placeholders that no expression uses.
    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        let used = self.used.borrow();
        let check = |kind: &str, mut given: Vec<&str>| {
            given.retain(|name| !used.contains(*name));
            if given.is_empty() {
                return Ok(());
            }
            Err(Refusal::validation(format!(
                "Value provided in {kind} unused in expressions: keys: {{{}}}",
                given.join(", ")
            )))
        };
        check(
            "ExpressionAttributeNames",
            self.names.keys().map(String::as_str).collect(),
        )?;
        check(
            "ExpressionAttributeValues",
            self.values.keys().map(String::as_str).collect(),
        )
    }
}

fn check_placeholder(name: &str, sign: char, kind: &str) -> Result<(), Refusal> {
    let rest = name.strip_prefix(sign).unwrap_or_default();
    if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    Err(Refusal::validation(format!(
        "{kind} contains invalid key: Syntax error; key: \"{name}\""
    )))
}
