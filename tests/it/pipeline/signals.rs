//! SIGTERM: once to finish, twice to give up. One test, since the signal reaches all that listen in this process.

use std::time::Duration;

use dynamodb_connector::pipeline::Pipeline;
use rustix::process::{Signal, getpid, kill_process};

use super::parts::{Holding, Log, Script};
use crate::setup::settle;

#[tokio::test]
async fn the_first_signal_finishes_and_the_second_gives_up() {
    let log = Log::default();
    let job = Pipeline::from(Script::new([vec![1]], &log).endless()).to(Holding::new(&log));
    let running = tokio::spawn(job.run_until_signal());
    // The handler is set before the source is first asked.
    while log.of("wrote").is_empty() {
        settle().await;
    }
    kill_process(getpid(), Signal::TERM).unwrap();
    assert_eq!(running.await.unwrap().unwrap().acknowledged, 1);

    let log = Log::default();
    let mut sink = Holding::new(&log);
    sink.flush_hangs = true;
    let job = Pipeline::from(Script::new([vec![1]], &log).endless()).to(sink);
    let running = tokio::spawn(job.run_until_signal());
    while log.of("wrote").is_empty() {
        settle().await;
    }
    kill_process(getpid(), Signal::INT).unwrap();
    while log.of("flush").is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    kill_process(getpid(), Signal::TERM).unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "aborted with 1 records in flight");
}
