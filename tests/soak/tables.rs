//! The tables, their keys, and the records written to them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;

/// What each table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Table {
    /// Every kind of write.
    Plain,
    /// Newer writes replace older ones that are queued.
    Coalesced,
    /// Every write is guarded by its version; the service applies some late.
    Guarded,
    /// One partition key, little room, impatient callers.
    Hot,
    /// Counters that all tasks add to.
    Counters,
    /// Fails and is opened again, all the time.
    Rounds,
}

impl Table {
    pub(crate) const ALL: [Self; 6] = [
        Self::Plain,
        Self::Coalesced,
        Self::Guarded,
        Self::Hot,
        Self::Counters,
        Self::Rounds,
    ];
    /// Those of the one sink that runs from the beginning to the end.
    pub(crate) const LASTING: [Self; 5] = [
        Self::Plain,
        Self::Coalesced,
        Self::Guarded,
        Self::Hot,
        Self::Counters,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Coalesced => "coalesced",
            Self::Guarded => "guarded",
            Self::Hot => "hot",
            Self::Counters => "counters",
            Self::Rounds => "rounds",
        }
    }

    /// Of this process alone: DynamoDB Local outlives it.
    pub(crate) fn name(self) -> String {
        format!("soak-{}-{}", std::process::id(), self.word())
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    pub(crate) fn has_sort_key(self) -> bool {
        self == Self::Hot
    }
}

/// A key of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    pub(crate) table: Table,
    pub(crate) key: u32,
}

const HOT: &str = "hot";

impl Spot {
    /// The key alone, for deletes and updates.
    pub(crate) fn id(self) -> Row {
        let sorted = self.table.has_sort_key();
        Row {
            pk: if sorted {
                HOT.to_owned()
            } else {
                format!("k{}", self.key)
            },
            sk: sorted.then_some(self.key),
            id: None,
            g: None,
            text: None,
        }
    }

    /// A whole record.
    pub(crate) fn row(self, id: u64) -> Row {
        Row {
            id: Some(id),
            ..self.id()
        }
    }

    pub(crate) fn attributes(self) -> HashMap<String, AttributeValue> {
        let row = self.id();
        let pk = ("pk".to_owned(), AttributeValue::S(row.pk));
        let sk = row
            .sk
            .map(|sk| ("sk".to_owned(), AttributeValue::N(sk.to_string())));
        std::iter::once(pk).chain(sk).collect()
    }

    pub(crate) fn of_key(table: Table, key: &HashMap<String, AttributeValue>) -> Option<Self> {
        let key = if table.has_sort_key() {
            key.get("sk")?.as_n().ok()?.parse().ok()?
        } else {
            key.get("pk")?
                .as_s()
                .ok()?
                .strip_prefix('k')?
                .parse()
                .ok()?
        };
        Some(Self { table, key })
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pk: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sk: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// The key of an index that the sink isn't told of: a number here is for the service to refuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    g: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl Row {
    /// The service refuses it, the sink does not.
    pub(crate) fn bad(self) -> Self {
        Self { g: Some(1), ..self }
    }

    pub(crate) fn with_text(self, bytes: usize) -> Self {
        Self {
            text: Some("x".repeat(bytes)),
            ..self
        }
    }
}

pub(crate) fn number(item: &HashMap<String, AttributeValue>, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The ids of the writes in a snapshot or a record, by what stands before them in DynamoDB's JSON.
pub(crate) fn ids_in(text: &str) -> impl Iterator<Item = u64> {
    [r#""id":{"N":""#, r#"":id":{"N":""#]
        .into_iter()
        .flat_map(|before| text.split(before).skip(1))
        .filter_map(|rest| rest.split('"').next()?.parse().ok())
}
