//! The faulty DynamoDB without its front: one request at a time, checked from within.
//!
//! For the property tests and fuzz targets of `dynamodb-connector` alone; it changes without notice.

use std::time::Duration;

use dynamodb_table_spec::KeyKind;
use dynamodb_table_spec::{IndexSpec, TableSpec};
use serde_json::Value as Json;

use crate::item::value::{item_from_json, item_size};
use crate::store::execution::{Context, Store};
use crate::store::operation::Operation;
use crate::store::table::Table;

/// Returns the bytes of an item as DynamoDB counts them; `None` where it is none.
#[must_use]
pub fn stored_size(item: &Json) -> Option<usize> {
    item_from_json(item).ok().as_ref().map(item_size)
}

/// Returns the size of an item that such a table takes.
///
/// # Errors
///
/// The reason for which the table does not take it.
pub fn put(table: TableSpec, item: &Json) -> Result<usize, String> {
    let item = item_from_json(item).map_err(|refusal| refusal.message)?;
    let size = item_size(&item);
    let put = Table::new(table.into(), 0.0, Duration::ZERO).put(item);
    put.map(|_| size).map_err(|refusal| refusal.message)
}

/// A service with two tables.
#[derive(Debug)]
pub struct Server {
    store: Store,
    rng: fastrand::Rng,
}

impl Server {
    /// Creates the service.
    #[expect(clippy::new_without_default, reason = "as the service itself")]
    #[must_use]
    pub fn new() -> Self {
        let mut store = Store::default();
        let index = IndexSpec::global("by_a").partition("a", KeyKind::String);
        for spec in [
            TableSpec::new("one"),
            TableSpec::new("two")
                .sort("sk", KeyKind::Number)
                .index(index),
        ] {
            let name = spec.name.clone();
            store
                .tables
                .insert(name, Table::new(spec.into(), 0.0, Duration::ZERO));
        }
        Self {
            store,
            rng: fastrand::Rng::with_seed(1),
        }
    }

    /// Carries out a request and checks what it leaves.
    ///
    /// # Panics
    ///
    /// Where a refused request or a reading one changed something, or a table holds what it would
    /// refuse.
    pub fn check(&mut self, operation: Operation, body: &Json) {
        let before = self.store.tables.clone();
        let mut context = Context {
            leave: None,
            rng: &mut self.rng,
            now: Duration::ZERO,
            unix_millis: 0,
            unix_seconds: 0.0,
        };
        let result = self.store.execute(operation, body, &mut context);
        let changes = operation.is_write() || operation.is_control_plane();
        if result.is_err() || !changes {
            assert!(before.keys().eq(self.store.tables.keys()));
            for (name, table) in &before {
                assert!(self.store.tables.get(name).map(|now| &now.items) == Some(&table.items));
            }
        }
        match result {
            Ok(done) => assert!(done.body.is_object() || done.worded.is_some()),
            Err(refusal) => {
                assert!((400..600).contains(&refusal.status));
                assert!(!refusal.code.is_empty());
                assert!(refusal.body().is_object());
            }
        }
        for table in self.store.tables.values() {
            for (key, item) in &table.items {
                let again = table.put((**item).clone());
                let change = again.map_err(|refusal| refusal.message);
                let held = change.map(|change| change.key == *key);
                assert_eq!(held, Ok(true), "{} holds what it refuses", table.spec.name);
            }
        }
    }
}
