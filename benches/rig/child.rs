//! This executable in another process. Its first argument names the role that it has there, and
//! its task follows, as JSON.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use lexopt::{Arg, Parser, ValueExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Failure, clock};

/// The process, as its parent sees it. It is killed when this is dropped.
pub(crate) struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Carries out the task where this process was started in the role. To be called before the
/// arguments are read.
pub(crate) fn run_if_asked<T: DeserializeOwned>(
    role: &str,
    run: impl FnOnce(T) -> Result<(), Failure>,
) -> Option<Result<(), Failure>> {
    let mut arguments = Parser::from_env();
    let asked = matches!(arguments.next(), Ok(Some(Arg::Long(name))) if name == role);
    asked.then(|| run(serde_json::from_str(&arguments.value()?.string()?)?))
}

/// Ends this process when its parent closes its input, which it does when it ends itself at the
/// latest.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}

impl Child {
    pub(crate) fn start(role: &str, task: &impl Serialize) -> Result<Self, Failure> {
        Self::start_within(&[], role, task)
    }

    /// Starts it with these environment variables.
    pub(crate) fn start_within(
        environment: &[(&str, &str)],
        role: &str,
        task: &impl Serialize,
    ) -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(format!("--{role}"))
            .arg(serde_json::to_string(task)?)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().expect("the child's input is piped");
        let output = process.stdout.take().expect("the child's output is piped");
        Ok(Self {
            process,
            input,
            output: BufReader::new(output),
        })
    }

    /// Writes a line of JSON to its input.
    pub(crate) fn say(&mut self, what: &impl Serialize) -> Result<(), Failure> {
        Ok(writeln!(self.input, "{}", serde_json::to_string(what)?)?)
    }

    /// Waits for a line of its output.
    pub(crate) fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("a child process has ended: {}", self.process.wait()?).into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    /// Waits for a line of JSON.
    pub(crate) fn answer<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        Ok(serde_json::from_str(&self.line()?)?)
    }

    /// Kills it (SIGKILL), in the middle of anything, and returns the time of that.
    pub(crate) fn kill(&mut self) -> Result<Instant, Failure> {
        self.process.kill()?;
        let killed = clock::instant();
        self.process.wait()?;
        Ok(killed)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Fails where it has ended.
        let _ = self.kill();
    }
}
