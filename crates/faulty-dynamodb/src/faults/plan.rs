//! Seeded random faults, and which writes of a batch they leave unprocessed.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::effects::{Delivery, Effects};
use super::fault::Fault;
use crate::item::throttle::Throttle;
use crate::item::value::{Item, item_to_sdk};
use crate::store::execution::Leave;
use crate::store::operation::Operation;

/// A test on a key.
pub(crate) type KeyPredicate = Arc<dyn Fn(&HashMap<String, AttributeValue>) -> bool + Send + Sync>;

/// The writes of a `BatchWriteItem`, or the keys of a `BatchGetItem`, that come back unprocessed.
#[derive(Clone)]
pub(crate) enum Selection {
    All,
    Count(usize),
    Ratio(f64),
    Keys(KeyPredicate),
}

impl Leave for Selection {
    fn choose(
        &self,
        count: usize,
        key: &dyn Fn(usize) -> Item,
        rng: &mut fastrand::Rng,
    ) -> Vec<bool> {
        match self {
            Self::All => vec![true; count],
            Self::Count(left) => {
                let mut chosen: Vec<bool> = (0..count).map(|at| at < *left).collect();
                rng.shuffle(&mut chosen);
                chosen
            }
            Self::Ratio(ratio) => (0..count).map(|_| rng.f64() < *ratio).collect(),
            Self::Keys(predicate) => (0..count)
                .map(|at| predicate(&item_to_sdk(&key(at))))
                .collect(),
        }
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Count(count) => write!(f, "Count({count})"),
            Self::Ratio(ratio) => write!(f, "Ratio({ratio})"),
            Self::Keys(_) => f.write_str("Keys(..)"),
        }
    }
}

/// Random faults by probability, the same ones for the same seed and order of requests.
///
/// Each probability is a number from 0 to 1 and 0 until set; those outside are moved to the nearer
/// end. A request suffers at most one of throttling, errors, closed connections, lost answers and
/// late application: where their probabilities sum to more than 1, the later ones starve. Delay and
/// unprocessed items come on top of that. Every request draws from a generator of its own,
/// seeded by the plan's seed and the request's number, so one request's faults do not depend on
/// another's.
///
/// Operations on tables (`CreateTable`, `DescribeTable`, …) are left alone unless named with
/// [`operations`](Self::operations).
///
/// ```
/// use std::time::Duration;
/// use faulty_dynamodb::FaultPlan;
///
/// let plan = FaultPlan::seeded(42)
///     .unprocessed(0.2)
///     .throttle(0.05)
///     .close_after(0.01)
///     .delay(0.1, Duration::from_millis(1)..=Duration::from_millis(200));
/// # drop(plan);
/// ```
#[derive(Clone, Debug)]
pub struct FaultPlan {
    seed: u64,
    operations: Option<Vec<Operation>>,
    unprocessed: f64,
    delay: Option<(f64, RangeInclusive<Duration>)>,
    late: Option<(f64, RangeInclusive<Duration>)>,
    choices: Vec<(f64, Choice)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Throttle,
    InternalError,
    InternalErrorAfter,
    Unavailable,
    CloseBefore,
    CloseAfter,
    Never,
    NeverAfter,
    Garbage,
    Truncated,
}

impl FaultPlan {
    /// A plan without faults, with this seed.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            operations: None,
            unprocessed: 0.0,
            delay: None,
            late: None,
            choices: Vec::new(),
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Strikes these operations and no others. Default: all but those on tables.
    #[must_use]
    pub fn operations(mut self, operations: impl IntoIterator<Item = Operation>) -> Self {
        self.operations = Some(operations.into_iter().collect());
        self
    }

    /// Leaves each write of a `BatchWriteItem`, and each key of a `BatchGetItem`, unprocessed with this probability.
    #[must_use]
    pub fn unprocessed(mut self, probability: f64) -> Self {
        self.unprocessed = clamp(probability);
        self
    }

    /// Refuses requests with a throttling exception, one of the three at random.
    #[must_use]
    pub fn throttle(self, probability: f64) -> Self {
        self.choice(probability, Choice::Throttle)
    }

    /// Answers `InternalServerError` (500) without applying anything.
    #[must_use]
    pub fn internal_error(self, probability: f64) -> Self {
        self.choice(probability, Choice::InternalError)
    }

    /// Applies the request and answers `InternalServerError` (500).
    #[must_use]
    pub fn internal_error_after(self, probability: f64) -> Self {
        self.choice(probability, Choice::InternalErrorAfter)
    }

    /// Answers `ServiceUnavailable` (503) without applying anything.
    #[must_use]
    pub fn unavailable(self, probability: f64) -> Self {
        self.choice(probability, Choice::Unavailable)
    }

    /// Closes the connection without applying or answering.
    #[must_use]
    pub fn close_before(self, probability: f64) -> Self {
        self.choice(probability, Choice::CloseBefore)
    }

    /// Applies the request and closes the connection without answering.
    #[must_use]
    pub fn close_after(self, probability: f64) -> Self {
        self.choice(probability, Choice::CloseAfter)
    }

    /// Neither applies nor answers: the sender has to give up.
    #[must_use]
    pub fn never(self, probability: f64) -> Self {
        self.choice(probability, Choice::Never)
    }

    /// Applies the request and never answers.
    #[must_use]
    pub fn never_after(self, probability: f64) -> Self {
        self.choice(probability, Choice::NeverAfter)
    }

    /// Applies the request and answers 200 with a body that is no JSON.
    #[must_use]
    pub fn garbage(self, probability: f64) -> Self {
        self.choice(probability, Choice::Garbage)
    }

