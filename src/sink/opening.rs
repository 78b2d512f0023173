//! The description of a table that is opened.

use std::time::Duration;

use super::error::OpenError;
use crate::clock::Clock;
use crate::retry::{Backoff, ServiceError};
use crate::transport::{TableDescription, Transport};

/// The time for which a description is tried again that the service throttles or fails.
///
/// Chosen: the control plane's bad moments are over by then.
const SERVICE_PATIENCE: Duration = Duration::from_secs(10);

/// The time for which it is tried again where nothing of DynamoDB answers, or no credentials are to be
/// had. Chosen: a wrong endpoint shows at once, and a connection that broke is made again.
const OTHER_PATIENCE: Duration = Duration::from_secs(2);

/// The time for which a table that is being created is waited for.
///
/// Chosen: most tables take ten seconds, one with many indexes a minute or two.
const CREATING_PATIENCE: Duration = Duration::from_secs(300);

/// Describes a table, once it can be written to.
pub(super) async fn describe(
    transport: &Transport,
    table: &str,
    backoff: &Backoff,
    rng: &mut fastrand::Rng,
) -> Result<TableDescription, OpenError> {
    let clock = Clock::start();
    let mut attempt = 0;
    let mut creating = false;
    let mut answered_at = clock.now();
    loop {
        attempt += 1;
        match transport.describe().await {
            Ok(description) => match description.status.as_str() {
                // A compatible server may give none.
                "ACTIVE" | "UPDATING" | "" => return Ok(description),
                "CREATING" if clock.now() < CREATING_PATIENCE => {
                    answered_at = clock.now();
                    if !std::mem::replace(&mut creating, true) {
                        tracing::info!(table, "the table is being created: waiting for it");
                    }
                }
                _ => {
                    return Err(OpenError::NotActive {
                        table: table.to_owned(),
                        status: description.status,
                    });
                }
            },
            Err(error) if error.is_retryable() && clock.now() < answered_at + patience(&error) => {
                tracing::debug!(table, %error, "the table could not be described: trying again");
            }
            Err(error) => {
                return Err(OpenError::Describe {
                    table: table.to_owned(),
                    error,
                });
            }
        }
        tokio::time::sleep(backoff.delay(attempt, rng)).await;
    }
}

fn patience(error: &ServiceError) -> Duration {
    if error.is_of_service() {
        SERVICE_PATIENCE
    } else {
        OTHER_PATIENCE
    }
}
