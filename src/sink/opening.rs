//! The description of a table that is opened.

use std::time::Duration;

use super::error::OpenError;
use crate::clock::Clock;
use crate::retry::{Backoff, Decision, Retries, ServiceError};
use crate::transport::{TableDescription, Transport};

/// The time for which a description is tried again that the service throttles or fails.
///
/// Chosen: the control plane's bad moments are over by then.
const MAX_SERVICE_WAIT: Duration = Duration::from_secs(10);

/// The time for which it is tried again where nothing of DynamoDB answers, or no credentials are
/// available. Chosen: a wrong endpoint shows at once, and a connection that broke is made again.
const MAX_OTHER_WAIT: Duration = Duration::from_secs(2);

/// The time for which a table that is being created is waited for.
///
/// Chosen: most tables take ten seconds, one with many indexes a minute or two.
const MAX_CREATING_WAIT: Duration = Duration::from_secs(300);

/// Describes a table, once it can be written to.
pub(super) async fn describe(
    transport: &Transport,
    table: &str,
    backoff: &Backoff,
    rng: &mut fastrand::Rng,
) -> Result<TableDescription, OpenError> {
    let clock = Clock::start();
    let mut creating = false;
    let mut answered_at = clock.now();
    let decide = |not_ready, _| match not_ready {
        NotReady::Status(status) if status == "CREATING" && clock.now() < MAX_CREATING_WAIT => {
            answered_at = clock.now();
            if !std::mem::replace(&mut creating, true) {
                tracing::info!(table, "the table is being created: waiting for it");
            }
            Decision::Retry
        }
        NotReady::Status(status) => Decision::GiveUp(OpenError::NotActive {
            table: table.to_owned(),
            status,
        }),
        NotReady::Failed(error)
            if error.is_retryable() && clock.now() < answered_at + patience(&error) =>
        {
            tracing::debug!(table, %error, "the table could not be described: trying again");
            Decision::Retry
        }
        NotReady::Failed(error) => Decision::GiveUp(OpenError::Describe {
            table: table.to_owned(),
            error,
        }),
    };
    let mut retries = Retries::new(backoff.clone(), rng.fork());
    retries.call(|| describe_ready(transport), decide).await
}

/// The reason for which a table can't be written to.
enum NotReady {
    /// Its status in a description.
    Status(String),
    /// There is no description.
    Failed(ServiceError),
}

async fn describe_ready(transport: &Transport) -> Result<TableDescription, NotReady> {
    let description = transport.describe().await.map_err(NotReady::Failed)?;
    match description.status.as_str() {
        // A compatible server may give none.
        "ACTIVE" | "UPDATING" | "" => Ok(description),
        _ => Err(NotReady::Status(description.status)),
    }
}

fn patience(error: &ServiceError) -> Duration {
    if error.is_of_service() {
        MAX_SERVICE_WAIT
    } else {
        MAX_OTHER_WAIT
    }
}
