//! The buckets of one table, and the admission of writes to them.

use std::time::Duration;

use dynamodb_table_spec::{Billing, IndexSpec, TableSpec};

use super::WriteCost;
use super::bucket::{Bucket, Rate, Rhythm};
use super::level::Level;
use super::settings::Capacity;
use super::usage::{CapacityUsage, IndexUsage, Requests};
use crate::item::key::Key;
use crate::random::generator;

/// Seconds of unused capacity that a provisioned table or index keeps (AWS: "Burst capacity").
const BANK: f64 = 300.0;
/// Seconds of capacity that everything else keeps.
const SECOND: f64 = 1.0;

/// One of the limits that a write exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Table,
    Partition(usize),
    Account,
    /// A global index, by its position in the table's list of indexes.
    Index(usize),
}

/// The units that one write takes from a table's buckets.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    partition: usize,
    /// Of the table itself and its local indexes.
    table_units: f64,
    /// Of the global indexes, by position; 0 where the write leaves one alone.
    indexes: Vec<f64>,
}

impl Draw {
    pub(crate) fn meets(&self, limit: Limit) -> bool {
        match limit {
            Limit::Table | Limit::Account => true,
            Limit::Partition(at) => at == self.partition,
            Limit::Index(at) => self.index(at) > 0.0,
        }
    }

    fn index(&self, at: usize) -> f64 {
        self.indexes.get(at).copied().unwrap_or(0.0)
    }
}

/// The enforced capacity of one table.
#[derive(Clone, Debug)]
pub(crate) struct Throughput {
    settings: Capacity,
    /// Spreads the keys over the partitions.
    salt: u64,
    table: Bucket,
    level: Level,
    on_demand: bool,
    partitions: Vec<Bucket>,
    account: Option<Bucket>,
    /// By position in the table's list; those of local indexes are never drawn on.
    indexes: Vec<Bucket>,
    requests: Requests,
}

impl Throughput {
    pub(crate) fn new(settings: Capacity, spec: &TableSpec, now: Duration) -> Self {
        let mut rng = generator(settings.seed, 0);
        let phase = Duration::from_nanos(rng.u64(0..1_000_000_000));
        let rhythm = Rhythm {
            refill: settings.refill,
            phase,
        };
        let mut level = Level::new(float(settings.warm_units), now);
        level.set_max(maximum(spec.billing));
        let bank = |rate: Rate, on_demand: bool| {
            if on_demand || settings.full_bank {
                Bucket::full(rate, rhythm, now)
            } else {
                Bucket::empty(rate, rhythm, now)
            }
        };
        let on_demand = matches!(spec.billing, Billing::OnDemand { .. });
        let second = |units: u64| {
            let rate = Rate {
                units: float(units),
                keeps: SECOND,
            };
            Bucket::full(rate, rhythm, now)
        };
        Self {
            salt: rng.u64(..),
            table: bank(table_rate(spec.billing, &level), on_demand),
            level,
            on_demand,
            partitions: vec![second(settings.partition_units); settings.partitions],
            account: settings.account_units.map(second),
            indexes: spec
                .indexes
                .iter()
                .map(|index| bank(index_rate(index, spec.billing), on_demand))
                .collect(),
            requests: Requests::default(),
            settings,
        }
    }

    /// Takes over the units of a changed table, and those that it is said to take at once, at once.
    pub(crate) fn reconfigure(&mut self, spec: &TableSpec, warm: Option<u64>, now: Duration) {
        self.advance(now);
        let on_demand = matches!(spec.billing, Billing::OnDemand { .. });
        if on_demand && !self.on_demand {
            // A table that took so much provisioned takes it on demand as well.
            self.level.lift(self.table.rate().units);
            self.level.watch_from(now, self.table.consumed());
        }
        self.on_demand = on_demand;
        self.level.lift(warm.map_or(0.0, float));
        self.level.set_max(maximum(spec.billing));
        self.table.set_rate(table_rate(spec.billing, &self.level));
        for (bucket, index) in self.indexes.iter_mut().zip(&spec.indexes) {
            bucket.advance(now);
            bucket.set_rate(index_rate(index, spec.billing));
        }
    }

    /// Write units that the table takes at once, in whole ones.
    pub(crate) fn warm_units(&mut self, now: Duration) -> u64 {
        self.advance(now);
        let units = if self.on_demand {
            self.level.units()
        } else {
            self.table.rate().units
        };
        // A duration is the way from a float to an integer that cannot overflow.
        Duration::try_from_secs_f64(units).map_or(u64::MAX, |whole| whole.as_secs())
    }

    pub(crate) fn on_demand(&self) -> bool {
        self.on_demand
    }

    /// Returns whether it is the owner's maximum that an on-demand table is held at.
    pub(crate) fn at_max(&self) -> bool {
        self.level.at_max()
    }

    /// Returns the units that a write takes; `factor` is 2 in a transaction.
    pub(crate) fn draw(&self, spec: &TableSpec, key: &Key, cost: &WriteCost, factor: f64) -> Draw {
        let mut draw = Draw {
            partition: self.partition(key),
            table_units: factor * cost.table,
            indexes: cost.indexes.clone(),
        };
        for (units, index) in draw.indexes.iter_mut().zip(&spec.indexes) {
            *units *= factor;
            if index.local {
                draw.table_units += std::mem::take(units);
            }
        }
        draw
    }

