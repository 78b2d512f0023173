//! `leases`: who reads which shard of a table's stream, and a lease given free by hand.

use std::error::Error;
use std::time::Duration;

use clap::{Args, Subcommand};
use dynamodb_connector::streams::{Lease, Leases, Released, ShardId};
use serde::Serialize;

use crate::connection::Connection;
use crate::output::print;
use crate::usage::Misused;
use crate::{Ending, OutputFormat};

/// The least failover time of a worker.
const MIN_FAILOVER: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the leases: shard, worker, counter and checkpoint.
    List(List),
    /// Takes a lease from a worker that shows no sign of life, so that another may take it at once.
    Release(Release),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The lease table, e.g. decisions-leases
    lease_table: String,
    /// The format of the output: JSON takes a line for each
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The lease table, e.g. decisions-leases
    lease_table: String,
    /// The shard, as `leases list` names it
    shard: String,
    /// The time for which the worker must not have written its lease: no less than the workers' failover time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    failover: Duration,
    /// Takes it from a worker that lives, too: until that notices, within a third of its failover time, two workers may read the shard, and handle changes twice and side by side
    #[arg(long, conflicts_with = "failover")]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A lease as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    shard: &'a str,
    owner: Option<&'a str>,
    handed_over_by: Option<&'a str>,
    counter: u64,
    checkpoint: String,
}

pub(crate) async fn run(command: Command) -> Result<Ending, Box<dyn Error>> {
    match command {
        Command::List(arguments) => list(arguments).await,
        Command::Release(arguments) => release(arguments).await,
    }
}

async fn open(connection: Connection, lease_table: &str) -> Result<Leases, Box<dyn Error>> {
    let client = aws_sdk_dynamodb::Client::new(&connection.config().await?);
    Ok(Leases::new(&client, lease_table))
}

async fn list(arguments: List) -> Result<Ending, Box<dyn Error>> {
    let leases = open(arguments.connection, &arguments.lease_table).await?;
    let leases = leases.list().await?;
    match arguments.output {
        OutputFormat::Json => {
            for lease in &leases {
                print(format_args!("{}\n", serde_json::to_string(&shown(lease))?))?;
            }
        }
        OutputFormat::Text => print(table(&leases))?,
    }
    Ok(Ending::Done)
}

fn shown(lease: &Lease) -> Shown<'_> {
    Shown {
        shard: lease.shard().as_str(),
        owner: lease.owner(),
        handed_over_by: lease.handed_over_by(),
        counter: lease.counter(),
        checkpoint: lease.checkpoint(),
    }
}

/// The leases in columns, below a line of their names.
fn table(leases: &[Lease]) -> String {
    let head = ["SHARD", "WORKER", "COUNTER", "CHECKPOINT"].map(str::to_owned);
    let mut lines = vec![head];
    for lease in leases {
        let worker = match (lease.owner(), lease.handed_over_by()) {
            (Some(owner), Some(before)) => format!("{before}, to {owner}"),
            (Some(owner), None) => owner.to_owned(),
            (None, Some(before)) => before.to_owned(),
            (None, None) => "-".to_owned(),
        };
        lines.push([
            lease.shard().to_string(),
            worker,
            lease.counter().to_string(),
            lease.checkpoint(),
        ]);
    }
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let (shard, worker, counter) = (width(0), width(1), width(2));
    let line = |line: &[String; 4]| {
        let [one, two, three, four] = line;
        format!("{one:shard$}  {two:worker$}  {three:>counter$}  {four}\n")
    };
    lines.iter().map(line).collect()
}

async fn release(arguments: Release) -> Result<Ending, Box<dyn Error>> {
    let Release {
        lease_table,
        shard,
        failover,
        force,
        connection,
    } = arguments;
    if failover < MIN_FAILOVER {
        let told = "--failover takes the workers' failover time, 1s or more; --force takes a lease whatever its worker does";
        return Err(Misused(told.to_owned()).into());
    }
    let leases = open(connection, &lease_table).await?;
    let idle = if force { Duration::ZERO } else { failover };
    let released = leases.release(&ShardId::new(&shard), idle).await?;
    let why = match released {
        Released::Yes => {
            print(format_args!("released {shard}\n"))?;
            return Ok(Ending::Done);
        }
        Released::Renewed => {
            "its worker has just renewed it: stop that worker, or use --force and have changes handled twice"
        }
        Released::Unowned => "no worker has it",
        Released::Finished => "the shard was read to its end",
        Released::Missing => "there is no such lease; `leases list` shows those there are",
        _ => "it is in a state that this version does not know",
    };
    Err(format!("{shard} was not released: {why}").into())
}
