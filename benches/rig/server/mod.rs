//! A DynamoDB that acknowledges everything and stores nothing, in another process, so that none
//! of its cost is in a client's figures.

mod pace;
mod serve;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Failure;
use super::child::{self, Child};

const ROLE: &str = "null-server";

/// How it serves.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Serving {
    /// The core it is bound to, if any.
    pub(crate) core: Option<usize>,
    /// From a request's last byte to its answer.
    pub(crate) delay: Duration,
    /// The least time between two answers: what the server can do at most.
    pub(crate) interval: Duration,
}

/// The server's process, as its parent sees it.
pub(crate) struct NullServer {
    _process: Child,
    address: SocketAddr,
}

/// What has arrived since the server started.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Arrived {
    pub(crate) requests: u32,
    pub(crate) bytes: u64,
}

/// The connections of clients.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Connections {
    /// With that of the question itself.
    pub(crate) open: u32,
    /// The most that were open at once since the last question.
    pub(crate) peak: u32,
    /// Those with a request that has no answer yet.
    pub(crate) busy: u32,
    /// The most that were busy at once since the last question.
    pub(crate) busy_peak: u32,
}

/// How long the server took to answer, by its own clock: from a request's last byte to the
/// answer's, in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Took {
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) most: f64,
}

/// Serves, where this process was started for that. To be asked before all else.
pub(crate) fn serve_if_asked() -> Option<Result<(), Failure>> {
    child::run_if_asked(ROLE, serve::run)
}

impl NullServer {
    pub(crate) fn start(serving: Serving) -> Result<Self, Failure> {
        let mut process = Child::start(ROLE, &serving)?;
        Ok(Self {
            address: process.line()?.parse()?,
            _process: process,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn arrived(&self) -> Result<Arrived, Failure> {
        self.ask("arrived")
    }

    pub(crate) fn connections(&self) -> Result<Connections, Failure> {
        self.ask("connections")
    }

    /// Its times since this or [`forget`](Self::forget) was asked last; fails where it answered
    /// nothing since.
    pub(crate) fn took(&self) -> Result<Took, Failure> {
        self.ask("took")
    }

    /// Leaves out of its times what was before.
    pub(crate) fn forget(&self) -> Result<(), Failure> {
        self.ask::<serde::de::IgnoredAny>("took")?;
        Ok(())
    }

    fn ask<T: DeserializeOwned>(&self, what: &str) -> Result<T, Failure> {
        let mut stream = std::net::TcpStream::connect(self.address)?;
        write!(stream, "GET /{what} HTTP/1.1\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer
            .split_once("\r\n\r\n")
            .ok_or("the server's answer has no body")?;
        Ok(serde_json::from_str(body)?)
    }
}
