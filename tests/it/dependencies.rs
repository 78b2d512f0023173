//! The crates that a user builds are few, and the crates of the workspace depend on each other in one
//! direction.
//!
//! `cargo tree` leaves the dev-dependencies out, and with them the features that they switch on: the
//! crate is among its own dev-dependencies, with all of them.

use std::collections::BTreeSet;
use std::process::Command;

/// Fewer crates than this, the crate itself included.
const BOUND: usize = 300;

/// Returns the crates of a dependency tree, one a line: "name v1.2.3".
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Whatever was needed to build this test is there, so nothing has to be fetched.
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--offline"])
        .args(["--prefix", "none", "--format", "{p}"])
        .args(arguments)
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {complaint}");
    let listed = String::from_utf8(output.stdout).expect("names are text");
    // What kind of crate it is, or where it is, stands behind the version.
    listed
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .filter(|name| !name.is_empty())
        .collect()
}

fn holds(crates: &BTreeSet<String>, name: &str) -> bool {
    crates
        .iter()
        .any(|found| found.split(' ').next() == Some(name))
}

#[test]
fn the_default_features_bring_few_crates() {
    let crates = tree(&["--edges", "normal,build"]);
    let holds = |name: &str| holds(&crates, name);
    assert!(
        holds("dynamodb-connector") && holds("aws-sdk-dynamodb"),
        "{crates:?}"
    );
    assert!(!holds("proptest"), "dev-dependencies are counted");
    assert!(
        !holds("dynoxide-rs") && !holds("faulty-dynamodb"),
        "the features of the tests are counted"
    );
    println!("{} crates with the default features", crates.len());
    assert!(crates.len() < BOUND, "{} crates: {crates:?}", crates.len());
}

/// A fake that shared code with the connector could not find its faults.
#[test]
fn the_faulty_dynamodb_does_not_depend_on_the_connector() {
    let fake = ["--package", "faulty-dynamodb", "--all-features"];
    let crates = tree(&[&fake[..], &["--edges", "normal,build,dev"]].concat());
    assert!(
        holds(&crates, "faulty-dynamodb") && holds(&crates, "proptest"),
        "{crates:?}"
    );
    assert!(!holds(&crates, "dynamodb-connector"));
}

#[test]
fn the_specification_of_a_table_depends_on_nothing() {
    let crates = tree(&[
        "--package",
        "dynamodb-table-spec",
        "--edges",
        "normal,build,dev",
    ]);
    let names: Vec<&str> = crates
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["dynamodb-table-spec"]);
}

#[test]
fn no_crate_of_ours_changes_what_numbers_are() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {complaint}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let dependencies = packages
        .iter()
        .flat_map(|package| package["dependencies"].as_array().expect("dependencies"));
    let features: Vec<String> = dependencies
        .filter(|dependency| dependency["name"] == "serde_json")
        .map(|dependency| dependency["features"].to_string())
        .collect();
    assert!(features.len() >= 2, "{features:?}");
    let on = features.iter().any(|on| on.contains("arbitrary_precision"));
    assert!(!on, "{features:?}");
}

/// A lint table that is the workspace's cannot be changed in one place, so that crate has a copy.
#[test]
fn unsafe_code_is_allowed_in_one_crate_whose_other_lints_are_the_workspaces() {
    let manifest = |folder: &str| -> toml::Table {
        let path = format!("{}/{folder}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("a manifest");
        text.parse().expect("TOML")
    };
    let workspace = manifest(".")["workspace"].clone();
    let expected = &workspace["lints"];
    assert_eq!(expected["rust"]["unsafe_code"].as_str(), Some("forbid"));
    let members = workspace["members"].as_array().expect("a list");
    let members = members.iter().filter_map(toml::Value::as_str).chain(["."]);
    let own: Vec<&str> = members
        .filter(|member| manifest(member)["lints"].get("workspace").is_none())
        .collect();
    assert_eq!(own, ["crates/kafka-topic-id"]);

    let lints = manifest("crates/kafka-topic-id")["lints"].clone();
    for tool in ["rust", "clippy"] {
        for (lint, level) in expected[tool].as_table().expect("a table") {
            let level = match lint.as_str() {
                "unsafe_code" => toml::Value::from("deny"),
                _ => level.clone(),
            };
            assert_eq!(lints[tool].get(lint), Some(&level), "{lint}");
        }
    }
}
