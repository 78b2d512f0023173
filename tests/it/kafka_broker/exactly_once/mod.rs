//! Exactly once from topic to topic (X1): a consumer of what is committed finds each event once, in the order of its key.
//!
//! | file | what happens meanwhile |
//! |---|---|
//! | `kills` | processes are killed, stopped and left at random, and a broker is killed; with the control at least once |
//! | `edges` | a process crashes before each step of a transaction, and the next takes over |
//! | `torn` | a commit comes late, in the middle of the next transaction |
//! | `frozen` | coordinators, and then the broker, answer nothing for longer than a transaction may last |
//! | `held` | partitions go to another member between the sending of offsets and the commit |

mod edges;
mod fleet;
mod frozen;
mod held;
mod kills;
mod member;
mod torn;
mod view;

use std::sync::{Arc, Weak};
use std::time::Duration;

use dynamodb_connector::kafka::{KafkaSettings, KafkaSink, KafkaSinkSettings, ProducerRecord};
use dynamodb_connector::pipeline::{Guarantee, PipelineError, PipelineReport};
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, block_in_place};

use super::proxy::Proxy;
use super::server::{Server, create_topic};
use super::{unique, variable};
use member::Task;
use view::View;

const PARTITIONS: i32 = 6;
const KEYS: u64 = 40;

/// A process of the application. Without a task there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of its own, which the other tests start and kill"]
async fn member_process() {
    if let Some(task) = member::task() {
        task.run().await;
    }
}

fn exactly_once(millis: u64) -> Guarantee {
    Guarantee::ExactlyOnce {
        commit_interval: Duration::from_millis(millis),
    }
}

/// Properties of a broker that notices soon what is no more.
const SOON: [(&str, &str); 4] = [
    ("group.min.session.timeout.ms", "1000"),
    ("group.consumer.session.timeout.ms", "1500"),
    (
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "500",
    ),
    ("transaction.max.timeout.ms", "60000"),
];

/// A broker behind a proxy.
struct Rig {
    proxy: Proxy,
    server: Server,
}

impl Rig {
    /// Returns the broker of those tests that run at the same time and leave it alone, which saves them its start.
    fn shared(test: &str) -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Rig>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock();
        if let Some(rig) = shared.upgrade() {
            return Some(rig);
        }
        let rig = Arc::new(Self::start(test)?);
        *shared = Arc::downgrade(&rig);
        Some(rig)
    }

    fn start(test: &str) -> Option<Self> {
        let jars = variable(test, "KAFKA_JARS")?;
        let proxy = Proxy::start();
        let directory = std::env::temp_dir().join(unique("kafka"));
        let server = Server::start_behind(&jars, &directory, proxy.port(), &SOON);
        proxy.lead_to(server.behind());
        Some(Self { proxy, server })
    }

    /// Returns the task of a client behind the proxy, with topics of its own.
    async fn task(&self, guarantee: Guarantee) -> Task {
        let task = Task::new(self.proxy.bootstrap(), guarantee);
        create_topics(&self.server.bootstrap(), &task).await;
        task
    }

    async fn numbers(&self, task: &Task) -> Numbers {
        Numbers::new(&self.server.bootstrap(), task).await
    }

    fn view(&self, task: &Task) -> View {
        View::new(&self.server.bootstrap(), task)
    }
}

async fn create_topics(bootstrap: &str, task: &Task) {
    create_topic(bootstrap, &task.from, PARTITIONS, &[]).await;
    create_topic(bootstrap, &task.to, PARTITIONS, &[]).await;
}

/// A member of the group in the test's own process.
struct Member {
    leave: oneshot::Sender<()>,
    ended: JoinHandle<Result<PipelineReport, PipelineError>>,
}

impl Member {
    /// Starts a member, whose clients have this id. Members of one process have instance names of their own.
    async fn start(task: &Task, client: &str) -> Self {
        let mut task = task.clone().set("client.id", client);
        task.instance = Some(client.to_owned());
        let job = task.job(0).await.expect("a source");
        let (leave, left) = oneshot::channel();
        let ended = tokio::spawn(job.run_until(async {
            let _ = left.await;
        }));
        Self { leave, ended }
    }

    async fn leave(self) {
        // Where it has ended by itself the failure says why.
        let _ = self.leave.send(());
        self.ended.await.expect("no panic").expect("no failure");
    }
}

/// The writer of numbers to their keys.
struct Numbers {
    sink: KafkaSink,
    topic: String,
    written: u64,
}

impl Numbers {
    async fn new(bootstrap: &str, task: &Task) -> Self {
        let sink = KafkaSink::builder(&KafkaSettings::new(bootstrap))
            .settings(KafkaSinkSettings::default())
            .open()
            .await
            .expect("a sink");
        Self {
            sink,
            topic: task.from.clone(),
            written: 0,
        }
    }

    /// Writes some, and waits for their deliveries.
    async fn write(&mut self, count: u64) {
        let mut receipts = Vec::new();
        for _ in 0..count {
            let key = (self.written % KEYS).to_string();
            let record = ProducerRecord::new(self.topic.as_str(), self.written.to_string());
            receipts.push(self.sink.send(record.key(key)).await.expect("accepted"));
            self.written += 1;
        }
        for receipt in join_all(receipts).await {
            receipt.expect("delivered");
        }
    }

    /// Writes on and on, until it is dropped.
    async fn write_on(&mut self) {
        loop {
            self.write(4).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Waits until all that was written is committed, has the members leave, and looks for each event.
async fn finish(numbers: &Numbers, view: &mut View, members: Vec<Member>) {
    block_in_place(|| view.committed());
    for member in members {
        member.leave().await;
    }
    block_in_place(|| view.read_to_end());
    view.check(numbers.written).assert_exact();
}
