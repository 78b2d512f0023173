//! A case: settings, faults, steps, and how they are drawn.

use super::*;

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) settings: Settings,
    pub(super) faults: Faults,
    pub(super) tasks: Vec<Vec<Step>>,
    pub(super) ending: Ending,
    pub(super) seed: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) concurrency: (usize, usize),
    pub(super) batch: usize,
    pub(super) buffer: usize,
    pub(super) key_share: f64,
    pub(super) linger: u64,
    pub(super) coalesce: bool,
    pub(super) dead_letters: bool,
    pub(super) max_attempts: Option<u32>,
    pub(super) deadline: Option<u64>,
}

/// Probabilities in percent.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) unprocessed: u32,
    pub(super) throttle: u32,
    pub(super) error: u32,
    pub(super) error_after: u32,
    pub(super) close_before: u32,
    pub(super) close_after: u32,
    pub(super) never: u32,
    pub(super) never_after: u32,
    pub(super) garbage: u32,
    pub(super) truncated: u32,
    pub(super) delay: (u32, u64),
    pub(super) late: (u32, u64),
    /// A key whose every write is refused.
    pub(super) poison: Option<u8>,
    pub(super) outage: Option<Outage>,
}

/// All of a kind fails, from a moment on, for so many milliseconds. None is long enough to end the table.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    pub(super) kind: OutageKind,
    pub(super) after: u64,
    pub(super) lasts: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum OutageKind {
    /// The table can't be described.
    ControlPlane,
    /// Writes are refused with a code that is not known.
    UnknownCode,
    /// Whatever is sent is refused as if a record in it were bad.
    AllInvalid,
    /// Writes find no table.
    Missing,
    /// No credentials are taken.
    Unauthorized,
    /// One action may not be used.
    DeniedAction,
    /// One key may not be written.
    DeniedKey(u8),
}

impl OutageKind {
    pub(super) fn faults(self) -> Vec<Fault> {
        let writes = |fault: Fault| {
            let operations = [
                Operation::BatchWriteItem,
                Operation::PutItem,
                Operation::UpdateItem,
                Operation::DeleteItem,
                Operation::TransactWriteItems,
            ];
            let faults = operations.map(|operation| fault.clone().on(operation));
            faults.to_vec()
        };
        let describe = |fault: Fault| fault.on(Operation::DescribeTable);
        let mut faults = match self {
            Self::ControlPlane => vec![describe(Fault::internal_error())],
            Self::UnknownCode => writes(Fault::error(400, "BrandNewException", "no")),
            Self::AllInvalid => {
                let mut faults = writes(Fault::validation("no"));
                faults.push(describe(Fault::validation("no")));
                faults
            }
            Self::Missing => writes(Fault::resource_not_found()),
            Self::Unauthorized => {
                let mut faults = writes(Fault::unrecognized_client());
                faults.push(describe(Fault::unrecognized_client()));
                faults
            }
            Self::DeniedAction => vec![Fault::access_denied().on(Operation::UpdateItem)],
            Self::DeniedKey(key) => {
                let denied = pk(key);
                let is_it = move |key: &HashMap<String, AttributeValue>| {
                    key["pk"].as_s().ok() == Some(&denied)
                };
                vec![Fault::access_denied().on_key(is_it)]
            }
        };
        faults = faults.into_iter().map(Fault::always).collect();
        faults
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Write {
        kind: Kind,
        key: u8,
        keep: bool,
    },
    /// Submits only where there is room.
    Try {
        key: u8,
    },
    /// Two writes of one key at once, waiting for room together.
    Both {
        key: u8,
    },
    /// Begins to submit and gives up after a time.
    GiveUp {
        key: u8,
        after: u64,
    },
    Flush,
    Snapshot,
    Sleep {
        millis: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    Delete,
    /// An update that may be applied twice.
    Set,
    /// One that may not.
    Add,
    /// The same as a transaction with a token.
    AddOnce,
    NewerBy,
    /// A put where there is no item.
    IfAbsent,
    /// A put on this key and an addition on the next one.
    Transaction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Close,
    CloseAfter(u64),
    AbortAfter(u64),
    /// An abort while a flush, a snapshot and a close are asked for.
    AllAfter(u64),
}

pub(super) fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        8 => Just(Kind::Put),
        3 => Just(Kind::Delete),
        2 => Just(Kind::Set),
        2 => Just(Kind::Add),
        2 => Just(Kind::AddOnce),
        3 => Just(Kind::NewerBy),
        2 => Just(Kind::IfAbsent),
        2 => Just(Kind::Transaction),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (kind(), 0..KEYS, prop::bool::weighted(0.9))
            .prop_map(|(kind, key, keep)| Step::Write { kind, key, keep }),
        2 => (0..KEYS).prop_map(|key| Step::Try { key }),
        2 => (0..KEYS).prop_map(|key| Step::Both { key }),
        2 => (0..KEYS, 0..50_u64).prop_map(|(key, after)| Step::GiveUp { key, after }),
        1 => Just(Step::Flush),
        1 => Just(Step::Snapshot),
        3 => (0..200_u64).prop_map(|millis| Step::Sleep { millis }),
    ]
}

