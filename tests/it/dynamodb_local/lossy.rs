//! A proxy that loses answers: the server has carried the request out, and the sender does not hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub(super) struct Lossy {
    url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    server: String,
    /// What the target of a request must end with for its answer to be lost.
    operation: &'static str,
    left: AtomicUsize,
}

impl Lossy {
    /// Loses the answers to this many requests of this operation, of all that go to the server at `url`.
    pub(super) async fn start(url: &str, operation: &'static str, answers: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = url.trim_start_matches("http://").trim_end_matches('/');
        let state = Arc::new(State {
            server: server.to_owned(),
            operation,
            left: AtomicUsize::new(answers),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connection(client, Arc::clone(&shared)));
            }
        });
        Self {
            url: format!("http://{address}"),
            state,
            task,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How many answers are still to be lost.
    pub(super) fn left(&self) -> usize {
        self.state.left.load(Ordering::Relaxed)
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries requests and answers until one side closes or an answer is lost.
async fn connection(mut client: TcpStream, state: Arc<State>) {
    let mut server = TcpStream::connect(&state.server).await.expect("a server");
    while let Some((request, head)) = message(&mut client).await {
        server.write_all(&request).await.expect("sent");
        let Some((answer, _)) = message(&mut server).await else {
            return;
        };
        let target = head
            .lines()
            .find_map(|line| line.strip_prefix("x-amz-target: "));
        let meant = target.is_some_and(|target| target.ends_with(state.operation));
        let lost = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        if meant && state.left.fetch_update(order, order, lost).is_ok() {
            return;
        }
        if client.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// One request or answer, whole, and its head in small letters.
async fn message(stream: &mut TcpStream) -> Option<(Vec<u8>, String)> {
    let mut all = Vec::new();
    let mut chunk = vec![0; 16_384];
    loop {
        if let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
            let length = head.split("content-length:").nth(1).expect("a length");
            let length: usize = length.lines().next()?.trim().parse().expect("a number");
            if all.len() >= end + 4 + length {
                return Some((all, head));
            }
        }
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => all.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}
