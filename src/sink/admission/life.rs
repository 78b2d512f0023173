//! The end of an admission.

use crate::sink::error::SubmitError;

/// The life of an admission, of its worker and of its handles. It only ever moves forward.
#[derive(Debug, Default)]
pub(super) struct Life {
    closed: Option<SubmitError>,
    /// Set once the worker has ended and receives no more.
    ended: bool,
    /// Set if the worker did not end in order, but with its runtime.
    lost: bool,
    /// Set once all handles are gone.
    orphaned: bool,
}

impl Life {
    /// Returns the reason for which callers are turned away, if they are.
    pub(super) fn closed(&self) -> Option<&SubmitError> {
        self.closed.as_ref()
    }

    /// Turns callers away for this reason. Returns `false` if they were turned away before: the
    /// first reason stays.
    pub(super) fn close(&mut self, reason: SubmitError) -> bool {
        let open = self.closed.is_none();
        self.closed.get_or_insert(reason);
        open
    }

    /// Notes that the worker ends in order.
    pub(super) fn finish(&mut self) {
        self.ended = true;
    }

    /// Notes that the worker has ended. It is lost unless it ended in order before.
    pub(super) fn end(&mut self) {
        self.lost = !self.ended;
        self.ended = true;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Notes that all handles are gone.
    pub(super) fn orphan(&mut self) {
        self.orphaned = true;
    }

    pub(super) fn is_orphaned(&self) -> bool {
        self.orphaned
    }
}
