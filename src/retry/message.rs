//! The service's messages: those that may be shown, since they quote no item.
//!
//! A user's mistake is mostly in the message alone: a reserved word, a placeholder without a value,
//! an action that is denied. But some messages quote keys or values. So a message is shown only if
//! it has one of the forms below. In place of any other stands that it is withheld.

/// The most of a message that is shown, in bytes. Chosen: several lines of a terminal.
const MAX_SHOWN_BYTES: usize = 500;

/// The most of a message that is kept, in bytes. Chosen: well above the longest of the service's, of
/// which each buffered write may hold one.
const MAX_KEPT_BYTES: usize = 8 * 1024;

/// Messages, and beginnings (which end in a space) after which the service names expressions,
/// placeholders, attributes, types, actions, resources or limits, and no value of an item.
///
/// Seen in answers of DynamoDB and of DynamoDB Local 3.1.0, and in the API reference.
const SAFE_MESSAGES: &[&str] = &[
    "Invalid ConditionExpression: ",
    "Invalid UpdateExpression: ",
    "Invalid ProjectionExpression: ",
    "Invalid FilterExpression: ",
    "Invalid KeyConditionExpression: ",
    "ExpressionAttributeNames can only be specified when using expressions",
    "ExpressionAttributeNames contains invalid key: ",
    "ExpressionAttributeNames must not be empty",
    "ExpressionAttributeValues can only be specified when using expressions",
    "ExpressionAttributeValues contains invalid key: ",
    "ExpressionAttributeValues must not be empty",
    "Value provided in ExpressionAttributeNames unused in expressions: keys: ",
    "Value provided in ExpressionAttributeValues unused in expressions: keys: ",
    "One or more parameter values were invalid: Cannot update attribute ",
    "One or more parameter values were invalid: Missing the key ",
    "One or more parameter values were invalid: Type mismatch for key ",
    "One or more parameter values were invalid: Type mismatch for Index Key ",
    "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of ",
    "One or more parameter values were invalid: Size of rangekey has exceeded the maximum size limit of ",
    "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size ",
    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain \
     an empty string value. Key: ",
    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain \
     an empty binary value. Key: ",
    "The provided key element does not match the schema",
    "The number of conditions on the keys is invalid",
    "The document path provided in the update expression is invalid for update",
    "The provided expression refers to an attribute that does not exist in the item",
    "An operand in the update expression has an incorrect data type",
    "Attribute name is a reserved keyword; reserved keyword: ",
    "Number overflow. Attempting to store a number with magnitude larger than supported range",
    "Number underflow. Attempting to store a number with magnitude smaller than supported range",
    "Attempting to store more than 38 significant digits in a Number",
    "Item size has exceeded the maximum allowed size",
    "Item size to update has exceeded the maximum allowed size",
    "Item collection size limit of 10 GB exceeded",
    "Collection size exceeded",
    "Nesting Levels have exceeded supported limits",
    "Too many items requested for the BatchWriteItem call",
    "Provided list of item keys contains duplicates",
    "Transaction request cannot include multiple operations on one item",
    "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported \
     datatypes",
    "The table does not have the specified index: ",
    "Cannot do operations on a non-existent table",
    "Requested resource not found",
    "Requested resource not found: ",
    "Table not found: ",
    "Internal server error",
    "The conditional request failed",
    "The level of configured provisioned throughput for ",
    "The security token included in the request is expired",
    "The security token included in the request is invalid",
    "The request signature we calculated does not match the signature you provided. ",
    "Signature expired: ",
    "Signature not yet current: ",
    "Throughput exceeds the current throughput limit for your ",
    "Rate of requests exceeds the allowed throughput",
    "Request rate is too high",
    "Service is temporarily unavailable",
    "Transaction is ongoing for the item",
    "Subscriber limit exceeded: ",
    "The operation conflicts with the resource's availability",
];

/// The places from which a message quotes: the text of an expression at a syntax error, paths with
/// the keys of inner maps, values of operands.
const QUOTES: &[&str] = &[
    "; token: ",
    "; path one: ",
    "; path: ",
    " lower bound operand: ",
    "AttributeValue: {",
];

/// Returns the part of a message that may be shown; `None` where it may quote an item.
pub(super) fn shown(message: &str) -> Option<&str> {
    let safe = SAFE_MESSAGES.iter().any(|safe| {
        let rest = message.strip_prefix(safe);
        rest.is_some_and(|rest| safe.ends_with(' ') || matches!(rest, "" | "."))
    });
    let cut = QUOTES.iter().filter_map(|quote| message.find(quote)).min();
    let message = cut.map_or(message, |cut| message.get(..cut).unwrap_or(message));
    (safe || is_of_access(message) || is_of_table_name(message)).then(|| shortened(message))
}

