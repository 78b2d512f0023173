//! No public name stands twice: neither two types of one name, nor one type with two paths.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const KINDS: [&str; 6] = ["struct", "enum", "trait", "fn", "const", "type"];

#[test]
fn a_public_name_stands_for_one_thing_and_has_one_path() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = BTreeMap::<String, Vec<String>>::new();
    collect(&src, &src.join("lib.rs"), "", &mut paths);
    assert!(paths.len() > 150, "{} names were found", paths.len());
    for known in [
        "DynamoDbSink",
        "StreamsSource",
        "KafkaSink",
        "Pipeline",
        "Ack",
    ] {
        assert!(paths.contains_key(known), "{known} was not found");
    }
    paths.retain(|_, paths| paths.len() > 1);
    assert!(paths.is_empty(), "{paths:#?}");
}

/// Notes the names of a public module, and of the public modules in it.
fn collect(folder: &Path, file: &Path, module: &str, paths: &mut BTreeMap<String, Vec<String>>) {
    let text = fs::read_to_string(file).expect("a module's file");
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .fold(String::new(), |code, line| code + line + "\n");
    let mut note = |name: &str| {
        let path = format!("{module}::{name}");
        paths.entry(name.to_owned()).or_default().push(path);
    };
    // Items of tests, fuzz targets and the guide are indented, hidden or made for rustdoc alone.
    for item in code.split("\npub ").skip(1) {
        if let Some(used) = item.strip_prefix("use ") {
            let used = used.split(';').next().unwrap_or_default();
            let names = used.rsplit("::").next().unwrap_or_default();
            let names = used.split_once('{').map_or(names, |(_, names)| names);
            for name in names.split([',', '}']).map(str::trim) {
                note(name.rsplit(" as ").next().unwrap_or_default());
            }
        } else if let Some((kind, rest)) = item.split_once(' ')
            && KINDS.contains(&kind)
        {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            note(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default());
        }
    }
    paths.remove("");
    let modules = code
        .split("\npub mod ")
        .skip(1)
        .filter_map(|rest| rest.split(';').next());
    for name in modules.filter(|name| !["guide", "fuzzing"].contains(name)) {
        let inside = folder.join(name);
        let of_folder: PathBuf = inside.join("mod.rs");
        let file = if of_folder.exists() {
            of_folder
        } else {
            folder.join(format!("{name}.rs"))
        };
        collect(&inside, &file, &format!("{module}::{name}"), paths);
    }
}
