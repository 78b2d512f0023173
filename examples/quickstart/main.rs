//! Writes 1,000 credit decisions to a DynamoDB within this process, reads them back and compares them one by one.
//!
//! ```text
//! cargo run --release --features embedded --example quickstart
//! cargo run --release --features embedded --example quickstart -- decisions.csv
//! ```
//!
//! The second writes the rows of a file of your own with the columns of `data/german_credit.csv`.
//!
//! Ctrl-C stops submitting, waits for what was submitted, and says what was written: none of that is lost. Once more, it stops at
//! once: what has no outcome by then is handed back, counted by whether it may have been applied, and compared accordingly.
//! (Two that come before the first is noticed count as one.) Either way it ends with 130, as shells expect, or with 1 if
//! the table does not hold what it should.

mod decision;
mod run;
mod store;
mod summary;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dynamodb_connector::TableSpec;
use dynamodb_connector::embedded::EmbeddedDynamoDb;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::sink::TableSink;
use summary::{Comparison, Summary};

const TABLE: &str = "decisions";
/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let file = arguments.next();
    if arguments.next().is_some() {
        eprintln!("quickstart: one argument at most: the CSV file to write");
        return ExitCode::from(2);
    }
    match quickstart(file.as_deref()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn quickstart(file: Option<&Path>) -> Result<ExitCode, Box<dyn Error>> {
    let decisions = decision::load(file)?;
    let database = EmbeddedDynamoDb::start().await?;
    // Customers by name, each one's applications by number.
    let spec = TableSpec::new(TABLE)
        .partition("customer", KeyKind::String)
        .sort("application", KeyKind::Number);
    database.create_table(spec).await?;

    let client = database.client();
    let table = TableSink::open(&client, TABLE).await?;
    let run = run::write(&table, &decisions).await?;

    let found = store::read_back(&client, TABLE).await?;
    let comparison = Comparison::new(&decisions[..run.submitted], &run.failures, found);
    let code = match (comparison.matches(), run.interrupted, run.failures.len()) {
        (true, true, _) => ExitCode::from(INTERRUPTED),
        (true, false, 0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    };
    let of = decisions.len();
    println!(
        "{}",
        Summary {
            of,
            run,
            comparison
        }
    );
    Ok(code)
}
