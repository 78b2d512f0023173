//! Lookups in a table, many keys in one request.
//!
//! An [`Enrichment`] asks key by key. Keys that are asked for within a millisecond go together, up to 100 in a
//! `BatchGetItem`, in a task of its own: a lookup that times out takes no other with it. Each key has its own answer.
//! Keys that come back unprocessed are asked for again at once while others are answered; then they fail, and the
//! enrichment's rules say when they are tried again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, oneshot};

use super::enrichment::{Enrichment, LookupError};
use crate::item::{Item, Key, KeyKind, KeySchema, TableShape, encode_key, key_of_json};
use crate::retry::ServiceError;
use crate::transport::{MAX_KEYS, Operation, Transport, TransportKind};

/// The time after which a request is given up. Longer than an enrichment's `timeout` by default: the lookups that wait have
/// timed out by then.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest time that a key waits for others. Chosen: a fraction of a request's time.
const LINGER: Duration = Duration::from_millis(1);

/// The most requests for the same keys without a pause. Chosen: items of 400 KB, of which 16 MB are answered at once, take
/// three.
const MAX_ROUNDS: u32 = 4;

/// The lookups that may run at once, by default: enough for several full requests.
const CONCURRENCY: usize = 400;

impl<K, V> Enrichment<K, V>
where
    K: Serialize + Send + Sync + 'static,
    V: DeserializeOwned + 'static,
{
    /// Returns a lookup of the items of a table, by its partition key `key`. The table has no sort key.
    ///
    /// Keys that records ask for within a millisecond are read together, up to 100 in a `BatchGetItem`, eventually
    /// consistent; [`concurrency`](Self::concurrency) is 400 by default here. Keys that the service leaves unprocessed, and all
    /// keys of a request that fails, are tried again by [`retry`](Self::retry). Where no new attempt can help (the table does
    /// not exist, or the request is refused for what it is), the pipeline ends.
    ///
    /// `K` is serialized to a string, a number or bytes (`serde_bytes`), the type of the key attribute: a key of another type, an empty one, or
    /// one that is too long is the [record's fault](LookupError::record), and so is an item that does not fit `V`. `V` is
    /// read from the whole item, as a type, or as an [`Attribute`](crate::item::Attribute) map. Where the table has another key than
    /// `key`, the pipeline ends at the first lookup. The key is checked by a `DescribeTable`; without the right to call
    /// it, `key` is not checked.
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
    /// The description that is asked for, or was given.
    describing: Mutex<Option<Describing>>,
    waiting: Mutex<Waiting>,
    /// Wakes the collecting task: a request is full.
    full: Notify,
}

/// The table's shape; `None` without the right to call `DescribeTable`.
type Described = Result<Option<Arc<TableShape>>, LookupError>;

type Describing = Shared<BoxFuture<'static, Described>>;

/// The keys of the next requests.
#[derive(Default)]
struct Waiting {
    keys: Keys,
    /// Set while a task collects them.
    is_collecting: bool,
}

type Keys = HashMap<Key, Asked>;

/// A key that waits for its answer.
struct Asked {
    json: Vec<u8>,
    /// More than one where a lookup was given up, and its key asked for again.
    answers: Vec<oneshot::Sender<Answer>>,
}

type Answer = Result<Option<Item>, LookupError>;

impl Asked {
    /// Returns whether a lookup still waits for it.
    fn is_awaited(&self) -> bool {
        self.answers.iter().any(|answer| !answer.is_closed())
    }

    fn answer(self, answer: &Answer) {
        for waiting in self.answers {
            // A lookup that was given up needs no answer.
            let _ = waiting.send(answer.clone());
        }
    }
}

impl TableLookup {
    fn new(client: &Client, table: String, key: String) -> Self {
        Self {
            transport: Transport::new(client, TransportKind::Auto, &table, ATTEMPT_TIMEOUT),
            table,
            key,
            describing: Mutex::default(),
            waiting: Mutex::default(),
            full: Notify::new(),
        }
    }

    async fn look_up<K, V>(self: Arc<Self>, key: &K) -> Result<Option<V>, LookupError>
    where
        K: Serialize,
        V: DeserializeOwned,
    {
        let shape = self.shape().await?;
        let (key, json) = self.encode(shape.as_deref(), key)?;
        let answered = self.ask(key, json).await;
        let item = answered.map_err(|_| LookupError::from("the request's task is gone"))??;
        let Some(item) = item else { return Ok(None) };
        // The error names the type alone.
        let value = item.deserialize();
        value.map(Some).map_err(LookupError::record)
    }

    /// Returns the table's shape. One description is under way at a time, in a task of its own: a lookup has less time
    /// than a first connection may take.
    fn shape(self: &Arc<Self>) -> Describing {
        let mut describing = self.describing.lock();
        let describing = describing.get_or_insert_with(|| {
            let this = Arc::clone(self);
            let task = tokio::spawn(async move {
                let described = this.describe().await;
                if described.is_err() {
                    // The next lookup asks anew.
                    *this.describing.lock() = None;
                }
                described
            });
            let this = Arc::clone(self);
            let gone = move || {
                *this.describing.lock() = None;
                Err(LookupError::from("the description's task is gone"))
            };
            task.map(move |described| described.unwrap_or_else(|_| gone()))
                .boxed()
                .shared()
        });
        describing.clone()
    }

