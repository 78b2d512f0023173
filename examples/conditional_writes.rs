//! Writes that depend on what the table holds: create once, never replace a newer one, change what was read, count once.
//!
//! ```text
//! cargo run --features test-util --example conditional_writes
//! ```
//!
//! Prints the outcome of each write and what the table holds in the end. A condition that does not hold is an outcome, not an
//! error; with it comes the item that was in the way.

use std::error::Error;

use dynamodb_connector::TableSpec;
use dynamodb_connector::sink::{Outcome, TableSink};
use dynamodb_connector::test_util::FaultyDynamoDb;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, Serialize, Deserialize)]
struct Decision {
    pk: String,
    version: u32,
    state: String,
}

fn decision(version: u32, state: &str) -> Decision {
    let (pk, state) = ("42".to_owned(), state.to_owned());
    Decision { pk, version, state }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = FaultyDynamoDb::new();
    database.create_table(TableSpec::new("decisions"));
    let table = TableSink::open(&database.client(), "decisions").await?;

    for state in ["referred", "approved"] {
        let create = table.put(&decision(1, state));
        let create = create.condition("attribute_not_exists(pk)");
        told(&format!("create it as {state}"), &create.confirm().await?)?;
    }
    // However late the older one comes, it does not replace the newer one.
    for version in [3, 2] {
        let put = table.put(&decision(version, "checked"));
        let outcome = put.newer_by("version").confirm().await?;
        told(&format!("put version {version}"), &outcome)?;
    }
    // Changes only what is still as it was read.
    for read in [3, 1] {
        let approve = table.update(&json!({"pk": "42"}), "SET #state = :to, version = :next");
        let approve = approve.condition("version = :read").name("#state", "state");
        let approve = approve.value(":to", "approved").value(":next", &(read + 1));
        let outcome = approve.value(":read", &read).confirm().await?;
        told(&format!("approve what was read at {read}"), &outcome)?;
    }
    count(&table).await?;
    table.close().await?;
    println!("the table holds {:?}", database.items("decisions"));
    Ok(())
}

/// Counts each event once, however often it comes: the counter keeps the place of the last one.
/// So it holds over crashes too, where an input is read again from a stored position.
async fn count(table: &TableSink) -> Result<(), Box<dyn Error>> {
    for place in [1, 2, 2, 1, 3] {
        let count = table.update(
            &json!({"pk": "counter"}),
            "SET seen = :place ADD tally :one",
        );
        let count = count.condition("attribute_not_exists(pk) OR seen < :place");
        let count = count.value(":place", &place).value(":one", &1);
        let outcome = count.idempotent(true).confirm().await?;
        println!("{:32} {outcome}", format!("count event {place}"));
    }
    Ok(())
}

fn told(what: &str, outcome: &Outcome) -> Result<(), Box<dyn Error>> {
    println!("{what:32} {outcome}");
    if let Outcome::ConditionFailed {
        existing: Some(item),
        ..
    } = outcome
    {
        let existing: Decision = item.deserialize()?;
        println!("{:32} {existing:?}", "  in the way");
    }
    Ok(())
}
