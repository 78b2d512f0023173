//! The soak: everything at once, for as long as it is told, in real time.
//!
//! Several tasks write to five tables over real HTTP, each write of another kind: puts, deletes, updates,
//! conditions, version guards, counters, transactions, big items, items that the service refuses and items that
//! the sink refuses. They flush, give up submitting, forget receipts and take snapshots; a table of its own
//! fails and is opened again all the time (`rounds`). The service throttles, loses answers, breaks connections,
//! applies late and refuses, by seed and by script (`faults`). At the end it falls silent, a snapshot is taken,
//! the sink aborted, and the snapshot restored into a second sink (`ending`).
//!
//! Held along the way and at the end:
//!
//! - every accepted write has one outcome, and none waits for it longer than three minutes;
//! - what the table took agrees with the outcomes: `Written` was applied, what was not applied was not, counters
//!   and transactions were applied once, what was never accepted was never applied;
//! - each key took its writes in the order of their acceptance;
//! - a flush leaves nothing submitted before it without outcome, a snapshot misses nothing without outcome;
//! - every write that failed for good came to the dead-letter handler once;
//! - at the end each key holds its newest write, and each counter what was counted;
//! - the process's memory does not grow with time.
//!
//! The one thing that is let pass, since the service itself does it: a write whose request was given up by a
//! time-out, applied after a later one of its key. The table of guarded writes allows not even that.
//!
//! `SOAK_SECONDS` is the length, 30 by default; `SOAK_SEED` the seed of the faults. Against DynamoDB Local, where
//! its address is given, it takes a quarter of that, without faults and without the order of application,
//! which that server doesn't tell.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "a soak runs in real time; what it decides by the clock is when to stop"
)]

mod ending;
mod faults;
mod history;
mod ledger;
#[path = "../servers/local.rs"]
mod local;
mod memory;
mod report;
mod rounds;
mod server;
mod tables;
mod watch;
mod writer;

use parking_lot::Mutex;
use std::io::Write as _;
use std::time::Duration;

use server::Server;

/// How long anything may take that has only to happen: far beyond what a busy machine needs.
const LONGEST: Duration = Duration::from_secs(180);

/// Says it at once: the test harness keeps to itself what tests print while they pass.
fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, a whole number is wanted")),
        Err(_) => otherwise,
    }
}

fn soak(length: Duration, server: impl AsyncFnOnce() -> Server) {
    // One at a time: they share the machine, and the memory that is measured.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let server = server().await;
        let run = watch::run(server, length);
        let ended = tokio::time::timeout(length + 5 * LONGEST, run).await;
        assert!(ended.is_ok(), "it hangs");
    });
}

fn length() -> Duration {
    Duration::from_secs(from_environment("SOAK_SECONDS", 30).max(4))
}

#[test]
fn nothing_is_lost_under_faults_of_all_kinds() {
    let seed = from_environment("SOAK_SEED", 7);
    soak(length(), async move || Server::faulty(seed).await);
}

#[test]
fn nothing_is_lost_against_dynamodb_local() {
    let Ok(url) = std::env::var("DYNAMODB_LOCAL_URL") else {
        say(
            "left out: nothing_is_lost_against_dynamodb_local: DYNAMODB_LOCAL_URL is not set \
             (`bash tests/run` starts a server)",
        );
        return;
    };
    soak(length() / 4, async move || Server::local(&url).await);
}
