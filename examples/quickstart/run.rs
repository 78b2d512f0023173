//! The run: every decision through the sink, each receipt awaited, in time for Ctrl-C.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::IntoFuture as _;
use std::time::{Duration, Instant};

use dynamodb_connector::sink::{Outcome, TableSink, TableStats};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::ctrl_c;
use tokio::task::{JoinError, JoinSet};

use crate::decision::Decision;

/// What became of the decisions.
pub(crate) struct Run {
    pub(crate) submitted: usize,
    /// From acceptance to acknowledgement, of each that was written.
    pub(crate) acknowledged: Vec<Duration>,
    /// The outcomes of those that were not, by their place among the decisions.
    pub(crate) failures: BTreeMap<usize, Outcome>,
    pub(crate) interrupted: bool,
    pub(crate) took: Duration,
    pub(crate) stats: TableStats,
}

/// Writes the decisions, and closes the table.
pub(crate) async fn write(
    table: &TableSink,
    decisions: &[Decision],
) -> Result<Run, Box<dyn Error>> {
    let started = now();
    let bar = progress_bar(decisions.len())?;
    let mut run = Run {
        submitted: 0,
        acknowledged: Vec::new(),
        failures: BTreeMap::new(),
        interrupted: false,
        took: Duration::ZERO,
        stats: table.stats(),
    };
    let mut receipts = JoinSet::new();
    let mut interrupt = std::pin::pin!(ctrl_c());
    for decision in decisions {
        let receipt = tokio::select! {
            biased;
            _ = &mut interrupt => {
                run.interrupted = true;
                break;
            }
            // Waits here while the sink's buffer is full.
            receipt = table.put(decision).into_future() => receipt?,
        };
        let (place, accepted, bar) = (run.submitted, now(), bar.clone());
        run.submitted += 1;
        receipts.spawn(async move {
            let outcome = receipt.await;
            bar.inc(1);
            (place, outcome, accepted.elapsed())
        });
        while let Some(settled) = receipts.try_join_next() {
            run.settle(settled?);
        }
    }

    let mut aborted = false;
    loop {
        if run.interrupted && !aborted {
            bar.println("interrupted: finishing what was submitted (once more to stop at once)");
        }
        interrupt.set(ctrl_c());
        tokio::select! {
            settled = settle_all(&mut receipts, &mut run) => break settled?,
            _ = &mut interrupt => {
                if run.interrupted {
                    // What is not written comes back through the receipts.
                    table.abort().await;
                    aborted = true;
                }
                run.interrupted = true;
            }
        }
    }
    run.took = started.elapsed();
    run.stats = table.stats();
    bar.finish_and_clear();
    if !aborted {
        table.close().await?;
    }
    Ok(run)
}

/// Where a decision stands in the file, what became of it, and how long that took.
type Settled = (usize, Outcome, Duration);

/// Waits for every receipt. Dropped before its end, none is lost.
async fn settle_all(receipts: &mut JoinSet<Settled>, run: &mut Run) -> Result<(), JoinError> {
    while let Some(settled) = receipts.join_next().await {
        run.settle(settled?);
    }
    Ok(())
}

impl Run {
    fn settle(&mut self, (place, outcome, took): Settled) {
        if outcome.is_written() {
            self.acknowledged.push(took);
        } else {
            self.failures.insert(place, outcome);
        }
    }
}

/// On standard error, and only where that is a terminal.
fn progress_bar(decisions: usize) -> Result<ProgressBar, Box<dyn Error>> {
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} written")?;
    Ok(ProgressBar::new(u64::try_from(decisions)?).with_style(style))
}

#[expect(clippy::disallowed_methods, reason = "an example measures real time")]
fn now() -> Instant {
    Instant::now()
}
