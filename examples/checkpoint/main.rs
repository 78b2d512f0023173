//! A pipeline that may be killed at any moment: it stores what is outstanding together with its position, and goes on from there.
//!
//! ```text
//! cargo run --features embedded --example checkpoint
//! cargo run --features embedded --example checkpoint -- folder
//! ```
//!
//! Writes an endless input to a table that is kept in a file of the folder, and stores a checkpoint every 1,000 orders: the
//! position in the input, and a snapshot of the writes that were accepted and not yet confirmed. Prints a line for each.
//!
//! Kill it (`kill -9`), and start it again: it prints what it restores and from where it goes on. Ctrl-C ends it in order: it
//! takes no more of the input, waits for what it has accepted, stores the last checkpoint, and looks for every order
//! in the table. Ctrl-C once more ends it at once, which loses nothing either: the next start goes on from the last checkpoint.

mod state;
mod store;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dynamodb_connector::embedded::EmbeddedDynamoDb;
use dynamodb_connector::sink::{DynamoDbSink, Snapshot, TableSettings, TableSink};
use state::Checkpoint;
use store::{TABLE, order};
use tokio::signal::ctrl_c;

/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| std::env::temp_dir().join("checkpoint-example"));
    match run(&folder).await {
        Ok(()) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("checkpoint: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("folder {}: {error}", folder.display()))?;
    let database = EmbeddedDynamoDb::start_in_file(folder.join("table.sqlite")).await?;
    store::create(&database).await?;
    let client = database.client();
    let settings = TableSettings::default().buffer_records(2_000);
    let sink = DynamoDbSink::builder(&client)
        .table(TABLE, settings)
        .open()
        .await?;
    let table = sink.table(TABLE)?;

    let path = folder.join("checkpoint.json");
    let mut position = restore(&table, Checkpoint::load(&path)?).await?;
    let mut interrupt = std::pin::pin!(ctrl_c());
    loop {
        tokio::select! {
            biased;
            _ = &mut interrupt => break,
            // A failure is left to `close`; a put that is lost would be a failure.
            accepted = table.put(&order(position)).into_future() => drop(accepted?),
        }
        position += 1;
        if position % 1_000 == 0 {
            let snapshot = table.snapshot().await?;
            Checkpoint::new(position, &snapshot)?.store(&path)?;
            println!("stored position {position} and {} writes", snapshot.len());
        }
    }
    println!("interrupted at position {position}: finishing (once more to stop at once)");
    tokio::select! {
        closed = table.close() => closed?,
        _ = ctrl_c() => return Ok(()),
    }
    Checkpoint::new(position, &Snapshot::default())?.store(&path)?;
    store::compare(&client, position).await
}

/// Submits again what was outstanding, and says where the input goes on.
async fn restore(table: &TableSink, stored: Option<Checkpoint>) -> Result<u64, Box<dyn Error>> {
    let Some(stored) = stored else {
        println!("nothing stored: starting from position 0");
        return Ok(0);
    };
    let (position, snapshot) = (stored.position, stored.snapshot()?);
    // Puts may be sent twice; an update that may not would be in `handed_back` here.
    let restored = table.restore(&snapshot).await?;
    let again = restored.receipts.len();
    println!("restored {again} writes, going on from position {position}");
    Ok(position)
}
