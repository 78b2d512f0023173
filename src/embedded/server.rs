//! The database and its server, from start to shutdown.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Config, Region};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use dynamodb_table_spec::TableSpec;
use dynoxide::{Database, server};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::create_table::create_table;
use super::error::EmbeddedError;

/// The time for which a shutdown waits for requests under way.
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

    /// Creates a table, which is active at once.
    ///
    /// The capacity is reported by `DescribeTable` and never enforced. A stream has one shard.
    ///
    /// ```
    /// use dynamodb_connector::embedded::EmbeddedDynamoDb;
    /// use dynamodb_connector::item::KeyKind;
    /// use dynamodb_connector::{StreamView, TableSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let orders = TableSpec::new("orders")
    ///     .partition("customer", KeyKind::String)
    ///     .sort("number", KeyKind::Number)
    ///     .stream(StreamView::NewAndOldImages);
    /// let database = EmbeddedDynamoDb::start().await?;
    /// database.create_table(orders).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableExists`](EmbeddedError::TableExists) where there is a table of this name, and
    /// [`CreateTable`](EmbeddedError::CreateTable) where the specification breaks a rule of
    /// `CreateTable`: a name that is no table's (3 to 255 characters of `a-z`, `A-Z`, `0-9`, `_`,
    /// `-` and `.`), a key attribute of two types, a capacity of 0, or an index that doesn't fit
    /// the table. So it is for an index with a maximum of write units on demand, which this
    /// database would drop.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the table may be created or not.
    pub async fn create_table(&self, table: TableSpec) -> Result<(), EmbeddedError> {
        let refused = |reason: String| EmbeddedError::CreateTable {
            table: table.name.clone(),
            reason,
        };
        table.check().map_err(refused)?;
        if let Some(index) = table
            .indexes
            .iter()
            .find(|one| one.max_write_units.is_some())
        {
            return Err(refused(format!(
                "index {:?}: the embedded database keeps no maximum on demand of an index",
                index.name
            )));
        }
        let request = create_table(&self.client(), &table);
        let request = request.map_err(|error| refused(error.to_string()))?;
        match request.send().await.map_err(SdkError::into_service_error) {
            Ok(_) => Ok(()),
            Err(CreateTableError::ResourceInUseException(_)) => {
                Err(EmbeddedError::TableExists { table: table.name })
            }
            Err(error) => {
                let said = error.message().or(error.code());
                Err(refused(said.unwrap_or("no answer").to_owned()))
            }
        }
    }

    /// Returns the address at which it listens, such as `http://127.0.0.1:40123`.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a client of the AWS SDK for it.
    pub fn client(&self) -> Client {
        Client::from_conf(self.config_builder().build())
    }

    /// Returns a configuration of the AWS SDK that reaches it: made-up credentials, region `us-east-1`,
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

    /// Returns a client of the AWS SDK for the streams of its tables. Each stream has one shard.
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
            // The server has stopped by itself if this has no receiver.
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
    use dynamodb_table_spec::IndexSpec;

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
    async fn a_table_that_breaks_a_rule_or_is_there_is_not_created() {
        let database = EmbeddedDynamoDb::start().await.unwrap();
        let index = IndexSpec::global("by-state").on_demand_at_most(5);
        for (table, rule) in [
            (TableSpec::new("a!"), "3 to 255 characters"),
            (
                TableSpec::new("orders").index(index),
                "no maximum on demand",
            ),
            // What only the database knows.
            (
                TableSpec::new("orders").provisioned(1, u64::MAX),
                "out of bounds",
            ),
        ] {
            let error = database.create_table(table).await.unwrap_err();
            assert!(
                matches!(error, EmbeddedError::CreateTable { .. }),
                "{error:?}"
            );
            assert!(error.to_string().contains(rule), "{error}, not {rule}");
        }
        let orders = || database.create_table(TableSpec::new("orders"));
        orders().await.unwrap();
        let error = orders().await.unwrap_err();
        assert!(
            matches!(&error, EmbeddedError::TableExists { table } if table == "orders"),
            "{error:?}"
        );
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
