//! The keys of tables and indexes, and what an index holds of an item.
//!
//! Data alone, without rules: the fake describes its tables by them, and must share no code with the
//! encoder, which it tests.

use std::fmt;

/// The type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// `S`: UTF-8 text.
    String,
    /// `N`: a number of up to 38 digits, compared by value.
    Number,
    /// `B`: bytes.
    Binary,
}

impl KeyKind {
    /// Returns DynamoDB's name of the type: `S`, `N` or `B`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "S",
            Self::Number => "N",
            Self::Binary => "B",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key attribute: its name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAttribute {
    name: String,
    kind: KeyKind,
}

impl KeyAttribute {
    /// A key attribute of any type.
    pub fn new(name: impl Into<String>, kind: KeyKind) -> Self {
        Self {
            name: name.into(),
            kind,
        }
    }

    /// The attribute's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The attribute's type.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }
}

/// The primary key of a table or the key of an index: a partition key and maybe a sort key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySchema {
    partition: KeyAttribute,
    sort: Option<KeyAttribute>,
}

impl KeySchema {
    /// A key of a partition key alone.
    pub fn new(partition: impl Into<String>, kind: KeyKind) -> Self {
        Self {
            partition: KeyAttribute::new(partition, kind),
            sort: None,
        }
    }

    /// The same with a sort key.
    #[must_use]
    pub fn with_sort(mut self, sort: impl Into<String>, kind: KeyKind) -> Self {
        self.sort = Some(KeyAttribute::new(sort, kind));
        self
    }

    /// The partition key.
    pub fn partition(&self) -> &KeyAttribute {
        &self.partition
    }

    /// The sort key, where there is one.
    pub fn sort(&self) -> Option<&KeyAttribute> {
        self.sort.as_ref()
    }

    /// Returns the partition key, then the sort key where there is one.
    pub fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.partition).chain(&self.sort)
    }

    /// Returns whether an attribute is part of this key.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.attributes().any(|attribute| attribute.name() == name)
    }
}

/// The attributes of an item that an index holds. The cost of a write to the index follows from it.
// Exhaustive: what a write costs is computed from each kind, and a new one must not compile unseen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Projection {
    /// `ALL`: the whole item.
    #[default]
    All,
    /// `KEYS_ONLY`: the keys of the table and of the index.
    KeysOnly,
    /// `INCLUDE`: the keys and these attributes.
    Include(Vec<String>),
}
