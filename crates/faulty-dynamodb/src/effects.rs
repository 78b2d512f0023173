//! What a fault does, and the script of those that wait.

use std::time::Duration;

use super::error::Refusal;
use super::fault::Fault;
use super::operation::Operation;
use super::plan::Selection;
use super::request::Targets;

/// What a fault does to one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    pub(super) name: Option<&'static str>,
    pub(super) before: Duration,
    pub(super) after: Duration,
    pub(super) late: Option<Duration>,
    pub(super) refuse: Option<Refusal>,
    /// The request is applied although it is refused, closed or not answered.
    pub(super) applies: bool,
    pub(super) leave: Option<Selection>,
    pub(super) delivery: Delivery,
}

/// How the answer reaches the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Delivery {
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
pub(super) struct Script(Vec<Fault>);

impl Script {
    pub(super) fn push(&mut self, fault: Fault) {
        if fault.times != Some(0) {
            self.0.push(fault);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The fault for a request: the first that matches and has nothing left to skip.
    pub(super) fn strike(&mut self, operation: Operation, targets: &Targets) -> Option<Effects> {
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
