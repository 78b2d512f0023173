//! The form that a record is checked against: the keys of a table and of its indexes.

use dynamodb_table_spec::{KeySchema, Projection};

/// The form of a secondary index: its key, its kind, and the attributes that it holds.
///
/// ```
/// use dynamodb_connector::item::{IndexShape, KeyKind, KeySchema, Projection};
///
/// let by_state = IndexShape::new("by_state", KeySchema::new("state", KeyKind::String))
///     .projection(Projection::KeysOnly);
/// assert!(!by_state.is_local());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexShape {
    name: String,
    keys: KeySchema,
    local: bool,
    projection: Projection,
    /// Set once a description did not have it any more. It keeps its position.
    dropped: bool,
}

impl IndexShape {
    /// Returns a global index of whole items, by its name and its key.
    pub fn new(name: impl Into<String>, keys: KeySchema) -> Self {
        Self {
            name: name.into(),
            keys,
            local: false,
            projection: Projection::All,
            dropped: false,
        }
    }

    /// Makes it a local index. Its writes are paid for with the table's capacity, those of a global
    /// index with the index's own. Default: global.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// Sets the attributes that the index holds. Default: [`Projection::All`].
    #[must_use]
    pub fn projection(mut self, projection: Projection) -> Self {
        self.projection = projection;
        self
    }

    /// Returns the index's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the index's key.
    pub fn keys(&self) -> &KeySchema {
        &self.keys
    }

    /// Returns whether the index is local.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// Returns the attributes that the index holds.
    pub fn projected(&self) -> &Projection {
        &self.projection
    }

    /// Returns whether it was dropped from the table since that was opened. It is not checked any
    /// more.
    pub fn is_dropped(&self) -> bool {
        self.dropped
    }
}

/// The known form of a table: its primary key and its indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShape {
    keys: KeySchema,
    indexes: Vec<IndexShape>,
    watched: Watched,
}

impl TableShape {
    /// Returns a table without indexes.
    pub fn new(keys: KeySchema) -> Self {
        let mut watched = Watched::default();
        watched.add(&keys);
        Self {
            keys,
            indexes: Vec::new(),
            watched,
        }
    }

    /// Returns the same table with one more index.
    #[must_use]
    pub fn with_index(mut self, index: IndexShape) -> Self {
        if !index.dropped {
            self.watched.add(&index.keys);
        }
        self.indexes.push(index);
        self
    }

    /// Returns this shape with its indexes as a later description has them: those that it lacks are
    /// dropped, and others of the same name have its keys. Positions stay. `None` if nothing
    /// changed.
    pub(crate) fn followed_by(&self, described: &Self) -> Option<Self> {
        let mut followed = Self::new(self.keys.clone());
        for index in &self.indexes {
            let found = described
                .indexes
                .iter()
                .find(|found| found.name == index.name);
            let index = match found {
                Some(found) => found.clone(),
                None => IndexShape {
                    dropped: true,
                    ..index.clone()
                },
            };
            followed = followed.with_index(index);
        }
        (followed != *self).then_some(followed)
    }

    /// Returns the primary key.
    pub fn keys(&self) -> &KeySchema {
        &self.keys
    }

    /// Returns the indexes, also those that were dropped since the table was opened.
    pub fn indexes(&self) -> &[IndexShape] {
        &self.indexes
    }

    /// Returns the key attributes of the table and its indexes, each name once, the table's own
    /// first.
    pub(super) fn watched(&self) -> &Watched {
        &self.watched
    }
}

/// The names to look out for while a record is encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    names: Vec<String>,
    /// A bit for each length of a name: most other attributes are excluded by it alone.
    lengths: u64,
}

impl Watched {
    fn add(&mut self, keys: &KeySchema) {
        for attribute in keys.attributes() {
            if self.position(attribute.name()).is_none() {
                self.lengths |= length_bit(attribute.name());
                self.names.push(attribute.name().to_owned());
            }
        }
    }

    /// Returns the position of a name among the watched.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        if self.lengths & length_bit(name) == 0 {
            return None;
        }
        self.names.iter().position(|watched| watched == name)
    }
}

fn length_bit(name: &str) -> u64 {
    1 << (name.len() % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamodb_table_spec::KeyKind;

    #[test]
    fn names_of_any_length_are_told_apart() {
        let (short, long) = ("pk", "x".repeat(255));
        let keys = KeySchema::new(short, KeyKind::String).with_sort(&long, KeyKind::Number);
        let index = KeySchema::new("email", KeyKind::String).with_sort(short, KeyKind::String);
        let shape = TableShape::new(keys).with_index(IndexShape::new("by_email", index));
        let watched = shape.watched();
        assert_eq!(watched.position(short), Some(0));
        assert_eq!(watched.position(&long), Some(1));
        assert_eq!(watched.position("email"), Some(2));
        for other in ["", "sk", "emails", &"y".repeat(255), &"x".repeat(65_535)] {
            assert_eq!(watched.position(other), None);
        }
    }
}
