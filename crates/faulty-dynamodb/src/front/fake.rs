//! The handle that tests hold.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Builder, Config, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_table_spec::{Billing, TableSpec};

use super::client::InProcess;
use super::service::Service;
use crate::faults::fault::Fault;
use crate::faults::plan::FaultPlan;
use crate::item::key::KeyRules as _;
use crate::item::value::{Item, Value, item_to_sdk};
use crate::journal::{AppliedWrite, Overlap, RequestRecord};
use crate::store::fake_table::FakeTable;
use crate::store::table::Table;
use crate::throughput::CapacityUsage;

/// An in-memory DynamoDB that fails only on command. See the [crate's page](crate).
///
/// Clones share the tables, the faults and the journal.
#[derive(Clone)]
pub struct FaultyDynamoDb {
    pub(crate) service: Arc<Service>,
}

impl FaultyDynamoDb {
    /// A service without tables and without faults.
    #[expect(clippy::new_without_default, reason = "the clock starts here")]
    pub fn new() -> Self {
        Self {
            service: Arc::new(Service::new()),
        }
    }

    /// Creates a table, active at once. One of the same name is replaced, with its items: so
    /// may a running table's key schema be changed under its users.
    ///
    /// # Panics
    ///
    /// With the rule, where `CreateTable` would refuse the specification: for a name that is no
    /// table's (3 to 255 characters of `a-z`, `A-Z`, `0-9`, `_`, `-` and `.`), a key attribute of
    /// two types, a capacity of 0, or an index that doesn't fit the table.
    #[track_caller]
    pub fn create_table(&self, table: impl Into<FakeTable>) {
        let table = table.into().checked();
        let clock = &self.service.clock;
        let moment = clock.moment();
        let mut table = Table::new(table, clock.unix_seconds(), moment.now);
        let store = &mut self.service.state().store;
        if let Some(mut old) = store.tables.remove(&table.spec.name) {
            store.streams.disable(&mut old, moment.now);
        }
        store.streams.begin(&mut table, moment);
        store.tables.insert(table.spec.name.clone(), table);
    }

    /// Makes `CreateTable` take this long: the table is `CREATING`, can be described, and neither
    /// read, written nor changed meanwhile. Default: none. [`create_table`](Self::create_table) makes
    /// tables at once all the same.
    pub fn create_tables_slowly(&self, time: Duration) {
        self.service.state().store.creation = time;
    }

    /// Gives a table another form, keeping those items that have the new key and fit the new
    /// indexes. Creates it where there is none. An enforced capacity begins anew, and so does a
    /// stream: the old one is switched off.
    ///
    /// # Panics
    ///
    /// As [`create_table`](Self::create_table).
    #[track_caller]
    pub fn alter_table(&self, table: impl Into<FakeTable>) {
        let table = table.into().checked();
        let state = &mut *self.service.state();
        let mut old = state.store.tables.remove(table.name());
        let clock = &self.service.clock;
        let moment = clock.moment();
        let mut table = Table::new(table, clock.unix_seconds(), moment.now);
        if let Some(old) = &mut old {
            state.store.streams.disable(old, moment.now);
        }
        state.store.streams.begin(&mut table, moment);
        for item in old.into_iter().flat_map(|old| old.items.into_values()) {
            if let Ok(change) = table.put(Item::clone(&item)) {
                table.apply(&change);
            }
        }
        state.store.tables.insert(table.spec.name.clone(), table);
    }

    /// Removes a table and its items. False where there is none.
    pub fn delete_table(&self, table: &str) -> bool {
        let now = self.service.clock.elapsed();
        let store = &mut self.service.state().store;
        let Some(mut table) = store.tables.remove(table) else {
            return false;
        };
        store.streams.disable(&mut table, now);
        true
    }

    /// A client of the AWS SDK that reaches this service in process.
    pub fn client(&self) -> Client {
        Client::from_conf(self.config())
    }

    /// The configuration of [`client`](Self::client).
    pub fn config(&self) -> Config {
        self.config_builder().build()
    }

    /// A configuration of the AWS SDK that reaches this service in process: made-up credentials,
    /// region `us-east-1`, the SDK's retries and stalled-stream protection off, no timeouts.
    pub fn config_builder(&self) -> Builder {
        local_config().http_client(self.http_client())
    }

