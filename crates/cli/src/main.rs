//! `dynamodb-connector` on the command line. What each command does is in the crate's README.

#[cfg(not(any(feature = "aws", feature = "demo")))]
compile_error!("without a feature there is no command: enable `aws` or `demo`");

#[cfg(feature = "aws")]
mod connection;
#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "aws")]
mod leases;
#[cfg(feature = "aws")]
mod load;
mod output;
#[cfg(feature = "aws")]
mod tail;
mod usage;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Get data into DynamoDB and lose nothing.
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
    /// Loads a file into a table: CSV, JSON lines, or DynamoDB's JSON as exports have it.
    #[cfg(feature = "aws")]
    Load(load::Arguments),
    /// Prints a table's changes as they come, a JSON object on each line.
    #[cfg(feature = "aws")]
    Tail(tail::Arguments),
    /// Shows who reads which shard of a table's stream, and gives a lease free.
    #[cfg(feature = "aws")]
    #[command(subcommand)]
    Leases(leases::Command),
}

/// The format in which a command prints its result.
#[cfg(feature = "aws")]
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OutputFormat {
    /// For people
    Text,
    /// For programs, on one line
    Json,
}

/// The end of a command, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// 0: all was done.
    Done,
    /// 1: it failed, or not all of it was done.
    Failed,
    /// 3: all was done but for what is in the dead-letter file.
    #[cfg(feature = "aws")]
    DeadLettered,
    /// 130, as shells expect of a program that Ctrl-C ended: what was begun was finished first.
    Interrupted,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Done => 0,
            Ending::Failed => 1,
            #[cfg(feature = "aws")]
            Ending::DeadLettered => 3,
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
    #[cfg(feature = "aws")]
    log();
    match run(cli.command).await {
        Ok(ending) => ending.into(),
        Err(error) => usage::report(&*error),
    }
}

/// Shows on standard error what the library warns of: failures that last, and that they are over.
#[cfg(feature = "aws")]
fn log() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::prelude::*;

    let ours = Targets::new()
        .with_target("dynamodb_connector", LevelFilter::WARN)
        .with_target("dynamodb_connector::health", LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines).with(ours).init();
}

async fn run(command: Command) -> Result<Ending, Box<dyn Error>> {
    match command {
        #[cfg(feature = "demo")]
        Command::Demo => demo::run().await,
        #[cfg(feature = "aws")]
        Command::Load(arguments) => load::run(arguments).await,
        #[cfg(feature = "aws")]
        Command::Leases(command) => leases::run(command).await,
        #[cfg(feature = "aws")]
        Command::Tail(arguments) => tail::run(arguments).await,
    }
}
