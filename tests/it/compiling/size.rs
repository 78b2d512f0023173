//! Symbols and object of the example of twenty operators.
//!
//! Measured is the one object file of `examples/twenty_operators.rs`, not an executable, which would hold all dependencies: the
//! compiler's output for this file alone, unoptimized, in one codegen unit. In it are the generic code that the example
//! instantiates, its symbols and its relocations. The lines for backtraces that the profile `dev` has are left out: they add
//! about half as much again, by the number of functions, whatever these are.

use std::path::Path;

use super::{EXAMPLE, built, folder};

/// Shorter than this, in bytes.
const LONGEST_SYMBOL: usize = 16 * 1024;

/// Smaller than this, in bytes.
const LARGEST_OBJECT: usize = 2_000_000;

/// The part of a symbol that a message shows.
const SHOWN: usize = 400;

#[test]
fn names_and_object_of_twenty_operators_are_small() {
    let folder = folder("compiling-size");
    let object = folder.join("example.o");
    let source = format!("examples/{EXAMPLE}.rs");
    let output = built()
        .compiler(Path::new(&source), "obj", &object)
        .args(["-C", "debuginfo=0", "-C", "codegen-units=1"])
        .output()
        .expect("rustc runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rustc: {complaint}");
    let object = std::fs::read(object).expect("an object file");

    let symbols = symbols(&object);
    let longest = symbols.iter().max_by_key(|name| name.len());
    let longest = longest.expect("symbols");
    let shown = &longest[..longest.len().min(SHOWN)];
    println!(
        "{} symbols, the longest of {} bytes, in an object of {} bytes",
        symbols.len(),
        longest.len(),
        object.len()
    );
    let of_pipelines = symbols.iter().filter(|name| name.contains("pipeline"));
    assert!(
        of_pipelines.count() > 500,
        "the symbols of pipelines are not among {}",
        symbols.len()
    );
    assert!(
        longest.len() < LONGEST_SYMBOL,
        "a symbol of {} bytes: {shown}",
        longest.len()
    );
    assert!(
        object.len() < LARGEST_OBJECT,
        "an object of {} bytes; its longest symbol, of {} bytes: {shown}",
        object.len(),
        longest.len()
    );
}

/// Returns the mangled names in an object file: texts of its string tables, which end in a zero byte. A symbol and the section
/// of its function, such as `.rela.text._ZN…`, may share a text.
fn symbols(object: &[u8]) -> Vec<&str> {
    let texts = object.split(|byte| *byte == 0);
    texts
        .filter_map(|text| std::str::from_utf8(text).ok())
        .filter_map(|text| match text.starts_with('.') {
            true => text
                .find("._ZN")
                .or_else(|| text.find("._R"))
                .map(|dot| &text[dot + 1..]),
            false => Some(text),
        })
        .filter(|name| name.starts_with("_ZN") || name.starts_with("_R"))
        .collect()
}