    /// The HTTP client behind [`config_builder`](Self::config_builder), for a configuration of
    /// your own. It opens no socket and waits only by tokio's time, so paused time moves it.
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(InProcess {
            service: Arc::clone(&self.service),
        })
    }

    /// Adds a fault to those waiting for a request. They are tried in the order in which they
    /// came; a request suffers the first that matches it.
    pub fn inject(&self, fault: Fault) {
        self.service.state().script.push(fault);
    }

    /// Forgets the injected faults and the plan.
    pub fn heal(&self) {
        let state = &mut *self.service.state();
        state.script.clear();
        state.plan = None;
    }

    /// The number of injected faults that have not struck as often as they should.
    pub fn waiting_faults(&self) -> usize {
        self.service.state().script.len()
    }

    /// Strikes requests at random from now on, those that no injected fault strikes.
    pub fn fault_plan(&self, plan: FaultPlan) {
        self.service.state().plan = Some(plan);
    }

    /// Every write applied, in the order of application.
    pub fn applied(&self) -> Vec<AppliedWrite> {
        self.service.state().journal.writes.clone()
    }

    /// Every request received, in the order of arrival.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.service.state().journal.requests.clone()
    }

    /// Pairs of write requests that held one key at the same time. Empty for a writer that
    /// keeps the order of each key's writes.
    pub fn overlaps(&self) -> Vec<Overlap> {
        self.service.state().journal.overlaps.clone()
    }

    /// Requests whose sender is waiting for the answer now.
    pub fn in_flight(&self) -> usize {
        self.service.state().journal.in_flight()
    }

    /// The most requests that were in flight at one time.
    pub fn max_in_flight(&self) -> usize {
        self.service.state().journal.max_in_flight
    }

    /// Forgets the applied writes, requests and overlaps recorded so far.
    pub fn clear_journal(&self) {
        let journal = &mut self.service.state().journal;
        journal.writes.clear();
        journal.requests.clear();
        journal.overlaps.clear();
    }

    /// Takes the writes recorded so far out of the journal, in the order of application. Called at
    /// intervals together with [`take_requests`](Self::take_requests), it bounds what a long run
    /// keeps, and no write falls between reading and forgetting.
    ///
    /// ```
    /// # use faulty_dynamodb::FaultyDynamoDb;
    /// let fake = FaultyDynamoDb::new();
    /// // … a part of the run …
    /// let first = fake.take_applied();
    /// // … another part …
    /// let second = fake.take_applied();
    /// assert!(first.iter().chain(&second).map(|write| write.sequence()).is_sorted());
    /// ```
    pub fn take_applied(&self) -> Vec<AppliedWrite> {
        std::mem::take(&mut self.service.state().journal.writes)
    }

    /// Takes the requests that have ended out of the journal, in the order of arrival. Those whose
    /// sender still waits stay, and a later call takes them. What a request that was given up
    /// brings to the table after it was taken counts in no [`RequestRecord`] any more; the write
    /// itself is recorded all the same.
    pub fn take_requests(&self) -> Vec<RequestRecord> {
        self.service.state().journal.take_ended()
    }

    /// Sets whether writes, requests and overlaps are recorded. Default: true. The record grows with
    /// every request: switch it off for long runs, or empty it at intervals by
    /// [`take_applied`](Self::take_applied) and [`take_requests`](Self::take_requests). The
    /// [usage](Self::capacity_usage) of enforced tables is counted all the same.
    pub fn keep_journal(&self, keep: bool) {
        self.service.state().journal.keep = keep;
    }

    /// The items of a table in the order of their keys; none where there is no such table.
    pub fn items(&self, table: &str) -> Vec<HashMap<String, AttributeValue>> {
        let state = self.service.state();
        let table = state.store.tables.get(table);
        table
            .into_iter()
            .flat_map(|table| table.items.values())
            .map(|i| item_to_sdk(i))
            .collect()
    }

    /// One item by its key, as pairs of name and value or as a map.
    ///
    /// ```
    /// # use faulty_dynamodb::{FaultyDynamoDb, TableSpec};
    /// use aws_sdk_dynamodb::types::AttributeValue;
    ///
    /// let fake = FaultyDynamoDb::new();
    /// fake.create_table(TableSpec::new("decisions"));
    /// assert!(fake.item("decisions", [("pk", AttributeValue::S("a".into()))]).is_none());
    /// ```
    pub fn item<N: Into<String>>(
        &self,
        table: &str,
        key: impl IntoIterator<Item = (N, AttributeValue)>,
    ) -> Option<HashMap<String, AttributeValue>> {
        let key: Item = key
            .into_iter()
            .map(|(name, value)| Some((name.into(), Value::from_sdk(&value)?)))
            .collect::<Option<_>>()?;
        let state = self.service.state();
        let table = state.store.tables.get(table)?;
        table
            .items
            .get(&table.keys().of_key(&key).ok()?)
            .map(|item| item_to_sdk(item))
    }

    /// The number of items in a table; 0 where there is no such table.
    pub fn item_count(&self, table: &str) -> usize {
        self.service
            .state()
            .store
            .tables
            .get(table)
            .map_or(0, |table| table.items.len())
    }

    /// Gives a provisioned table other write units per second, at once, as an `UpdateTable` from
    /// elsewhere does. An on-demand table becomes a provisioned one. Without effect where there is
    /// no such table.
    pub fn set_write_units(&self, table: &str, units: u64) {
        self.reshape(table, |spec| {
            let read = match spec.billing {
                Billing::Provisioned { read, .. } => read,
                Billing::OnDemand { .. } => units,
            };
            spec.billing = Billing::Provisioned { read, write: units };
        });
    }

    /// Gives a global index of a provisioned table write units per second of its own, at once.
    /// Without effect where there is no such table or index.
    pub fn set_index_write_units(&self, table: &str, index: &str, units: u64) {
        self.reshape(table, |spec| {
            let index = spec.indexes.iter_mut().find(|known| known.name == index);
            if let Some(index) = index {
                let read = index.provisioned.map_or(units, |(read, _)| read);
                index.provisioned = Some((read, units));
            }
        });
    }

    /// Gives an on-demand table a maximum of write units per second, or none, at once. A
    /// provisioned table becomes an on-demand one. Without effect where there is no such table.
    pub fn set_max_on_demand(&self, table: &str, units: Option<u64>) {
        self.reshape(table, |spec| {
            spec.billing = Billing::OnDemand {
                max_write_units: units,
            };
        });
    }

    fn reshape(&self, table: &str, change: impl FnOnce(&mut TableSpec)) {
        let now = self.service.clock.elapsed();
        if let Some(table) = self.service.state().store.tables.get_mut(table) {
            change(&mut table.spec);
            table.reconfigured(now);
        }
    }

    /// Returns the capacity that an enforced table granted, and its use, in totals since it was made. None
    /// where there is no such table, or its capacity is not enforced.
    pub fn capacity_usage(&self, table: &str) -> Option<CapacityUsage> {
        let now = self.service.clock.elapsed();
        let state = &mut *self.service.state();
        let table = state.store.tables.get_mut(table)?;
        Some(table.throughput.as_mut()?.usage(&table.spec, now))
    }

    /// Sets the service's clock ahead of the true time. The `Date` header of every answer
    /// shows it.
    pub fn set_clock_ahead(&self, by: Duration) {
        self.service
            .clock
            .set_skew_millis(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// Sets the service's clock behind the true time.
    pub fn set_clock_behind(&self, by: Duration) {
        self.service
            .clock
            .set_skew_millis(i64::try_from(by.as_millis()).map_or(i64::MIN, |ms| -ms));
    }

    /// Refuses requests whose `X-Amz-Date` is further from the service's clock than this with
    /// `InvalidSignatureException`. AWS tolerates 15 minutes. Default: `None`, not looked at.
    pub fn check_clock(&self, tolerance: Option<Duration>) {
        self.service.state().tolerance = tolerance;
    }
}

impl fmt::Debug for FaultyDynamoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.service.state();
        f.debug_struct("FaultyDynamoDb")
            .field("tables", &state.store.tables.keys().collect::<Vec<_>>())
            .field("requests", &state.journal.requests.len())
            .finish_non_exhaustive()
    }
}

/// Returns a configuration that reaches a service that checks no signatures.
pub(crate) fn local_config() -> Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(
            "AKIDFAKE",
            "fake-secret",
            None,
            None,
            "faulty-dynamodb",
        ))
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}
