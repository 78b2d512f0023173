//! K7: every public async call, dropped at every point where it waits.
//!
//! A call is run in a [`World`] in which it has to wait, and dropped after its first, second, third … poll that gave
//! `Pending`, until one completes; in each [`Manner`]. After each drop the rest must go on: callers before and behind
//! it are served, every accepted write has one outcome, all the room of the buffer is free again, and the table is
//! written to and closed.

mod adapters;
mod drains;
mod opens;
mod submits;

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use dynamodb_connector::sink::{SubmitError, TableSettings, TableSink};
use dynamodb_connector::test_util::{Fault, FaultPlan, FaultyDynamoDb, Throttle};
use futures::future::poll_fn;
use tokio::task::JoinHandle;

use crate::setup::{
    assert_no_room_taken, fake, is_pk, one_by_one, open_with, row, settle, stored_n,
};

/// Where a call is dropped.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// After this many polls. With none it is never polled at all.
    polls: usize,
    manner: Manner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Polled when it is woken, and dropped within its last poll.
    AtOnce,
    /// Polled at every turn of the scheduler, so that the drop falls between any two steps of the worker.
    Eagerly,
    /// Polled when it is woken, and after its last poll left alone until all else has happened: what it waits for
    /// has been sent to it by then, and it is dropped without having looked.
    Unheard,
}

const MANNERS: [Manner; 3] = [Manner::AtOnce, Manner::Eagerly, Manner::Unheard];
/// How many turns of the scheduler an eager call is polled at before it waits to be woken, which lets time go on.
const EAGER_TURNS: usize = 12;
const MOST_POLLS: usize = 300;

impl Cut {
    /// Runs a future as far as this cut lets it: `None` where it had not completed by then.
    async fn of<F: Future>(self, future: F) -> Option<F::Output> {
        let mut future = Box::pin(future);
        for poll in 1..=self.polls {
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut future).poll(cx))).await;
            if let Poll::Ready(output) = polled {
                return Some(output);
            }
            if poll == self.polls {
                break;
            }
            if self.manner == Manner::Eagerly && !poll.is_multiple_of(EAGER_TURNS) {
                tokio::task::yield_now().await;
            } else {
                woken().await;
            }
        }
        if self.manner == Manner::Unheard {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        None
    }
}

/// Waits until the task is woken by what it has polled before.
async fn woken() {
    let mut waited = false;
    poll_fn(|_| {
        if std::mem::replace(&mut waited, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Cuts a call after 0, 1, 2 … polls, until it completes, which `call` tells. Returns the number of polls that took.
async fn at_every_point(manner: Manner, call: impl AsyncFn(Cut) -> bool) -> usize {
    for polls in 0..MOST_POLLS {
        if call(Cut { polls, manner }).await {
            return polls;
        }
    }
    panic!("it never completed");
}

/// What a call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum World {
    /// A buffer of one place, which is taken.
    Full,
    /// The key "a" has its share of the buffer.
    HotKey,
    /// Requests and items that are refused for want of capacity.
    Throttled,
    /// Connections that are closed, and answers that never come.
    Closed,
}

const WORLDS: [World; 4] = [World::Full, World::HotKey, World::Throttled, World::Closed];

struct Scene {
    world: World,
    fake: FaultyDynamoDb,
    table: TableSink,
    /// Writes known to have been accepted.
    accepted: u64,
    neighbours: Vec<JoinHandle<()>>,
}

impl Scene {
    /// As `alone`, with callers before and behind the one that is to be cut.
    async fn new(world: World) -> Self {
        let mut scene = Self::alone(world).await;
        scene.neighbour("before", 0);
        settle().await;
        scene.neighbour("behind", 3);
        scene
    }

    /// A table that holds "a", in this world.
    async fn alone(world: World) -> Self {
        let fake = fake();
        let settings = match world {
            World::Full => one_by_one().buffer_records(1).max_key_share(1.0),
            World::HotKey => one_by_one().buffer_records(8).max_key_share(0.25),
            World::Throttled | World::Closed => {
                TableSettings::default().request_timeout(Duration::from_secs(5))
            }
        };
        let table = open_with(&fake, settings).await;
        let mut scene = Self {
            world,
            fake,
            table,
            accepted: 0,
            neighbours: Vec::new(),
        };
        scene.put("a", 1).await;
        scene.table.flush().await.expect("written");
        let second = Duration::from_secs(1);
        let slow = FaultPlan::seeded(3).delay(1.0, second..=second);
        scene.fake.fault_plan(slow);
        match world {
            World::Full => scene.put("first", 1).await,
            World::HotKey => {
                scene.put("a", 1).await;
                scene.put("a", 1).await;
            }
            World::Throttled => {
                let refused = Fault::throttled(Throttle::ProvisionedThroughput);
                scene.fake.inject(refused.times(2));
                scene.fake.inject(Fault::unprocessed_all().times(2));
                scene.put("first", 1).await;
            }
            World::Closed => {
                scene.fake.inject(Fault::close_after().times(2));
                scene.fake.inject(Fault::close_before());
                scene.fake.inject(Fault::never_answer().after_applying());
                scene.put("first", 1).await;
            }
        }
        scene
    }

    /// Every request with this key is refused for it.
    fn poison(&self, pk: &'static str) {
        self.fake.inject(Fault::poison(is_pk(pk)));
    }

    /// A write that is left to the table.
    async fn put(&mut self, pk: &str, n: u64) {
        drop(self.table.put(&row(pk, n)).await.expect("accepted"));
        self.accepted += 1;
    }

    /// Another caller, after so many turns of the scheduler.
    fn neighbour(&mut self, pk: &'static str, turns: usize) {
        let table = self.table.clone();
        self.accepted += 1;
        self.neighbours.push(tokio::spawn(async move {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            let outcome = table.put(&row(pk, 1)).confirm().await;
            assert!(outcome.expect("accepted").is_written());
        }));
    }

    /// The neighbours are served, others after them too, the table closes, and nothing of the buffer stays taken.
    /// Returns how many writes were accepted beside the known ones.
    async fn goes_on(mut self) -> u64 {
        let rest = async {
            for neighbour in self.neighbours.drain(..) {
                neighbour.await.expect("served");
            }
            for n in 0..2 {
                let put = self.table.put(&row("after", n)).confirm().await;
                assert!(put.expect("accepted").is_written());
                self.accepted += 1;
            }
            self.table.close().await.expect("nothing failed");
        };
        soon(rest).await;
        assert_eq!(stored_n(&self.fake, "after"), Some(1));
        self.ended()
    }

    /// What is true of a table that has ended. Returns as `goes_on` does.
    fn ended(&self) -> u64 {
        assert_no_room_taken(&self.table);
        assert!(self.fake.overlaps().is_empty());
        assert_eq!(self.fake.in_flight(), 0);
        let refused = self.table.put(&row("late", 1)).try_submit();
        assert!(matches!(refused, Err(SubmitError::Closed)), "{refused:?}");
        let stats = self.table.stats();
        let told = stats.superseded + stats.condition_failed + stats.rejected + stats.unwritten;
        (stats.written + told)
            .checked_sub(self.accepted)
            .expect("each has an outcome")
    }
}

/// Waits for something that must come by itself.
async fn soon<F: Future>(future: F) -> F::Output {
    let within = tokio::time::timeout(Duration::from_secs(3_600), future);
    within.await.expect("not stuck")
}
