//! `dynamodb-connector` on the command line. What each command does is in the crate's README.

#[cfg(not(feature = "demo"))]
compile_error!("without a feature there is no command: enable `demo`");

#[cfg(feature = "demo")]
mod demo;
mod usage;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// See dynamodb-connector work.
#[derive(Debug, Parser)]
#[command(name = "dynamodb-connector", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Brings 1,000 credit decisions through a DynamoDB and a Kafka broker within this process.
    #[cfg(feature = "demo")]
    Demo,
}

/// How a command ended, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// 0: all was done.
    Done,
    /// 1: it failed, or not all of it was done.
    Failed,
    /// 130, as shells expect of a program that Ctrl-C ended: what was begun was finished first.
    Interrupted,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Done => 0,
            Ending::Failed => 1,
            Ending::Interrupted => 130,
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::explain(&error),
    };
    match run(cli.command).await {
        Ok(ending) => ending.into(),
        Err(error) => {
            eprintln!("dynamodb-connector: {error}");
            Ending::Failed.into()
        }
    }
}

async fn run(command: Command) -> Result<Ending, Box<dyn Error>> {
    match command {
        #[cfg(feature = "demo")]
        Command::Demo => demo::run().await,
    }
}
