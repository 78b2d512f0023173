//! How much workers hold that they have read and not handled.

use std::collections::BTreeSet;

use super::ledger::Ledger;

/// As the settings have it.
pub(super) const BUFFER: usize = 1 << 20;
/// The most that the service gives at once, and what is around it.
const PAGE: usize = (1 << 20) + (128 << 10);

#[derive(Default)]
pub(super) struct Pages(Vec<Page>);

/// An answer of which something is not done.
struct Page {
    worker: usize,
    shard: String,
    bytes: usize,
    /// Sequence numbers.
    open: BTreeSet<u128>,
}

impl Pages {
    pub(super) fn done(&mut self, worker: usize, sequence: u128) {
        for page in self.0.iter_mut().filter(|page| page.worker == worker) {
            page.open.remove(&sequence);
        }
        self.0.retain(|page| !page.open.is_empty());
    }

    /// Whoever had a shard before has dropped what it held of it.
    pub(super) fn taken_over(&mut self, worker: usize, shard: &str) {
        self.0
            .retain(|page| page.shard != shard || page.worker == worker);
    }

    fn add(&mut self, page: Page) {
        // A shard that is read again from an earlier place is read anew.
        let first = page.open.first().copied();
        let is_again = |known: &Page| known.open.last().copied() >= first;
        self.0.retain(|known| {
            known.worker != page.worker || known.shard != page.shard || !is_again(known)
        });
        self.0.push(page);
    }

    /// The bytes that a worker holds, and the most that it may.
    fn held(&self, worker: usize) -> (usize, usize) {
        let pages = self.0.iter().filter(|page| page.worker == worker);
        let shards: BTreeSet<&str> = pages.clone().map(|page| page.shard.as_str()).collect();
        let bytes = pages.map(|page| page.bytes).sum();
        (bytes, BUFFER + shards.len() * PAGE)
    }
}

impl Ledger {
    /// A worker was given a page.
    pub(super) fn page(&self, worker: usize, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        let numbers = text.split(r#""SequenceNumber":""#).skip(1);
        let numbers = numbers.filter_map(|rest| rest.split('"').next()?.parse().ok());
        let open: BTreeSet<u128> = numbers.collect();
        let mut state = self.state();
        let mut changes = state.keys.values().flatten();
        let shard = changes.find(|change| open.contains(&change.sequence));
        let Some(shard) = shard.map(|change| change.shard.clone()) else {
            return;
        };
        state.pages.add(Page {
            worker,
            shard,
            bytes: body.len(),
            open,
        });
        let (held, most) = state.pages.held(worker);
        drop(state);
        if held > most {
            self.wrong(format!("w{worker} holds {held} bytes, over {most}"));
        }
    }
}
