//! A DynamoDB Local of a test's own, to be killed and started again, and whose streams roll over and age on demand.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::environment;
use crate::conformance::harness::client_for;

/// How long the server may take to start, on a busy machine.
const LONGEST: Duration = Duration::from_secs(90);

/// Where the server has its tables.
pub(crate) enum Storage {
    /// A restart begins with nothing.
    Memory,
    /// In this folder, which is created, and deleted at the end. A restart finds what was confirmed.
    Files(PathBuf),
}

/// A running server. Dropped, it is killed.
pub(crate) struct LocalDynamoDb {
    jars: String,
    control: String,
    storage: Storage,
    port: u16,
    control_port: u16,
    child: Child,
}

impl LocalDynamoDb {
    /// Starts on free ports; `None`, with a word that `test` is left out, where no jars are given.
    pub(crate) async fn start(test: &str, storage: Storage) -> Option<Self> {
        let [jars, control] = environment(test, ["DYNAMODB_LOCAL_JARS", "DYNAMODB_LOCAL_CONTROL"])?;
        if let Storage::Files(folder) = &storage {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        let (port, control_port) = (free_port(), free_port());
        let child = java(&jars, &control, &storage, port, control_port);
        let mut server = Self {
            jars,
            control,
            storage,
            port,
            control_port,
            child,
        };
        for _ in 0..5 {
            if server.answers().await {
                return Some(server);
            }
            // A port was taken by another process meanwhile.
            (server.port, server.control_port) = (free_port(), free_port());
            server.spawn();
        }
        panic!("DynamoDB Local does not start from {}", server.jars);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn client(&self) -> Client {
        client_for(&self.url())
    }

    /// Closes the open shard of every stream, and opens a child of it.
    pub(crate) async fn rollover(&self) {
        self.order("/rollover").await;
    }

    /// Makes every record of every stream older. Those past 24 hours are trimmed.
    pub(crate) async fn dilate(&self, hours: u32) {
        self.order(&format!("/dilate?hours={hours}")).await;
    }

    /// Kills it (SIGKILL), in the middle of anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Starts it again after [`Self::kill`], on the same ports and storage.
    pub(crate) async fn restart(&mut self) {
        self.spawn();
        assert!(self.answers().await, "it does not start again");
    }

    fn spawn(&mut self) {
        let (port, control_port) = (self.port, self.control_port);
        self.child = java(&self.jars, &self.control, &self.storage, port, control_port);
    }

    /// Waits until it answers, on its second port too; false if it ended instead, as where a port is another's.
    #[expect(
        clippy::disallowed_methods,
        reason = "a process's start is waited for in real time"
    )]
    async fn answers(&mut self) -> bool {
        let began = Instant::now();
        loop {
            if self.client().list_tables().send().await.is_ok() && self.ask("/").await.is_some() {
                return true;
            }
            if self.child.try_wait().expect("it is ours").is_some() {
                return false;
            }
            assert!(began.elapsed() < LONGEST, "the server does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn order(&self, path: &str) {
        let answer = self.ask(path).await.expect("the control answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }

    /// What the control answers; `None` where nothing listens.
    async fn ask(&self, path: &str) -> Option<String> {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.control_port))
            .await
            .ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }
}

impl Drop for LocalDynamoDb {
    fn drop(&mut self) {
        // It may have ended by itself; the files are nobody's then.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Storage::Files(folder) = &self.storage {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn java(jars: &str, control: &str, storage: &Storage, port: u16, control_port: u16) -> Child {
    let mut command = Command::new("java");
    command
        // The fewest cycles until it answers, since it is started several times.
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"])
        .args(["-cp", &format!("{control}:{jars}/*"), "DdbWithControl"])
        .arg(control_port.to_string())
        .args(["-sharedDb", "-disableTelemetry"])
        .args(["-port", &port.to_string()]);
    match storage {
        Storage::Memory => command.arg("-inMemory"),
        Storage::Files(folder) => command.arg("-dbPath").arg(folder),
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is `java`")
}

/// A port below those that the system gives to outgoing connections, so that none of them takes it while the
/// server is down. Another one each time, since a server takes a while to bind it.
fn free_port() -> u16 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let seed = u64::from(std::process::id()) << 16 | NEXT.fetch_add(1, Ordering::Relaxed);
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        let port = rng.u16(20_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
