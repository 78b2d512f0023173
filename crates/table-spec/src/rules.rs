//! The rules of `CreateTable`, for what a specification can say (AWS: `API_CreateTable`).

use std::collections::BTreeMap;

use super::index::IndexSpec;
use super::keys::{KeyKind, KeySchema, Projection};
use super::spec::{Billing, TableSpec};

/// Returns whether a table or an index may have this name.
#[doc(hidden)]
#[must_use]
pub fn is_table_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (3..=255).contains(&name.len()) && name.bytes().all(legal)
}

/// The most indexes of a table (developer guide, "Quotas in Amazon DynamoDB"; the second is the default).
const MAX_LOCAL_INDEXES: usize = 5;
const MAX_GLOBAL_INDEXES: usize = 20;

impl TableSpec {
    /// Checks what `CreateTable` would refuse.
    ///
    /// # Errors
    ///
    /// The rule that is broken, with the table or the index that breaks it.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), String> {
        let table = format!("table {:?}", self.name);
        check_name(&table, &self.name)?;
        let mut kinds = BTreeMap::new();
        check_keys(&table, &self.keys, &mut kinds)?;
        if let Billing::Provisioned { read, write } = self.billing {
            check_units(&table, [read, write])?;
        }
        if let Billing::OnDemand { max_write_units } = self.billing {
            check_units(&table, max_write_units)?;
        }
        for (at, index) in self.indexes.iter().enumerate() {
            let place = format!("index {:?} of {table}", index.name);
            check_name(&place, &index.name)?;
            if self.indexes[..at].iter().any(|one| one.name == index.name) {
                return Err(format!("{place}: there is another index of this name"));
            }
            check_keys(&place, &index.keys, &mut kinds)?;
            self.check_index(&place, index)?;
        }
        for (local, most) in [(true, MAX_LOCAL_INDEXES), (false, MAX_GLOBAL_INDEXES)] {
            let count = self.indexes.iter().filter(|index| index.local == local);
            let count = count.count();
            if count > most {
                let kind = if local { "local" } else { "global" };
                return Err(format!(
                    "{table}: it has {count} {kind} indexes, and {most} are the most"
                ));
            }
        }
        Ok(())
    }

    fn check_index(&self, place: &str, index: &IndexSpec) -> Result<(), String> {
        let broken = |rule: &str| Err(format!("{place}: {rule}"));
        if index.projection == Projection::Include(Vec::new()) {
            return broken("name the attributes to include, or project the keys only");
        }
        let (own, maximum) = (index.provisioned, index.max_write_units);
        if index.local {
            if own.is_some() || maximum.is_some() {
                return broken("a local index has the table's capacity, and none of its own");
            }
            if self.keys.sort().is_none() || index.keys.sort().is_none() {
                return broken("a local index needs a sort key, and so does its table");
            }
            if index.keys.partition() != self.keys.partition() {
                return broken("a local index has the partition key of its table");
            }
        }
        match self.billing {
            Billing::OnDemand { .. } if own.is_some() => {
                broken("it has provisioned units, and the table is on demand")
            }
            Billing::Provisioned { .. } if maximum.is_some() => {
                broken("it has a maximum on demand, and the table is provisioned")
            }
            _ => {
                let own = own.into_iter().flat_map(|(read, write)| [read, write]);
                check_units(place, own.chain(maximum))
            }
        }
    }
}

fn check_name(place: &str, name: &str) -> Result<(), String> {
    if is_table_name(name) {
        return Ok(());
    }
    Err(format!(
        "{place}: names of tables and indexes have 3 to 255 characters of a-z, A-Z, 0-9, '_', '-' \
         and '.'"
    ))
}

/// Checks a key against itself and against the kinds of the attributes that other keys name.
fn check_keys<'a>(
    place: &str,
    keys: &'a KeySchema,
    kinds: &mut BTreeMap<&'a str, KeyKind>,
) -> Result<(), String> {
    for attribute in keys.attributes() {
        let (name, kind) = (attribute.name(), attribute.kind());
        if !(1..=255).contains(&name.len()) {
            return Err(format!(
                "{place}: the name of a key attribute has 1 to 255 bytes, not {}",
                name.len()
            ));
        }
        let other = *kinds.entry(name).or_insert(kind);
        if other != kind {
            return Err(format!(
                "{place}: the key attribute {name:?} is of type {kind} here and of type {other} \
                 elsewhere"
            ));
        }
    }
    if keys
        .sort()
        .is_some_and(|sort| sort.name() == keys.partition().name())
    {
        return Err(format!(
            "{place}: partition key and sort key are one attribute"
        ));
    }
    Ok(())
}

fn check_units(place: &str, units: impl IntoIterator<Item = u64>) -> Result<(), String> {
    if units.into_iter().all(|units| units > 0) {
        return Ok(());
    }
    Err(format!("{place}: capacity is at least 1 unit per second"))
}
