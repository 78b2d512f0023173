//! Which broker is written to: one that is named, an Apache Kafka that is started for this, or librdkafka's mock in another process.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use dynamodb_connector::embedded::EmbeddedKafka;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::changes::unique;
use crate::rig::child::{self, Child};
use crate::rig::{Failure, clock};

/// What `tests/run` sets too.
const BOOTSTRAP: &str = "KAFKA_BOOTSTRAP";
const JARS: &str = "KAFKA_JARS";
const POM: &str = include_str!("../../tests/servers/kafka.pom.xml");
const PROPERTIES: &str = include_str!("../../tests/servers/kafka.server.properties");
/// Any; all nodes of a cluster have the same.
const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
/// The role of the process that is librdkafka's mock.
const ROLE: &str = "mock-broker";
const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const PARTITIONS: i32 = 4;

/// A topic for each thing that is measured, so that none has events of another.
#[derive(Clone, Copy)]
pub(crate) enum Topic {
    Stages,
    Default,
    Tuned,
}

const TOPICS: [&str; 3] = ["stages", "latency-default", "latency-tuned"];

pub(crate) struct Broker {
    bootstrap: String,
    name: String,
    /// What the topics' names begin with, where others may have some of the same.
    prefix: String,
    /// The topics that are to be deleted.
    made: Mutex<Vec<String>>,
    process: Process,
}

#[expect(dead_code, reason = "a process ends when it is dropped")]
enum Process {
    /// It was there before.
    Given,
    Kafka(Kafka),
    Mock(Child),
}

struct Kafka {
    process: std::process::Child,
    /// Its files.
    directory: PathBuf,
}

impl Broker {
    pub(crate) fn find() -> Result<Self, Failure> {
        let prefix = unique("events");
        if let Ok(bootstrap) = std::env::var(BOOTSTRAP) {
            return Ok(Self {
                name: format!("the broker at {bootstrap}"),
                bootstrap,
                prefix,
                made: Mutex::default(),
                process: Process::Given,
            });
        }
        let jars = std::env::var_os(JARS).map_or_else(cached_jars, PathBuf::from);
        if jars.is_dir() {
            return kafka(&jars, prefix);
        }
        let mut mock = Child::start(ROLE, &())?;
        Ok(Self {
            bootstrap: mock.line()?,
            name: "librdkafka's mock of a broker in another process, for there is no Kafka: its figures are not those of a broker \
                   (run `bash tests/run`, which downloads Kafka into .cache)"
                .to_owned(),
            prefix,
            made: Mutex::default(),
            process: Process::Mock(mock),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is librdkafka's mock, whose consumers wait longer than a broker's.
    pub(crate) fn is_mock(&self) -> bool {
        matches!(self.process, Process::Mock(_))
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Makes the topic, unless the mock did.
    pub(crate) fn topic(&self, topic: Topic) -> Result<String, Failure> {
        let name = TOPICS[topic as usize];
        if self.is_mock() {
            return Ok(name.to_owned());
        }
        self.make(&format!("{}-{name}", self.prefix))
    }

    /// Makes a topic of this name, which is [deleted](Self::delete) at the end at the latest.
    pub(crate) fn make(&self, name: &str) -> Result<String, Failure> {
        let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let created = block_on(self.admin()?.create_topics(&[topic], &options))??;
        for result in created {
            result.map_err(|(topic, code)| format!("topic {topic} was not made: {code}"))?;
        }
        self.made().push(name.to_owned());
        Ok(name.to_owned())
    }

    /// Deletes topics.
    pub(crate) fn delete(&self, names: &[&str]) -> Result<(), Failure> {
        let admin = self.admin()?;
        block_on(admin.delete_topics(names, &AdminOptions::default()))??;
        self.made().retain(|made| !names.contains(&made.as_str()));
        Ok(())
    }

    /// Deletes the topics that are left, where the broker stays.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        let names = self.made().clone();
        if !matches!(self.process, Process::Given) || names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.delete(&names)
    }

    fn made(&self) -> MutexGuard<'_, Vec<String>> {
        self.made.lock().expect("no holder panics")
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, Failure> {
        let mut config = ClientConfig::new();
        Ok(config.set("bootstrap.servers", &self.bootstrap).create()?)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}

/// Where `tests/run` puts them.
fn cached_jars() -> PathBuf {
    let version = POM
        .split_once("<artifactId>kafka_2.13</artifactId><version>")
        .and_then(|(_, rest)| rest.split_once('<'))
        .map_or("", |(version, _)| version);
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".cache/kafka")
        .join(version)
}

/// An Apache Kafka of its own, with its files in a directory that goes with it.
fn kafka(jars: &Path, prefix: String) -> Result<Broker, Failure> {
    let directory = std::env::temp_dir().join(unique("kafka"));
    std::fs::create_dir_all(&directory)?;
    let file = directory.join("server.properties");
    let (port, controller) = (free_port()?, free_port()?);
    let properties = PROPERTIES
        .replace("@DIR@", &directory.display().to_string())
        .replace("@CPORT@", &controller.to_string())
        .replace("@PORT@", &port.to_string());
    std::fs::write(&file, properties)?;
    let format = java(jars, "kafka.tools.StorageTool")
        .args(["format", "-t", CLUSTER, "-c"])
        .arg(&file)
        .status()
        .map_err(|error| format!("Kafka needs Java 17 or newer: java: {error}"))?;
    if !format.success() {
        return Err(format!("Kafka's files were not made: {format}").into());
    }
    let mut kafka = Kafka {
        process: java(jars, "kafka.Kafka").arg(&file).spawn()?,
        directory,
    };
    let bootstrap = format!("127.0.0.1:{port}");
    answers(&mut kafka.process, &bootstrap)?;
    Ok(Broker {
        bootstrap,
        name: "Apache Kafka on this machine, one node, sharing its cores".to_owned(),
        prefix,
        made: Mutex::default(),
        process: Process::Kafka(kafka),
    })
}

fn java(jars: &Path, main: &str) -> Command {
    let mut command = Command::new("java");
    command
        .args(["-XX:+UseSerialGC", "-Xmx512m", "-cp"])
        .arg(jars.join("*"))
        .arg(main)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn answers(child: &mut std::process::Child, bootstrap: &str) -> Result<(), Failure> {
    let mut config = ClientConfig::new();
    let consumer: BaseConsumer = config.set("bootstrap.servers", bootstrap).create()?;
    let began = clock::instant();
    while consumer
        .fetch_metadata(None, Duration::from_secs(1))
        .is_err()
    {
        if let Some(status) = child.try_wait()? {
            return Err(format!("Kafka ended at once: {status}").into());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("Kafka did not answer at {bootstrap}").into());
        }
    }
    Ok(())
}

fn free_port() -> Result<u16, Failure> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}

/// Is the mock until the parent closes this process's input, where this process was started for that.
pub(crate) fn serve_if_asked() -> Option<Result<(), Failure>> {
    child::run_if_asked(ROLE, |()| {
        let mock = EmbeddedKafka::start(&TOPICS.map(|name| (name, PARTITIONS)))?;
        println!("{}", mock.bootstrap_servers());
        let _ = std::io::stdin().read(&mut [0]);
        Ok(())
    })
}
