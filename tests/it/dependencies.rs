//! What a user of the crate builds: few enough crates that adding it is no burden.
//!
//! `cargo tree` leaves the dev-dependencies out, and with them the features that they switch on: the
//! crate is among its own dev-dependencies, with all of them.

use std::collections::BTreeSet;
use std::process::Command;

/// Fewer crates than this, the crate itself included.
const BOUND: usize = 300;

#[test]
fn the_default_features_bring_few_crates() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Whatever was needed to build this test is there, so nothing has to be fetched.
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}"])
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {complaint}");
    let listed = String::from_utf8(output.stdout).expect("names are text");
    // One line a crate and version: "name v1.2.3", and what kind of crate it is behind it.
    let crates: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| {
            line.match_indices(' ')
                .nth(1)
                .map_or(Some(line), |(at, _)| line.get(..at))
        })
        .filter(|line| !line.is_empty())
        .collect();

    let holds = |name: &str| {
        crates
            .iter()
            .any(|found| found.split(' ').next() == Some(name))
    };
    assert!(
        holds("dynamodb-connector") && holds("aws-sdk-dynamodb"),
        "{listed}"
    );
    assert!(!holds("proptest"), "dev-dependencies are counted");
    assert!(
        !holds("dynoxide-rs"),
        "the features of the tests are counted"
    );
    println!("{} crates with the default features", crates.len());
    assert!(crates.len() < BOUND, "{} crates: {listed}", crates.len());
}

#[test]
fn no_crate_of_ours_changes_what_numbers_are() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--workspace",
            "--all-features",
        ])
        .args([
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p} {f}",
        ])
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {complaint}");
    let listed = String::from_utf8(output.stdout).expect("names are text");
    let of_it = |line: &&str| line.starts_with("serde_json v");
    let features: BTreeSet<&str> = listed.lines().filter(of_it).collect();
    assert!(
        features.iter().any(|line| line.contains("raw_value")),
        "{features:?}"
    );
    assert!(
        features
            .iter()
            .all(|line| !line.contains("arbitrary_precision")),
        "{features:?}"
    );
}
