//! The examples, run as their users run them: what they print, how they take Ctrl-C, a kill, and wrong input.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::in_time;

/// Where cargo puts the examples: beside the folder of this test's binary.
fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).unwrap();
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = profile.join("examples").join(name);
    assert!(
        path.is_file(),
        "{} is missing: `cargo test` builds it, `cargo test --test processes` does not. \
         Run `cargo build --examples --all-features` before that",
        path.display()
    );
    path
}

/// Runs an example to its end: whether it succeeded, its output, its errors.
async fn run(name: &str, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(example(name));
    let command = command.args(arguments).stdin(Stdio::null());
    let output = in_time(command.kill_on_drop(true).output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, errors) = (text(output.stdout), text(output.stderr));
    (output.status.success(), out, errors)
}

async fn succeeds(name: &str, arguments: &[&str]) -> String {
    let (success, out, errors) = run(name, arguments).await;
    assert!(success, "{name}: {out}{errors}");
    out
}

/// It fails with one line on standard error, which begins with the example's name.
async fn refuses(name: &str, arguments: &[&str], says: &str) {
    let (success, _, errors) = run(name, arguments).await;
    assert!(!success, "{name} {arguments:?}");
    assert!(errors.starts_with(&format!("{name}: ")), "{errors}");
    assert!(errors.contains(says), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[tokio::test]
async fn quickstart_writes_all_and_reads_it_back() {
    let out = succeeds("quickstart", &[]).await;
    assert!(out.contains("1000 of 1000 items"), "{out}");
    assert!(out.contains("all 1000 written read back equal"), "{out}");
    refuses("quickstart", &["/missing.csv"], "/missing.csv").await;
    refuses("quickstart", &["a", "b"], "one argument").await;
}

#[tokio::test]
async fn forward_stream_writes_every_row() {
    let out = succeeds("forward_stream", &[]).await;
    assert_eq!(out, "1000 rows written, the table holds 1000 items\n");
    refuses("forward_stream", &["/missing.csv"], "/missing.csv").await;
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/data/README.md");
    refuses("forward_stream", &[readme], "").await;
}

#[tokio::test]
async fn per_table_settings_keeps_each_table_to_its_own() {
    let out = succeeds("per_table_settings", &[]).await;
    let lines: Vec<&str> = out.lines().collect();
    let [checks, decisions] = lines[..] else {
        panic!("{out}");
    };
    assert!(checks.starts_with("checks     1000 items"), "{out}");
    assert!(checks.ends_with("2 at once"), "{out}");
    assert!(decisions.starts_with("decisions  1000 items"), "{out}");
    assert!(decisions.ends_with("8 at once"), "{out}");
    refuses("per_table_settings", &["/missing.toml"], "No such file").await;
    let cargo = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    refuses("per_table_settings", &[cargo], "").await;
}

#[tokio::test]
async fn conditional_writes_tells_each_outcome() {
    let out = succeeds("conditional_writes", &[]).await;
    let failed = out.lines().filter(|line| line.ends_with("did not hold"));
    assert_eq!(failed.count(), 5, "{out}");
    assert!(out.contains("\"tally\": N(\"3\")"), "{out}");
}

#[tokio::test]
async fn bring_your_own_faults_passes_and_repeats_itself() {
    let out = succeeds("bring_your_own_faults", &[]).await;
    assert_eq!(out.lines().count(), 10, "{out}");
    let seventh = succeeds("bring_your_own_faults", &["7"]).await;
    assert!(out.contains(&seventh), "{out}{seventh}");
    refuses("bring_your_own_faults", &["seven"], "whole number").await;
}

/// An example that goes on until it is told to stop.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(name: &str, folder: &Path) -> Self {
        let mut child = Command::new(example(name))
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        match in_time(self.lines.next_line()).await.unwrap() {
            Some(line) => line,
            None => panic!("it ended: {}", self.errors().await),
        }
    }

    /// The next line that begins so, however many others come before.
    async fn line_with(&mut self, beginning: &str) -> String {
        loop {
            let line = self.line().await;
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    async fn errors(&mut self) -> String {
        let mut errors = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut errors).await.unwrap();
        errors
    }

    fn interrupt(&self) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
    }

    async fn ends(mut self) -> ExitStatus {
        while in_time(self.lines.next_line()).await.unwrap().is_some() {}
        in_time(self.child.wait()).await.unwrap()
    }
}

/// The number behind the last of these words.
fn number(line: &str, word: &str) -> u64 {
    let (_, behind) = line.rsplit_once(word).unwrap();
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[tokio::test]
async fn checkpoint_goes_on_after_a_kill_and_drains_on_ctrl_c() {
    let name = format!("checkpoint-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);

    let mut first = Running::start("checkpoint", &folder);
    assert_eq!(
        first.line().await,
        "nothing stored: starting from position 0"
    );
    first.line_with("stored position").await;
    let stored = number(&first.line_with("stored position").await, "position ");
    first.child.start_kill().unwrap();
    assert!(!first.ends().await.success());

    let mut second = Running::start("checkpoint", &folder);
    let restored = second.line().await;
    // It may have stored another one before the kill came.
    let position = number(&restored, "position ");
    assert!(restored.starts_with("restored "), "{restored}");
    assert!(position >= stored, "{restored}");
    second.line_with("stored position").await;
    second.interrupt();
    let interrupted = second.line_with("interrupted at position").await;
    let end = number(&interrupted, "position ");
    let compared = second.line_with("compared").await;
    assert_eq!(
        compared,
        format!("compared: all {end} orders are in the table")
    );
    assert_eq!(second.ends().await.code(), Some(130));

    let mut third = Running::start("checkpoint", &folder);
    let restored = format!("restored 0 writes, going on from position {end}");
    assert_eq!(third.line().await, restored);
    drop(third);

    std::fs::write(folder.join("checkpoint.json"), "no checkpoint").unwrap();
    let argument = folder.to_str().unwrap();
    refuses("checkpoint", &[argument], "checkpoint.json: ").await;
    std::fs::remove_dir_all(&folder).unwrap();
}
