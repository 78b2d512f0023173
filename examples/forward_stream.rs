//! A stream forwarded into a table: the rows of a CSV file, each one a put.
//!
//! ```text
//! cargo run --features embedded --example forward_stream
//! cargo run --features embedded --example forward_stream -- rows.csv
//! ```
//!
//! Prints how many rows were written, and how many items the table then holds. The file needs a column `application`,
//! which is the key; the default is `data/german_credit.csv`. The stream is read no faster than the table takes it. Ctrl-C ends
//! the stream: what was read until then is written. A row that can't be read ends it too, with its line.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use dynamodb_connector::TableSpec;
use dynamodb_connector::embedded::EmbeddedDynamoDb;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::sink::TableSink;
use futures::{SinkExt as _, StreamExt as _, TryStreamExt as _, stream};

const ROWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/german_credit.csv");

/// A row by the names of its columns.
type Row = BTreeMap<String, String>;
type AnyError = Box<dyn Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let file = std::env::args_os().nth(1);
    match run(file.map_or_else(|| ROWS.into(), PathBuf::from)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forward_stream: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(file: PathBuf) -> Result<(), AnyError> {
    let name = file.display();
    let rows = csv::Reader::from_path(&file).map_err(|error| format!("{name}: {error}"))?;
    let database = EmbeddedDynamoDb::start().await?;
    let spec = TableSpec::new("rows").partition("application", KeyKind::String);
    database.create_table(spec).await?;
    let table = TableSink::open(&database.client(), "rows").await?;

    let rows = stream::iter(rows.into_deserialize::<Row>());
    let rows = rows.map_err(|error| AnyError::from(format!("{name}: {error}")));
    let records = table.records::<Row>().sink_map_err(AnyError::from);
    let forwarded = rows.take_until(tokio::signal::ctrl_c()).forward(records);
    // On success, every row that was read has its outcome. After a bad row, those before it still
    // stand in the sink: closing writes them.
    let forwarded = forwarded.await;
    table.close().await?;
    let count = database.client().scan().table_name("rows");
    let count = count.into_paginator().items().send();
    let held = count.try_collect().await?.len();
    let written = table.stats().written;
    println!("{written} rows written, the table holds {held} items");
    forwarded
}
