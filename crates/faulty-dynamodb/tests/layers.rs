//! The arrows between the folders of `src`. The store knows nothing of what stands above it: faults,
//! plans, the journal and the front.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each folder or file of `src`, from the bottom up, with what it may use.
const LAYERS: [(&str, &[&str]); 9] = [
    ("random", &[]),
    ("item", &[]),
    ("throughput", &["random", "item"]),
    ("store", &["item", "throughput"]),
    ("faults", &["random", "item", "store"]),
    ("journal", &["item", "store"]),
    (
        "front",
        &["random", "item", "throughput", "store", "faults", "journal"],
    ),
    ("fuzzing", &["item", "store"]),
    ("lib", &[]),
];

/// Tests through the public API, which is of all layers.
const PUBLIC: &str = "front/client_tests";

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Returns what a file uses by paths from the crate's root: the first name behind each `crate::`.
fn used(text: &str) -> BTreeSet<String> {
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line));
    code.flat_map(|line| line.split("crate::").skip(1).map(str::to_owned))
        .map(|rest| {
            let name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            rest.chars().take_while(|letter| name(*letter)).collect()
        })
        .collect()
}

#[test]
fn arrows_between_folders_point_down() {
    // Each layer uses only those before it, so that the table allows no circle.
    for (at, (layer, allowed)) in LAYERS.iter().enumerate() {
        let below: Vec<&str> = LAYERS[..at].iter().map(|(name, _)| *name).collect();
        let known = |name: &&str| below.contains(name);
        assert!(allowed.iter().all(known), "{layer} uses a layer above it");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut arrows = 0;
    for file in &files {
        let inner = file.strip_prefix(&root).expect("it is in the folder");
        let shown = inner.display().to_string();
        let layer = inner.iter().next().and_then(|part| part.to_str());
        let layer = layer.expect("a name").trim_end_matches(".rs");
        let (_, allowed) = LAYERS
            .iter()
            .find(|(name, _)| *name == layer)
            .unwrap_or_else(|| panic!("{shown} is in no layer"));
        let text = fs::read_to_string(file).expect("text");
        // A path by `super` could leave the folder unseen.
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let climbs = code.filter(|line| line.contains("super::super::"));
        assert_eq!(climbs.count(), 0, "{shown}: name the path from the crate");
        if inner.starts_with(PUBLIC) {
            continue;
        }
        for name in used(&text) {
            let own = name == layer;
            // Public names, the handle above all, are re-exported at the root.
            let public = layer == "front" && (name == "FaultyDynamoDb" || name.is_empty());
            assert!(
                own || public || allowed.contains(&name.as_str()),
                "{shown} uses crate::{name}, and {layer} may use {allowed:?}"
            );
            arrows += usize::from(!own);
        }
    }
    assert!(arrows > 50, "{arrows} arrows were found");
}
