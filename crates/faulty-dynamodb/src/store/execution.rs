//! The tables, and the execution of one request on them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;

use super::batch;
use super::operation::Operation;
use super::read;
use super::request::Members;
use super::streams::{self, Author, Moment, Streams};
use super::table::{Change, Table};
use super::tables;
use super::transactions::{self, Tokens};
use super::update_table;
use super::write::{self, AppliedKind};
use crate::item::error::Refusal;
use crate::item::value::Item;

/// All that the service remembers.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) streams: Streams,
    /// The time that `CreateTable` takes.
    pub(crate) creation: Duration,
    /// The time at which the request that is carried out began.
    now: Duration,
    pub(crate) tokens: Tokens,
}

/// A choice of the writes of a batch that are not carried out.
pub(crate) trait Leave: fmt::Debug {
    /// Returns for each of `count` writes, or keys to read, whether it comes back unprocessed; `key` gives the key of
    /// each.
    fn choose(
        &self,
        count: usize,
        key: &dyn Fn(usize) -> Item,
        rng: &mut fastrand::Rng,
    ) -> Vec<bool>;
}

/// The surroundings of a request.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) leave: Option<&'a dyn Leave>,
    pub(crate) rng: &'a mut fastrand::Rng,
    /// Time since the fake was made.
    pub(crate) now: Duration,
    /// Milliseconds since 1970.
    pub(crate) unix_millis: i64,
    /// Seconds since 1970.
    pub(crate) unix_seconds: f64,
}

impl Context<'_> {
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            unix_millis: self.unix_millis,
        }
    }

    /// Returns, for each of a batch's writes, whether it is to come back unprocessed; `key` gives its key.
    pub(crate) fn left_unprocessed(
        &mut self,
        count: usize,
        key: impl Fn(usize) -> Item,
    ) -> Vec<bool> {
        match self.leave {
            None => vec![false; count],
            Some(leave) => leave.choose(count, &key, self.rng),
        }
    }
}

/// A request carried out.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) body: Json,
    /// The answer in words, in place of the body.
    pub(crate) worded: Option<Bytes>,
    pub(crate) applied: Vec<Applied>,
}

impl Done {
    pub(crate) fn read(body: Json) -> Self {
        Self {
            body,
            worded: None,
            applied: Vec::new(),
        }
    }

    /// An answer that is worded already.
    pub(crate) fn worded(text: Bytes) -> Self {
        Self {
            body: Json::Null,
            worded: Some(text),
            applied: Vec::new(),
        }
    }
}

/// A change that a request makes.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    pub(crate) table: String,
    pub(crate) kind: AppliedKind,
    pub(crate) change: Change,
}

impl Store {
    pub(crate) fn table(&self, name: &str) -> Result<&Table, Refusal> {
        let table = self.tables.get(name);
        table
            .filter(|table| table.active_from <= self.now)
            .ok_or_else(|| Refusal::missing_table(name))
    }

    pub(crate) fn table_mut(&mut self, name: &str) -> Result<&mut Table, Refusal> {
        let table = self.tables.get_mut(name);
        table
            .filter(|table| table.active_from <= self.now)
            .ok_or_else(|| Refusal::missing_table(name))
    }

    /// Carries out a request: all of its changes, or none and a refusal.
    pub(crate) fn execute(
        &mut self,
        operation: Operation,
        body: &Json,
        context: &mut Context<'_>,
    ) -> Result<Done, Refusal> {
        let request = Members::of(body)?;
        self.now = context.now;
        let done = match operation {
            Operation::BatchGetItem => batch::get(self, request, context),
            Operation::BatchWriteItem => batch::write(self, request, context),
            Operation::CreateTable => tables::create(self, request, context),
            Operation::DeleteItem => write::delete(self, request, context),
            Operation::DeleteTable => tables::delete(self, request, context),
            Operation::DescribeStream => streams::describe(&mut self.streams, request, context),
            Operation::DescribeTable => tables::describe(self, request, context),
            Operation::GetItem => read::get(self, request),
            Operation::GetRecords => streams::records(&mut self.streams, request, context),
            Operation::GetShardIterator => streams::iterator(&mut self.streams, request, context),
            Operation::ListStreams => streams::list(&self.streams, request, context),
            Operation::ListTables => tables::list(self, request),
            Operation::PutItem => write::put(self, request, context),
            Operation::Query => read::query(self, request),
            Operation::Scan => read::scan(self, request),
            Operation::TransactWriteItems => transactions::write(self, request, context),
            Operation::UpdateItem => write::update(self, request, context),
            Operation::UpdateTable => update_table::update(self, request, context),
        }?;
        for applied in &done.applied {
            if let Some(table) = self.tables.get_mut(&applied.table) {
                table.apply(&applied.change);
                let moment = context.moment();
                self.streams
                    .append(table, &applied.change, Author::User, moment);
            }
        }
        Ok(done)
    }
}
