//! An HTTP client without a network: it records what it is given and answers as scripted.

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::RuntimeComponents;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningParams, SigningSettings};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

#[derive(Clone, Debug, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    sent: Vec<Sent>,
    script: VecDeque<Reply>,
    held: VecDeque<Reply>,
    settings: Vec<HttpConnectorSettings>,
}

#[derive(Debug)]
pub(super) enum Reply {
    Answer(u16, Vec<(&'static str, String)>, Bytes),
    Fails(ConnectorError),
    Hangs,
}

/// A request as it reached the HTTP client.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) uri: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Bytes,
}

impl Fake {
    pub(super) fn then(&self, reply: Reply) {
        self.0.lock().script.push_back(reply);
    }

    pub(super) fn answer(&self, status: u16, headers: &[(&'static str, &str)], body: &str) {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        self.then(Reply::Answer(
            status,
            headers,
            Bytes::copy_from_slice(body.as_bytes()),
        ));
    }

    /// Keeps the script back till [`forget`](Self::forget), so that a first call is plainly
    /// answered.
    pub(super) fn unscripted(&self) {
        let state = &mut *self.0.lock();
        state.held.append(&mut state.script);
    }

    pub(super) fn forget(&self) {
        let state = &mut *self.0.lock();
        state.sent.clear();
        state.script.append(&mut state.held);
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.0.lock().sent.clone()
    }

    pub(super) fn only(&self) -> Sent {
        let sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0].clone()
    }

    pub(super) fn settings(&self) -> HttpConnectorSettings {
        self.0.lock().settings.last().unwrap().clone()
    }
}

impl HttpClient for Fake {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0.lock().settings.push(settings.clone());
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut headers = BTreeMap::new();
        for (name, value) in request.headers() {
            let twice = headers.insert(name.to_owned(), value.to_owned());
            assert_eq!(twice, None, "{name} is sent twice");
        }
        let state = &mut *self.0.lock();
        state.sent.push(Sent {
            method: request.method().to_owned(),
            uri: request.uri().to_owned(),
            headers,
            body: Bytes::copy_from_slice(request.body().bytes().unwrap()),
        });
        let reply = state.script.pop_front();
        match reply.unwrap_or(Reply::Answer(200, Vec::new(), Bytes::from_static(b"{}"))) {
            Reply::Fails(error) => HttpConnectorFuture::ready(Err(error)),
            Reply::Hangs => HttpConnectorFuture::new(std::future::pending()),
            Reply::Answer(status, headers, body) => {
                let status = status.try_into().unwrap();
                let mut response = HttpResponse::new(status, SdkBody::from(body));
                for (name, value) in headers {
                    response.headers_mut().insert(name, value);
                }
                HttpConnectorFuture::ready(Ok(response))
            }
        }
    }
}

impl Sent {
    pub(super) fn host(&self) -> String {
        self.uri
            .parse::<http::Uri>()
            .unwrap()
            .host()
            .unwrap()
            .to_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn signed_at(&self) -> SystemTime {
        let date = self.header("x-amz-date");
        let (day, time) = date.split_once('T').unwrap();
        let text = format!(
            "{}-{}-{}T{}:{}:{}",
            &day[..4],
            &day[4..6],
            &day[6..],
            &time[..2],
            &time[2..4],
            &time[4..]
        );
        DateTime::from_str(&text, Format::DateTime)
            .unwrap()
            .try_into()
            .unwrap()
    }

    /// Asserts that the signature is right: that of these credentials, over this very body, with
    /// all that must be signed.
    pub(super) fn verify(&self, credentials: &Credentials, region: &str) {
        let authorization = self.header("authorization");
        let signed = authorization.split("SignedHeaders=").nth(1).unwrap();
        let signed: Vec<_> = signed.split(',').next().unwrap().split(';').collect();
        for must in ["host", "x-amz-date", "x-amz-target", "content-type"] {
            assert!(
                signed.contains(&must),
                "{must} is not signed: {authorization}"
            );
        }
        // SigV4 wants every x-amz header signed.
        for name in self
            .headers
            .keys()
            .filter(|name| name.starts_with("x-amz-"))
        {
            assert!(
                signed.contains(&name.as_str()),
                "{name} is not signed: {authorization}"
            );
        }
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("dynamodb")
            .time(self.signed_at())
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| signed.contains(name));
        let request = SignableRequest::new(
            &self.method,
            &self.uri,
            headers,
            SignableBody::Bytes(&self.body),
        )
        .unwrap();
        let (instructions, _) = aws_sigv4::http_request::sign(request, &SigningParams::V4(params))
            .unwrap()
            .into_parts();
        let right = instructions
            .headers()
            .find(|(name, _)| *name == "authorization")
            .unwrap()
            .1;
        assert_eq!(authorization, right);
    }
}
