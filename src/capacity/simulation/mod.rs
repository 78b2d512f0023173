//! Budgets against a simulated table, under simulated time: a step is a millisecond.

mod table;
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Duration;

use super::ConcurrencyLimit;
use super::budget::Budget;
use super::control::{Base, Refusal};
use table::Table;

/// Writes of a request, each of one unit.
const BATCH: usize = 25;

/// Writes that a client holds at most.
const BUFFER: f64 = 10_000.0;

/// What a client did in a second.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    requests: u32,
    throttled: u32,
    units: u32,
}

/// Something that happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives {
        client: usize,
        sent_at: Duration,
        writes: usize,
    },
    Answered {
        client: usize,
        sent_at: Duration,
        writes: usize,
        taken: usize,
        partitions: bool,
    },
}

struct Client {
    budget: Budget,
    /// When refused writes go again.
    again: Vec<Duration>,
    backlog: f64,
    in_flight: usize,
    limit: ConcurrencyLimit,
    rests_until: Duration,
    seconds: Vec<Tally>,
}

/// Clients of one table.
struct World {
    table: Table,
    clients: Vec<Client>,
    rng: fastrand::Rng,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    numbered: u64,
    now: Duration,
}

impl World {
    fn new(table: Table, bases: &[Base], seed: u64) -> Self {
        let client = |base: &Base| Client {
            budget: Budget::new(Duration::ZERO, *base, true),
            again: Vec::new(),
            backlog: 0.0,
            in_flight: 0,
            limit: ConcurrencyLimit::new((1..=32).into()),
            rests_until: Duration::ZERO,
            seconds: Vec::new(),
        };
        Self {
            table,
            clients: bases.iter().map(client).collect(),
            rng: fastrand::Rng::with_seed(seed),
            events: BinaryHeap::new(),
            numbered: 0,
            now: Duration::ZERO,
        }
    }

    /// Runs on until a second, each client offered so many writes a second.
    fn run(&mut self, until: u64, offered: f64) {
        while self.now < Duration::from_secs(until) {
            while let Some(&Reverse((at, _, event))) = self.events.peek()
                && at <= self.now
            {
                self.events.pop();
                self.on(at, event);
            }
            for at in 0..self.clients.len() {
                let client = &mut self.clients[at];
                client.backlog = (client.backlog + offered / 1000.0).min(BUFFER);
                self.send(at);
            }
            self.now += Duration::from_millis(1);
        }
    }

    /// As [`run`](Self::run), with more than the table can take.
    fn overload(&mut self, until: u64) {
        self.run(until, 1e6);
    }

    fn send(&mut self, at: usize) {
        let now = self.now;
        loop {
            let client = &mut self.clients[at];
            let due = client.again.iter().filter(|time| **time <= now).count();
            let ready = client.backlog as usize + due;
            if ready == 0 || client.in_flight >= client.limit.limit() || now < client.rests_until {
                return;
            }
            let want = ready.min(BATCH) as u32;
            let Ok(allowed) = client.budget.permit(now, want, 1) else {
                return;
            };
            let writes = want.min(allowed);
            client.budget.take(now, writes);
            let writes = writes as usize;
            let mut left = writes;
            client.again.retain(|time| {
                let goes = *time <= now && left > 0;
                left -= usize::from(goes);
                !goes
            });
            client.backlog -= left as f64;
            client.in_flight += 1;
            let sent_at = now;
            self.after_half_a_trip(
                now,
                Event::Arrives {
                    client: at,
                    sent_at,
                    writes,
                },
            );
        }
    }

    /// A round trip takes 4 to 6 ms.
    fn after_half_a_trip(&mut self, now: Duration, event: Event) {
        let at = now + Duration::from_micros(self.rng.u64(2_000..3_000));
        self.numbered += 1;
        self.events.push(Reverse((at, self.numbered, event)));
    }

    fn on(&mut self, now: Duration, event: Event) {
        match event {
            Event::Arrives {
                client,
                sent_at,
                writes,
            } => {
                let taken = (0..writes)
                    .filter(|_| self.table.take(now, &mut self.rng))
                    .count();
                let partitions = self.table.is_left();
                self.after_half_a_trip(
                    now,
                    Event::Answered {
                        client,
                        sent_at,
                        writes,
                        taken,
                        partitions,
                    },
                );
            }
            Event::Answered {
                client,
                sent_at,
                writes,
                taken,
                partitions,
            } => {
                let client = &mut self.clients[client];
                let second = now.as_secs() as usize;
                if client.seconds.len() <= second {
                    client.seconds.resize(second + 1, Tally::default());
                }
                let tally = &mut client.seconds[second];
                let refused = writes - taken;
                tally.requests += 1;
                tally.throttled += u32::from(refused > 0);
                tally.units += taken as u32;
                // As the sink does: where there is no rate, the concurrency follows.
                let blind = client.budget.control.rate(now).is_none();
                let counted = if blind { refused } else { 0 };
                let in_flight = client.in_flight;
                client
                    .limit
                    .on_answer(now, sent_at, in_flight, writes, counted);
                if counted > 0 && client.limit.at_minimum() {
                    client.rests_until = now + Duration::from_millis(50);
                }
                client.in_flight -= 1;
                client.budget.settle(now, taken as u32, None);
                if refused == 0 {
                    client.budget.accepted();
                    return;
                }
                // Only a request that is refused whole bears a reason.
                let why = match (taken, partitions) {
                    (0, true) => Refusal::Partitions,
                    (0, false) => Refusal::Capacity,
                    _ => Refusal::Untold,
                };
                let units = refused as u32;
                client
                    .budget
                    .refused(now, sent_at, (writes, refused), units, why);
                for _ in 0..refused {
                    let delay = Duration::from_millis(self.rng.u64(25..50));
                    client.again.push(now + delay);
                }
            }
        }
    }

    /// What a client did in some seconds.
    fn of(&self, client: usize, seconds: Range<usize>) -> Tally {
        let seconds = self.clients[client].seconds.get(seconds);
        seconds
            .unwrap_or_default()
            .iter()
            .fold(Tally::default(), |sum, of| Tally {
                requests: sum.requests + of.requests,
                throttled: sum.throttled + of.throttled,
                units: sum.units + of.units,
            })
    }

    /// Units a second of all, and the share of requests throttled, over some seconds.
    fn all(&self, seconds: Range<usize>) -> (f64, f64) {
        let count = seconds.len() as f64;
        let tallies: Vec<Tally> = (0..self.clients.len())
            .map(|client| self.of(client, seconds.clone()))
            .collect();
        let sum = |figure: fn(&Tally) -> u32| f64::from(tallies.iter().map(figure).sum::<u32>());
        (
            sum(|tally| tally.units) / count,
            sum(|tally| tally.throttled) / sum(|tally| tally.requests).max(1.0),
        )
    }
}
