//! Two tables behind one handle, each with settings of its own, read from a TOML file.
//!
//! ```text
//! cargo run --features test-util --example per_table_settings
//! cargo run --features test-util --example per_table_settings -- settings.toml
//! ```
//!
//! Writes 1,000 items to each table of the file, one table after the other, and prints how many requests that took and how
//! many of them were under way at once. A mistake in the file is answered with table, field, value and allowed range:
//! try `concurrency = 0`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dynamodb_connector::TableSpec;
use dynamodb_connector::sink::{DynamoDbSink, DynamoDbSinkSettings};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb};
use serde_json::json;

const SETTINGS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/examples/per_table_settings/settings.toml"
);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let file = std::env::args_os().nth(1);
    match run(file.map_or_else(|| SETTINGS.into(), PathBuf::from)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}"));
            eprintln!("per_table_settings: {error}{}", cause.unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

async fn run(file: PathBuf) -> Result<(), Box<dyn Error>> {
    let settings = DynamoDbSinkSettings::from_path(&file)?;

    // A DynamoDB in this process; slow, so that requests overlap as they do over a network.
    let database = FaultyDynamoDb::new();
    for (table, _) in settings.tables() {
        database.create_table(TableSpec::new(table));
    }
    let sink = DynamoDbSink::builder(&database.client()).settings(settings.clone());
    let sink = sink.open().await?;
    database.inject(Fault::delay_before(Duration::from_millis(20)).always());

    for (name, _) in settings.tables() {
        let table = sink.table(name)?;
        for n in 0..1_000 {
            // Dropping a receipt leaves a failure to `flush`.
            drop(table.put(&json!({"pk": n.to_string()})).await?);
        }
        table.flush().await?;
        let requests = database.requests();
        let requests = requests.iter().filter(|one| one.items() > 0);
        let own: Vec<_> = requests.filter(|one| one.tables() == [name]).collect();
        let at_once = own.iter().map(|one| {
            let begun = own
                .iter()
                .filter(|other| other.received() <= one.received());
            begun
                .filter(|other| other.ended() > Some(one.received()))
                .count()
        });
        let (items, most) = (database.item_count(name), at_once.max().unwrap_or(0));
        println!(
            "{name:10} {items} items in {} requests, {most} at once",
            own.len()
        );
    }
    Ok(sink.close().await?)
}
