//! The database and its server, from start to shutdown.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Config, Region};
use dynoxide::{Database, server};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::error::EmbeddedError;

/// How long a shutdown waits for requests under way.
const GRACE: Duration = Duration::from_secs(5);

/// A running in-process DynamoDB. Dropped, it stops listening at once.
#[derive(Debug)]
pub struct EmbeddedDynamoDb {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl EmbeddedDynamoDb {
    /// Starts a DynamoDB without tables on a free port of 127.0.0.1, with its data in memory.
    ///
    /// It needs a tokio runtime with I/O and time switched on.
    ///
    /// # Errors
    ///
    /// Where no port can be listened on.
    pub async fn start() -> Result<Self, EmbeddedError> {
        Self::listen(open(Database::memory())?).await
    }

    /// Starts a DynamoDB whose data is in a file, which is created where it is missing and read
    /// again after a restart.
    ///
    /// # Errors
    ///
    /// Where the file can be neither opened nor created, or no port can be listened on.
    pub async fn start_in_file(path: impl AsRef<Path>) -> Result<Self, EmbeddedError> {
        let path = path.as_ref().to_str().ok_or(EmbeddedError::Path)?;
        Self::listen(open(Database::new(path))?).await
    }

    async fn listen(database: Database) -> Result<Self, EmbeddedError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(EmbeddedError::Listen)?;
        let address = listener.local_addr().map_err(EmbeddedError::Listen)?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async {
                // A dropped sender stops the server as well.
                let _ = stopped.await;
            };
            // Its only error would be one of accepting connections, which it retries itself.
            let _ = server::serve_with_shutdown(listener, database, stopped).await;
        });
        Ok(Self {
            address,
            stop: Some(stop),
            task,
        })
    }

    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of the AWS SDK for it.
    pub fn client(&self) -> Client {
        Client::from_conf(self.config_builder().build())
    }

    /// A configuration of the AWS SDK that reaches it: made-up credentials, region `us-east-1`,
    /// the SDK's retries off.
    pub fn config_builder(&self) -> Builder {
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(
                "AKIDEMBEDDED",
                "none",
                None,
                None,
                "embedded",
            ))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(self.endpoint_url())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
    }

    /// A client of the AWS SDK for the streams of its tables. Each stream has one shard.
    #[cfg(feature = "streams")]
    pub fn streams_client(&self) -> aws_sdk_dynamodbstreams::Client {
        use aws_sdk_dynamodbstreams::config;
        let credentials = Credentials::new("AKIDEMBEDDED", "none", None, None, "embedded");
        let config = aws_sdk_dynamodbstreams::Config::builder()
            .behavior_version(config::BehaviorVersion::latest())
            .region(config::Region::new("us-east-1"))
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .endpoint_url(self.endpoint_url())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        aws_sdk_dynamodbstreams::Client::from_conf(config)
    }

    /// Stops listening and lets requests under way finish, for 5 seconds at most.
    ///
    /// The data of an in-memory database is gone afterwards.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the server stops listening at once.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // The server has stopped by itself if nobody receives this.
            let _ = stop.send(());
        }
        // A request that does not end in time is left to its connection's own task.
        let _ = tokio::time::timeout(GRACE, &mut self.task).await;
    }
}

impl Drop for EmbeddedDynamoDb {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn open<E: std::fmt::Display>(database: Result<Database, E>) -> Result<Database, EmbeddedError> {
    database.map_err(|error| EmbeddedError::Open {
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shut_down_database_does_not_answer() {
        let database = EmbeddedDynamoDb::start().await.expect("a database");
        let client = database.client();
        client.list_tables().send().await.expect("listed");
        database.shutdown().await;
        client
            .list_tables()
            .send()
            .await
            .expect_err("nobody listens");
    }

    #[tokio::test]
    async fn a_path_that_is_no_file_is_refused() {
        let directory = std::env::temp_dir();
        let refused = EmbeddedDynamoDb::start_in_file(&directory).await.map(drop);
        assert!(
            matches!(refused, Err(EmbeddedError::Open { .. })),
            "{refused:?}"
        );
    }
}
