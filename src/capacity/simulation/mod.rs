//! Budgets against a simulated table, under simulated time: a step is a millisecond.

mod table;
mod tests;
mod unrelated;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Duration;

use super::ConcurrencyLimit;
use super::allowance::Allowance;
use super::budget::Budget;
use super::speed::{Answer, Refusal, SpeedConfig};
use table::Table;

/// Writes of a request, each of one unit.
const BATCH: usize = 25;

/// Writes that a client holds at most.
const BUFFER: f64 = 10_000.0;

/// The requests and units of a client in a second.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    requests: u32,
    throttled: u32,
    units: u32,
    refused: u32,
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
    /// The times at which refused writes are sent again.
    requeue: Vec<Duration>,
    backlog: f64,
    in_flight: usize,
    limit: ConcurrencyLimit,
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
    fn new(table: Table, allowances: &[Allowance], seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let config = SpeedConfig {
            burst: true,
            may_seek: true,
            gaps: true,
            // All clients have one time of day, and each run another.
            opened: Duration::from_millis(rng.u64(..1_000_000)),
        };
        let client = |allowance: &Allowance| Client {
            budget: Budget::new(Duration::ZERO, *allowance, config),
            requeue: Vec::new(),
            backlog: 0.0,
            in_flight: 0,
            limit: ConcurrencyLimit::new((1..=32).into()),
            seconds: Vec::new(),
        };
        Self {
            table,
            clients: allowances.iter().map(client).collect(),
            rng,
            events: BinaryHeap::new(),
            numbered: 0,
            now: Duration::ZERO,
        }
    }

    /// Runs on until a second, each client offered so many writes a second.
    fn run(&mut self, until: u64, offered: f64) {
        while self.now < Duration::from_secs(until) {
            self.step(offered);
        }
    }

    /// Runs on for a millisecond.
    fn step(&mut self, offered: f64) {
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

    /// Runs on until a second, with more than the table can take.
    fn overload(&mut self, until: u64) {
        self.run(until, 1e6);
    }

    fn send(&mut self, at: usize) {
        let now = self.now;
        loop {
            let client = &mut self.clients[at];
            let due = client.requeue.iter().filter(|time| **time <= now).count();
            let ready = client.backlog as usize + due;
            if ready == 0 || client.in_flight >= client.limit.limit() {
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
            client.requeue.retain(|time| {
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

    /// Schedules an event after half of a round trip, which takes 4 to 6 ms.
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
                let taken = self.table.take_request(now, writes, &mut self.rng);
                let partitions = self.table.reports_partitions();
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
                tally.refused += refused as u32;
                client.limit.on_answer(now, sent_at, client.in_flight);
                client.in_flight -= 1;
                client.budget.settle(now, taken as u32, None);
                // Only a request that is refused whole bears a reason.
                let why = match (taken, partitions) {
                    (0, true) => Refusal::Partitions,
                    (0, false) => Refusal::Capacity,
                    _ => Refusal::NotReported,
                };
                let answer = Answer {
                    sent_at,
                    taken,
                    refused,
                };
                client.budget.answered(now, answer, refused as u32, why);
                for _ in 0..refused {
                    let delay = Duration::from_millis(self.rng.u64(25..50));
                    client.requeue.push(now + delay);
                }
            }
        }
    }

    /// Returns the requests and units of a client in some seconds.
    fn of(&self, client: usize, seconds: Range<usize>) -> Tally {
        let seconds = self.clients[client].seconds.get(seconds);
        seconds
            .unwrap_or_default()
            .iter()
            .fold(Tally::default(), |sum, of| Tally {
                requests: sum.requests + of.requests,
                throttled: sum.throttled + of.throttled,
                units: sum.units + of.units,
                refused: sum.refused + of.refused,
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

    /// Returns the share of writes refused, over some seconds.
    fn refused(&self, seconds: Range<usize>) -> f64 {
        let (mut units, mut refused) = (0, 0);
        for client in 0..self.clients.len() {
            let tally = self.of(client, seconds.clone());
            units += tally.units;
            refused += tally.refused;
        }
        f64::from(refused) / f64::from(units + refused).max(1.0)
    }

    /// Returns each client's share of what was taken over some seconds, one being an even share.
    fn shares(&self, seconds: Range<usize>) -> Vec<f64> {
        let count = self.clients.len();
        let of = |client| f64::from(self.of(client, seconds.clone()).units);
        let all: f64 = (0..count).map(of).sum();
        (0..count)
            .map(|client| of(client) / all * count as f64)
            .collect()
    }

    /// Returns the longest time, in seconds, in which less than 90 % of the possible was taken, in
    /// means of three seconds.
    fn longest_below(&self, seconds: Range<usize>, possible: f64) -> u32 {
        let (mut longest, mut run) = (0, 0);
        for second in seconds.start..seconds.end.saturating_sub(2) {
            let (units, _) = self.all(second..second + 3);
            run = if units < 0.9 * possible { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        longest
    }
}
