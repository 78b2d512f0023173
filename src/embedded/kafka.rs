//! A mock Kafka cluster within the process.

use std::fmt;
use std::sync::mpsc;
use std::thread;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::error::EmbeddedError;

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Order = Box<dyn FnOnce(&Cluster) + Send>;

/// The only broker's number.
const BROKER: i32 = 1;

/// librdkafka's mock cluster, with one broker on a free port of the loopback interface. Dropped, it stops.
///
/// # What it proves
/// That a client speaks the protocol: idempotent produce, partitions and their order, consumer groups with their commits, a broker that
/// goes and comes back ([`broker_down`](Self::broker_down)), and errors on command ([`fail_next`](Self::fail_next)).
///
/// # What it does not prove
/// Nothing about durability (records are in memory), size limits of brokers and topics, authentication, compaction and
/// retention. **Nothing about transactions**: it answers those requests, but shows aborted records to `read_committed` and fences
/// no producer. A group's first record takes about three seconds, since the mock waits for more members, and after its last member has
/// left the next one waits for a session timeout (`session.timeout.ms`, 45 s). For all that there is Apache Kafka.
///
/// ```
/// use dynamodb_connector::embedded::EmbeddedKafka;
/// use dynamodb_connector::kafka::{KafkaSettings, KafkaSink, ProducerRecord};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kafka = EmbeddedKafka::start(&[("decisions", 3)])?;
/// let settings = KafkaSettings::new(kafka.bootstrap_servers());
/// let sink = KafkaSink::open(&settings).await?;
/// let receipt = sink.send(ProducerRecord::new("decisions", "approved").key("order-1")).await?;
/// assert_eq!(receipt.await?.offset, Some(0));
/// sink.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct EmbeddedKafka {
    bootstrap_servers: String,
    /// To the thread that owns the cluster, which may not move between threads. It ends when this is dropped.
    orders: mpsc::Sender<Order>,
}

/// An error that the mock answers on command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KafkaFault {
    /// Produce requests: too few replicas are in sync, which librdkafka tries again.
    NotEnoughReplicas,
    /// Produce requests: the topic's size limit.
    TooLarge,
    /// Produce requests: this client may not write to the topic.
    TopicNotAllowed,
    /// The request by which an idempotent producer begins: this client may not be one, which is fatal.
    ProducerNotAllowed,
    /// Offset commits: the group's coordinator is elsewhere, which librdkafka tries again.
    NotCoordinator,
}

impl EmbeddedKafka {
    /// Starts a cluster with these topics and their numbers of partitions. Blocks for a few milliseconds.
    ///
    /// # Errors
    /// Where the mock cannot be started, or has no such topics: a name it does not allow, no partition.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, EmbeddedError> {
        let (orders, inbox) = mpsc::channel::<Order>();
        let (started, start) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("embedded-kafka".to_owned())
            .spawn(move || {
                let cluster = match Cluster::new(1) {
                    Ok(cluster) => cluster,
                    Err(error) => {
                        // Nobody waits for it once the caller's thread has gone.
                        let _ = started.send(Err(error.to_string()));
                        return;
                    }
                };
                if started.send(Ok(cluster.bootstrap_servers())).is_ok() {
                    inbox.iter().for_each(|order| order(&cluster));
                }
            })
            .map_err(|error| failed(error.to_string()))?;
        let bootstrap_servers = start
            .recv()
            .map_err(|error| failed(error.to_string()))?
            .map_err(failed)?;
        let kafka = Self {
            bootstrap_servers,
            orders,
        };
        topics
            .iter()
            .try_for_each(|(name, partitions)| kafka.create_topic(name, *partitions))?;
        Ok(kafka)
    }

    /// Returns the address at which it listens, such as `127.0.0.1:40123`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// Where it exists, or the mock does not allow it.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), EmbeddedError> {
        let name = name.to_owned();
        self.order(move |cluster| cluster.create_topic(&name, partitions, 1))
    }

    /// Closes the broker's connections and refuses new ones. Its data stays.
    ///
    /// # Errors
    /// Where the mock fails.
    pub fn broker_down(&self) -> Result<(), EmbeddedError> {
        self.order(|cluster| cluster.broker_down(BROKER))
    }

    /// Lets the broker take connections again.
    ///
    /// # Errors
    /// Where the mock fails.
    pub fn broker_up(&self) -> Result<(), EmbeddedError> {
        self.order(|cluster| cluster.broker_up(BROKER))
    }

    /// Answers the next so many requests of the fault's kind with it.
    ///
    /// # Errors
    /// Where the mock fails.
    pub fn fail_next(&self, fault: KafkaFault, requests: usize) -> Result<(), EmbeddedError> {
        let (request, error) = match fault {
            KafkaFault::NotEnoughReplicas => (
                RDKafkaApiKey::Produce,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            ),
            KafkaFault::TooLarge => (
                RDKafkaApiKey::Produce,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
            ),
            KafkaFault::TopicNotAllowed => (
                RDKafkaApiKey::Produce,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            ),
            KafkaFault::ProducerNotAllowed => (
                RDKafkaApiKey::InitProducerId,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
            ),
            KafkaFault::NotCoordinator => (
                RDKafkaApiKey::OffsetCommit,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            ),
        };
        self.order(move |cluster| {
            cluster.request_errors(request, &vec![error; requests]);
            Ok(())
        })
    }

    /// Runs an order on the cluster's thread and waits for it.
    fn order(
        &self,
        order: impl FnOnce(&Cluster) -> rdkafka::error::KafkaResult<()> + Send + 'static,
    ) -> Result<(), EmbeddedError> {
        let (done, result) = mpsc::sync_channel(1);
        let order: Order = Box::new(move |cluster| {
            // The caller waits for it below.
            let _ = done.send(order(cluster));
        });
        self.orders
            .send(order)
            .map_err(|error| failed(error.to_string()))?;
        result
            .recv()
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))
    }
}

fn failed(reason: String) -> EmbeddedError {
    EmbeddedError::Kafka { reason }
}

impl fmt::Debug for EmbeddedKafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedKafka")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .finish_non_exhaustive()
    }
}