    /// Applies the request and breaks off in the middle of the answer.
    #[must_use]
    pub fn truncated(self, probability: f64) -> Self {
        self.choice(probability, Choice::Truncated)
    }

    /// Answers slowly, by a time drawn from the range: half of it passes before the request is
    /// applied and half of it after.
    #[must_use]
    pub fn delay(mut self, probability: f64, range: RangeInclusive<Duration>) -> Self {
        self.delay = Some((clamp(probability), range));
        self
    }

    /// Applies the request after a time drawn from the range even if its sender has gone by then.
    #[must_use]
    pub fn apply_late(mut self, probability: f64, range: RangeInclusive<Duration>) -> Self {
        self.late = Some((clamp(probability), range));
        self
    }

    fn choice(mut self, probability: f64, choice: Choice) -> Self {
        self.choices.retain(|(_, known)| *known != choice);
        self.choices.push((clamp(probability), choice));
        self
    }

    /// The faults of one request.
    pub(crate) fn roll(&self, operation: Operation, rng: &mut fastrand::Rng) -> Effects {
        let struck = match &self.operations {
            Some(operations) => operations.contains(&operation),
            None => !operation.is_control_plane(),
        };
        // Everything is drawn before anything is decided, so that setting one probability does not
        // change what another one strikes.
        let (which, delayed, late) = (rng.f64(), rng.f64(), rng.f64());
        let (delay_share, late_share, throttle) = (rng.f64(), rng.f64(), rng.usize(0..3));
        if !struck {
            return Effects::default();
        }
        let mut effects = self.chosen(which, throttle);
        if let Some((_, range)) = self.delay.as_ref().filter(|(p, _)| delayed < *p) {
            let delay = between(range, delay_share);
            effects.before += delay / 2;
            effects.after += delay / 2;
            effects.name.get_or_insert("delay");
        }
        if let Some((_, range)) = self.late.as_ref().filter(|(p, _)| late < *p)
            && effects.delivery == Delivery::Whole
            && effects.refuse.is_none()
        {
            effects.late = Some(between(range, late_share));
            effects.name = Some("apply late");
        }
        let is_batch = matches!(
            operation,
            Operation::BatchWriteItem | Operation::BatchGetItem
        );
        if self.unprocessed > 0.0 && is_batch {
            effects.leave = Some(Selection::Ratio(self.unprocessed));
        }
        effects
    }

    fn chosen(&self, which: f64, throttle: usize) -> Effects {
        let mut from = 0.0;
        for (probability, choice) in &self.choices {
            from += probability;
            if which < from {
                return choice.fault(throttle).effects;
            }
        }
        Effects::default()
    }
}

impl Choice {
    fn fault(self, throttle: usize) -> Fault {
        match self {
            Self::Throttle => Fault::throttled(match throttle {
                0 => Throttle::ProvisionedThroughput,
                1 => Throttle::Throttling,
                _ => Throttle::RequestLimit,
            }),
            Self::InternalError => Fault::internal_error(),
            Self::InternalErrorAfter => Fault::internal_error().after_applying(),
            Self::Unavailable => Fault::service_unavailable(),
            Self::CloseBefore => Fault::close_before(),
            Self::CloseAfter => Fault::close_after(),
            Self::Never => Fault::never_answer(),
            Self::NeverAfter => Fault::never_answer().after_applying(),
            Self::Garbage => Fault::garbage_body(),
            Self::Truncated => Fault::truncated_body(),
        }
    }
}

fn clamp(probability: f64) -> f64 {
    if probability.is_nan() {
        0.0
    } else {
        probability.clamp(0.0, 1.0)
    }
}

fn between(range: &RangeInclusive<Duration>, share: f64) -> Duration {
    let spread = range.end().saturating_sub(*range.start());
    *range.start() + spread.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;

    fn rolls(plan: &FaultPlan) -> Vec<String> {
        (0..200)
            .map(|number| {
                let mut rng = generator(plan.seed(), number);
                format!("{:?}", plan.roll(Operation::PutItem, &mut rng))
            })
            .collect()
    }

    #[test]
    fn the_seed_decides() {
        let plan = |seed| FaultPlan::seeded(seed).throttle(0.3).close_after(0.2);
        assert_eq!(rolls(&plan(1)), rolls(&plan(1)));
        assert_ne!(rolls(&plan(1)), rolls(&plan(2)));
    }

    #[test]
    fn probabilities_are_kept() {
        let plan = FaultPlan::seeded(7).internal_error(0.25);
        let struck = (0..4000)
            .filter(|&number| {
                let mut rng = generator(7, number);
                plan.roll(Operation::PutItem, &mut rng).refuse.is_some()
            })
            .count();
        assert!((900..1100).contains(&struck), "{struck}");
    }

    #[test]
    fn tables_are_spared_unless_named() {
        let mut rng = generator(1, 1);
        let plan = FaultPlan::seeded(1).internal_error(1.0);
        assert!(
            plan.roll(Operation::DescribeTable, &mut rng)
                .refuse
                .is_none()
        );
        let plan = plan.operations([Operation::DescribeTable]);
        assert!(
            plan.roll(Operation::DescribeTable, &mut rng)
                .refuse
                .is_some()
        );
        assert!(plan.roll(Operation::PutItem, &mut rng).refuse.is_none());
    }

    #[test]
    fn a_count_leaves_exactly_that_many() {
        let mut rng = generator(1, 1);
        let chosen = Selection::Count(3).choose(10, &|_| Item::new(), &mut rng);
        assert_eq!(chosen.iter().filter(|left| **left).count(), 3);
        assert_eq!(
            Selection::Count(9).choose(2, &|_| Item::new(), &mut rng),
            [true, true]
        );
    }
}
