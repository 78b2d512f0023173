//! An Apache Kafka of a test's own, with its data in files, to be killed and started again; and topics on any.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
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
    access: Access,
    child: Child,
    /// The port to which a proxy leads.
    behind: u16,
}

/// The clients that a broker lets in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Everyone,
    /// The users `admin`, who may do anything, and `app`, who may do what it was granted. Each has its
    /// name for a password.
    Users,
}

impl Server {
    /// Starts on free ports, with its files in a new directory.
    pub(crate) fn start(jars: &str, directory: &Path) -> Self {
        Self::start_for(jars, directory, Access::Everyone, None, &[])
    }

    /// Starts one whose clients can also come through a proxy at this port of this machine: it names itself to
    /// them so. The proxy has to lead to the port [`behind`](Self::behind) it. `config` has more properties.
    pub(crate) fn start_behind(
        jars: &str,
        directory: &Path,
        proxy: u16,
        config: &[(&str, &str)],
    ) -> Self {
        Self::start_for(jars, directory, Access::Everyone, Some(proxy), config)
    }

    /// Starts one that has the users `admin` and `app`, by SASL, and looks at the rights of `app`.
    pub(crate) fn start_with_users(jars: &str, directory: &Path) -> Self {
        Self::start_for(jars, directory, Access::Users, None, &[])
    }

    fn start_for(
        jars: &str,
        directory: &Path,
        access: Access,
        proxy: Option<u16>,
        config: &[(&str, &str)],
    ) -> Self {
        for _ in 0..5 {
            let _ = std::fs::remove_dir_all(directory);
            std::fs::create_dir_all(directory).expect("a directory");
            let (port, controller) = (free_port(), free_port());
            let behind = free_port();
            let proxied = proxy.map(|proxy| (behind, proxy));
            let mut text = properties(directory, port, controller, access, proxied);
            for (property, value) in config {
                text += &format!("{property}={value}\n");
            }
            let file = directory.join("server.properties");
            std::fs::write(&file, text).expect("written");
            let format = java(jars, "kafka.tools.StorageTool")
                .args(["format", "-t", CLUSTER, "-c"])
                .arg(&file)
                .status();
            assert!(format.expect("there is `java`").success(), "not formatted");
            let mut server = Self {
                jars: jars.to_owned(),
                directory: directory.to_owned(),
                port,
                access,
                child: broker(jars, directory),
                behind,
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

    /// Returns the port to which a proxy leads.
    pub(crate) fn behind(&self) -> u16 {
        self.behind
    }

    /// Returns the properties by which a client logs in as this user.
    pub(crate) fn login(user: &str) -> [(&'static str, &str); 4] {
        [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", user),
            ("sasl.password", user),
        ]
    }

    /// Returns the configuration of a client that may do anything.
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        if self.access == Access::Users {
            for (property, value) in Self::login("admin") {
                config.set(property, value);
            }
        }
        config
    }

    /// Creates a topic.
    pub(crate) async fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let admin = self.config().create().expect("a client");
        create_topic_by(&admin, name, partitions, config).await;
    }

    /// Grants the user `app` these rights, such as `topic:orders:write`.
    pub(crate) fn grant(&self, rights: &[&str]) {
        let output = Command::new("java")
            .args(["-cp", &format!("{}/*", self.jars)])
            .arg("tests/servers/Acls.java")
            .args([&self.bootstrap(), "app"])
            .args(rights)
            .stdin(Stdio::null())
            .output()
            .expect("there is `java`");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
    }

    /// Kills it (SIGKILL), in the middle of anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Stops it (SIGSTOP): it answers nothing more, and its connections stay open.
    pub(crate) fn suspend(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Has it go on.
    pub(crate) fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).expect("it runs");
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
        let consumer: BaseConsumer = self.config().create().expect("a client");
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
pub(crate) async fn create_topic(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    config: &[(&str, &str)],
) {
    create_topic_by(&admin(bootstrap), name, partitions, config).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "a topic's deletion is waited for in real time"
)]
async fn create_topic_by(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
    partitions: i32,
    config: &[(&str, &str)],
) {
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

fn properties(
    directory: &Path,
    port: u16,
    controller: u16,
    access: Access,
    proxied: Option<(u16, u16)>,
) -> String {
    let (protocol, users) = match access {
        Access::Everyone => ("PLAINTEXT", ""),
        Access::Users => ("SASL_PLAINTEXT", USERS),
    };
    let [listens, advertised, map] = match proxied {
        Some((behind, proxy)) => [
            format!(",PROXIED://127.0.0.1:{behind}"),
            format!(",PROXIED://127.0.0.1:{proxy}"),
            ",PROXIED:PLAINTEXT".to_owned(),
        ],
        None => Default::default(),
    };
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={protocol}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listens}
advertised.listeners={protocol}://127.0.0.1:{port}{advertised}
listener.security.protocol.map={protocol}:{protocol},CONTROLLER:PLAINTEXT{map}
inter.broker.listener.name={protocol}
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
{users}",
        directory.display()
    )
}

/// The broker is the user `ANONYMOUS` of its own controller.
const USERS: &str = r#"sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="admin" user_admin="admin" user_app="app";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
"#;

/// A port below those that the system gives to outgoing connections, so that none of them takes it while the
/// server is down.
fn free_port() -> u16 {
    // Servers that are started side by side must not be given the same port.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let seed = u64::from(std::process::id()) << 8 | number;
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        let port = rng.u16(20_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
