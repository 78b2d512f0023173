//! The effects of a fault, and the script of those that wait.

use std::time::Duration;

use super::fault::Fault;
use super::plan::Selection;
use crate::item::error::Refusal;
use crate::store::operation::Operation;
use crate::store::request::Targets;

/// The effects of a fault on one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects {
    pub(crate) name: Option<&'static str>,
    pub(crate) before: Duration,
    pub(crate) after: Duration,
    pub(crate) late: Option<Duration>,
    pub(crate) refuse: Option<Refusal>,
    /// The request is applied although it is refused, closed or not answered.
    pub(crate) applies: bool,
    pub(crate) leave: Option<Selection>,
    pub(crate) delivery: Delivery,
}

/// The way in which the answer reaches the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Delivery {
    #[default]
    Whole,
    Close,
    Never,
    Garbage,
    Truncated,
    /// An answer without body, or with a body that DynamoDB did not write.
    Bare(u16, &'static str),
}

/// The faults that wait for a request, in the order in which they were injected.
#[derive(Debug, Default)]
pub(crate) struct Script(Vec<Fault>);

impl Script {
    pub(crate) fn push(&mut self, fault: Fault) {
        if fault.times != Some(0) {
            self.0.push(fault);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The fault for a request: the first that matches and has nothing left to skip.
    pub(crate) fn strike(&mut self, operation: Operation, targets: &Targets) -> Option<Effects> {
        for at in 0..self.0.len() {
            let fault = &mut self.0[at];
            if !fault.matches(operation, targets) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            let effects = fault.effects.clone();
            if let Some(times) = &mut fault.times {
                *times -= 1;
                if *times == 0 {
                    self.0.remove(at);
                }
            }
            return Some(effects);
        }
        None
    }
}
