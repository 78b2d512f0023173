//! A worker's way to the service, which can be held up or cut for that worker alone.

use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_sdk_dynamodb::config::http::HttpRequest;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use dynamodb_connector::test_util::FaultyDynamoDb;
use tokio::sync::watch;

use super::ledger::Ledger;
use super::name_of;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Passage {
    Open,
    /// Requests and answers stay on their way until it opens, or their sender gives them up.
    Held,
    /// Connections are reset, those whose request has arrived as well.
    Cut,
}

#[derive(Clone, Debug)]
pub(super) struct Gate {
    inner: SharedHttpClient,
    passage: Arc<watch::Sender<Passage>>,
    reader: Reader,
}

/// Whose pages they are, and who counts them.
#[derive(Clone)]
struct Reader {
    worker: usize,
    ledger: Arc<Ledger>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name_of(self.worker))
    }
}

impl Gate {
    pub(super) fn new(fake: &FaultyDynamoDb, ledger: &Arc<Ledger>, worker: usize) -> Self {
        let ledger = Arc::clone(ledger);
        Self {
            reader: Reader { worker, ledger },
            inner: fake.http_client(),
            passage: Arc::new(watch::Sender::new(Passage::Open)),
        }
    }

    pub(super) fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }

    pub(super) fn client(&self, fake: &FaultyDynamoDb) -> aws_sdk_dynamodb::Client {
        let config = fake.config_builder().http_client(self.clone());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    pub(super) fn streams_client(&self, fake: &FaultyDynamoDb) -> aws_sdk_dynamodbstreams::Client {
        let config = fake.streams_config_builder().http_client(self.clone());
        aws_sdk_dynamodbstreams::Client::from_conf(config.build())
    }
}

impl HttpClient for Gate {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Guarded {
            inner: self.inner.http_connector(settings, components),
            passage: Arc::clone(&self.passage),
            reader: self.reader.clone(),
        })
    }
}

#[derive(Debug)]
struct Guarded {
    inner: SharedHttpConnector,
    passage: Arc<watch::Sender<Passage>>,
    reader: Reader,
}

impl HttpConnector for Guarded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let inner = self.inner.clone();
        let mut passage = self.passage.subscribe();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let reads = target.ends_with("GetRecords");
        let reader = self.reader.clone();
        HttpConnectorFuture::new(async move {
            pass(&mut passage).await?;
            let answer = inner.call(request).await;
            pass(&mut passage).await?;
            let page = answer.as_ref().ok().filter(|_| reads);
            if let Some(page) = page.and_then(|answer| answer.body().bytes()) {
                reader.ledger.page(reader.worker, page);
            }
            answer
        })
    }
}

async fn pass(passage: &mut watch::Receiver<Passage>) -> Result<(), ConnectorError> {
    let found = passage.wait_for(|passage| *passage != Passage::Held).await;
    match found.map(|passage| *passage) {
        Ok(Passage::Cut) => {
            let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            Err(ConnectorError::io(reset.into()))
        }
        _ => Ok(()),
    }
}
