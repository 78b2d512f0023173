//! An Apache Kafka of a test's own, with its data in files, to be killed and started again; and topics on any.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

/// How long the server may take to start, on a busy machine.
const LONGEST: Duration = Duration::from_secs(120);
/// Any; all nodes of a cluster have the same.
const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

/// A running broker, which is its own controller. Dropped, it is killed.
pub(crate) struct Server {
    jars: String,
    directory: PathBuf,
    port: u16,
    child: Child,
}

impl Server {
    /// Starts on free ports, with its files in a new directory.
    pub(crate) fn start(jars: &str, directory: &Path) -> Self {
        for attempt in 0..5 {
            let _ = std::fs::remove_dir_all(directory);
            std::fs::create_dir_all(directory).expect("a directory");
            let (port, controller) = (free_port(attempt, 0), free_port(attempt, 1));
            let file = directory.join("server.properties");
            std::fs::write(&file, properties(directory, port, controller)).expect("written");
            let format = java(jars, "kafka.tools.StorageTool")
                .args(["format", "-t", CLUSTER, "-c"])
                .arg(&file)
                .status();
            assert!(format.expect("there is `java`").success(), "not formatted");
            let mut server = Self {
                jars: jars.to_owned(),
                directory: directory.to_owned(),
                port,
                child: broker(jars, directory),
            };
            if server.answers() {
                return server;
            }
        }
        panic!("Kafka does not start from {jars}");
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it (SIGKILL), in the middle of anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Stops it (SIGSTOP): it answers nothing more, and its connections stay open.
    pub(crate) fn suspend(&self) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::STOP).expect("it runs");
    }

    /// Starts it again on the same port and files. Does not wait until it answers.
    pub(crate) fn start_again(&mut self) {
        self.child = broker(&self.jars, &self.directory);
    }

    /// Waits until it answers; false if it ended instead, as where the port is another's.
    #[expect(
        clippy::disallowed_methods,
        reason = "a process's start is waited for in real time"
    )]
    fn answers(&mut self) -> bool {
        let began = Instant::now();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .create()
            .expect("a client");
        while consumer
            .fetch_metadata(None, Duration::from_secs(1))
            .is_err()
        {
            if self.child.try_wait().expect("it is ours").is_some() {
                return false;
            }
            assert!(began.elapsed() < LONGEST, "the broker does not answer");
        }
        true
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

pub(crate) fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    let client = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create();
    client.expect("a client")
}

/// Creates a topic on whatever broker.
#[expect(
    clippy::disallowed_methods,
    reason = "a topic's deletion is waited for in real time"
)]
pub(crate) async fn create_topic(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    config: &[(&str, &str)],
) {
    let admin = admin(bootstrap);
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (property, value) in config {
        topic = topic.set(property, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(LONGEST));
    // A topic of the same name may be on its way out.
    let began = Instant::now();
    loop {
        let created = admin.create_topics([&topic], &options).await;
        match &created.expect("answered")[0] {
            Ok(_) => return,
            Err((_, error)) => assert!(began.elapsed() < LONGEST, "{error}"),
        }
    }
}

fn java(jars: &str, main: &str) -> Command {
    let mut command = Command::new("java");
    command
        // The fewest cycles until it answers, since it is started several times.
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"])
        .args(["-cp", &format!("{jars}/*"), main])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn broker(jars: &str, directory: &Path) -> Child {
    java(jars, "kafka.Kafka")
        .arg(directory.join("server.properties"))
        .spawn()
        .expect("there is `java`")
}

fn properties(directory: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=8000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=500
",
        directory.display()
    )
}

/// A port below those that the system gives to outgoing connections, so that none of them takes it while the
/// server is down.
fn free_port(attempt: u64, which: u64) -> u16 {
    let seed = u64::from(std::process::id()) << 8 | attempt << 1 | which;
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        let port = rng.u16(20_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
