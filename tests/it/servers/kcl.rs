//! A worker of the KCL with its DynamoDB Streams adapter, started as a process: `tests/servers/kcl`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::environment;

/// How long it may take to end after it was told to: a graceful stop takes about 6 s, and is given up after 15.
const LONGEST_STOP: Duration = Duration::from_secs(60);

/// What a worker is told.
pub(crate) struct Settings<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) stream_arn: &'a str,
    /// Names the lease table too.
    pub(crate) application: &'a str,
    pub(crate) worker: &'a str,
    /// Records of a shard between two checkpoints.
    pub(crate) checkpoint_every: u32,
    /// Where it begins a shard that has no lease yet: `TRIM_HORIZON` or `LATEST`.
    pub(crate) start: &'a str,
    /// The key attribute that it prints of each record, a string or a number.
    pub(crate) key: &'a str,
}

/// What it says of its shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// `at` is a sequence number, `TRIM_HORIZON` or `LATEST`.
    Initialized {
        shard: String,
        at: String,
    },
    Record {
        shard: String,
        sequence: String,
        key: String,
    },
    Checkpoint {
        shard: String,
        sequence: String,
    },
    ShardEnd {
        shard: String,
    },
    LeaseLost {
        shard: String,
    },
    /// A failed checkpoint, or how it stopped.
    Other(String),
}

impl Event {
    fn of(line: &str) -> Self {
        let own = |word: &str| word.to_owned();
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["INITIALIZED", shard, at] => Self::Initialized {
                shard: own(shard),
                at: own(at),
            },
            ["RECORD", shard, sequence, key] => Self::Record {
                shard: own(shard),
                sequence: own(sequence),
                key: own(key),
            },
            ["CHECKPOINT", shard, sequence] => Self::Checkpoint {
                shard: own(shard),
                sequence: own(sequence),
            },
            ["SHARD_END", shard] => Self::ShardEnd { shard: own(shard) },
            ["LEASE_LOST", shard] => Self::LeaseLost { shard: own(shard) },
            _ => Self::Other(own(line)),
        }
    }

    /// The key of a record; `None` for all else.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Record { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// A running worker. Dropped, it is killed.
pub(crate) struct KclApp {
    child: Child,
    /// Its end tells the worker to stop.
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    /// What the KCL logs: the end of it is shown when a wait fails.
    log: PathBuf,
}

impl KclApp {
    /// Starts it; `None`, with a word that `test` is left out, where it is not given.
    ///
    /// Its first record takes it more than half a minute, and two minutes where there is no lease yet.
    pub(crate) fn start(test: &str, settings: &Settings<'_>) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let [jars, classes] = environment(test, ["KCL_JARS", "KCL_CLASSES"])?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let log = format!("kcl-{}-{number}.log", std::process::id());
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(log);
        let mut child = Command::new("java")
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"])
            .args(["-cp", &format!("{jars}/*:{classes}"), "KclApp"])
            .args([settings.endpoint, settings.stream_arn])
            .args([settings.application, settings.worker])
            .arg(settings.checkpoint_every.to_string())
            .args([settings.start, settings.key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a log"))
            .kill_on_drop(true)
            .spawn()
            .expect("there is `java`");
        Some(Self {
            input: child.stdin.take(),
            lines: BufReader::new(child.stdout.take().expect("piped")).lines(),
            child,
            log,
        })
    }

    /// All events up to the first that is wanted, that one included. Fails where it does not come in time.
    pub(crate) async fn until(
        &mut self,
        within: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let wait = async {
            while let Some(line) = self.lines.next_line().await.expect("text") {
                events.push(Event::of(&line));
                if events.last().is_some_and(&wanted) {
                    return true;
                }
            }
            false
        };
        let found = timeout(within, wait).await;
        let found = found.map_or("it does not come in time", |found| {
            if found { "" } else { "it has ended" }
        });
        assert!(
            found.is_empty(),
            "{found}: {events:?}; {}",
            self.last_words()
        );
        events
    }

    /// Stops it gracefully; gives what it said meanwhile.
    pub(crate) async fn stop(mut self) -> (Vec<Event>, ExitStatus) {
        drop(self.input.take());
        let end = async {
            let mut events = Vec::new();
            while let Some(line) = self.lines.next_line().await.expect("text") {
                events.push(Event::of(&line));
            }
            (events, self.child.wait().await.expect("waited for"))
        };
        let Ok(ended) = timeout(LONGEST_STOP, end).await else {
            panic!("the KCL does not stop: {}", self.last_words());
        };
        ended
    }

    /// Kills it (SIGKILL). Its lease stays with it until others see that it is not renewed.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(20)..];
        format!("its log ends with\n{}", last.join("\n"))
    }
}

impl Drop for KclApp {
    fn drop(&mut self) {
        // It is shown by then, where it is needed.
        let _ = std::fs::remove_file(&self.log);
    }
}
