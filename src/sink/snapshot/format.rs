//! The lines of a snapshot; see the [parent module](super) for the format.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::error::SnapshotError;
use crate::letter::json_fault;
use crate::sink::core::Saved;
use crate::sink::wire::WriteLine;

pub(super) const FORMAT: &str = "dynamodb-connector/sink-snapshot";

#[derive(Serialize, Deserialize)]
pub(super) struct Header<'a> {
    #[serde(borrow)]
    pub(super) format: Cow<'a, str>,
    pub(super) version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableLine<'a> {
    #[serde(borrow)]
    pub(super) table: Cow<'a, str>,
    pub(super) writes: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndLine {
    pub(super) end: End,
}

#[derive(Serialize, Deserialize)]
pub(super) struct End {
    pub(super) writes: usize,
    pub(super) crc32: u32,
}

pub(super) fn line(out: &mut Vec<u8>, value: &impl Serialize) {
    // Strings, numbers and raw JSON only: this serialisation has no way to fail.
    if serde_json::to_writer(&mut *out, value).is_ok() {
        out.push(b'\n');
    }
}

/// The most bytes of a header, table or end line beside the name of a table. Counted, with numbers
/// of 20 digits.
pub(super) const MAX_LINE_LEN: usize = 80;

/// The most bytes of a byte of text that is escaped (`\u001f`).
pub(super) const MAX_ESCAPED: usize = 6;

pub(super) struct Lines<'a> {
    pub(super) rest: &'a [u8],
    pub(super) number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn next(&mut self) -> Result<&'a [u8], SnapshotError> {
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or(SnapshotError::Damaged("it is cut short"))?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        self.number += 1;
        Ok(line)
    }

    pub(super) fn parse<T: Deserialize<'a>>(&mut self) -> Result<T, SnapshotError> {
        let line = self.next()?;
        serde_json::from_slice(line).map_err(|error| self.json(&error))
    }

    pub(super) fn write(&mut self) -> Result<Saved, SnapshotError> {
        let write: WriteLine<'_> = self.parse()?;
        let may_have_applied = write.may_have_applied;
        let payload = write.into_payload().map_err(|what| self.malformed(what))?;
        Ok(Saved {
            payload,
            may_have_applied,
        })
    }

    pub(super) fn malformed(&self, what: &str) -> SnapshotError {
        SnapshotError::Malformed {
            line: self.number,
            what: what.to_owned(),
        }
    }

    pub(super) fn json(&self, error: &serde_json::Error) -> SnapshotError {
        SnapshotError::Malformed {
            line: self.number,
            what: json_fault(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_longer_than_reckoned() {
        let table = "\u{1f}".repeat(255);
        let mut out = Vec::new();
        let writes = usize::MAX;
        line(
            &mut out,
            &TableLine {
                table: table.as_str().into(),
                writes,
            },
        );
        assert!(out.len() <= MAX_LINE_LEN + MAX_ESCAPED * table.len());
        out.clear();
        let crc32 = u32::MAX;
        line(
            &mut out,
            &EndLine {
                end: End { writes, crc32 },
            },
        );
        assert!(out.len() <= MAX_LINE_LEN);
    }
}
