//! How every benchmark reports: a table for people, then one line of JSON for programs, last.
//!
//! A bar is a figure that the crate promises. One that is missed is printed as such and does not
//! change the exit code, for timings are not reasons to fail a build.
#![allow(dead_code, reason = "each benchmark uses the part it needs")]

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// A table in the making.
pub(crate) struct Report {
    bench: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    bars: Vec<Bar>,
}

/// What stands in a row.
pub(crate) enum Cell {
    Text(Cow<'static, str>),
    /// A number and the decimals shown; not a number where there is nothing to show.
    Number(f64, usize),
}

/// Which side of a bar is good.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

struct Bar {
    name: String,
    value: f64,
    bound: Bound,
}

impl Report {
    /// The columns' names are the JSON's field names too.
    pub(crate) fn new(bench: &'static str, columns: &[&'static str]) -> Self {
        Self {
            bench,
            columns: columns.to_vec(),
            rows: Vec::new(),
            bars: Vec::new(),
        }
    }

    /// Adds a row with a cell for every column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        assert_eq!(N, self.columns.len(), "a row has a cell for every column");
        self.rows.push(cells.into());
    }

    pub(crate) fn bar(&mut self, name: impl Into<String>, value: f64, bound: Bound) {
        self.bars.push(Bar {
            name: name.into(),
            value,
            bound,
        });
    }

    /// Prints the table, the bars, and the JSON as the last line.
    pub(crate) fn print(&self) {
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(Cell::shown).collect())
            .collect();
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, name)| {
                rows.iter()
                    .map(|row| row[at].len())
                    .chain([name.len()])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let line = |cells: Vec<&str>| {
            let cells: Vec<String> = cells
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(at, (cell, width))| match at {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            println!("{}", cells.join("  ").trim_end());
        };
        line(self.columns.clone());
        for row in &rows {
            line(row.iter().map(String::as_str).collect());
        }
        for bar in &self.bars {
            let verdict = if bar.holds() { "holds" } else { "MISSED" };
            println!(
                "{}: {:.3} {} {}: {verdict}",
                bar.name,
                bar.value,
                bar.sign(),
                bar.limit()
            );
        }
        println!(
            "{}",
            serde_json::to_string(self).expect("a report is plain JSON")
        );
    }
}

/// Fields in the order of the columns.
struct Row<'a>(&'a [&'static str], &'a [Cell]);

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|cells| Row(&self.columns, cells))
            .collect();
        let mut report = serializer.serialize_struct("Report", 3)?;
        report.serialize_field("bench", self.bench)?;
        report.serialize_field("rows", &rows)?;
        report.serialize_field("bars", &self.bars)?;
        report.end()
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1))
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number, _) => serializer.serialize_f64(*number),
        }
    }
}

impl Serialize for Bar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bar = serializer.serialize_struct("Bar", 5)?;
        bar.serialize_field("name", &self.name)?;
        bar.serialize_field("value", &self.value)?;
        bar.serialize_field("bar", &self.limit())?;
        bar.serialize_field("good", self.sign())?;
        bar.serialize_field("holds", &self.holds())?;
        bar.end()
    }
}

impl Cell {
    pub(crate) const NOTHING: Self = Self::Number(f64::NAN, 0);

    pub(crate) fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone().into_owned(),
            Self::Number(number, _) if number.is_nan() => "-".to_owned(),
            Self::Number(number, decimals) => format!("{number:.decimals$}"),
        }
    }
}

impl Bar {
    fn limit(&self) -> f64 {
        match self.bound {
            Bound::AtMost(limit) | Bound::AtLeast(limit) => limit,
        }
    }

    fn sign(&self) -> &'static str {
        match self.bound {
            Bound::AtMost(_) => "<=",
            Bound::AtLeast(_) => ">=",
        }
    }

    fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost(limit) => self.value <= limit,
            Bound::AtLeast(limit) => self.value >= limit,
        }
    }
}
