//! Snapshots and dead letters of another writer, or spoilt by a disk.

use serde_json::{Value, json};

use crate::sink::{FailedWrite, Snapshot, WriteRecord};

/// Any bytes as a snapshot, as the lines of one that is whole, and as dead letters: read, and then
/// written and read again without a change, or refused in one line.
///
/// # Panics
///
/// Where that does not hold.
pub fn snapshots(bytes: &[u8]) {
    read(bytes);
    read(&sealed(bytes));
    for line in bytes.split(|&byte| byte == b'\n') {
        letter(&String::from_utf8_lossy(line));
    }
}

fn letter(line: &str) {
    let record = match WriteRecord::from_dead_letter(line) {
        Ok(record) => record,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            return;
        }
    };
    let lost = |record| FailedWrite {
        record,
        reason: None,
        may_have_applied: true,
    };
    let written = lost(record).to_json_line();
    let again = WriteRecord::from_dead_letter(&written).expect("what was written can be read");
    assert_eq!(lost(again).to_json_line(), written);
}

fn read(bytes: &[u8]) {
    let snapshot = match Snapshot::from_bytes(bytes) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            return;
        }
    };
    let written = snapshot.to_bytes();
    let again = Snapshot::from_bytes(&written).expect("what was written can be read");
    assert_eq!(again.to_bytes(), written);
    assert_eq!(again.len(), snapshot.len());
    assert!(again.tables().eq(snapshot.tables()));
    assert_eq!(
        snapshot.is_empty(),
        !bytes.windows(6).any(|part| part == b"\"call\"")
    );
}

/// The same lines with a header before them and an end that fits them: beneath the checksum there is
/// more to get wrong than the checksum.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if !bytes.starts_with(b"{\"format\"") {
        out.extend_from_slice(b"{\"format\":\"dynamodb-connector/sink-snapshot\",\"version\":1}\n");
    }
    let mut writes = 0;
    for line in bytes.split(|&byte| byte == b'\n') {
        let parsed: Value = serde_json::from_slice(line).unwrap_or_default();
        if line.is_empty() || !parsed["end"].is_null() {
            continue;
        }
        writes += usize::from(!parsed["call"].is_null());
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    let end = json!({"end": {"writes": writes, "crc32": crc32fast::hash(&out)}});
    out.extend_from_slice(end.to_string().as_bytes());
    out.push(b'\n');
    out
}