/// Returns whether a message is `User: arn:… is not authorized to perform: dynamodb:PutItem on
/// resource: arn:… because …`.
fn is_of_access(message: &str) -> bool {
    message.starts_with("User: ") && message.contains(" is not authorized to perform: dynamodb:")
}

/// Returns whether a message is `1 validation error detected: Value 'a b' at 'tableName' failed to
/// satisfy constraint: …`.
fn is_of_table_name(message: &str) -> bool {
    let rest = message.strip_prefix("1 validation error detected: Value '");
    rest.is_some_and(|rest| {
        let name = rest.split_once('\'');
        name.is_some_and(|(_, rest)| {
            rest.starts_with(" at 'tableName' failed to satisfy constraint")
        })
    })
}

/// Returns the beginning of a message, as it is shown.
pub(super) fn shortened(message: &str) -> &str {
    beginning(message, MAX_SHOWN_BYTES)
}

/// Returns the beginning of a message, as it is kept with each write that it concerns.
pub(crate) fn kept(message: &str) -> &str {
    beginning(message, MAX_KEPT_BYTES)
}

/// Returns so many bytes of a text, cut at a character.
fn beginning(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_message_the_beginning_is_kept() {
        let long = "é".repeat(MAX_KEPT_BYTES);
        assert_eq!(kept(&long).len(), MAX_KEPT_BYTES);
        assert_eq!(kept(&long[..MAX_KEPT_BYTES - 2]).len(), MAX_KEPT_BYTES - 2);
        assert_eq!(kept("short"), "short");
    }

    #[test]
    fn what_names_expressions_rights_and_limits_is_shown() {
        for message in [
            "Invalid UpdateExpression: Attribute name is a reserved keyword; reserved keyword: status",
            "Invalid ConditionExpression: An expression attribute value used in expression is not \
             defined; attribute value: :v",
            "One or more parameter values were invalid: Cannot update attribute pk. This attribute is \
             part of the key",
            "1 validation error detected: Value 'a b' at 'tableName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
            "User: arn:aws:iam::123456789012:user/app is not authorized to perform: \
             dynamodb:UpdateItem on resource: arn:aws:dynamodb:eu-west-1:123456789012:table/decisions \
             because no identity-based policy allows the dynamodb:UpdateItem action",
            "The conditional request failed",
        ] {
            assert_eq!(shown(message), Some(message));
        }
    }

    #[test]
    fn what_may_quote_an_item_is_not() {
        for message in [
            "",
            "One or more parameter values were invalid: The value secret is too secret",
            "The conditional request was odd: secret",
            "1 validation error detected: Value 'secret' at 'item.v.member' failed to satisfy \
             constraint: Member must not be null",
            "1 validation error detected: Value 'it's at 'tableName' failed to satisfy constraint' at \
             'item' failed",
            "User: secret",
            "The parameter cannot be converted to a numeric value: secret",
        ] {
            assert_eq!(shown(message), None, "{message}");
        }
    }

    #[test]
    fn the_text_at_a_syntax_error_is_left_out() {
        let message = "Invalid ConditionExpression: Syntax error; token: \"-\", near: \"secret\"";
        assert_eq!(
            shown(message),
            Some("Invalid ConditionExpression: Syntax error")
        );
    }

    #[test]
    fn operands_and_paths_are_left_out() {
        for message in [
            "Invalid ConditionExpression: The BETWEEN operator requires upper bound to be greater than \
             or equal to lower bound; lower bound operand: AttributeValue: {S:secret}, upper bound \
             operand: AttributeValue: {S:a}",
            "Invalid UpdateExpression: Two document paths overlap with each other; must remove or \
             rewrite one of these paths; path one: [m, secret], path two: [m]",
        ] {
            let shown = shown(message).expect("it is shown");
            assert!(!shown.contains("secret") && shown.len() > 60, "{shown}");
        }
    }

    #[test]
    fn a_long_message_is_cut() {
        let long = format!("Invalid UpdateExpression: {}", "é".repeat(1_000));
        let shown = shown(&long).expect("it is shown");
        assert!(shown.len() <= MAX_SHOWN_BYTES && long.starts_with(shown));
    }
}
