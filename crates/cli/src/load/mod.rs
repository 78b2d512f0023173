//! `load`: a file's lines into a table, through the sink.
//!
//! ```text
//! file ─▶ unpack ─▶ lines ─▶ item ──▶ sink ──▶ receipt of each line ─▶ counts
//!         (a thread of its own) │        └─ refused ─┐
//!                               └─ bad line ─────────┴▶ dead-letter file
//! ```

mod letters;
mod progress;
mod source;
mod tally;
mod value;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::error::Error;
use std::future::IntoFuture as _;
use std::path::{Path, PathBuf};

use clap::Args;
use dynamodb_connector::item::{IndexShape, KeySchema, TableShape};
use dynamodb_connector::sink::{
    DynamoDbSink, Outcome, Receipt, SubmitError, TableSettings, TableSink,
};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::signal::ctrl_c;
use tokio::sync::mpsc;

use crate::connection::Connection;
use crate::output::print;
use crate::usage::Misused;
use crate::{Ending, OutputFormat};
use letters::Letters;
use progress::Progress;
use source::{Format, Reading, Row};
use tally::Tally;
use value::{Item, Type};

/// The name of `-` in messages, and before the suffix of its dead-letter file.
const STDIN: &str = "stdin";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The file to load, unpacked if its name ends in .gz; - for standard input
    file: PathBuf,
    /// The table to load it into
    #[arg(long)]
    table: String,
    /// The format of the lines [default: by the file's name]
    #[arg(long)]
    format: Option<Format>,
    /// The type of a CSV column, S, N, B (base64) or BOOL: --types amount=N,paid=BOOL. Keys have the table's types, others are strings
    #[arg(long, value_name = "COLUMN=TYPE", value_delimiter = ',', value_parser = column_type)]
    types: Vec<(String, Type)>,
    /// The file for lines that are not written, with the reason [default: FILE.dead.jsonl]
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// The format of the summary
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
    #[command(flatten)]
    connection: Connection,
}

fn column_type(text: &str) -> Result<(String, Type), String> {
    // The last one: a column's name may hold another.
    let parsed = text.rsplit_once('=').and_then(|(column, kind)| {
        let kind = Type::parse(kind)?;
        (!column.is_empty()).then(|| (column.to_owned(), kind))
    });
    parsed.ok_or_else(|| "a column and its type are wanted: amount=N (S, N, B or BOOL)".to_owned())
}

/// Loads the file. All is drained when this returns, after Ctrl-C too.
pub(crate) async fn run(arguments: Arguments) -> Result<Ending, Box<dyn Error>> {
    let Arguments {
        file: path,
        table,
        format,
        types,
        dead_letters,
        output,
        connection,
    } = arguments;
    let Some(format) = format.or_else(|| Format::of(&path)) else {
        let name = name_of(&path);
        return Err(Misused(format!(
            "what {name} holds does not show in its name: give --format"
        ))
        .into());
    };
    if format != Format::Csv && !types.is_empty() {
        return Err(Misused("--types is for CSV: JSON has types of its own".to_owned()).into());
    }
    let file = name_of(&path);
    let input = source::open(&path).map_err(|error| format!("cannot open {file}: {error}"))?;
    let letters = Letters::new(dead_letters.unwrap_or_else(|| format!("{file}.dead.jsonl").into()));
    let progress = Progress::new(&path)?;
    let input = source::unpack(&path, progress.count(input));

    let client = aws_sdk_dynamodb::Client::new(&connection.config().await?);
    let taken = letters.clone();
    let sink = DynamoDbSink::builder(&client)
        .table(&table, TableSettings::default())
        .dead_letters(move |letter| {
            std::future::ready(taken.write(&letter.to_json_line()).map_err(Into::into))
        })
        .open()
        .await?;
    let sink = sink.table(&table)?;
    let keys = key_types(&sink.shape());
    let types: HashMap<String, Type> = types.into_iter().collect();
    if let Some((column, kind)) = types
        .iter()
        .find(|(column, kind)| keys.get(*column).is_some_and(|key| key != *kind))
    {
        return Err(Misused(format!(
            "--types gives {column:?} the type {}, as a key it has another: leave it out",
            kind.name()
        ))
        .into());
    }

    let rows = Reading {
        format,
        keys,
        types,
    }
    .start(input);
    let mut load = Load {
        file: &file,
        sink: &sink,
        letters: &letters,
        progress: &progress,
        tally: Tally::default(),
    };
    let result = load.run(rows).await;
    let tally = load.tally;
    progress.finish();
    let summary = tally.summary(&file, &table, &letters);
    match output {
        OutputFormat::Text => print(format_args!("{summary}\n"))?,
        OutputFormat::Json => {
            print(format_args!("{}\n", serde_json::to_string(&summary)?))?;
        }
    }
    result?;
    Ok(tally.ending())
}

