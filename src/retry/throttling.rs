//! The reasons for throttling that the service gives.

/// A reason for a throttling exception, with the table or index concerned.
///
/// `UnprocessedItems` carries no reasons: only exceptions do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThrottlingReason {
    limit: ThrottlingLimit,
    resource: Option<Box<str>>,
}

/// The limit that a throttled request met, reads and writes alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThrottlingLimit {
    /// The provisioned capacity of the table.
    TableProvisioned,
    /// The provisioned capacity of a global index.
    IndexProvisioned,
    /// The capacity of one partition of the table: a hot key.
    TableKeyRange,
    /// The capacity of one partition of a global index: a hot key of the index.
    IndexKeyRange,
    /// The account's quota for a table.
    TableAccountLimit,
    /// The account's quota for an index.
    IndexAccountLimit,
    /// The maximum throughput set for an on-demand table.
    TableMaxOnDemand,
    /// The maximum throughput set for an on-demand index.
    IndexMaxOnDemand,
    /// A reason this version does not know, as it was sent.
    Unknown(String),
}

impl ThrottlingReason {
    /// Parses a reason such as `TableWriteProvisionedThroughputExceeded`.
    pub(crate) fn parse(reason: &str, resource: Option<&str>) -> Self {
        Self {
            limit: ThrottlingLimit::parse(reason),
            resource: resource.map(Into::into),
        }
    }

    /// Returns the limit that was met.
    pub fn limit(&self) -> &ThrottlingLimit {
        &self.limit
    }

    /// Returns the ARN of the table or index whose limit it is, where the service names it.
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }
}

impl ThrottlingLimit {
    fn parse(reason: &str) -> Self {
        Self::parse_known(reason).unwrap_or_else(|| Self::Unknown(reason.to_owned()))
    }

    /// Parses `Table|Index` + `Read|Write` + the limit.
    /// Source: `API_ThrottlingReason` in the DynamoDB API reference.
    fn parse_known(reason: &str) -> Option<Self> {
        let (table, rest) = match reason.strip_prefix("Table") {
            Some(rest) => (true, rest),
            None => (false, reason.strip_prefix("Index")?),
        };
        let limit = rest
            .strip_prefix("Write")
            .or_else(|| rest.strip_prefix("Read"))?;
        Some(match (limit, table) {
            ("ProvisionedThroughputExceeded", true) => Self::TableProvisioned,
            ("ProvisionedThroughputExceeded", false) => Self::IndexProvisioned,
            ("KeyRangeThroughputExceeded", true) => Self::TableKeyRange,
            ("KeyRangeThroughputExceeded", false) => Self::IndexKeyRange,
            ("AccountLimitExceeded", true) => Self::TableAccountLimit,
            ("AccountLimitExceeded", false) => Self::IndexAccountLimit,
            ("MaxOnDemandThroughputExceeded", true) => Self::TableMaxOnDemand,
            ("MaxOnDemandThroughputExceeded", false) => Self::IndexMaxOnDemand,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_reason_is_known() {
        for (place, table) in [("Table", true), ("Index", false)] {
            for direction in ["Read", "Write"] {
                for (limit, on_table, on_index) in [
                    (
                        "ProvisionedThroughputExceeded",
                        ThrottlingLimit::TableProvisioned,
                        ThrottlingLimit::IndexProvisioned,
                    ),
                    (
                        "KeyRangeThroughputExceeded",
                        ThrottlingLimit::TableKeyRange,
                        ThrottlingLimit::IndexKeyRange,
                    ),
                    (
                        "AccountLimitExceeded",
                        ThrottlingLimit::TableAccountLimit,
                        ThrottlingLimit::IndexAccountLimit,
                    ),
                    (
                        "MaxOnDemandThroughputExceeded",
                        ThrottlingLimit::TableMaxOnDemand,
                        ThrottlingLimit::IndexMaxOnDemand,
                    ),
                ] {
                    let reason =
                        ThrottlingReason::parse(&format!("{place}{direction}{limit}"), Some("arn"));
                    assert_eq!(reason.limit(), if table { &on_table } else { &on_index });
                    assert_eq!(reason.resource(), Some("arn"));
                }
            }
        }
    }

    #[test]
    fn what_is_not_known_is_kept() {
        for reason in [
            "",
            "Table",
            "TableWrite",
            "SolarFlare",
            "TableWriteSolarFlare",
        ] {
            let parsed = ThrottlingReason::parse(reason, None);
            assert_eq!(parsed.limit(), &ThrottlingLimit::Unknown(reason.to_owned()));
        }
    }
}
