//! A consumer of the topic, which looks whether everything came, and in order.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use dynamodb_connector::kafka::{KafkaSettings, KafkaSource};
use futures::StreamExt as _;
use indicatif::ProgressBar;

use super::decision::Stage;
use super::events::Event;

/// The time for which the topic may be silent before the rest is taken for missing.
const SILENCE: Duration = Duration::from_secs(30);

/// The events that were found in the topic.
pub(crate) struct Checked {
    expected: usize,
    events: usize,
    repeated: usize,
    decisions: usize,
    out_of_order: usize,
    took: Duration,
}

/// Reads until every event was seen, or nothing more comes.
pub(crate) async fn read(
    kafka: &KafkaSettings,
    topic: &str,
    expected: usize,
    bar: &ProgressBar,
) -> Result<Checked, Box<dyn Error>> {
    let mut source = KafkaSource::open(kafka, "check", [topic]).await?;
    let mut last: HashMap<String, Stage> = HashMap::new();
    let mut seen: HashSet<(String, Stage)> = HashSet::new();
    let mut checked = Checked {
        expected,
        events: 0,
        repeated: 0,
        decisions: 0,
        out_of_order: 0,
        took: Duration::ZERO,
    };
    let started = now();
    while seen.len() < expected {
        let Ok(Some(message)) = tokio::time::timeout(SILENCE, source.next()).await else {
            break;
        };
        let message = message?;
        let payload = message.payload.as_deref().unwrap_or_default();
        let Event {
            decision, stage, ..
        } = serde_json::from_slice(payload)?;
        checked.events += 1;
        if seen.insert((decision.clone(), stage)) {
            bar.inc(1);
            // At least once: an event may come again, but none may come before its predecessors.
            let due = Stage::ALL.iter().position(|one| *one == stage);
            let before = last.insert(decision, stage);
            let done = before.and_then(|before| Stage::ALL.iter().position(|one| *one == before));
            if due != Some(done.map_or(0, |done| done + 1)) {
                checked.out_of_order += 1;
            }
        } else {
            checked.repeated += 1;
        }
        message.ack.done();
    }
    checked.took = started.elapsed();
    checked.decisions = last.len();
    source.close().await?;
    Ok(checked)
}

impl Checked {
    pub(crate) fn is_complete(&self) -> bool {
        self.events - self.repeated == self.expected && self.out_of_order == 0
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "in topic:  {} events of {} decisions after {:.2} s",
            self.events,
            self.decisions,
            self.took.as_secs_f64()
        )?;
        writeln!(f, "repeated:  {}", self.repeated)?;
        writeln!(
            f,
            "missing:   {}",
            self.expected - (self.events - self.repeated)
        )?;
        write!(f, "not in order within a decision: {}", self.out_of_order)
    }
}

#[expect(clippy::disallowed_methods, reason = "to say how long it took")]
fn now() -> Instant {
    Instant::now()
}