/// The file's name in messages.
fn name_of(path: &Path) -> String {
    match path.to_str() {
        Some("-") => STDIN.to_owned(),
        _ => path.display().to_string(),
    }
}

/// The types of the attributes that are keys of the table or of one of its indexes.
fn key_types(shape: &TableShape) -> HashMap<String, Type> {
    let indexes = shape.indexes().iter().map(IndexShape::keys);
    let keys = indexes.chain(std::iter::once(shape.keys()));
    let attributes = keys.flat_map(|key: &KeySchema| [Some(key.partition()), key.sort()]);
    attributes
        .flatten()
        .map(|key| (key.name().to_owned(), key.kind().into()))
        .collect()
}

/// A load under way.
struct Load<'a> {
    file: &'a str,
    sink: &'a TableSink,
    letters: &'a Letters,
    progress: &'a Progress,
    tally: Tally,
}

impl Load<'_> {
    async fn run(
        &mut self,
        mut rows: mpsc::Receiver<Result<Row, String>>,
    ) -> Result<(), Box<dyn Error>> {
        let mut receipts = FuturesUnordered::new();
        let mut interrupt = std::pin::pin!(ctrl_c());
        let mut result = Ok(());
        loop {
            tokio::select! {
                biased;
                _ = &mut interrupt => {
                    self.tally.interrupted = true;
                    break;
                }
                Some((line, outcome)) = receipts.next() => self.settle(line, &outcome),
                row = rows.recv() => match row {
                    Some(Ok(row)) => {
                        let line = row.line;
                        let receipt = tokio::select! {
                            biased;
                            _ = &mut interrupt => {
                                self.tally.interrupted = true;
                                break;
                            }
                            // Waits here while the sink's buffer is full.
                            receipt = self.submit(row) => receipt,
                        };
                        match receipt {
                            Ok(Some(receipt)) => receipts.push(async move { (line, receipt.await) }),
                            Ok(None) => {}
                            Err(error) => {
                                result = Err(error);
                                break;
                            }
                        }
                    }
                    Some(Err(error)) => {
                        result = Err(format!("{}: {error}", self.file).into());
                        break;
                    }
                    None => break,
                },
            }
        }

        let mut aborted = false;
        while !receipts.is_empty() {
            if self.tally.interrupted && !aborted {
                self.progress
                    .say("interrupted: finishing what was submitted (once more to stop at once)");
            }
            interrupt.set(ctrl_c());
            tokio::select! {
                () = self.settle_all(&mut receipts) => {}
                _ = &mut interrupt => {
                    if self.tally.interrupted {
                        // What has no outcome comes back through its receipt.
                        self.sink.abort().await;
                        aborted = true;
                    }
                    self.tally.interrupted = true;
                }
            }
        }
        if !aborted {
            let closed = self.sink.close().await;
            // What came first says more: a table that failed fails at closing too.
            result = result.and(closed.map_err(Into::into));
        }
        result
    }

    /// Submits a line; one that is no item of the table becomes a dead letter.
    async fn submit(&mut self, row: Row) -> Result<Option<Receipt>, Box<dyn Error>> {
        let why = match &row.item {
            Ok(item) => match self.put(item).await {
                Ok(receipt) => {
                    self.tally.submitted(row.line);
                    return Ok(Some(receipt));
                }
                Err(error) if error.is_record() => error.to_string(),
                Err(error) => return Err(error.into()),
            },
            Err(why) => why.clone(),
        };
        self.tally.submitted(row.line);
        let table = self.sink.name();
        self.letters.write(&letters::of_line(
            self.file, row.line, table, &why, &row.raw,
        ))?;
        self.bad(row.line, &why);
        Ok(None)
    }

    async fn put(&self, item: &Item) -> Result<Receipt, SubmitError> {
        self.sink.put_item(item).into_future().await
    }

    /// Waits for every receipt. Dropped before its end, none is lost.
    async fn settle_all<F>(&mut self, receipts: &mut FuturesUnordered<F>)
    where
        F: Future<Output = (u64, Outcome)>,
    {
        while let Some((line, outcome)) = receipts.next().await {
            self.settle(line, &outcome);
        }
    }

    fn settle(&mut self, line: u64, outcome: &Outcome) {
        match outcome {
            Outcome::Written => {
                self.tally.written += 1;
                self.progress.written(self.tally.written);
            }
            // The sink's handler has its letter.
            Outcome::Rejected { reason, .. } => self.bad(line, &reason.to_string()),
            // Said once for all of them, with the cause, when the table is closed.
            _ => self.tally.unwritten += 1,
        }
    }

    fn bad(&mut self, line: u64, why: &str) {
        self.tally.dead_lettered += 1;
        if let Some(message) = self
            .tally
            .complaint(self.file, line, why, self.letters.path())
        {
            self.progress.say(&message);
        }
    }
}
