//! A measurement in a process of its own, with a heap that nothing else has grown.

use std::process::{Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Failure;

/// The argument that makes this executable a variant's process. The task follows, as JSON.
const ARGUMENT: &str = "--variant";

/// Carries the task out and prints its figures, if this process was started for that.
pub(crate) fn run_if_asked<T: DeserializeOwned, F: Serialize>(
    run: impl FnOnce(T) -> Result<F, Failure>,
) -> Option<Result<(), Failure>> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(ARGUMENT) {
        return None;
    }
    let task = arguments.next().unwrap_or_default();
    let print = || {
        let figures = run(serde_json::from_str(&task)?)?;
        println!("{}", serde_json::to_string(&figures)?);
        Ok(())
    };
    Some(print())
}

/// Has a new process carry the task out, with these environment variables, and returns its figures.
pub(crate) fn run<F: DeserializeOwned>(
    task: &impl Serialize,
    environment: &[(&str, &str)],
) -> Result<F, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .arg(ARGUMENT)
        .arg(serde_json::to_string(task)?)
        .envs(environment.iter().copied())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("a variant's process: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
