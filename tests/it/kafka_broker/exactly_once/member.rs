//! A member of the application's group: pipelines from topic to topic, of a process or of the test's own.

use std::io::Read as _;
use std::time::Duration;

use dynamodb_connector::kafka::{
    KafkaError, KafkaSettings, KafkaSource, KafkaSourceSettings, Message, ProducerRecord,
    TransactionSettings,
};
use dynamodb_connector::pipeline::{
    BoxJob, DeadLetter, Guarantee, KafkaRecords, KafkaTransactions, Pipeline, RawMessage,
};
use dynamodb_connector::test_util::crash_before;
use serde::{Deserialize, Serialize};

use super::super::unique;

/// The variable with a process's task.
pub(super) const TASK: &str = "KAFKA_EXACTLY_ONCE_MEMBER";
/// The bytes of a record that Kafka refuses by default.
const TOO_LARGE: usize = 1_100_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) bootstrap: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) group: String,
    pub(super) guarantee: Guarantee,
    pub(super) transaction_timeout: Duration,
    /// More properties of its clients, those of its source among them.
    pub(super) kafka: Vec<(String, String)>,
    pub(super) source: Vec<(String, String)>,
    /// The number of pipelines in a process.
    pub(super) groups: u32,
    /// The name of the process, where it has one that stays.
    pub(super) instance: Option<String>,
    /// The step before which the process crashes, and at which time of it.
    pub(super) crash: Option<(String, u32)>,
    /// The numbers of which records are made that are too large.
    pub(super) too_large: Vec<u64>,
    pub(super) seed: u64,
}

impl Task {
    /// Returns the task of a member with names of its own.
    pub(super) fn new(bootstrap: String, guarantee: Guarantee) -> Self {
        Self {
            bootstrap,
            from: unique("from"),
            to: unique("to"),
            group: unique("group"),
            guarantee,
            transaction_timeout: Duration::from_secs(10),
            kafka: Vec::new(),
            source: Vec::new(),
            groups: 1,
            instance: None,
            crash: None,
            too_large: Vec::new(),
            seed: 0,
        }
    }

    pub(super) fn set(mut self, property: &str, value: &str) -> Self {
        self.kafka.push((property.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn set_source(mut self, property: &str, value: &str) -> Self {
        self.source.push((property.to_owned(), value.to_owned()));
        self
    }

    /// Returns the texts that are to be made of a number.
    pub(super) fn expected(&self, number: u64) -> Vec<String> {
        match number {
            number if number % 11 == 0 || self.too_large.contains(&number) => {
                vec![format!("{number} letter")]
            }
            number if number % 7 == 0 => Vec::new(),
            number => vec![format!("{number} a"), format!("{number} b")],
        }
    }

    /// Runs as a process, until SIGTERM.
    pub(super) async fn run(self) {
        std::thread::spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            // The test has gone.
            std::process::exit(3);
        });
        if let Some((step, nth)) = &self.crash {
            crash_before(step, *nth);
        }
        let groups = self.groups;
        let groups = Pipeline::groups(groups, move |group| {
            let task = self.clone();
            async move { task.job(group).await }
        });
        // Its error is printed, and the process ends by it.
        groups.run_until_signal().await.expect("no failure");
    }

    /// Makes two records of each value, and none of each seventh; one in eleven is refused.
    pub(super) async fn job(&self, group: u32) -> Result<BoxJob, KafkaError> {
        let set = |kafka: KafkaSettings, properties: &[(String, String)]| {
            properties
                .iter()
                .fold(kafka, |kafka, (property, value)| kafka.set(property, value))
        };
        let kafka = set(KafkaSettings::new(&self.bootstrap), &self.kafka);
        let own = KafkaSourceSettings::new(&self.group, [&self.from]);
        let source = KafkaSource::builder(&set(kafka.clone(), &self.source))
            .settings(own)
            .open()
            .await?;
        let mut settings =
            TransactionSettings::new(&self.group).transaction_timeout(self.transaction_timeout);
        if let Some(instance) = &self.instance {
            settings = settings.instance(instance);
        }
        let transactions = KafkaTransactions::new(&kafka, settings).guarantee(self.guarantee);
        let (to, letters_to) = (self.to.clone(), self.to.clone());
        let output = KafkaRecords::new(move |(key, text): &(Vec<u8>, String)| {
            let record = ProducerRecord::new(to.as_str(), text.clone()).key(key.clone());
            Ok::<_, String>(Some(record))
        });
        let letters = KafkaRecords::new(move |letter: &DeadLetter<RawMessage>| {
            let key = letter.record.key().cloned().unwrap_or_default();
            let value = letter.record.value().cloned().unwrap_or_default();
            let text = format!("{} letter", String::from_utf8_lossy(&value));
            let record = ProducerRecord::new(letters_to.as_str(), text).key(key);
            Ok::<_, String>(Some(record))
        });
        let mut rng = fastrand::Rng::with_seed(self.seed + u64::from(group));
        let too_large = self.too_large.clone();
        let job = Pipeline::from(source)
            .map(|message| {
                let number: u64 = text(&message).parse().expect("a number");
                let key = message.key.as_deref().unwrap_or_default().to_vec();
                (key, number)
            })
            .map_async(move |(key, number)| {
                let takes = Duration::from_millis(rng.u64(0..20));
                async move {
                    tokio::time::sleep(takes).await;
                    Ok::<_, String>((key, number))
                }
            })
            .validate(|(_, number): &(Vec<u8>, u64)| match number % 11 {
                0 => Err("one in eleven"),
                _ => Ok(()),
            })
            .filter(move |(_, number)| number % 7 != 0 || too_large.contains(number))
            .flat_map({
                let too_large = self.too_large.clone();
                move |(key, number)| {
                    let more = match too_large.contains(&number) {
                        true => "x".repeat(TOO_LARGE),
                        false => String::new(),
                    };
                    ["a", "b"].map(|part| (key.clone(), format!("{number} {part}{more}")))
                }
            })
            .to_transactional(&transactions, output)
            .dead_letter_with(RawMessage::of, letters);
        Ok(job.boxed())
    }
}

/// Returns the task of this process, if it has one.
pub(super) fn task() -> Option<Task> {
    let task = std::env::var(TASK).ok()?;
    Some(serde_json::from_str(&task).expect("a task"))
}

fn text(message: &Message) -> String {
    let value = message.payload.as_deref().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}
