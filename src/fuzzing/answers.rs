//! The answers of the service, refusals included.

use bytes::Bytes;
use serde_json::Value;

use super::odd_errors::OddError;
use crate::item::encode_attributes;
use crate::retry::{ErrorClass, ServiceError};
use crate::transport::{UnprocessedKind, parse_batch, parse_describe, parse_single, settle};

/// Any bytes as the answer of each operation: read as a slow parser reads them, or ambiguous. And as
/// the plan of an odd error body, of which the code is read.
///
/// # Panics
///
/// Where that does not hold.
pub fn answers(bytes: &[u8]) {
    batch(bytes);
    if let Err(error) = parse_single(bytes) {
        is_garbled(&error);
    }
    match parse_describe(bytes) {
        // Whatever keys a table has, an item without any lacks one.
        Ok(table) => assert!(encode_attributes(&[].into(), &table.shape).is_err()),
        Err(error) => is_garbled(&error),
    }
    for status in [200, 400, 413, 500] {
        refusal(status, bytes);
    }
    OddError::draw(bytes).check();
}

fn batch(bytes: &[u8]) {
    let answer = match parse_batch(bytes) {
        Ok(answer) => answer,
        Err(error) => return is_garbled(&error),
    };
    let mut read = Vec::new();
    for write in &answer.unprocessed {
        assert!(write.json.starts_with(b"{") && write.json.ends_with(b"}"));
        if let Ok(json) = serde_json::from_slice::<Value>(write.json) {
            read.push((write.kind, json));
        }
    }
    // A table that stands there twice counts once here, and a number without bounds spoils it all.
    let Ok(slow) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let tables = slow["UnprocessedItems"].as_object().into_iter().flatten();
    for request in tables.flat_map(|(_, requests)| requests.as_array().into_iter().flatten()) {
        let put = (UnprocessedKind::Put, &request["PutRequest"]["Item"]);
        let delete = (UnprocessedKind::Delete, &request["DeleteRequest"]["Key"]);
        let (kind, json) = if put.1.is_null() { delete } else { put };
        let held = read.iter().any(|(k, j)| *k == kind && j == json);
        assert!(held, "a write that came back is missing");
    }
}

/// What cannot be read leaves open whether the request was applied, and is not quoted.
fn is_garbled(error: &ServiceError) {
    assert_eq!(error.class(), ErrorClass::Ambiguous);
    assert_eq!(error.code(), "GarbledAnswer");
    assert!(error.service_message().is_none());
    assert!(error.to_string().len() < 120, "{error}");
}

fn refusal(status: u16, bytes: &[u8]) {
    let settled = settle(status, None, Bytes::copy_from_slice(bytes));
    let error = match settled {
        Ok(body) => {
            assert_eq!(status, 200);
            assert_eq!(body, bytes);
            return;
        }
        Err(error) => error,
    };
    assert_ne!(status, 200);
    assert_eq!(error.status(), Some(status));
    assert!(!error.code().is_empty() && error.code().len() <= 100);
    assert!(!error.code().contains(char::is_whitespace));
    let reasons = error.cancellation_reasons();
    let items = reasons.iter().filter_map(|reason| reason.existing_item());
    for item in items.chain(error.existing_item()) {
        let contained = bytes.windows(item.len()).any(|part| part == item);
        assert!(contained, "an item that the answer does not hold");
    }
    let shown = format!("{error} {error:?}");
    if let Some(message) = error.service_message().filter(|text| text.len() > 400) {
        assert!(!shown.contains(message), "a message is quoted");
    }
}
