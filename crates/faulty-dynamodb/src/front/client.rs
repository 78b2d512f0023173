//! The in-process way in: an `HttpClient` for the AWS SDK's configuration.

use std::sync::Arc;

use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::BodyExt;

use super::service::{Answer, Incoming, Outgoing, Service};

/// Hands requests to the service without a socket. Honours the configured read timeout.
#[derive(Clone, Debug)]
pub(crate) struct InProcess {
    pub(crate) service: Arc<Service>,
}

impl HttpClient for InProcess {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            service: Arc::clone(&self.service),
            settings: settings.clone(),
        })
    }
}

#[derive(Debug)]
struct Connector {
    service: Arc<Service>,
    settings: HttpConnectorSettings,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let service = Arc::clone(&self.service);
        let timeout = self.settings.read_timeout();
        HttpConnectorFuture::new(async move {
            let answer = exchange(service, request);
            match timeout {
                None => answer.await,
                Some(timeout) => tokio::time::timeout(timeout, answer)
                    .await
                    .unwrap_or_else(|_| {
                        Err(ConnectorError::timeout(
                            format!("no answer within {timeout:?}, the read timeout").into(),
                        ))
                    }),
            }
        })
    }
}

async fn exchange(
    service: Arc<Service>,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map_err(ConnectorError::user)?
        .to_bytes();
    match service
        .serve(Incoming {
            headers: parts.headers,
            body,
        })
        .await
    {
        Outgoing::Whole(answer) => respond(&answer, answer.body.clone()),
        Outgoing::Truncated(answer) => respond(&answer, answer.body.slice(..answer.body.len() / 2)),
        Outgoing::Closed => {
            let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            Err(ConnectorError::io(reset.into()))
        }
    }
}

fn respond(answer: &Answer, body: Bytes) -> Result<HttpResponse, ConnectorError> {
    let response = answer.head().body(SdkBody::from(body));
    let response = response.map_err(|error| ConnectorError::other(error.into(), None))?;
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}

impl Answer {
    /// Status and headers.
    pub(crate) fn head(&self) -> http::response::Builder {
        http::Response::builder()
            .status(self.status)
            .header("content-type", self.content_type)
            .header("content-length", self.body.len())
            .header("x-amzn-requestid", &self.request_id)
            .header("x-amz-crc32", self.checksum)
            .header("date", &self.date)
    }
}
