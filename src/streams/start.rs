//! The position at which an application begins, and its form in a settings file.

use std::fmt::Write as _;
use std::time::SystemTime;

use humantime::{format_rfc3339, parse_rfc3339};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The position at which an application without leases begins. One with leases continues from its checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartPosition {
    /// The oldest change that the stream still holds, up to 24 hours back. The default.
    #[default]
    TrimHorizon,
    /// All changes from now on: the position is set before [`open`](super::StreamsSourceBuilder::open) returns.
    Latest,
    /// All changes made at this time or later. DynamoDB Streams can't seek by time: the shards are
    /// read from their oldest change, and earlier changes are skipped.
    AtTimestamp(SystemTime),
    /// Every item of the table once, as an [`EventKind::Snapshot`](super::EventKind::Snapshot), and every change since
    /// [`open`](super::StreamsSourceBuilder::open): the table is scanned while its stream is read, and the two are merged.
    ///
    /// No change is lost, and no item is seen as it was before a change that was seen: an item that changes while it is scanned
    /// is given by its changes alone, so some items have no snapshot record. After a crash before a shard's first checkpoint,
    /// changes of the last seconds before the start may be given too. The stream's view must hold new images. After a crash the
    /// scan continues from the last page with every item done and every change before it behind its shard's checkpoint.
    ///
    /// While it is taken, which [`StreamsStats::snapshot_items`](super::StreamsStats::snapshot_items) shows, one worker reads all shards and the others wait. Pages of it
    /// and changes of the stream are handed out in turn, never at the same time. [`SnapshotSettings`](super::SnapshotSettings) sets
    /// its speed and memory. Every worker of the application must be opened with this position. Its state is in a separate table,
    /// `<lease table>-snapshot`, created in on-demand mode. Deleting it together with the lease table resets the application.
    Snapshot,
}

/// The positions that have a name in a settings file.
const NAMED: [(&str, StartPosition); 3] = [
    ("trim_horizon", StartPosition::TrimHorizon),
    ("latest", StartPosition::Latest),
    ("snapshot", StartPosition::Snapshot),
];

/// As a name in snake case, or as a time in UTC: `2026-01-31T08:00:00Z`.
impl Serialize for StartPosition {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self::AtTimestamp(time) = self else {
            let name = NAMED.iter().find(|(_, position)| position == self);
            return to.serialize_str(name.map_or("", |(name, _)| name));
        };
        let mut text = String::new();
        // The formatter panics before 1970, and fails past the year 9999.
        let is_after_epoch = time.duration_since(SystemTime::UNIX_EPOCH).is_ok();
        if !is_after_epoch || write!(text, "{}", format_rfc3339(*time)).is_err() {
            let problem = "a start outside the years 1970 to 9999 can't be written";
            return Err(serde::ser::Error::custom(problem));
        }
        to.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for StartPosition {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if let Some((_, position)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*position);
        }
        parse_rfc3339(&text).map(Self::AtTimestamp).map_err(|_| {
            let problem = "expected \"trim_horizon\", \"latest\", \"snapshot\", or a time in UTC such as \
                           \"2026-01-31T08:00:00Z\"";
            serde::de::Error::custom(format!("unknown start {text:?}, {problem}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::streams::StreamsSettings;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_769_846_400_250);
        for (position, expected) in [
            (StartPosition::TrimHorizon, "\"trim_horizon\""),
            (StartPosition::Latest, "\"latest\""),
            (StartPosition::Snapshot, "\"snapshot\""),
            (
                StartPosition::AtTimestamp(time),
                "\"2026-01-31T08:00:00.250Z\"",
            ),
        ] {
            let text = serde_json::to_string(&position).expect("written");
            assert!(
                text == expected || text == expected.replace(".250Z", ".250000000Z"),
                "{text}"
            );
            let read: StartPosition = serde_json::from_str(&text).expect("read");
            assert_eq!(read, position);
        }
    }

    #[test]
    fn a_time_that_has_no_form_is_refused() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let after = SystemTime::UNIX_EPOCH + Duration::from_secs(400_000 * 24 * 60 * 60 * 10);
        for time in [before, after] {
            serde_json::to_string(&StartPosition::AtTimestamp(time)).expect_err("no form");
        }
    }

    #[test]
    fn a_time_of_toml_needs_no_quotation_marks() {
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_846_400);
        for text in ["2026-01-31T08:00:00Z", "2026-01-31 08:00:00z"] {
            let settings = StreamsSettings::from_toml(&format!("start = {text}"));
            let start = settings.expect("a time in UTC").get_start();
            assert_eq!(start, StartPosition::AtTimestamp(expected), "{text}");
        }
        for text in [
            "2026-01-31",
            "2026-01-31T08:00:00",
            "2026-01-31T08:00:00+02:00",
        ] {
            let error = StreamsSettings::from_toml(&format!("start = {text}"));
            let error = error.expect_err("not in UTC").to_string();
            let expected = format!("streams: start: unknown start \"{text}\", expected ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_mistake_names_what_is_expected() {
        let error = StreamsSettings::from_toml("start = \"earliest\"").expect_err("no position");
        let expected = "streams: start: unknown start \"earliest\", expected \"trim_horizon\", \"latest\", \
                        \"snapshot\", or a time in UTC such as \"2026-01-31T08:00:00Z\"";
        assert_eq!(error.to_string(), expected);
        let error = StreamsSettings::default().worker("").validate();
        assert_eq!(
            error.expect_err("no name").to_string(),
            "streams: worker is 0B, allowed 1B to 1KiB"
        );
    }
}
