//! Writes 1,000 credit decisions to a DynamoDB within this process, reads them back and compares them one by one.
//!
//! ```text
//! cargo run --release --features embedded --example quickstart
//! ```
//!
//! Ctrl-C stops submitting, waits for what was submitted, and says what was written.

mod decision;
mod store;
mod summary;

use std::error::Error;
use std::future::IntoFuture as _;
use std::io::IsTerminal as _;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use decision::Decision;
use dynamodb_connector::embedded::EmbeddedDynamoDb;
use dynamodb_connector::sink::TableSink;
use indicatif::ProgressBar;
use summary::{Comparison, Summary};
use tokio::task::JoinSet;

const TABLE: &str = "decisions";
/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let decisions = decision::load()?;
    let db = EmbeddedDynamoDb::start().await?;
    let client = db.client();
    store::create(&client, TABLE).await?;

    let table = TableSink::open(&client, TABLE).await?;
    let started = now();
    let run = write(&table, &decisions).await?;
    let took = started.elapsed();
    let stats = table.stats();
    table.close().await?;

    let found = store::read_back(&client, TABLE).await?;
    let comparison = Comparison::new(&decisions[..run.submitted], found);
    let matches = comparison.matches() && run.failures.is_empty();
    let summary = Summary {
        of: decisions.len(),
        run,
        took,
        retried: stats.retried,
        comparison,
    };
    println!("{summary}");

    Ok(match (matches, summary.run.interrupted) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::from(INTERRUPTED),
        (true, false) => ExitCode::SUCCESS,
    })
}

/// What became of the decisions that were submitted.
struct Run {
    submitted: usize,
    /// From acceptance to acknowledgement, of each that was written.
    acknowledged: Vec<Duration>,
    /// The outcomes of those that were not.
    failures: Vec<String>,
    interrupted: bool,
}

async fn write(table: &TableSink, decisions: &[Decision]) -> Result<Run, Box<dyn Error>> {
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(u64::try_from(decisions.len())?)
    } else {
        ProgressBar::hidden()
    };
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    let mut receipts = JoinSet::new();
    let mut run = Run {
        submitted: 0,
        acknowledged: Vec::new(),
        failures: Vec::new(),
        interrupted: false,
    };
    for decision in decisions {
        let receipt = tokio::select! {
            biased;
            _ = &mut interrupt => {
                run.interrupted = true;
                break;
            }
            // Waits here while the sink's buffer is full.
            receipt = table.put(decision).into_future() => receipt?,
        };
        run.submitted += 1;
        let (accepted, bar) = (now(), bar.clone());
        receipts.spawn(async move {
            let outcome = receipt.await;
            bar.inc(1);
            (outcome, accepted.elapsed())
        });
    }
    while let Some(settled) = receipts.join_next().await {
        let (outcome, took) = settled?;
        if outcome.is_written() {
            run.acknowledged.push(took);
        } else {
            run.failures.push(outcome.to_string());
        }
    }
    bar.finish_and_clear();
    Ok(run)
}

#[expect(clippy::disallowed_methods, reason = "an example measures real time")]
fn now() -> Instant {
    Instant::now()
}
