//! A contender on its way through a scenario: the fake, the clients, what they are offered, and the
//! steps that change something meanwhile.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dynamodb_connector::test_util::{
    CapacityUsage, FakeTable, Fault, FaultPlan, FaultyDynamoDb, Operation,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use crate::contender::Client;
use crate::kind::{Kind, Sight};
use crate::load::{Class, Pace};
use crate::record::Log;
use crate::rig::{Failure, clock};
use crate::scenario::{Action, Scenario, Step};

const REFUSAL_SEED: u64 = 23;

pub(crate) struct Driver<'a> {
    kind: Kind,
    scenario: &'a Scenario,
    tables: Vec<&'a str>,
    fake: FaultyDynamoDb,
    started: Instant,
    ticks: Interval,
    steps_taken: usize,
    clients: Vec<Arc<Client>>,
    offers: JoinSet<Result<(), Failure>>,
    /// By client, then by class.
    logs: Vec<Vec<Arc<Log>>>,
    failed: mpsc::UnboundedSender<Failure>,
    failures: mpsc::UnboundedReceiver<Failure>,
}

impl<'a> Driver<'a> {
    /// Opens the first clients and begins to offer them records. `sample` is the time between
    /// samples.
    pub(crate) async fn start(
        kind: Kind,
        scenario: &'a Scenario,
        sample: Duration,
    ) -> Result<Self, Failure> {
        let fake = FaultyDynamoDb::new();
        fake.keep_journal(false);
        for table in &scenario.tables {
            fake.create_table(table.clone());
        }
        if scenario.sight == Sight::Blind {
            fake.inject(Fault::access_denied().on(Operation::DescribeTable).always());
        }
        let tables: Vec<&str> = scenario.tables.iter().map(FakeTable::name).collect();
        let mut clients = Vec::new();
        for _ in 0..scenario.clients {
            clients.push(Client::open(kind, &fake, &tables, scenario.sight).await?);
        }
        let (failed, failures) = mpsc::unbounded_channel();
        let mut ticks = tokio::time::interval(sample);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut driver = Self {
            kind,
            scenario,
            tables,
            fake,
            started: clock::instant(),
            ticks,
            steps_taken: 0,
            clients: Vec::new(),
            offers: JoinSet::new(),
            logs: Vec::new(),
            failed,
            failures,
        };
        // What is there from the start is there before the first request.
        while let Some(step) = driver.next_step().filter(|step| step.at <= 0.0) {
            driver.take(step.action).await?;
        }
        for client in clients {
            driver.offer_to(client, 0.0);
        }
        Ok(driver)
    }

    fn next_step(&self) -> Option<Step> {
        self.scenario.steps.get(self.steps_taken).copied()
    }

    /// Waits for the time of the next sample, in seconds, and takes the steps that are due by then,
    /// each at its own time: some are shorter apart than two samples.
    pub(crate) async fn next_sample(&mut self) -> Result<f64, Failure> {
        loop {
            let step = self.next_step();
            let due = step.map(|step| self.started + Duration::from_secs_f64(step.at));
            tokio::select! {
                biased;
                Some(action) = async {
                    tokio::time::sleep_until(due?.into()).await;
                    step.map(|step| step.action)
                } => self.take(action).await?,
                Some(failure) = self.failures.recv() => return Err(failure),
                Some(offered) = self.offers.join_next() => offered??,
                _ = self.ticks.tick() => return Ok(self.started.elapsed().as_secs_f64()),
            }
        }
    }

    async fn take(&mut self, action: Action) -> Result<(), Failure> {
        self.steps_taken += 1;
        match action {
            Action::SetUnits(units) => self.fake.set_write_units(self.tables[0], units),
            Action::SetRefused(share) => {
                let plan = FaultPlan::seeded(REFUSAL_SEED).unprocessed(share);
                self.fake.fault_plan(plan);
            }
            Action::SetMaxUnits(units) => {
                self.fake.set_max_on_demand(self.tables[0], Some(units));
            }
            Action::Join => {
                let sight = self.scenario.sight;
                let client = Client::open(self.kind, &self.fake, &self.tables, sight).await?;
                self.offer_to(client, self.started.elapsed().as_secs_f64());
            }
        }
        Ok(())
    }

    fn offer_to(&mut self, client: Client, from: f64) {
        let client = Arc::new(client);
        let place = self.clients.len();
        let of_client = self.scenario.classes.iter().map(|class| {
            let log = Log::new(self.started, self.failed.clone());
            let (client, class) = (Arc::clone(&client), class.clone());
            let within = from..self.scenario.seconds;
            self.offers
                .spawn(offer(class, client, place, Arc::clone(&log), within));
            log
        });
        self.logs.push(of_client.collect());
        self.clients.push(client);
    }

    /// Returns the totals of each table so far.
    pub(crate) fn usage(&self) -> Result<Vec<CapacityUsage>, Failure> {
        let usage = self
            .tables
            .iter()
            .map(|table| self.fake.capacity_usage(table));
        let usage = usage.collect::<Option<_>>();
        usage.ok_or_else(|| "the table has no enforced capacity".into())
    }

    /// Returns whether all of a job was written; never where a class goes on without end.
    pub(crate) fn job_is_done(&self) -> bool {
        self.logs.iter().all(|logs| {
            logs.iter().zip(&self.scenario.classes).all(|(log, class)| {
                let total = class.total.and_then(|total| usize::try_from(total).ok());
                total.is_some_and(|total| log.written().len() >= total)
            })
        })
    }

    /// Ends the clients, and returns what became of their records, by client, then by class.
    pub(crate) async fn stop(mut self) -> Vec<Vec<Arc<Log>>> {
        self.offers.abort_all();
        for client in &self.clients {
            client.stop().await;
        }
        self.logs
    }
}

/// Offers a class's records to a client for a time, in seconds from the scenario's start. One that
/// is late because the client made it wait goes on as fast as it can: what was due stays due.
async fn offer(
    class: Class,
    client: Arc<Client>,
    place: usize,
    log: Arc<Log>,
    within: Range<f64>,
) -> Result<(), Failure> {
    let mut next = within.start;
    for number in 0..class.total.unwrap_or(u32::MAX) {
        let due = match &class.pace {
            Pace::Overload => None,
            Pace::Offered(rate) => {
                next += rate(next).recip();
                if next >= within.end {
                    return Ok(());
                }
                let due = log.started() + Duration::from_secs_f64(next);
                if due > clock::instant() {
                    tokio::time::sleep_until(due.into()).await;
                }
                Some(due)
            }
        };
        let record = class.record(place, number);
        let ticket = log.ticket(&record, due);
        client.submit(class.table, record, ticket).await?;
    }
    Ok(())
}
