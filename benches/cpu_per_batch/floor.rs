//! The least that a batch can cost with the parts everyone uses: `serde_json` straight into the
//! body, one signature, one hyper connection a lane. No queue, no sizes, no keys, no retries.
//!
//! `hyper::client::conn` is driven directly, because it is cheaper than the pooled client of
//! `hyper-util`.

use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::contender::Contender;
use crate::rig::records::{self, Decision};
use crate::rig::{Failure, clock};
use crate::wire::BatchWriteItem;

pub(crate) struct Floor {
    identity: Identity,
    authority: String,
    uri: String,
    /// A lane takes one for a round and puts it back.
    connections: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Floor {
    pub(crate) async fn open(server: SocketAddr, lanes: usize) -> Result<Self, Failure> {
        let mut connections = Vec::with_capacity(lanes);
        for _ in 0..lanes {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            connections.push(sender);
        }
        Ok(Self {
            identity: Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMIK7MDENG", None, None, "bench")
                .into(),
            authority: server.to_string(),
            uri: format!("http://{server}/"),
            connections: Mutex::new(connections),
        })
    }

    fn request(&self, records: &[Decision]) -> Result<http::Request<Full<Bytes>>, Failure> {
        let mut body = Vec::with_capacity(1 << 15);
        serde_json::to_writer(&mut body, &BatchWriteItem::from(records))?;
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("host", &self.authority),
            ("x-amz-target", "DynamoDB_20120810.BatchWriteItem"),
        ];
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region("eu-central-1")
            .name("dynamodb")
            .time(clock::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signable = SignableRequest::new(
            "POST",
            self.uri.as_str(),
            headers.into_iter(),
            SignableBody::Bytes(&body),
        )?;
        let (signature, _) = sign(signable, &params)?.into_parts();
        let mut request = http::Request::post("/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(Full::new(Bytes::from(body)))?;
        signature.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

impl Contender for Floor {
    fn name(&self) -> &'static str {
        "floor (serde_json, aws-sigv4, hyper)"
    }

    fn lane(
        self: Arc<Self>,
        lane: usize,
        batches: usize,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            let taken = self.connections.lock().pop();
            let mut connection = taken.ok_or("more lanes than connections")?;
            for batch in 0..batches {
                let request = self.request(&records::batch(lane, batch))?;
                connection.ready().await?;
                let answer = connection.send_request(request).await?;
                if !answer.status().is_success() {
                    return Err(format!("the server answered {}", answer.status()).into());
                }
                std::hint::black_box(answer.into_body().collect().await?.to_bytes());
            }
            self.connections.lock().push(connection);
            Ok(())
        })
    }
}