    fn partition(&self, key: &Key) -> usize {
        let mut hash = fastrand::Rng::with_seed(self.salt ^ u64::from(key.partition_hash()));
        hash.usize(0..self.partitions.len())
    }

    /// The limits that these writes of one request meet together; none where they may be taken.
    pub(crate) fn exceeded_limits(&mut self, draws: &[Draw], now: Duration) -> Vec<Limit> {
        self.advance(now);
        let mut exceeded = Vec::new();
        let table_units: f64 = draws.iter().map(|draw| draw.table_units).sum();
        if let Some(account) = &mut self.account {
            account.advance(now);
            if !account.admits(table_units) {
                exceeded.push(Limit::Account);
            }
        }
        if !self.table.admits(table_units) {
            exceeded.push(Limit::Table);
        }
        for draw in draws {
            let limit = Limit::Partition(draw.partition);
            let same = draws
                .iter()
                .filter(|other| other.partition == draw.partition);
            let units = same.map(|other| other.table_units).sum();
            if let Some(bucket) = self.partitions.get_mut(draw.partition) {
                bucket.advance(now);
                if !bucket.admits(units) && !exceeded.contains(&limit) {
                    exceeded.push(limit);
                }
            }
        }
        for (at, bucket) in self.indexes.iter_mut().enumerate() {
            let units: f64 = draws.iter().map(|draw| draw.index(at)).sum();
            if units > 0.0 {
                bucket.advance(now);
                if !bucket.admits(units) {
                    exceeded.push(Limit::Index(at));
                }
            }
        }
        exceeded
    }

    /// Takes what writes draw.
    pub(crate) fn take(&mut self, draws: &[Draw]) {
        for draw in draws {
            self.table.take(draw.table_units);
            if let Some(account) = &mut self.account {
                account.take(draw.table_units);
            }
            if let Some(bucket) = self.partitions.get_mut(draw.partition) {
                bucket.take(draw.table_units);
            }
            for (bucket, units) in self.indexes.iter_mut().zip(&draw.indexes) {
                bucket.take(*units);
            }
        }
    }

    /// Brings the table's own bucket and its level up to a time; the others follow when they are
    /// looked at.
    fn advance(&mut self, now: Duration) {
        while self.on_demand
            && let Some(end) = self.level.window_over(now)
        {
            self.table.advance(end);
            self.level.end_window(now, self.table.consumed());
            self.table.set_rate(Rate {
                units: self.level.allowed(),
                keeps: SECOND,
            });
        }
        self.table.advance(now);
    }

    /// The time that a request takes, by its number. In whole milliseconds where it has some, as
    /// tokio waits in these and rounds up: the mean would grow.
    pub(crate) fn service_time(&self, request: u64) -> Duration {
        if self.settings.service_time.is_zero() {
            return Duration::ZERO;
        }
        let mut rng = generator(self.salt, request);
        let time = self.settings.service_time.mul_f64(0.8 + 0.4 * rng.f64());
        let whole = (time + Duration::from_micros(500)).as_millis();
        u64::try_from(whole).map_or(time, |millis| Duration::from_millis(millis.max(1)))
    }

    /// Counts an answered write request with so many writes of this table, so many of them not
    /// taken; `refused` where it was answered with a throttling exception.
    pub(crate) fn count(&mut self, items: usize, throttled: usize, refused: bool) {
        self.requests.count(items, throttled, refused);
    }

    /// The totals so far.
    pub(crate) fn usage(&mut self, spec: &TableSpec, now: Duration) -> CapacityUsage {
        self.advance(now);
        let indexes = spec.indexes.iter().zip(&mut self.indexes);
        let indexes = indexes.filter(|(index, _)| !index.local);
        CapacityUsage {
            granted_units: self.table.granted(),
            consumed_units: self.table.consumed(),
            indexes: indexes
                .map(|(index, bucket)| {
                    bucket.advance(now);
                    let usage = IndexUsage {
                        granted_units: bucket.granted(),
                        consumed_units: bucket.consumed(),
                    };
                    (index.name.clone(), usage)
                })
                .collect(),
            write_requests: self.requests.answered,
            throttled_requests: self.requests.throttled,
            items_sent: self.requests.items,
            items_throttled: self.requests.items_throttled,
        }
    }
}

fn table_rate(billing: Billing, level: &Level) -> Rate {
    match billing {
        Billing::OnDemand { .. } => Rate {
            units: level.allowed(),
            keeps: SECOND,
        },
        Billing::Provisioned { write, .. } => Rate {
            units: float(write),
            keeps: BANK,
        },
    }
}

fn index_rate(index: &IndexSpec, billing: Billing) -> Rate {
    match billing {
        Billing::OnDemand { .. } => Rate {
            units: index.max_write_units.map_or(f64::INFINITY, float),
            keeps: SECOND,
        },
        Billing::Provisioned { write, .. } => Rate {
            units: float(
                index
                    .provisioned
                    .map_or(write, |(_, table_units)| table_units),
            ),
            keeps: BANK,
        },
    }
}

fn maximum(billing: Billing) -> Option<f64> {
    match billing {
        Billing::OnDemand { max_write_units } => max_write_units.map(float),
        Billing::Provisioned { .. } => None,
    }
}

fn float(units: u64) -> f64 {
    u32::try_from(units).map_or(f64::from(u32::MAX), f64::from)
}
