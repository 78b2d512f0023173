//! The condition of a query on the key.

use dynamodb_table_spec::KeySchema;

use super::expression::{Comparison, Condition, Operand};
use crate::item::error::Refusal;
use crate::item::key::KeyPart;
use crate::item::value::Value;

/// A query's condition taken apart: the partition, and what is asked of the sort key.
pub(super) struct KeyCondition<'a> {
    pub(super) partition: KeyPart,
    pub(super) sort: Option<&'a Condition>,
}

impl<'a> KeyCondition<'a> {
    pub(super) fn of(condition: &'a Condition, keys: &KeySchema) -> Result<Self, Refusal> {
        let missed = || Refusal::validation("Query condition missed key schema element");
        let parts = match condition {
            Condition::And(left, right) => vec![left.as_ref(), right.as_ref()],
            single => vec![single],
        };
        let mut partition = None;
        let mut sort = None;
        for part in parts {
            match part {
                Condition::Compare(
                    Comparison::Equal,
                    Operand::Path(path),
                    Operand::Value(value),
                ) if path.is(keys.partition().name()) && partition.is_none() => {
                    partition = Some(value);
                }
                Condition::Compare(comparison, Operand::Path(path), Operand::Value(_))
                    if keys.sort().is_some_and(|sort| path.is(sort.name()))
                        && *comparison != Comparison::NotEqual
                        && sort.is_none() =>
                {
                    sort = Some(part);
                }
                Condition::Between(Operand::Path(path), ..)
                | Condition::BeginsWith(Operand::Path(path), _)
                    if keys.sort().is_some_and(|sort| path.is(sort.name())) && sort.is_none() =>
                {
                    sort = Some(part);
                }
                _ => return Err(missed()),
            }
        }
        let partition = partition.ok_or_else(missed)?;
        let partition = match partition {
            Value::S(text) => KeyPart::S(text.clone()),
            Value::N(number) => KeyPart::N(number.clone()),
            Value::B(bytes) => KeyPart::B(bytes.clone()),
            _ => KeyPart::S(String::new()),
        };
        if partition.to_value().type_name() != keys.partition().kind().name() {
            return Err(Refusal::invalid_values(
                "Condition parameter type does not match schema type",
            ));
        }
        Ok(Self { partition, sort })
    }
}
