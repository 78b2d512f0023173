//! Lookups in a table, many keys in one request.
//!
//! An [`Enrichment`] asks key by key. Keys that are asked for in one turn of the runtime go together, up to 100 in a
//! `BatchGetItem`. Each key has its own answer: one that the service did not come to fails alone, and is asked for
//! again by the enrichment's rules.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{OnceCell, oneshot};

use super::enrichment::{Enrichment, LookupError};
use super::reason::Reason;
use crate::item::{Item, Key, KeyKind, KeySchema, TableShape, encode_key, key_of_json};
use crate::retry::ServiceError;
use crate::transport::{MAX_KEYS, Transport, TransportKind};

/// The time after which a request is given up. Longer than the enrichment's `timeout` by default: those that wait
/// have given up before, and a late answer is of use to no key.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// The lookups that may run at once, by default: enough for several full requests.
const CONCURRENCY: usize = 400;

impl<K, V> Enrichment<K, V>
where
    K: Serialize + Send + Sync + 'static,
    V: DeserializeOwned + 'static,
{
    /// Returns a lookup of the items of a table, by its partition key `key`. The table has no sort key.
    ///
    /// Keys that records ask for at the same time are read together, up to 100 in a `BatchGetItem`, eventually consistent;
    /// [`concurrency`](Self::concurrency) is 400 by default here. A key that the service leaves unprocessed, and all keys of
    /// a request that fails, are tried again by [`retry`](Self::retry).
    ///
    /// `K` is serialised to a string, a number or bytes, the type of the key attribute: a key of another type, an empty one, or
    /// one that is too long is the [record's fault](LookupError::record), and so is an item that does not fit `V`. `V` is
    /// read from the whole item, as a type, or as an [`Attribute`](crate::item::Attribute) map. Where the table has another key than
    /// `key`, the pipeline ends at the first lookup. The key is checked by a `DescribeTable`; where the client may not send
    /// it, `key` is believed.
    ///
    /// ```
    /// # async fn example(client: aws_sdk_dynamodb::Client) {
    /// use dynamodb_connector::pipeline::{Enrichment, Pipeline};
    /// use dynamodb_connector::test_util::{CollectSink, IterSource};
    ///
    /// #[derive(Clone, serde::Deserialize)]
    /// struct Customer { name: String }
    ///
    /// let customers = Enrichment::table(&client, "customers", "id");
    /// let job = Pipeline::from(IterSource::new([("c-1", 500), ("c-2", 70)]))
    ///     .enrich(|(customer, _)| *customer, customers, |(_, amount), customer: Customer| {
    ///         format!("{}: {amount}", customer.name)
    ///     })
    ///     .to(CollectSink::new());
    /// # let _ = job;
    /// # }
    /// ```
    pub fn table(client: &Client, table: impl Into<String>, key: impl Into<String>) -> Self {
        let table = Arc::new(TableLookup::new(client, table.into(), key.into()));
        Self::new(move |key: K| {
            let table = Arc::clone(&table);
            async move { table.look_up(&key).await }
        })
        .concurrency(CONCURRENCY)
    }
}

struct TableLookup {
    transport: Transport,
    table: String,
    key: String,
    /// The table's key, once it is known.
    shape: OnceCell<Option<TableShape>>,
    /// The keys of the next requests.
    waiting: Mutex<Vec<Asked>>,
}

/// A key that waits for its request.
struct Asked {
    key: Key,
    json: Vec<u8>,
    answer: oneshot::Sender<Result<Option<Item>, LookupError>>,
}

impl TableLookup {
    fn new(client: &Client, table: String, key: String) -> Self {
        Self {
            transport: Transport::new(client, TransportKind::Auto, &table, ATTEMPT_TIMEOUT),
            table,
            key,
            shape: OnceCell::new(),
            waiting: Mutex::default(),
        }
    }

