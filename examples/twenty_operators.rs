//! A pipeline of twenty operators, each with a name: loan applications to the letters that are sent.
//!
//! ```text
//! cargo run --features pipeline,test-util --example twenty_operators
//! ```
//!
//! Prints the number of records that each operator took, passed on, skipped and dead-lettered.

use std::error::Error;

use dynamodb_connector::pipeline::{FnSink, Keyed, Pipeline};
use dynamodb_connector::test_util::{CollectSink, IterSource};

#[derive(Clone, Debug)]
struct Application {
    customer: u64,
    amount: i64,
    country: &'static str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let applications = (0..1_000).map(|n| Application {
        customer: n % 100,
        amount: i64::try_from(n * 37 % 2_000).unwrap_or(0) - 50,
        country: ["SE", "NO", "DE", "XX"][usize::try_from(n % 4).unwrap_or(0)],
    });
    let refused = CollectSink::new();
    let job = Pipeline::from(IterSource::new(applications.collect::<Vec<_>>()))
        .validate(|a| (a.amount > 0).then_some(()).ok_or("not above 0"))
        .validate(|a| (a.amount < 1_900).then_some(()).ok_or("too large"))
        .filter(|a| a.country != "XX")
        .inspect(|a| assert!(a.amount > 0))
        .map(|a| (a.customer, a.country, a.amount * 100))
        .try_map(|(customer, country, cents)| match u64::try_from(cents) {
            Ok(cents) => Ok((customer, country, cents)),
            Err(_) => Err("not a sum"),
        })
        .map(|(customer, country, cents)| (customer, country, cents, cents / 100))
        .filter(|(_, _, _, whole)| *whole > 10)
        .filter_map(|(customer, country, cents, _)| {
            (cents > 2_000).then_some((customer, country, cents))
        })
        .key_by(|(customer, _, _)| *customer)
        .map_value(|(_, country, cents)| (country, cents))
        .map_value(|(country, cents)| (country, cents + cents / 50))
        .inspect(|keyed| assert!(keyed.value().1 > 0))
        .map(Keyed::into_parts)
        .flat_map(|(customer, (country, cents))| {
            [(customer, country, cents), (customer, "copy", cents)]
        })
        .map_async(|(customer, country, cents)| async move {
            Ok::<_, String>((customer, country, cents))
        })
        .validate(|(_, country, _)| {
            if country.is_empty() {
                Err("no country")
            } else {
                Ok(())
            }
        })
        .map(|(customer, country, cents)| format!("{customer} {country} {cents}"))
        .filter(|line| !line.starts_with("99 "))
        .map(|line| line.to_lowercase())
        .dead_letter(refused.clone())
        .to(FnSink::new(|_: String| async { Ok(()) }));
    let report = job.run_until_signal().await?;
    println!("{report:#?}");
    println!("{} refused", refused.take().len());
    Ok(())
}
