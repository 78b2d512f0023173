//! CPU of a change, by stage, and of bare loops that do the same work.
//!
//! CPU time is this process's, user and system, so librdkafka's threads are in it. The cut-off
//! pipelines and the loops take turns, each second rotation backwards. What a stage adds is the
//! median of the differences within a rotation, a ratio the median of the ratios within one: machines
//! differ by more than a factor of two in microseconds.

use crate::bare::{Bare, LOOPS, Loop};
use crate::broker::{Broker, Topic};
use crate::changes::server::{ChangeServer, Contents};
use crate::changes::{beside_server, sdk_loop};
use crate::figures::row;
use crate::report::{Bound, Report};
use crate::rig::rounds::median;
use crate::rig::{Failure, clock};
use crate::stages::{STAGES, Stage, Stages};

const SHARDS: usize = 4;
/// The most that reading a change may cost, as a part of what the SDK's `GetRecords` costs in the same run.
const READ_BAR: f64 = 0.25;
/// The most that all of it may cost, as a part of what the bare loops cost together in the same run. Where they
/// take 26 us it is 20 us.
const BAR: f64 = 0.75;

/// One pass over all changes.
#[derive(Clone, Copy)]
struct Round {
    cpu_us: f64,
    rate: f64,
}

/// A contender of a rotation.
#[derive(Clone, Copy)]
enum Contender {
    Stage(Stage),
    Bare(Loop),
}

struct Bench {
    server: ChangeServer,
    stages: Stages,
    bare: Bare,
    changes: usize,
}

/// The rounds of each stage and of each loop, in the order of the rotations.
struct Rounds {
    stages: Vec<Vec<Round>>,
    loops: Vec<Vec<Round>>,
}

pub(crate) fn run(report: &mut Report, broker: &Broker, quick: bool) -> Result<(), Failure> {
    let (rotations, changes) = if quick { (3, 20_000) } else { (7, 100_000) };
    let topic = broker.topic(Topic::Stages)?;
    let server = ChangeServer::start(Contents {
        shards: SHARDS,
        changes,
    })?;
    let rounds = beside_server(|| {
        let stages = Stages::new(broker.bootstrap(), &topic, changes);
        let bench = Bench {
            server,
            stages: runtime()?.block_on(stages)?,
            bare: Bare::new(broker.bootstrap(), &topic, changes)?,
            changes,
        };
        bench.rotate(rotations)
    })?;
    rounds.report_stages(report);
    rounds.report_loops(report);
    rounds.report_ratios(report);
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

impl Bench {
    /// The rounds, after one to warm up.
    fn rotate(&self, rotations: usize) -> Result<Rounds, Failure> {
        let stages = STAGES.iter().map(|(stage, _)| Contender::Stage(*stage));
        let loops = LOOPS.iter().map(|(bare, _)| Contender::Bare(*bare));
        let contenders: Vec<Contender> = stages.chain(loops).collect();
        let mut rounds = vec![Vec::new(); contenders.len()];
        for rotation in 0..=rotations {
            let mut order: Vec<usize> = (0..contenders.len()).collect();
            if rotation % 2 == 1 {
                order.reverse();
            }
            for place in order {
                let round = self.round(contenders[place])?;
                if rotation > 0 {
                    rounds[place].push(round);
                }
            }
        }
        let loops = rounds.split_off(STAGES.len());
        Ok(Rounds {
            stages: rounds,
            loops,
        })
    }

    /// In a single-threaded runtime; a stage from opening the source to its close.
    fn round(&self, contender: Contender) -> Result<Round, Failure> {
        let runtime = runtime()?;
        // Of its own: connections end with the runtime that they were made in.
        let clients = self.server.clients();
        let (began, before) = (clock::instant(), clock::cpu_time());
        match contender {
            Contender::Stage(stage) => runtime.block_on(self.stages.pass(stage, &clients))?,
            Contender::Bare(Loop::GetRecords) => {
                runtime.block_on(sdk_loop::read(&clients, self.changes))?;
            }
            Contender::Bare(Loop::Serialise) => self.bare.serialise()?,
            Contender::Bare(Loop::Produce) => self.bare.produce()?,
        }
        let used = clock::cpu_time() - before;
        let changes = self.changes as f64;
        Ok(Round {
            cpu_us: used.as_secs_f64() * 1e6 / changes,
            rate: changes / began.elapsed().as_secs_f64(),
        })
    }
}

impl Rounds {
    fn report_stages(&self, report: &mut Report) {
        for (place, (_, name)) in STAGES.iter().enumerate() {
            let added = median(self.added(place));
            row(
                report,
                format!("CPU: {name}"),
                "us",
                2,
                &cpu(&self.stages[place]),
                added,
            );
        }
        let all = self.stages.last().map(Vec::as_slice).unwrap_or_default();
        let rates: Vec<f64> = all.iter().map(|round| round.rate).collect();
        row(
            report,
            "rate of all of it".to_owned(),
            "changes/s",
            0,
            &rates,
            f64::NAN,
        );
    }

    fn report_loops(&self, report: &mut Report) {
        for ((_, name), rounds) in LOOPS.iter().zip(&self.loops) {
            row(
                report,
                format!("CPU: {name}"),
                "us",
                2,
                &cpu(rounds),
                f64::NAN,
            );
        }
    }

    fn report_ratios(&self, report: &mut Report) {
        let [read, serialised, produced] = [Stage::Read, Stage::Serialise, Stage::Produce]
            .map(|stage| self.added(STAGES.iter().position(|(at, _)| *at == stage).unwrap_or(0)));
        let loops: Vec<Vec<f64>> = self.loops.iter().map(|rounds| cpu(rounds)).collect();
        let together: Vec<f64> = (0..loops[0].len())
            .map(|rotation| loops.iter().map(|rounds| rounds[rotation]).sum())
            .collect();
        let all = self
            .stages
            .last()
            .map(|rounds| cpu(rounds))
            .unwrap_or_default();
        for (name, own, bare, bar) in [
            (
                "read, by GetRecords of the SDK",
                read,
                &loops[0],
                Some(READ_BAR),
            ),
            (
                "serialise to JSON, by serde_json",
                serialised,
                &loops[1],
                None,
            ),
            ("produce, by librdkafka", produced, &loops[2], None),
            (
                "all of it, by the three loops together",
                all,
                &together,
                Some(BAR),
            ),
        ] {
            let ratios: Vec<f64> = own.iter().zip(bare).map(|(own, bare)| own / bare).collect();
            row(report, format!("ratio: {name}"), "", 2, &ratios, f64::NAN);
            if let Some(bar) = bar {
                report.bar(
                    format!("CPU of a change: {name}"),
                    median(ratios),
                    Bound::AtMost(bar),
                );
            }
        }
    }

    /// The differences of a stage to the one before it, by rotation.
    fn added(&self, place: usize) -> Vec<f64> {
        let own = cpu(&self.stages[place]);
        match place.checked_sub(1) {
            Some(before) => {
                let before = cpu(&self.stages[before]);
                own.iter().zip(before).map(|(own, cut)| own - cut).collect()
            }
            None => own,
        }
    }
}

fn cpu(rounds: &[Round]) -> Vec<f64> {
    rounds.iter().map(|round| round.cpu_us).collect()
}
