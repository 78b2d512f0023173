//! DynamoDB Local in a process of its own, from the jars that `tests/run` downloads.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::rig::{Failure, clock};

const POM: &str = include_str!("../../tests/servers/dynamodb-local.pom.xml");
const MAIN: &str = "software.amazon.dynamodb.services.local.main.ServerRunner";
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Local {
    process: Child,
    port: u16,
}

impl Local {
    /// `None` where its jars are missing.
    pub(crate) fn start() -> Result<Option<Self>, Failure> {
        let jars = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(".cache/dynamodb-local")
            .join(version());
        if !jars.is_dir() {
            return Ok(None);
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let process = Command::new("java")
            .args(["-Xmx512m", "-cp"])
            .arg(jars.join("*"))
            .args([MAIN, "-inMemory", "-sharedDb", "-disableTelemetry", "-port"])
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("DynamoDB Local needs Java 17 or newer: java: {error}"))?;
        let mut local = Self { process, port };
        local.wait()?;
        Ok(Some(local))
    }

    pub(crate) fn version(&self) -> &'static str {
        version()
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let began = clock::instant();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("DynamoDB Local ended at once: {status}").into());
            }
            // Without a signature it answers 400, which is answer enough.
            if self.answers().is_ok_and(|yes| yes) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("DynamoDB Local did not answer on port {}", self.port).into())
    }

    fn answers(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut first = [0; 12];
        stream.read_exact(&mut first)?;
        Ok(&first == b"HTTP/1.1 400")
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The one that the tests use.
fn version() -> &'static str {
    POM.split_once("<artifactId>DynamoDBLocal</artifactId><version>")
        .and_then(|(_, rest)| rest.split_once('<'))
        .map_or("", |(version, _)| version)
}
