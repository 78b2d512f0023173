//! A variant's process: writes as fast as the sink takes it, and looks at its own memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dynamodb_connector::sink::{Receipt, TableSink, TableStats};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::rig::records::{TABLE, decision};
use crate::rig::resident::{self, Resident, mebibytes};
use crate::rig::{Failure, clock, sdk};

/// The defaults of the table's settings.
pub(crate) const BUFFER_RECORDS: usize = 10_000;
pub(crate) const BUFFER_BYTES: usize = 64 << 20;

const BETWEEN_SAMPLES: Duration = Duration::from_millis(20);

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Task {
    pub(crate) endpoint: String,
    pub(crate) records: usize,
    pub(crate) note_bytes: usize,
    /// Whether each receipt is awaited, in order, by a task beside the writer.
    pub(crate) awaited: bool,
}

/// Memory in MiB.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    /// Records a second.
    pub(crate) rate: f64,
    /// The share of the time in which the buffer was full.
    pub(crate) full: f64,
    /// The most that the buffer held, by the sink's own count.
    pub(crate) buffered: f64,
    /// Before the first write.
    pub(crate) at_start: f64,
    /// The mean, while the second tenth of the records was written.
    pub(crate) second_tenth: f64,
    pub(crate) last_tenth: f64,
    pub(crate) peak: f64,
}

struct Sample {
    stats: TableStats,
    resident: f64,
}

impl Sample {
    fn submitted(&self) -> u64 {
        self.stats.written + self.stats.buffered_records as u64
    }

    /// Whether the writer was waiting for room, or about to: what is freed is taken at once.
    fn is_full(&self) -> bool {
        let TableStats {
            buffered_records,
            buffered_bytes,
            waiting_callers,
            ..
        } = self.stats;
        waiting_callers > 0
            || buffered_records >= BUFFER_RECORDS / 20 * 19
            || buffered_bytes >= BUFFER_BYTES / 20 * 19
    }
}

impl Task {
    pub(crate) fn run(&self) -> Result<Figures, Failure> {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(self.write())
    }

    async fn write(&self) -> Result<Figures, Failure> {
        let table = TableSink::open(&sdk::client(&self.endpoint), TABLE).await?;
        let at_start = resident::read()?.now;
        let done = Arc::new(AtomicBool::new(false));
        let sampler = {
            let (table, done) = (table.clone(), Arc::clone(&done));
            thread::spawn(move || sample(&table, &done))
        };
        let (receipts, awaited) = mpsc::unbounded_channel();
        let awaiting = tokio::spawn(wait_for_all(awaited));

        let began = clock::instant();
        for number in 0..self.records {
            let receipt = table.put(&decision(number, self.note_bytes)).await?;
            if self.awaited {
                receipts.send(receipt)?;
            }
        }
        done.store(true, Ordering::Relaxed);
        drop(receipts);
        table.close().await?;
        awaiting.await??;
        let seconds = began.elapsed().as_secs_f64();

        let samples = sampler.join().map_err(|_| "the sampler panicked")?;
        Ok(self.figures(&samples, at_start, seconds, resident::read()?.peak))
    }

    fn figures(&self, samples: &[Sample], at_start: f64, seconds: f64, peak: f64) -> Figures {
        let records = self.records as f64;
        let mean = |from: f64, to: f64| {
            let within: Vec<f64> = samples
                .iter()
                .filter(|sample| {
                    let share = sample.submitted() as f64 / records;
                    from <= share && share < to
                })
                .map(|sample| sample.resident)
                .collect();
            within.iter().sum::<f64>() / within.len() as f64
        };
        let full = samples.iter().filter(|sample| sample.is_full()).count();
        let buffered = samples
            .iter()
            .map(|sample| sample.stats.buffered_bytes)
            .max()
            .unwrap_or_default();
        Figures {
            rate: records / seconds,
            full: full as f64 / samples.len() as f64,
            buffered: mebibytes(buffered),
            at_start,
            second_tenth: mean(0.1, 0.2),
            last_tenth: mean(0.9, 1.0),
            peak,
        }
    }
}

/// Until all is submitted.
fn sample(table: &TableSink, done: &AtomicBool) -> Vec<Sample> {
    let mut samples = Vec::new();
    while !done.load(Ordering::Relaxed) {
        if let Some(Resident { now, .. }) = resident::now() {
            samples.push(Sample {
                stats: table.stats(),
                resident: now,
            });
        }
        thread::sleep(BETWEEN_SAMPLES);
    }
    samples
}

async fn wait_for_all(mut receipts: mpsc::UnboundedReceiver<Receipt>) -> Result<(), Failure> {
    while let Some(receipt) = receipts.recv().await {
        receipt.await.into_result()?;
    }
    Ok(())
}
