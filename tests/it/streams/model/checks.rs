//! What must be so when all is over.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::GapCause;
use dynamodb_connector::test_util::FaultyDynamoDb;

use super::super::rig::TABLE;
use super::LEASES;
use super::ledger::{Ledger, tail};

type Row = HashMap<String, AttributeValue>;

fn string<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    row.get(name)?.as_s().ok().map(String::as_str)
}

fn rows_by_shard(fake: &FaultyDynamoDb) -> BTreeMap<String, Row> {
    let rows = fake.items(LEASES).into_iter();
    rows.map(|row| (string(&row, "leaseKey").expect("a key").to_owned(), row))
        .collect()
}

/// Whether each open shard is one worker's and none has two more than another, and all others are finished.
pub(super) fn spread(fake: &FaultyDynamoDb, workers: &[String]) -> Result<(), String> {
    let rows = rows_by_shard(fake);
    let mut loads: BTreeMap<&str, usize> = workers.iter().map(|name| (&**name, 0)).collect();
    for shard in fake.shards(TABLE) {
        let name = tail(shard.id());
        let Some(row) = rows.get(shard.id()) else {
            if shard.is_open() {
                return Err(format!("{name} has no row"));
            }
            continue;
        };
        let checkpoint = string(row, "checkpoint").unwrap_or_default();
        if !shard.is_open() {
            if checkpoint != "SHARD_END" {
                return Err(format!("{name} is at {checkpoint}, not at its end"));
            }
            continue;
        }
        let owner = string(row, "leaseOwner").unwrap_or_default();
        let owner = owner.rsplit_once('-').map_or(owner, |(name, _)| name);
        match loads.get_mut(owner) {
            Some(load) if string(row, "checkpointOwner").is_none() => *load += 1,
            _ => return Err(format!("{name} is of {owner:?}")),
        }
    }
    let (most, least) = (loads.values().max(), loads.values().min());
    if most
        .zip(least)
        .is_some_and(|(most, least)| most - least > 1)
    {
        return Err(format!("the loads are {loads:?}"));
    }
    Ok(())
}

/// Whether each row is at its shard's end, or at its last record.
pub(super) fn positions(fake: &FaultyDynamoDb, ledger: &Ledger) -> Result<(), String> {
    let rows = rows_by_shard(fake);
    let changes = ledger.changes();
    for shard in fake.shards(TABLE) {
        let name = tail(shard.id());
        let Some(row) = rows.get(shard.id()) else {
            continue;
        };
        let checkpoint = string(row, "checkpoint").unwrap_or_default();
        let done = changes
            .iter()
            .filter(|(_, change)| change.shard == shard.id() && change.done.is_some());
        let last = done.map(|(_, change)| change.sequence).max();
        let wanted = match (shard.is_open(), last) {
            (false, _) => "SHARD_END".to_owned(),
            // Where the application began at LATEST, the row of a shard of that time still says so.
            (true, None) if checkpoint == "LATEST" => "LATEST".to_owned(),
            (true, None) => "TRIM_HORIZON".to_owned(),
            (true, Some(last)) => last.to_string(),
        };
        if checkpoint != wanted {
            return Err(format!("{name} is left at {checkpoint}, not at {wanted}"));
        }
    }
    Ok(())
}

/// Each row is where its shard ends, and names no worker.
pub(super) fn rows(fake: &FaultyDynamoDb, ledger: &Ledger) {
    if let Err(problem) = positions(fake, ledger) {
        ledger.wrong(problem);
    }
    let rows = rows_by_shard(fake);
    // A finished lease belongs to no worker, whichever it names.
    for shard in fake.shards(TABLE).iter().filter(|shard| shard.is_open()) {
        let row = rows.get(shard.id());
        if let Some(owner) = row.and_then(|row| string(row, "leaseOwner")) {
            ledger.wrong(format!("{} is left to {owner}", tail(shard.id())));
        }
    }
}

