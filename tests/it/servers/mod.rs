//! Real servers of a test's own: a DynamoDB Local to be killed, started again, rolled over and aged, and a worker of
//! the KCL. Their jars and programs are named by the environment, which `tests/run` sets.

pub(crate) mod kcl;
pub(crate) mod local_dynamodb;
pub(crate) mod smoke;
mod trimmed;

use std::io::Write as _;

use aws_sdk_dynamodbstreams as streams;

/// The values of environment variables; says that `test` is left out where one of them is not set.
pub(crate) fn environment<const N: usize>(test: &str, names: [&str; N]) -> Option<[String; N]> {
    let values = names.map(|name| std::env::var(name).map_err(|_| name));
    if let Some(Err(name)) = values.iter().find(|value| value.is_err()) {
        let word = format!("left out: {test}: {name} is not set (`bash tests/run` sets it)\n");
        // Not `eprintln!`, which the test harness keeps to itself while tests pass.
        let _ = std::io::stderr().write_all(word.as_bytes());
        return None;
    }
    Some(values.map(|value| value.expect("looked at above")))
}

/// A client of the streams of a server at this address. What it answers is seen as it is: nothing is retried.
pub(crate) fn streams_client_for(url: &str) -> streams::Client {
    let anybody = streams::config::Credentials::new("AKIDLOCAL", "none", None, None, "test");
    let config = streams::Config::builder()
        .behavior_version(streams::config::BehaviorVersion::latest())
        .region(streams::config::Region::new("us-east-1"))
        .credentials_provider(anybody)
        .retry_config(streams::config::retry::RetryConfig::disabled())
        .endpoint_url(url)
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    streams::Client::from_conf(config.build())
}
