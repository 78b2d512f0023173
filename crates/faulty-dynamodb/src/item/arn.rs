//! The names of resources.

/// The name by which AWS knows a table.
pub(crate) fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:us-east-1:000000000000:table/{name}")
}
