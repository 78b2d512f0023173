//! The other way in: an HTTP/1.1 server on the loopback interface.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming as HyperBody};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::fake::{FaultyDynamoDb, local_config};
use super::service::{Answer, Incoming, MAX_BODY_BYTES, Outgoing, Service};

/// Bytes that are read of a body before the connection is broken. Between this and 16 MB a body is
/// read to its end and answered 413, as DynamoDB Local does.
const MAX_READ_BYTES: usize = 2 * MAX_BODY_BYTES;
/// The time for which a shutdown waits for requests under way.
const GRACE: Duration = Duration::from_secs(5);

/// A running HTTP server in front of a [`FaultyDynamoDb`]. Dropped, it stops at once.
#[derive(Debug)]
pub struct FakeServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl FaultyDynamoDb {
    /// Starts an HTTP/1.1 server on a free port of 127.0.0.1, with keep-alive and without TLS.
    ///
    /// It needs a tokio runtime with its I/O driver switched on.
    ///
    /// # Errors
    ///
    /// Where no port can be listened on.
    pub async fn serve(&self) -> io::Result<FakeServer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(listener, Arc::clone(&self.service), stopped));
        Ok(FakeServer {
            address,
            stop: Some(stop),
            task,
        })
    }
}

impl FakeServer {
    /// Returns the URL at which it listens, such as `http://127.0.0.1:40123`.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address at which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of the AWS SDK that reaches the server over its socket.
    pub fn client(&self) -> Client {
        Client::from_conf(self.config_builder().build())
    }

    /// A configuration of the AWS SDK that reaches the server over its socket: made-up
    /// credentials, region `us-east-1`, the SDK's retries and stalled-stream protection off.
    pub fn config_builder(&self) -> Builder {
        local_config()
            .endpoint_url(self.endpoint_url())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
    }

    /// Stops listening, lets requests under way finish, for 5 seconds at most, and closes all
    /// connections.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the server stops at once.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // The server has stopped by itself if this has no receiver.
            let _ = stop.send(());
        }
        // The task neither panics nor is it cancelled elsewhere.
        let _ = (&mut self.task).await;
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, service: Arc<Service>, mut stopped: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    // Connections are aborted when this set is dropped, with the server.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                // A connection that was gone before it was accepted is no concern of others.
                let Ok((socket, _)) = accepted else { continue };
                connect(socket, &service, &graceful, &mut connections);
            }
        }
    }
    drop(listener);
    // Requests that never end are cut off by dropping the set.
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

fn connect(
    socket: TcpStream,
    service: &Arc<Service>,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    // Small answers should not wait for acknowledgements; without this option they only do.
    let _ = socket.set_nodelay(true);
    let service = Arc::clone(service);
    let handler = service_fn(move |request| handle(Arc::clone(&service), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), handler);
    let connection = graceful.watch(connection);
    connections.spawn(async move {
        // Errors here are connections that a fault or the peer has broken.
        let _ = connection.await;
    });
}

type Body = BoxBody<Bytes, io::Error>;

async fn handle(
    service: Arc<Service>,
    request: Request<HyperBody>,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_READ_BYTES)
        .collect()
        .await
        .map_err(io::Error::other)?;
    let incoming = Incoming {
        headers: parts.headers,
        body: body.to_bytes(),
    };
    let (answer, body) = match service.serve(incoming).await {
        Outgoing::Whole(answer) => {
            let body = Full::new(answer.body.clone()).map_err(|never: Infallible| match never {});
            (answer, body.boxed())
        }
        Outgoing::Truncated(answer) => {
            let body = half(&answer);
            (answer, body)
        }
        Outgoing::Closed => return Err(reset()),
    };
    answer.head().body(body).map_err(io::Error::other)
}

/// The first half of a body and then a broken connection. In between the stream waits once, so that
/// the first half leaves the server's buffer.
fn half(answer: &Answer) -> Body {
    let first = answer.body.slice(..answer.body.len() / 2);
    let parts = stream::unfold(Some(first), |first| async move {
        match first {
            Some(first) => Some((Ok(Frame::data(first)), None)),
            None => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Some((Err(reset()), None))
            }
        }
    });
    // One wait and one error are enough: hyper drops the body at the first error.
    StreamBody::new(parts).boxed()
}

fn reset() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}