/// No checkpoint passed what was not done, or went back.
pub(super) fn checkpoints(fake: &FaultyDynamoDb, ledger: &Ledger) {
    let changes = ledger.changes();
    let place = |checkpoint: &str| match checkpoint {
        "SHARD_END" => u128::MAX,
        "TRIM_HORIZON" | "LATEST" => 0,
        number => number.parse().expect("a number"),
    };
    for write in fake.applied() {
        if write.table() != LEASES {
            continue;
        }
        let Some(after) = write.after() else { continue };
        let shard = string(&after, "leaseKey").expect("a key");
        let now = place(string(&after, "checkpoint").expect("every row has one"));
        let before = write.before();
        let before = before.as_ref().and_then(|row| string(row, "checkpoint"));
        let before = before.map_or(0, place);
        if now < before {
            ledger.wrong(format!("the checkpoint of {} went back", tail(shard)));
        }
        if now == before {
            continue;
        }
        for (which, change) in &changes {
            let passed = change.shard == shard && change.sequence <= now;
            let done = change.done.is_some_and(|done| done <= write.at());
            if passed && !done && !change.lost && !change.unwanted {
                ledger.wrong(format!(
                    "at {:?} the checkpoint of {} passed {which:?}, done at {:?}",
                    write.at(),
                    tail(shard),
                    change.done
                ));
            }
        }
    }
}

/// What was lost and not handled is in a gap that was told of, and no gap was told of without cause.
///
/// At DynamoDB Local, where a shard's first change is hours younger than the shard, as with a clock that goes wrong, it can't be known
/// whether there were others before.
pub(super) fn gaps(ledger: &Ledger, like_local: bool) {
    let changes = ledger.changes();
    let told = ledger.gaps();
    let is_told = |cause| told.iter().any(|gap| gap.cause == cause);
    let (lost, replaced) = (
        is_told(GapCause::ShardLost),
        is_told(GapCause::StreamReplaced),
    );
    let gaps: Vec<(String, u128)> = told
        .into_iter()
        .map(|gap| {
            let shard = gap.partition.as_deref().unwrap_or_default();
            let is_caused = match gap.cause {
                GapCause::Trimmed | GapCause::PossiblyTrimmed => true,
                GapCause::ShardLost => ledger.has_vanished(shard),
                GapCause::StreamReplaced => changes.iter().any(|(_, change)| change.replaced),
                _ => false,
            };
            if !is_caused {
                ledger.wrong(format!("a gap without a cause: {gap}"));
            }
            let after = gap
                .after
                .map_or(0, |after| after.parse::<u128>().expect("it fits"));
            let shard = gap.partition.map(|shard| shard.to_string());
            (shard.unwrap_or_default(), after)
        })
        .collect();
    for (which, change) in &changes {
        let in_a_gap = gaps
            .iter()
            .any(|(shard, after)| *shard == change.shard && *after < change.sequence);
        // Of generations that vanish together before they are known the youngest stands for all.
        let told =
            in_a_gap || change.replaced && replaced || ledger.has_vanished(&change.shard) && lost;
        let missed = change.lost && !change.unmissed && !change.unwanted;
        if missed && change.done.is_none() && !told {
            ledger.wrong(format!("{which:?} was lost and no gap tells of it"));
        }
    }
    for (shard, after) in &gaps {
        // Of a shard that is gone it can't be known whether anything was left.
        let is_only_possible = like_local && *after == 0;
        if shard.is_empty() || is_only_possible || ledger.has_vanished(shard) {
            continue;
        }
        let cause = changes
            .iter()
            .any(|(_, change)| change.lost && change.shard == *shard && change.sequence > *after);
        if !cause {
            ledger.wrong(format!("a gap in {} without a cause", tail(shard)));
        }
    }
}

/// Every change of a lease row, for whoever has to find out what went wrong.
pub(super) fn lease_writes(fake: &FaultyDynamoDb) -> String {
    let mut lines = Vec::new();
    for write in fake.applied() {
        if let Some(row) = write.after().filter(|_| write.table() == LEASES) {
            let text = |name| string(&row, name).unwrap_or("-");
            lines.push(format!(
                "{:>9.3} {} owner {} from {} at {}",
                write.at().as_secs_f64(),
                tail(text("leaseKey")),
                text("leaseOwner"),
                text("checkpointOwner"),
                text("checkpoint"),
            ));
        }
    }
    lines.join("\n")
}
