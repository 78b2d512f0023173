//! A case that is drawn: answers, outages, steps.

use super::*;

/// The reaction of the model of the service to a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Done,
    Unprocessed(u32),
    Throttled,
    Transient,
    /// Applied or not, the answer is lost.
    Lost(bool),
    Refused,
}

/// A time in which the service answers all alike, whatever the record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outage {
    UnknownCode,
    Denied,
    Missing,
    Credentials,
}

impl Outage {
    pub(super) fn error(self) -> ServiceError {
        match self {
            Self::UnknownCode => error(ErrorClass::Refused, "BrandNew"),
            Self::Denied => error(ErrorClass::Fatal, "AccessDeniedException"),
            Self::Missing => error(ErrorClass::Fatal, "ResourceNotFoundException"),
            Self::Credentials => error(ErrorClass::Fatal, "UnrecognizedClientException"),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Put {
        key: u8,
        deadline: Option<u16>,
        poison: bool,
    },
    Delete {
        key: u8,
    },
    Update {
        key: u8,
        idempotent: bool,
    },
    Conditional {
        key: u8,
    },
    Transaction {
        first: u8,
        second: u8,
    },
    Send,
    Answer {
        pick: u8,
        answer: Answer,
    },
    Pass {
        millis: u16,
    },
    Flush,
    DeadLetter,
    /// An outage begins, or the last one ends.
    Outage(Option<Outage>),
}

pub(super) fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Done),
        3 => any::<u32>().prop_map(Answer::Unprocessed),
        1 => Just(Answer::Throttled),
        1 => Just(Answer::Transient),
        2 => any::<bool>().prop_map(Answer::Lost),
        1 => Just(Answer::Refused),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..6_u8;
    let step = prop_oneof![
        8 => (key(), proptest::option::weighted(0.1, 1..500_u16), prop::bool::weighted(0.05))
            .prop_map(|(key, deadline, poison)| Step::Put { key, deadline, poison }),
        2 => key().prop_map(|key| Step::Delete { key }),
        2 => (key(), any::<bool>())
            .prop_map(|(key, idempotent)| Step::Update { key, idempotent }),
        1 => key().prop_map(|key| Step::Conditional { key }),
        1 => (0..3_u8, 3..6_u8).prop_map(|(first, second)| Step::Transaction { first, second }),
        6 => Just(Step::Send),
        6 => (any::<u8>(), answers()).prop_map(|(pick, answer)| Step::Answer { pick, answer }),
        3 => (1..400_u16).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Flush),
        1 => Just(Step::DeadLetter),
        1 => proptest::option::of(prop_oneof![
            Just(Outage::UnknownCode),
            Just(Outage::Denied),
            Just(Outage::Missing),
            Just(Outage::Credentials),
        ]).prop_map(Step::Outage),
    ];
    prop::collection::vec(step, 1..150)
}

/// Returns the number of cases: 1,000 in a normal run, `PROPTEST_CASES` for more.
pub(super) fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(1_000)
}
