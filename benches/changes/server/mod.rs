//! The fake DynamoDB of `test-util`, with a change stream, in another process, so that none of its cost is in a
//! client's figures.

mod serve;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Clients;
use crate::rig::Failure;
use crate::rig::child::{self, Child};
use crate::rig::records::TABLE;

const ROLE: &str = "change-server";

/// What it holds when it begins to serve.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Contents {
    /// Open shards of the table's stream.
    pub(crate) shards: usize,
    /// Changes in them, each of an item that was there before: with both images.
    pub(crate) changes: usize,
}

/// What it may be told, a line of JSON each.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Order {
    Reads,
    Split,
    /// To count requests from now on.
    Count,
    Requests,
}

/// The server's process, as its parent sees it.
pub(crate) struct ChangeServer {
    process: Child,
    endpoint: String,
}

/// Serves, where this process was started for that. To be asked before all else.
pub(crate) fn serve_if_asked() -> Option<Result<(), Failure>> {
    child::run_if_asked(ROLE, serve::run)
}

impl ChangeServer {
    /// Returns once it is filled. It is bound to the server's core.
    pub(crate) fn start(contents: Contents) -> Result<Self, Failure> {
        let mut process = Child::start(ROLE, &contents)?;
        Ok(Self {
            endpoint: process.answer()?,
            process,
        })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn clients(&self) -> Clients {
        Clients::new(&self.endpoint, TABLE)
    }

    /// How often each shard was read so far, by whomever.
    pub(crate) fn reads(&mut self) -> Result<Vec<u32>, Failure> {
        self.ask(Order::Reads)
    }

    /// Splits the oldest open shard, and names its children.
    pub(crate) fn split(&mut self) -> Result<[String; 2], Failure> {
        self.ask(Order::Split)
    }

    /// Begins to count requests, which [`requests`](Self::requests) tells.
    pub(crate) fn count(&mut self) -> Result<(), Failure> {
        self.ask(Order::Count)
    }

    /// How many requests of each operation have come since it began to count.
    pub(crate) fn requests(&mut self) -> Result<BTreeMap<String, u32>, Failure> {
        self.ask(Order::Requests)
    }

    fn ask<T: DeserializeOwned>(&mut self, order: Order) -> Result<T, Failure> {
        self.process.say(&order)?;
        self.process.answer()
    }
}
