//! Requests to the faulty DynamoDB, expressions included.

use serde_json::Value;

use crate::test_util::Operation;
use crate::test_util::fuzzing::Server;

/// Any bytes as requests, one a line: an operation and its body. Each is carried out whole or refused
/// without a trace, and leaves only items that could be put anew.
///
/// # Panics
///
/// Where that does not hold.
pub fn requests(bytes: &[u8]) {
    let mut server = Server::new();
    for line in bytes.split(|&byte| byte == b'\n').take(20) {
        let mut parts = line.splitn(2, |&byte| byte == b' ');
        let name = parts.next().unwrap_or_default();
        let body = serde_json::from_slice::<Value>(parts.next().unwrap_or_default());
        let operation = Operation::ALL
            .into_iter()
            .find(|operation| operation.name().as_bytes() == name);
        if let (Some(operation), Ok(body)) = (operation, body) {
            server.check(operation, &body);
        }
    }
}