    async fn look_up<K, V>(self: Arc<Self>, key: &K) -> Result<Option<V>, LookupError>
    where
        K: Serialize,
        V: DeserializeOwned,
    {
        let asked = self.shape.get_or_try_init(|| self.describe());
        let encoded = self.encode(asked.await?.as_ref(), key)?;
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock();
            waiting.push(Asked {
                key: encoded.0,
                json: encoded.1,
                answer,
            });
            waiting.len() == 1
        };
        if is_first {
            // A task of its own: the lookup that began it may be given up, and others wait for it.
            tokio::spawn(Arc::clone(&self).ask());
        }
        let item = answered
            .await
            .map_err(|_| LookupError::from("the request was dropped with its runtime"))??;
        let Some(item) = item else { return Ok(None) };
        let value = item.deserialize();
        // The error names the type alone.
        value
            .map(Some)
            .map_err(|error| LookupError::record(Reason::of(&error)))
    }

    /// Returns the table's key; `None` where it may not be asked for.
    async fn describe(&self) -> Result<Option<TableShape>, LookupError> {
        let shape = match self.transport.describe().await {
            Ok(description) => description.shape,
            Err(error) if error.is_for_action() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let keys = shape.keys();
        let (table, key) = (&self.table, &self.key);
        if let Some(sort) = keys.sort() {
            return Err(LookupError::fatal(format!(
                "table {table:?} has a sort key, {:?}: look it up by `Enrichment::new`",
                sort.name()
            )));
        }
        if keys.partition().name() != key {
            return Err(LookupError::fatal(format!(
                "the key of table {table:?} is {:?}, not {key:?}",
                keys.partition().name()
            )));
        }
        Ok(Some(shape))
    }

    /// Returns a key in the form that tells keys apart, and in DynamoDB's JSON.
    fn encode<K: Serialize>(
        &self,
        shape: Option<&TableShape>,
        key: &K,
    ) -> Result<(Key, Vec<u8>), LookupError> {
        let record = HashMap::from([(self.key.as_str(), key)]);
        let of_kind = |kind| TableShape::new(KeySchema::new(&self.key, kind));
        let encoded = match shape {
            Some(shape) => encode_key(&record, shape),
            None => encode_key(&record, &of_kind(KeyKind::String))
                .or_else(|_| encode_key(&record, &of_kind(KeyKind::Number)))
                .or_else(|_| encode_key(&record, &of_kind(KeyKind::Binary))),
        };
        let encoded = encoded.map_err(|error| LookupError::record(Reason::of(&error)))?;
        Ok((encoded.key, encoded.json))
    }

    /// Asks for all keys that wait after one turn of the runtime, in which others are asked for too.
    async fn ask(self: Arc<Self>) {
        tokio::task::yield_now().await;
        let waiting = std::mem::take(&mut *self.waiting.lock());
        // A key that was given up, and asked for again, is in it twice.
        let mut keys: HashMap<Key, Vec<Asked>> = HashMap::new();
        for asked in waiting {
            if !asked.answer.is_closed() {
                keys.entry(asked.key.clone()).or_default().push(asked);
            }
        }
        let mut keys = keys.into_iter();
        let requests = std::iter::from_fn(|| {
            let chunk: HashMap<Key, Vec<Asked>> = keys.by_ref().take(MAX_KEYS).collect();
            (!chunk.is_empty()).then_some(chunk)
        });
        futures::future::join_all(requests.map(|keys| self.request(keys))).await;
    }

    async fn request(&self, mut keys: HashMap<Key, Vec<Asked>>) {
        let asked = keys.values().filter_map(|asked| asked.first());
        let answer = self.transport.batch_get(asked.map(|asked| &*asked.json));
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => return fail(keys.into_values().flatten(), &error),
        };
        let schema = |asked: &Asked| key_kind(&asked.json, &self.key);
        let Some(schema) = keys.values().flatten().find_map(schema) else {
            return;
        };
        let mut take = |json: &Bytes| keys.remove(&key_of_json(json, &schema).ok()?);
        for json in answer.unprocessed {
            for asked in take(&json).into_iter().flatten() {
                let error = "the table is throttled: the service left the key unprocessed";
                // A lookup that was given up needs no answer.
                let _ = asked.answer.send(Err(error.into()));
            }
        }
        for json in answer.items {
            for asked in take(&json).into_iter().flatten() {
                let _ = asked.answer.send(Ok(Some(Item::from_json(json.clone()))));
            }
        }
        for asked in keys.into_values().flatten() {
            let _ = asked.answer.send(Ok(None));
        }
    }
}

fn fail(asked: impl Iterator<Item = Asked>, error: &ServiceError) {
    for asked in asked {
        let _ = asked.answer.send(Err(error.clone().into()));
    }
}

/// Returns the schema by which keys of this form are read.
fn key_kind(json: &[u8], name: &str) -> Option<KeySchema> {
    let kinds = [KeyKind::String, KeyKind::Number, KeyKind::Binary];
    let mut schemas = kinds.into_iter().map(|kind| KeySchema::new(name, kind));
    schemas.find(|schema| key_of_json(json, schema).is_ok())
}
