//! A conditional update of a row, in DynamoDB's expressions.

use serde_json::{Map, Value, json};

/// An update of a row and its conditions. Each value is named where it is used.
#[derive(Debug, Default)]
pub(super) struct Update {
    set: Vec<String>,
    remove: Vec<&'static str>,
    conditions: Vec<String>,
    values: Map<String, Value>,
}

impl Update {
    fn value(&mut self, value: Value) -> String {
        let name = format!(":v{}", self.values.len());
        self.values.insert(name.clone(), value);
        name
    }

    /// Sets an attribute.
    pub(super) fn set(mut self, attribute: &str, value: Value) -> Self {
        let value = self.value(value);
        self.set.push(format!("{attribute} = {value}"));
        self
    }

    /// Adds one to a numeric attribute, from zero where it is absent.
    pub(super) fn count(mut self, attribute: &str) -> Self {
        let (zero, one) = (self.value(number(0)), self.value(number(1)));
        let sum = format!("{attribute} = if_not_exists({attribute}, {zero}) + {one}");
        self.set.push(sum);
        self
    }

    /// Removes an attribute.
    pub(super) fn remove(mut self, attribute: &'static str) -> Self {
        self.remove.push(attribute);
        self
    }

    /// Requires that an attribute equals this value.
    pub(super) fn equal(mut self, attribute: &str, value: Value) -> Self {
        let value = self.value(value);
        self.conditions.push(format!("{attribute} = {value}"));
        self
    }

    /// Requires that an attribute differs from this value or is absent.
    pub(super) fn not_equal(mut self, attribute: &str, value: Value) -> Self {
        let value = self.value(value);
        self.conditions.push(format!("{attribute} <> {value}"));
        self
    }

    /// Requires that an attribute is absent.
    pub(super) fn absent(mut self, attribute: &str) -> Self {
        let absent = format!("attribute_not_exists({attribute})");
        self.conditions.push(absent);
        self
    }

    /// Returns the request that updates a table's row. Its refusal returns the row.
    pub(super) fn request(self, table: &str, key: &Value) -> Value {
        let mut update = format!("SET {}", self.set.join(", "));
        if !self.remove.is_empty() {
            update.push_str(" REMOVE ");
            update.push_str(&self.remove.join(", "));
        }
        json!({
            "TableName": table,
            "Key": key,
            "UpdateExpression": update,
            "ConditionExpression": self.conditions.join(" AND "),
            "ExpressionAttributeValues": self.values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        })
    }
}

pub(super) fn number(number: u64) -> Value {
    json!({"N": number.to_string()})
}

pub(super) fn text(text: &str) -> Value {
    json!({"S": text})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_names_each_value_where_it_is_used() {
        let update = Update::default()
            .set("leaseOwner", text("me"))
            .count("switches")
            .remove("pending")
            .equal("leaseCounter", number(7))
            .absent("checkpointOwner");
        let request = update.request("leases", &json!({"leaseKey": text("shard")}));
        assert_eq!(
            request["UpdateExpression"],
            "SET leaseOwner = :v0, switches = if_not_exists(switches, :v1) + :v2 REMOVE pending"
        );
        assert_eq!(
            request["ConditionExpression"],
            "leaseCounter = :v3 AND attribute_not_exists(checkpointOwner)"
        );
        assert_eq!(
            request["ExpressionAttributeValues"],
            json!({":v0": {"S": "me"}, ":v1": {"N": "0"}, ":v2": {"N": "1"}, ":v3": {"N": "7"}})
        );
    }
}
