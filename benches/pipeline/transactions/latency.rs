//! From an event's write to a consumer of committed records, and what a commit takes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::bare::commits_of_a_bare_loop;
use super::commits;
use super::feed::Feed;
use super::flow::{Flow, exactly_once};
use super::{has_transactions, runtime};
use crate::broker::Broker;
use crate::changes::board::Board;
use crate::changes::unique;
use crate::figures::times;
use crate::latency::consume;
use crate::report::{Bound, Report};
use crate::rig::Failure;
use crate::rig::times::Times;

const RATE: usize = 1_000;
/// The longest that an event may take beyond the commit interval, in milliseconds.
const BEYOND: f64 = 80.0;
/// The longest commit, by that of a bare loop in the same run.
const COMMIT_BAR: f64 = 1.5;
/// Intervals between commits, and for how many seconds each is measured: a commit each second needs longer for its p99.
const INTERVALS: [(Duration, usize); 2] = [
    (Duration::from_secs(1), 60),
    (Duration::from_millis(100), 20),
];

pub(crate) fn run(report: &mut Report, broker: &Broker, quick: bool) -> Result<(), Failure> {
    if !has_transactions(broker) {
        return Ok(());
    }
    let runtime = runtime()?;
    for (interval, seconds) in INTERVALS {
        let seconds = if quick { seconds / 5 } else { seconds };
        let name = format!("commit each {} ms", interval.as_millis());
        let (from, to) = (broker.make(&unique("from"))?, broker.make(&unique("to"))?);
        let flow = Flow::new(broker.bootstrap(), &from, &to, exactly_once(interval));
        commits::forget();
        let latencies = runtime.block_on(measure(broker, &flow, seconds * RATE))?;
        let own = commits::taken();
        let bare = commits_of_a_bare_loop(broker.bootstrap(), &from, &to, interval, seconds)?;
        broker.delete(&[&from, &to])?;
        times(
            report,
            format!("event written to consumed, {name}, {RATE}/s"),
            &latencies,
        );
        times(report, format!("{name}: the commit, of the pipeline"), &own);
        times(report, format!("{name}: the commit, of a bare loop"), &bare);
        let most = interval.as_secs_f64() * 1e3 + BEYOND;
        report.bar(
            format!("event written to consumed, {name}, p99, ms"),
            latencies.at(0.99),
            Bound::AtMost(most),
        );
        for (percentile, at) in [("p50", 0.5), ("p99", 0.99)] {
            report.bar(
                format!("the commit, {name}, {percentile}, by a bare loop's"),
                own.at(at) / bare.at(at),
                Bound::AtMost(COMMIT_BAR),
            );
        }
    }
    Ok(())
}

async fn measure(broker: &Broker, flow: &Flow, counted: usize) -> Result<Times, Failure> {
    /// While these come, the pipeline and the consumer join their groups.
    const WARM_UP: usize = 3 * RATE;
    let board = Board::new(WARM_UP + counted);
    let consumer = consume(&flow.kafka, &flow.to, Arc::clone(&board)).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let job = flow.job(|| {}).await?;
    let pipeline = tokio::spawn(job.run_until(async move {
        // Sent, or gone with its sender.
        let _ = stopped.await;
    }));
    let feed = Feed::open(broker.bootstrap(), &flow.from).await?;
    let writing = async {
        let rate = f64::from(u32::try_from(RATE)?);
        feed.write_at(rate, 0..WARM_UP, &board).await?;
        board.all_seen(0..WARM_UP).await?;
        commits::forget();
        feed.write_at(rate, WARM_UP..WARM_UP + counted, &board)
            .await?;
        board.all_seen(WARM_UP..WARM_UP + counted).await
    };
    let written: Result<(), Failure> = writing.await;
    let _ = stop.send(());
    // First what the pipeline says: it is why nothing came out.
    pipeline.await??;
    consumer.abort();
    written?;
    Ok(board.call_to_seen(WARM_UP..WARM_UP + counted))
}
