//! A process of the application: a pipeline from topic to topic.

use std::io::Read as _;
use std::time::Duration;

use dynamodb_connector::kafka::{
    KafkaSettings, KafkaSource, KafkaSourceSettings, Message, ProducerRecord, TransactionSettings,
};
use dynamodb_connector::pipeline::{
    DeadLetter, Guarantee, KafkaRecords, KafkaTransactions, Pipeline, RawMessage,
};
use serde::{Deserialize, Serialize};

/// The variable with a process's task.
pub(super) const TASK: &str = "KAFKA_EXACTLY_ONCE_MEMBER";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) bootstrap: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) group: String,
    pub(super) guarantee: Guarantee,
    /// The name of the process, where it has one that stays.
    pub(super) instance: Option<String>,
    pub(super) seed: u64,
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

/// Makes two records of each value, and none of each seventh; one in eleven is refused.
pub(super) async fn run(task: &Task) {
    let kafka = KafkaSettings::new(&task.bootstrap).set("socket.timeout.ms", "1000");
    let reading = kafka
        .clone()
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500");
    let own = KafkaSourceSettings::new(&task.group, [&task.from]);
    let source = KafkaSource::builder(&reading).settings(own).open();
    let source = source.await.expect("a source");
    let mut settings =
        TransactionSettings::new("exactly-once").transaction_timeout(Duration::from_secs(3));
    if let Some(instance) = &task.instance {
        settings = settings.instance(instance);
    }
    let transactions = KafkaTransactions::new(&kafka, settings).guarantee(task.guarantee);
    let (to, letters_to) = (task.to.clone(), task.to.clone());
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
    let mut rng = fastrand::Rng::with_seed(task.seed);
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
        .filter(|(_, number)| number % 7 != 0)
        .flat_map(|(key, number)| ["a", "b"].map(|part| (key.clone(), format!("{number} {part}"))))
        .to_transactional(&transactions, output)
        .dead_letter_with(RawMessage::of, letters);
    let (left, leaving) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = left.send(());
    });
    let ended = job.run_until(async {
        let _ = leaving.await;
    });
    match ended.await {
        Ok(_) => {}
        Err(error) => eprintln!("member failed: {error}: {error:?}"),
    }
}

/// Returns what is to become of a value.
pub(super) fn expected(number: u64) -> Vec<String> {
    match number {
        number if number % 11 == 0 => vec![format!("{number} letter")],
        number if number % 7 == 0 => Vec::new(),
        number => vec![format!("{number} a"), format!("{number} b")],
    }
}
