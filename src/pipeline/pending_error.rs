//! The error that an output finds between its calls.

use std::sync::Arc;

use parking_lot::Mutex;

use super::endpoint_error::EndpointError;

/// The first error that an output's reports found since it was asked; it ends the pipeline. Its clones are
/// one, so that a report has it where the output is elsewhere.
#[derive(Clone, Default)]
pub(super) struct PendingError(Arc<Mutex<Option<EndpointError>>>);

impl PendingError {
    /// Keeps an error for the output's next call, unless there is one.
    pub(super) fn keep(&self, error: EndpointError) {
        self.0.lock().get_or_insert(error);
    }

    /// Returns the error that is kept, once.
    pub(super) fn check(&self) -> Result<(), EndpointError> {
        self.0.lock().take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_kept_and_given_out_once() {
        let pending = PendingError::default();
        let report = pending.clone();
        pending.check().expect("none yet");
        report.keep(EndpointError::new("the first"));
        report.keep(EndpointError::new("a later one"));
        let error = pending.check().expect_err("kept");
        assert_eq!(error.to_string(), "the first");
        pending.check().expect("given out");
    }
}