pub(super) fn settings() -> impl Strategy<Value = Settings> {
    (
        (1..=3_usize, 0..=5_usize),
        1..=25_usize,
        0..40_usize,
        prop_oneof![Just(1.0), Just(0.25)],
        0..20_u64,
        any::<bool>(),
        any::<bool>(),
        prop::option::weighted(0.3, 1..5_u32),
        prop::option::weighted(0.3, 10..5_000_u64),
    )
        .prop_map(
            |(
                (least, more),
                batch,
                spare,
                key_share,
                linger,
                coalesce,
                dead_letters,
                max_attempts,
                deadline,
            )| Settings {
                concurrency: (least, least + more),
                batch,
                buffer: batch + spare,
                key_share,
                linger,
                coalesce,
                dead_letters,
                max_attempts,
                deadline,
            },
        )
}

/// A probability in percent: often none at all.
pub(super) fn percent() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0_u32), 1 => 1..12_u32]
}

pub(super) fn faults(late: bool) -> impl Strategy<Value = Faults> {
    let late = if late { 1..40_u32 } else { 0..1 };
    (
        (percent(), percent(), percent(), percent()),
        (percent(), percent(), percent(), percent()),
        (percent(), percent()),
        (percent(), 1..3_000_u64),
        (late, 1..60_000_u64),
        prop::option::weighted(0.2, 0..KEYS),
        prop::option::weighted(0.4, outage()),
    )
        .prop_map(
            |(first, second, third, delay, late, poison, outage)| Faults {
                unprocessed: first.0 * 4,
                throttle: first.1,
                error: first.2,
                error_after: first.3,
                close_before: second.0,
                close_after: second.1,
                never: second.2,
                never_after: second.3,
                garbage: third.0,
                truncated: third.1,
                delay: (delay.0 * 4, delay.1),
                late,
                poison,
                outage,
            },
        )
}

pub(super) fn outage() -> impl Strategy<Value = Outage> {
    let kind = prop_oneof![
        Just(OutageKind::ControlPlane),
        Just(OutageKind::UnknownCode),
        Just(OutageKind::AllInvalid),
        Just(OutageKind::Missing),
        Just(OutageKind::Unauthorized),
        Just(OutageKind::DeniedAction),
        (0..KEYS).prop_map(OutageKind::DeniedKey),
    ];
    let lasts = prop_oneof![1..2_000_u64, 1..20_000_u64];
    (kind, 0..1_000_u64, lasts).prop_map(|(kind, after, lasts)| Outage { kind, after, lasts })
}

pub(super) fn case(late: bool) -> impl Strategy<Value = Case> {
    let ending = prop_oneof![
        4 => Just(Ending::Close),
        1 => (0..3_000_u64).prop_map(Ending::CloseAfter),
        1 => (0..3_000_u64).prop_map(Ending::AbortAfter),
        1 => (0..3_000_u64).prop_map(Ending::AllAfter),
    ];
    let tasks = prop::collection::vec(prop::collection::vec(step(), 1..30), 1..4);
    (settings(), faults(late), tasks, ending, any::<u64>()).prop_map(
        |(settings, faults, tasks, ending, seed)| Case {
            settings,
            faults,
            tasks,
            ending,
            seed,
        },
    )
}

impl Settings {
    pub(super) fn table(&self) -> TableSettings {
        let retry = RetryPolicy::default()
            .max_attempts(self.max_attempts)
            .max_backoff(Duration::from_secs(2));
        TableSettings::default()
            .concurrency(self.concurrency.0..=self.concurrency.1)
            .max_batch_items(self.batch)
            .buffer_records(self.buffer)
            .max_key_share(self.key_share)
            .linger(ms(self.linger))
            .coalesce(self.coalesce)
            .retry(retry)
            .deadline(self.deadline.map(ms))
            .request_timeout(Duration::from_secs(1))
    }
}

impl Faults {
    /// Has the fake fail by chance, and refuse what is poisoned.
    pub(super) fn arm(&self, fake: &FaultyDynamoDb, seed: u64) {
        fake.fault_plan(self.plan(seed));
        if let Some(key) = self.poison {
            let poisoned = pk(key);
            fake.inject(Fault::poison(move |key| {
                key["pk"].as_s().ok() == Some(&poisoned)
            }));
        }
    }

    pub(super) fn plan(&self, seed: u64) -> FaultPlan {
        let share = |percent: u32| f64::from(percent) / 100.0;
        FaultPlan::seeded(seed)
            .unprocessed(share(self.unprocessed))
            .throttle(share(self.throttle))
            .internal_error(share(self.error))
            .internal_error_after(share(self.error_after))
            .close_before(share(self.close_before))
            .close_after(share(self.close_after))
            .never(share(self.never))
            .never_after(share(self.never_after))
            .garbage(share(self.garbage))
            .truncated(share(self.truncated))
            .delay(share(self.delay.0), ms(0)..=ms(self.delay.1))
            .apply_late(share(self.late.0), ms(0)..=ms(self.late.1))
    }
}
