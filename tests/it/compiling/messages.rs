//! The compiler's messages for typical mistakes, each of which is a file in `tests/messages`.
//!
//! In a file, `//~` stands at the end of the line that is at fault, and lines `// says: …` name what the first message must say.
//! Full texts are not compared: they change with the compiler.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{built, extension, folder};

/// A screen: so many lines, of so many columns.
const LINES: usize = 24;
const COLUMNS: usize = 120;

/// A mistake may be reported again where the pipeline is used further on: by so few messages, of so many lines.
const FURTHER: usize = 2;
const FURTHER_LINES: usize = 32;

#[test]
fn a_typical_mistake_is_explained_on_one_screen() {
    let mistakes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let files = std::fs::read_dir(mistakes).expect("a folder");
    let files = files.map(|entry| entry.expect("an entry").path());
    let files: BTreeSet<PathBuf> = files.filter(|file| extension(file) == "rs").collect();
    assert!(files.len() >= 10, "{} files", files.len());
    let folder = folder("compiling-messages");
    let faults: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let (fault, messages) = fault(file, &folder)?;
            Some(format!("{}: {fault}\n{messages}", file.display()))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Returns what is wrong with the messages for a mistake, and the messages.
fn fault(file: &Path, folder: &Path) -> Option<(String, String)> {
    let text = std::fs::read_to_string(file).expect("a file");
    let errors = errors(file, folder);
    let rendered: Vec<&str> = errors
        .iter()
        .filter_map(|error| error["rendered"].as_str())
        .collect();
    let fault = fault_of(&text, &errors, &rendered)?;
    Some((fault, rendered.concat()))
}

fn fault_of(text: &str, errors: &[Value], rendered: &[&str]) -> Option<String> {
    let (Some(first), Some(first_text)) = (errors.first(), rendered.first()) else {
        return Some("it compiles".into());
    };
    let Some(wrong) = text.lines().position(|line| line.ends_with("//~")) else {
        return Some("no line is marked".into());
    };
    let wrong = wrong + 1;
    let spans = first["spans"].as_array().into_iter().flatten();
    let at: Vec<u64> = spans
        .filter(|span| span["is_primary"] == true)
        .filter_map(|span| span["line_start"].as_u64())
        .collect();
    if at != [wrong as u64] {
        return Some(format!("the first message is of lines {at:?}, not {wrong}"));
    }
    let phrases = text
        .lines()
        .filter_map(|line| line.strip_prefix("// says: "));
    let phrases: Vec<&str> = phrases.collect();
    if phrases.is_empty() {
        return Some("no phrase is expected".into());
    }
    if let Some(missing) = phrases.iter().find(|phrase| !first_text.contains(**phrase)) {
        return Some(format!("the first message does not say {missing}"));
    }
    if height(first_text) > LINES {
        return Some(format!(
            "the first message has {} lines",
            height(first_text)
        ));
    }
    let further: Vec<usize> = rendered.iter().skip(1).map(|text| height(text)).collect();
    let is_long = further.len() > FURTHER || further.iter().any(|lines| *lines > FURTHER_LINES);
    is_long.then(|| format!("further messages of {further:?} lines"))
}

/// Returns the number of lines that a message takes.
fn height(rendered: &str) -> usize {
    let lines = rendered.trim_end().lines();
    lines
        .map(|line| line.chars().count().div_ceil(COLUMNS).max(1))
        .sum()
}

/// Returns the errors of a file as rustc gives them, those without a line left out.
fn errors(file: &Path, folder: &Path) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = file.strip_prefix(root).expect("a file of this crate");
    let output = built()
        .compiler(file, "metadata", &folder.join("mistake.rmeta"))
        // The path is a part of many types: it is to be as short as a user's.
        .arg(format!(
            "--remap-path-prefix={}=src/main.rs",
            file.display()
        ))
        .args([
            "--error-format=json",
            &format!("--diagnostic-width={COLUMNS}"),
        ])
        .output()
        .expect("rustc runs");
    let lines = output.stderr.split(|byte| *byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    messages
        .filter(|message| message["level"] == "error")
        .filter(|error| {
            error["spans"]
                .as_array()
                .is_some_and(|spans| !spans.is_empty())
        })
        .collect()
}
