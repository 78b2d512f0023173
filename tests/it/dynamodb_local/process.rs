//! A DynamoDB Local of a test's own, with its tables in files, to be killed and started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;

use crate::conformance::harness::client_for;

/// How long the server may take to start or to stop, on a busy machine.
const LONGEST: Duration = Duration::from_secs(90);

/// A running server. Dropped, it is killed.
pub(super) struct Server {
    jars: String,
    directory: PathBuf,
    port: u16,
    child: Child,
}

impl Server {
    /// Starts on a free port, with its files in a new directory.
    pub(super) async fn start(jars: &str, directory: &Path) -> Self {
        std::fs::create_dir_all(directory).expect("a directory");
        for attempt in 0..5 {
            let port = free_port(attempt);
            let mut server = Self {
                jars: jars.to_owned(),
                directory: directory.to_owned(),
                port,
                child: java(jars, directory, port),
            };
            if server.answers().await {
                return server;
            }
        }
        panic!("DynamoDB Local does not start from {jars}");
    }

    pub(super) fn client(&self) -> Client {
        client_for(&format!("http://127.0.0.1:{}", self.port))
    }

    /// Kills it (SIGKILL), in the middle of anything, and starts it again on the same port and files.
    pub(super) async fn kill_and_start(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.child = java(&self.jars, &self.directory, self.port);
        assert!(self.answers().await, "it does not start again");
    }

    /// Waits until it answers; false if it ended instead, as where the port is another's.
    #[expect(
        clippy::disallowed_methods,
        reason = "a process's start is waited for in real time"
    )]
    async fn answers(&mut self) -> bool {
        let began = Instant::now();
        loop {
            if self.client().list_tables().send().await.is_ok() {
                return true;
            }
            if self.child.try_wait().expect("it is ours").is_some() {
                return false;
            }
            assert!(began.elapsed() < LONGEST, "the server does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; the files are nobody's then.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn java(jars: &str, directory: &Path, port: u16) -> Child {
    Command::new("java")
        // The fewest cycles until it answers, since it is started several times.
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"])
        .args(["-cp", &format!("{jars}/*")])
        .arg("software.amazon.dynamodb.services.local.main.ServerRunner")
        .args(["-sharedDb", "-disableTelemetry", "-dbPath"])
        .arg(directory)
        .args(["-port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is `java`")
}

/// A port below those that the system gives to outgoing connections, so that none of them takes it while the
/// server is down.
fn free_port(attempt: u64) -> u16 {
    let seed = u64::from(std::process::id()) << 8 | attempt;
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        let port = rng.u16(20_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
