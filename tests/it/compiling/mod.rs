//! The compiler's output for pipelines: the names and the size of its output, and its messages for typical mistakes.
//!
//! The compiler is called by itself, on single files, with the crate as cargo built it for these tests. So nothing is built
//! twice, and nothing but the file is measured.

#[cfg(target_os = "linux")]
mod messages;
#[cfg(target_os = "linux")]
mod size;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The example that is measured, whose building gives the crate and what else the files need.
const EXAMPLE: &str = "twenty_operators";

/// The features that can be on. Those of the tests are given to cargo again, so that it finds the crate built.
const FEATURES: [(&str, bool); 7] = [
    ("embedded", cfg!(feature = "embedded")),
    ("kafka", cfg!(feature = "kafka")),
    ("kafka-tls", cfg!(feature = "kafka-tls")),
    ("kafka-zstd", cfg!(feature = "kafka-zstd")),
    ("pipeline", cfg!(feature = "pipeline")),
    ("streams", cfg!(feature = "streams")),
    ("test-util", cfg!(feature = "test-util")),
];

/// Crates that are built, by their names.
struct Built(Vec<(&'static str, PathBuf)>);

/// Returns the crates that the files use, built by cargo unless they are.
fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let artifacts = artifacts();
        let find = |name| {
            let of = |artifact: &&serde_json::Value| artifact["target"]["name"] == name;
            let files = artifacts.iter().filter(of).flat_map(|artifact| {
                let files = artifact["filenames"].as_array();
                files.into_iter().flatten().filter_map(|file| file.as_str())
            });
            let file = files
                .map(PathBuf::from)
                .find(|file| extension(file) == "rlib");
            (
                name,
                file.unwrap_or_else(|| panic!("{name} is not among what cargo built")),
            )
        };
        Built(["dynamodb_connector", "tokio"].map(find).into())
    })
}

fn extension(file: &Path) -> &str {
    file.extension().and_then(|it| it.to_str()).unwrap_or("")
}

/// Builds the example, as `cargo test` does, and returns cargo's messages.
fn artifacts() -> Vec<serde_json::Value> {
    let features = FEATURES.iter().filter(|(_, is_on)| *is_on);
    let features: Vec<&str> = features.map(|(name, _)| *name).collect();
    // This test is `<target>/<profile>/deps/it-<hash>`.
    let test = std::env::current_exe().expect("a path");
    let profile = test.ancestors().nth(2).expect("the folder of a profile");
    let target = profile.parent().expect("the folder of what is built");
    let profile = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--locked", "--offline", "--message-format=json"])
        .args(["--profile", profile, "--example", EXAMPLE])
        .args(["--features", &features.join(",")])
        .arg("--target-dir")
        .arg(target)
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo build: {complaint}");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

impl Built {
    /// Returns a call of the compiler that makes `emit` of a file of this crate, in `out`.
    fn compiler(&self, file: &Path, emit: &str, out: &Path) -> Command {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["--edition", "2024", "--crate-type", "bin", "--emit", emit])
            .arg("-o")
            .arg(out)
            .arg(file);
        for (name, built) in &self.0 {
            let extern_crate = format!("{name}={}", built.display());
            command.args(["--extern", &extern_crate]);
            if let Some(folder) = built.parent() {
                command.args(["-L", &format!("dependency={}", folder.display())]);
            }
        }
        command
    }
}

/// Returns an empty folder for what the compiler makes in a test.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}
