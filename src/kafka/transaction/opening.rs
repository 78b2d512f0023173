//! The start of a client's transactions.

use std::time::Duration;

use super::super::error::KafkaError;
use super::super::settings::refuse;
use super::failures::{CallError, ended, no_answer};
use super::generation::Generation;
use super::sort::{Call, Verdict};
use crate::clock::Clock;

/// The time of one try, after which the reasons are looked at for which another is in vain.
const TRY: Duration = Duration::from_millis(500);
/// The beginning of the id of librdkafka's mock cluster.
const MOCK: &str = "mockCluster";

/// Refuses librdkafka's mock cluster.
///
/// # Errors
/// Where it is one, and where no broker answers within the time.
pub(super) async fn refuse_mock(
    generation: &Generation,
    longest: Duration,
) -> Result<(), KafkaError> {
    let clock = Clock::start();
    let connection = &generation.reports().connection;
    loop {
        let asked = generation.call(longest, |client| client.cluster_id(TRY));
        match asked.await.flatten() {
            Some(id) if id.starts_with(MOCK) => {
                return Err(refuse(
                    "bootstrap.servers",
                    "name librdkafka's mock cluster, which answers to transactions and has none: aborted records are read, and no \
                     producer is fenced; use Apache Kafka",
                )
                .into());
            }
            Some(_) => {
                connection.succeeded();
                return Ok(());
            }
            None => {}
        }
        if let Some(error) = connection.in_vain() {
            return Err(error);
        }
        if clock.now() >= longest {
            return Err(unreachable(generation, longest, "no cluster id"));
        }
    }
}

/// Starts transactions, which ends those of the producers of this id before. Tries until a broker answers, for `longest`;
/// `watchdog` bounds each try.
///
/// # Errors
/// With the verdict; [`Verdict::Again`] where no broker answered.
pub(super) async fn start(
    generation: &Generation,
    id: &str,
    longest: Duration,
    watchdog: Duration,
) -> Result<(), CallError> {
    let clock = Clock::start();
    // Connected first: librdkafka looks for the coordinator at once, and without a connection again after 500 ms.
    generation
        .call(TRY * 2, |client| client.cluster_id(TRY))
        .await;
    loop {
        let call = generation.call(watchdog, |client| client.init(TRY));
        let Some(answer) = call.await else {
            return Err(no_answer(Call::Init, watchdog));
        };
        let Err(failure) = answer else {
            return Ok(());
        };
        if failure.verdict != Verdict::Again {
            return Err(ended(Call::Init, id, &failure));
        }
        if let Some(error) = generation.reports().connection.in_vain() {
            return Err((Verdict::Again, error));
        }
        if clock.now() >= longest {
            let error = unreachable(generation, longest, &failure.reason);
            return Err((Verdict::Again, error));
        }
    }
}

fn unreachable(generation: &Generation, waited: Duration, reason: &str) -> KafkaError {
    let last = generation.reports().connection.last_error();
    KafkaError::Unreachable {
        waited,
        reason: last.unwrap_or_else(|| reason.to_owned()).into(),
    }
}