    async fn describe(&self) -> Described {
        let shape = match self.transport.describe().await {
            Ok(description) => description.shape,
            Err(error) if error.is_for_action() => return Ok(None),
            Err(error) => return Err(self.failure(Operation::DescribeTable, &error)),
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
        Ok(Some(Arc::new(shape)))
    }

    /// Returns the failure of a request: an outage, or one that no new attempt can cure.
    fn failure(&self, operation: Operation, error: &ServiceError) -> LookupError {
        if error.is_retryable() {
            return error.clone().into();
        }
        let (table, operation) = (&self.table, operation.name());
        LookupError::fatal(format!("{operation} of table {table:?}: {error}"))
    }

    /// Returns a key in the form that tells keys apart, and in DynamoDB's JSON.
    fn encode<K: Serialize>(
        &self,
        shape: Option<&TableShape>,
        key: &K,
    ) -> Result<(Key, Vec<u8>), LookupError> {
        let record = HashMap::from([(self.key.as_str(), key)]);
        let encoded = match shape {
            Some(shape) => encode_key(&record, shape),
            None => {
                let shape = |kind| TableShape::new(KeySchema::new(&self.key, kind));
                let text = encode_key(&record, &shape(KeyKind::String));
                text.or_else(|error| {
                    encode_key(&record, &shape(KeyKind::Number))
                        .or_else(|_| encode_key(&record, &shape(KeyKind::Binary)))
                        .map_err(|_| error)
                })
            }
        };
        let encoded = encoded.map_err(LookupError::record)?;
        Ok((encoded.key, encoded.json))
    }

    /// Has a key asked for with the next request.
    fn ask(self: &Arc<Self>, key: Key, json: Vec<u8>) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        let asked = waiting.keys.entry(key).or_insert_with(|| Asked {
            json,
            answers: Vec::new(),
        });
        asked.answers.push(answer);
        if waiting.keys.len() == MAX_KEYS {
            self.full.notify_one();
        }
        if !std::mem::replace(&mut waiting.is_collecting, true) {
            tokio::spawn(Arc::clone(self).collect());
        }
        answered
    }

    /// Waits for a full request, and sends all keys that wait by then.
    async fn collect(self: Arc<Self>) {
        tokio::select! {
            () = self.full.notified() => {}
            () = tokio::time::sleep(LINGER) => {}
        }
        let keys = std::mem::take(&mut *self.waiting.lock()).keys;
        let mut keys = keys.into_iter();
        let requests = std::iter::from_fn(|| {
            let chunk: Keys = keys.by_ref().take(MAX_KEYS).collect();
            (!chunk.is_empty()).then_some(chunk)
        });
        futures::future::join_all(requests.map(|keys| self.request(keys))).await;
    }

    /// Asks for keys until all are answered, or those left must wait.
    async fn request(&self, mut keys: Keys) {
        let Some(schema) = keys.values().find_map(|asked| self.schema(&asked.json)) else {
            return answer_all(keys, &Err("a key can't be read again".into()));
        };
        let mut rounds = 0;
        while !keys.is_empty() {
            rounds += 1;
            let asked = keys.values().map(|asked| &*asked.json);
            let answer = match self.transport.batch_get(asked).await {
                Ok(answer) => answer,
                Err(error) => {
                    let error = self.failure(Operation::BatchGetItem, &error);
                    return answer_all(keys, &Err(error));
                }
            };
            let count = keys.len();
            let mut is_garbled = false;
            let mut take = |json: &Bytes| {
                let key = key_of_json(json, &schema).ok();
                let asked = key.and_then(|key| keys.remove_entry(&key));
                is_garbled |= asked.is_none();
                asked
            };
            let unprocessed = answer.unprocessed.iter();
            let left: Keys = unprocessed.filter_map(&mut take).collect();
            for json in answer.items {
                if let Some((_, asked)) = take(&json) {
                    asked.answer(&Ok(Some(Item::from_json(json))));
                }
            }
            if is_garbled {
                let error =
                    LookupError::from("the answer has an item or a key that was not asked for");
                keys.extend(left);
                return answer_all(keys, &Err(error));
            }
            answer_all(std::mem::take(&mut keys), &Ok(None));
            if left.len() == count || rounds == MAX_ROUNDS {
                let error = LookupError::from("the service left the key unprocessed");
                return answer_all(left, &Err(error));
            }
            keys = left;
            keys.retain(|_, asked| asked.is_awaited());
        }
    }

    /// Returns the schema by which keys of this form are read.
    fn schema(&self, json: &[u8]) -> Option<KeySchema> {
        let kinds = [KeyKind::String, KeyKind::Number, KeyKind::Binary];
        let mut schemas = kinds
            .into_iter()
            .map(|kind| KeySchema::new(&self.key, kind));
        schemas.find(|schema| key_of_json(json, schema).is_ok())
    }
}

fn answer_all(keys: Keys, answer: &Answer) {
    for asked in keys.into_values() {
        asked.answer(answer);
    }
}
