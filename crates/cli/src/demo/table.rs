//! The writes to the table.

use std::error::Error;
use std::time::{Duration, Instant};

use dynamodb_connector::sink::TableSink;
use indicatif::ProgressBar;

use super::decision::{Application, Stage};

/// Writes every decision at every stage. Ten are under way at a time, as in a service; the sink keeps each one's stages in order.
pub(crate) async fn load(
    sink: TableSink,
    applications: Vec<Application>,
    bar: ProgressBar,
) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    let started = now();
    for group in applications.chunks(10) {
        for stage in Stage::ALL {
            for application in group {
                drop(sink.put(&application.at(stage)).await?);
                bar.inc(1);
            }
        }
    }
    sink.close().await?;
    Ok(started.elapsed())
}

#[expect(clippy::disallowed_methods, reason = "to say how long it took")]
fn now() -> Instant {
    Instant::now()
}
