//! The rate at which events go from topic to topic: exactly once beside at least once.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dynamodb_connector::pipeline::Guarantee;
use tokio::sync::Notify;

use super::feed::Feed;
use super::flow::{Flow, exactly_once};
use super::{has_transactions, runtime};
use crate::broker::Broker;
use crate::changes::unique;
use crate::figures::row;
use crate::report::{Bound, Report};
use crate::rig::rounds::median;
use crate::rig::{Failure, clock};

/// The least rate of exactly once, with a commit each second, as a part of that of at least once in the same rotation.
const BAR: f64 = 0.9;

const CONTENDERS: [(&str, Option<Duration>); 3] = [
    ("at least once", None),
    (
        "exactly once, a commit each second",
        Some(Duration::from_secs(1)),
    ),
    (
        "exactly once, a commit each 100 ms",
        Some(Duration::from_millis(100)),
    ),
];

pub(crate) fn run(report: &mut Report, broker: &Broker, quick: bool) -> Result<(), Failure> {
    if !has_transactions(broker) {
        return Ok(());
    }
    let (rotations, events) = if quick { (2, 100_000) } else { (5, 500_000) };
    let from = broker.make(&unique("from"))?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let feed = Feed::open(broker.bootstrap(), &from).await?;
        feed.write(0..events).await
    })?;
    let mut rates = vec![Vec::new(); CONTENDERS.len()];
    let mut costs = rates.clone();
    // The first is to warm up.
    for rotation in 0..=rotations {
        let mut order: Vec<usize> = (0..CONTENDERS.len()).collect();
        if rotation % 2 == 1 {
            order.reverse();
        }
        for place in order {
            let guarantee = CONTENDERS[place]
                .1
                .map_or(Guarantee::AtLeastOnce, exactly_once);
            // It holds as many bytes as the input.
            let to = broker.make(&unique("to"))?;
            let flow = Flow::new(broker.bootstrap(), &from, &to, guarantee);
            let before = clock::cpu_time();
            let rate = runtime.block_on(measure(&flow, events))?;
            let used = clock::cpu_time() - before;
            broker.delete(&[&to])?;
            if rotation > 0 {
                rates[place].push(rate);
                costs[place].push(used.as_secs_f64() * 1e6 / events as f64);
            }
        }
    }
    broker.delete(&[&from])?;
    for ((name, _), rates) in CONTENDERS.iter().zip(&rates) {
        row(
            report,
            format!("topic to topic, {name}"),
            "events/s",
            0,
            rates,
            f64::NAN,
        );
    }
    for ((name, _), costs) in CONTENDERS.iter().zip(&costs) {
        let what = format!("CPU: topic to topic, {name}");
        row(report, what, "us", 2, costs, f64::NAN);
    }
    for ((name, _), own) in CONTENDERS.iter().zip(&rates).skip(1) {
        let ratios = own.iter().zip(&rates[0]);
        let ratios: Vec<f64> = ratios.map(|(own, base)| own / base).collect();
        row(
            report,
            format!("ratio: {name}, by at least once"),
            "",
            3,
            &ratios,
            f64::NAN,
        );
        if CONTENDERS[1].0 == *name {
            report.bar(
                format!("{name}, by at least once"),
                median(ratios),
                Bound::AtLeast(BAR),
            );
        }
    }
    Ok(())
}

/// Returns events a second, from the first that comes to the end of the pipeline until the last is acknowledged.
async fn measure(flow: &Flow, events: usize) -> Result<f64, Failure> {
    let (left, began, last) = (
        AtomicUsize::new(events),
        Arc::new(OnceLock::new()),
        Arc::new(Notify::new()),
    );
    let (beginning, all) = (Arc::clone(&began), Arc::clone(&last));
    let each = move || {
        beginning.get_or_init(clock::instant);
        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
            all.notify_one();
        }
    };
    let job = flow.job(each).await?;
    let stats = job.stats();
    let run = job.run_until(last.notified());
    let (mut run, mut ended) = (pin!(run), None);
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let ran = loop {
        tokio::select! {
            ran = &mut run => break ran?,
            _ = tick.tick(), if ended.is_none() => {
                let is_over = stats.report().acknowledged == events as u64;
                ended = is_over.then(clock::instant);
            }
        }
    };
    if ran.acknowledged != events as u64 {
        return Err(format!("not every event went through once:\n{ran}").into());
    }
    let ended = ended.unwrap_or_else(clock::instant);
    let began = began.get().ok_or("no event came")?;
    Ok(events as f64 / (ended - *began).as_secs_f64())
}
