//! A measurement in a process of its own, with a heap that nothing else has grown.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Failure;
use super::child::{self, Child};

const ROLE: &str = "variant";

/// Carries the task out and prints its figures, if this process was started for that.
pub(crate) fn run_if_asked<T: DeserializeOwned, F: Serialize>(
    run: impl FnOnce(T) -> Result<F, Failure>,
) -> Option<Result<(), Failure>> {
    child::run_if_asked(ROLE, |task| {
        println!("{}", serde_json::to_string(&run(task)?)?);
        Ok(())
    })
}

/// Has a new process carry the task out, with these environment variables, and returns its figures.
pub(crate) fn run<F: DeserializeOwned>(
    task: &impl Serialize,
    environment: &[(&str, &str)],
) -> Result<F, Failure> {
    Child::start_within(environment, ROLE, task)?.answer()
}
