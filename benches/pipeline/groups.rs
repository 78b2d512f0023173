//! The rate of a pipeline whose operators take the CPU: two groups beside one.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::{CollectSink, IterSource};

use crate::broker::Broker;
use crate::figures::row;
use crate::report::{Bound, Report};
use crate::rig::rounds::median;
use crate::rig::{Failure, clock};

/// The least rate of two groups, by that of one.
const BAR: f64 = 1.7;
/// The steps of the work on a value: some 28 us.
const STEPS: u64 = 20_000;

pub(crate) fn run(report: &mut Report, _broker: &Broker, quick: bool) -> Result<(), Failure> {
    let (rotations, values) = if quick { (3, 50_000) } else { (5, 200_000) };
    let mut rates = [Vec::new(), Vec::new()];
    // The first is to warm up.
    for rotation in 0..=rotations {
        let order = if rotation % 2 == 1 { [1, 0] } else { [0, 1] };
        for place in order {
            let rate = rate(place + 1, values)?;
            if rotation > 0 {
                rates[place].push(rate);
            }
        }
    }
    for (name, rates) in ["one group", "two groups"].iter().zip(&rates) {
        row(
            report,
            format!("operators that take the CPU, {name}"),
            "values/s",
            0,
            rates,
            f64::NAN,
        );
    }
    let ratios = rates[1].iter().zip(&rates[0]);
    let ratios: Vec<f64> = ratios.map(|(two, one)| two / one).collect();
    row(
        report,
        "ratio: two groups, by one".to_owned(),
        "",
        2,
        &ratios,
        f64::NAN,
    );
    report.bar("two groups, by one", median(ratios), Bound::AtLeast(BAR));
    Ok(())
}

/// Returns values a second of so many groups, which share them.
fn rate(groups: usize, values: u64) -> Result<f64, Failure> {
    let done = Arc::new(AtomicUsize::new(0));
    let each = values / groups as u64;
    let counting = Arc::clone(&done);
    let groups = Pipeline::groups(u32::try_from(groups)?, move |_| {
        let done = Arc::clone(&counting);
        async move {
            let sink = CollectSink::new();
            let job = Pipeline::from(IterSource::new(0..each)).map(move |value| {
                done.fetch_add(1, Ordering::Relaxed);
                work(value)
            });
            Ok::<_, Infallible>(job.to(sink).boxed())
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let began = clock::instant();
    let ran = runtime.block_on(groups.run())?;
    let took = began.elapsed().as_secs_f64();
    let done = done.load(Ordering::Relaxed) as u64;
    if done != values || ran.acknowledged != values {
        return Err(format!("not every value went through once:\n{ran}").into());
    }
    Ok(values as f64 / took)
}

fn work(value: u64) -> u64 {
    (0..STEPS).fold(value, |hash, step| {
        black_box((hash ^ step).wrapping_mul(0x0100_0000_01B3))
    })
}
