//! The file: opened, unpacked by its suffix, and read line by line in a thread of its own.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use clap::ValueEnum;
use csv::ByteRecord;
use flate2::read::MultiGzDecoder;
use serde::Serialize;
use tokio::sync::mpsc;

use super::value::{self, Item, Type};

/// The longest line of JSON. An item of 400 KB takes a few times as much in JSON, at most.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// The number of lines that are read ahead.
const READ_AHEAD: usize = 1_000;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The format of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A header, then a row for each item
    Csv,
    /// A JSON object on each line: an item, or {"Item":…} in DynamoDB's JSON, as exports have it
    Json,
}

impl Format {
    /// The format that a file's name says, by its last suffix beside `.gz`.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "json" | "jsonl" | "ndjson" => Some(Self::Json),
            _ => None,
        }
    }
}

/// A line as it was read, for the dead-letter file.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Raw {
    Fields(Vec<String>),
    Text(String),
}

/// A line: the item in it, or what is wrong with it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) raw: Raw,
    pub(super) item: Result<Item, String>,
}

/// Opens a file, or standard input for `-`.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    Ok(match path.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(File::open(path)?),
    })
}

/// Unpacks what a name that ends in `.gz` stands for.
pub(super) fn unpack(path: &Path, file: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    match path.extension() {
        Some(suffix) if suffix.eq_ignore_ascii_case("gz") => Box::new(MultiGzDecoder::new(file)),
        _ => Box::new(file),
    }
}

/// The settings that a line is read with.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) format: Format,
    /// The types of the key attributes of the table and its indexes.
    pub(super) keys: HashMap<String, Type>,
    /// Those of other columns, where they are not strings.
    pub(super) types: HashMap<String, Type>,
}

impl Reading {
    /// Reads in a thread of its own, so that reading never waits for writing. What ends it early is an error in words.
    pub(super) fn start(self, input: Box<dyn Read + Send>) -> mpsc::Receiver<Result<Row, String>> {
        let (rows, received) = mpsc::channel(READ_AHEAD);
        // Not of the runtime: that would wait at its end for a read of standard input.
        std::thread::spawn(move || {
            // Where the receiver is gone, the rest is of no use.
            let mut give = |row| rows.blocking_send(Ok(row)).is_ok();
            if let Err(error) = self.read(input, &mut give) {
                drop(rows.blocking_send(Err(error)));
            }
        });
        received
    }

    /// Gives every row, until `give` says that no more is wanted.
    pub(super) fn read(
        &self,
        input: impl Read,
        give: &mut impl FnMut(Row) -> bool,
    ) -> Result<(), String> {
        match self.format {
            Format::Csv => self.read_csv(input, give),
            Format::Json => self.read_json(BufReader::new(input), give),
        }
    }

    fn read_csv(&self, input: impl Read, give: &mut impl FnMut(Row) -> bool) -> Result<(), String> {
        let unreadable = |error: csv::Error| format!("cannot be read on: {error}");
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
        let columns = self.columns(reader.byte_headers().map_err(unreadable)?)?;
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(unreadable)? {
            let line = record.position().map_or(0, csv::Position::line);
            let item = fields(&record).and_then(|fields| item_of(&columns, &fields));
            let lossy = record.iter().map(|one| String::from_utf8_lossy(one).into());
            let raw = Raw::Fields(lossy.collect());
            if !give(Row { line, raw, item }) {
                break;
            }
        }
        Ok(())
    }

    /// The columns and their types, by the header.
    fn columns(&self, header: &ByteRecord) -> Result<Vec<(String, Type)>, String> {
        let mut seen = HashSet::new();
        let mut columns = Vec::new();
        for name in fields(header).map_err(|what| format!("the header {what}"))? {
            if name.is_empty() {
                return Err("the header has a column without a name".to_owned());
            }
            if !seen.insert(name) {
                return Err(format!("the header names column {name:?} twice"));
            }
            let kind = self.keys.get(name).or_else(|| self.types.get(name));
            columns.push((name.to_owned(), kind.copied().unwrap_or(Type::String)));
        }
        match self.types.keys().find(|name| !seen.contains(name.as_str())) {
            Some(name) => Err(format!("--types names {name:?}, which is no column of it")),
            None => Ok(columns),
        }
    }

    fn read_json(
        &self,
        mut input: impl BufRead,
        give: &mut impl FnMut(Row) -> bool,
    ) -> Result<(), String> {
        let mut bytes = Vec::new();
        for line in 1.. {
            bytes.clear();
            let mut bounded = input.by_ref().take(MAX_LINE_BYTES);
            let read = bounded.read_until(b'\n', &mut bytes);
            if read.map_err(|error| format!("cannot be read on, line {line}: {error}"))? == 0 {
                break;
            }
            if bounded.limit() == 0 {
                return Err(format!(
                    "line {line} is longer than 16 MiB: one item a line is wanted"
                ));
            }
            let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
            let text = text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let item = match std::str::from_utf8(text) {
                Ok(text) => value::item(text, &self.keys),
                Err(_) => Err("is not UTF-8".to_owned()),
            };
            let raw = Raw::Text(String::from_utf8_lossy(text).into_owned());
            if !give(Row { line, raw, item }) {
                break;
            }
        }
        Ok(())
    }
}

fn fields(record: &ByteRecord) -> Result<Vec<&str>, String> {
    let fields: Result<_, _> = record.iter().map(std::str::from_utf8).collect();
    fields.map_err(|_| "is not UTF-8".to_owned())
}

/// An empty field is an empty string; of any other type, the item has no such attribute.
fn item_of(columns: &[(String, Type)], fields: &[&str]) -> Result<Item, String> {
    if columns.len() != fields.len() {
        let (found, wanted) = (fields.len(), columns.len());
        return Err(format!("has {found} fields, the header {wanted}"));
    }
    let filled = columns
        .iter()
        .zip(fields)
        .filter(|((_, kind), text)| *kind == Type::String || !text.is_empty());
    let read = |((name, kind), text): (&(String, Type), &&str)| {
        let value = kind.read(text);
        let value = value.map_err(|what| format!("column {name:?} {what}"))?;
        Ok((name.clone(), value))
    };
    filled.map(read).collect()
}
