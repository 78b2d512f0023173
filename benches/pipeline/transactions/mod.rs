//! What do transactions cost from topic to topic, and how soon is an event there?
//!
//! A consumer of committed records alone sees an event when its transaction is committed. The pipeline passes the bytes on,
//! so that there is little beside the transactions to be measured.

mod bare;
pub(crate) mod commits;
mod feed;
mod flow;
pub(crate) mod latency;
pub(crate) mod rate;
pub(crate) mod recovery;

use crate::broker::Broker;

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

/// Returns whether the broker has transactions; says so where it has none.
fn has_transactions(broker: &Broker) -> bool {
    if broker.is_mock() {
        println!("transactions are left out: librdkafka's mock has none");
    }
    !broker.is_mock()
}
