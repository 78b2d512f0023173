//! The course of a worker: its order from outside, and the error that ends it.

use super::super::StreamsError;
use super::super::shared::Order;

pub(super) struct Course {
    order: Order,
    /// The first error that ends the source. From then on the order is to close.
    failure: Option<StreamsError>,
    /// Set once the leases that were asked for have been given back.
    is_leaving: bool,
}

impl Course {
    pub(super) fn new() -> Self {
        Self {
            order: Order::Run,
            failure: None,
            is_leaving: false,
        }
    }

    /// Follows the order from outside, unless the worker has failed.
    pub(super) fn follow(&mut self, order: Order) {
        self.order = match self.failure {
            Some(_) => Order::Close,
            None => order,
        };
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    pub(super) fn runs(&self) -> bool {
        self.order == Order::Run
    }

    /// Notes the result of a step. The first error ends the source.
    pub(super) fn note(&mut self, done: Result<(), StreamsError>) {
        if let Err(error) = done {
            self.fail(error);
        }
    }

    pub(super) fn fail(&mut self, error: StreamsError) {
        self.failure.get_or_insert(error);
    }

    /// Notes whether the worker gives its shards up. Returns whether that has just begun.
    pub(super) fn leaves(&mut self, closes: bool) -> bool {
        let left_before = std::mem::replace(&mut self.is_leaving, closes);
        closes && !left_before
    }

    /// Returns the result of the source.
    pub(super) fn end(self) -> Result<(), StreamsError> {
        self.failure.map_or(Ok(()), Err)
    }
}
