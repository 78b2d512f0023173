//! The promises, checked after a run.

use super::*;

pub(super) fn check_requests(case: &Case, fake: &FaultyDynamoDb) {
    assert!(fake.overlaps().is_empty(), "{:?}", fake.overlaps());
    // Two more for descriptions: of a table in doubt, and for its capacity.
    assert!(fake.max_in_flight() <= case.settings.concurrency.1 + 2);
    for request in fake.requests() {
        if request.operation() == Some(Operation::BatchWriteItem) {
            assert!(
                (1..=case.settings.batch).contains(&request.items()),
                "{request:?}"
            );
            assert!(request.body_bytes() <= 16 << 20);
        }
    }
}

pub(super) fn check_letters(
    case: &Case,
    accepted: &[Accepted],
    letters: &[Option<u64>],
    aborted: bool,
) {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for id in letters.iter().flatten() {
        *counts.entry(*id).or_default() += 1;
    }
    for write in accepted {
        let count = counts.remove(&write.id).unwrap_or(0);
        let Some(outcome) = &write.outcome else {
            assert!(
                count <= 1,
                "write {} was dead-lettered {count} times",
                write.id
            );
            continue;
        };
        let dead = matches!(outcome, Outcome::Rejected { .. } | Outcome::Unknown { .. });
        if write.kind == Kind::Delete {
            continue;
        }
        if dead && case.settings.dead_letters && !aborted {
            assert_eq!(count, 1, "write {}, {outcome}", write.id);
        } else if !dead {
            assert_eq!(count, 0, "write {}, {outcome}", write.id);
        }
    }
    assert!(
        counts.is_empty(),
        "dead letters of writes that were never accepted"
    );
}

pub(super) fn check_table(
    case: &Case,
    fake: &FaultyDynamoDb,
    accepted: &[Accepted],
    aborted: bool,
) {
    let late = case.faults.late.0 > 0;
    let place: HashMap<u64, usize> = accepted
        .iter()
        .enumerate()
        .map(|(place, write)| (write.id, place))
        .collect();
    // What each key took, in order: the place of the write, or nothing for a delete.
    let mut lines: BTreeMap<u8, Vec<Option<usize>>> = BTreeMap::new();
    let mut times: HashMap<(usize, u8), usize> = HashMap::new();
    let mut last_key: HashMap<u8, Option<usize>> = HashMap::new();
    for write in fake.applied() {
        let key = key_number(&write.key());
        let which = write.after().map(|item| {
            let id = number(&item, "id").expect("an id");
            let place = place.get(&id);
            *place.unwrap_or_else(|| panic!("write {id} was applied and never accepted"))
        });
        assert_eq!(which.is_none(), write.kind() == AppliedKind::Delete);
        if let Some(which) = which {
            *times.entry((which, key)).or_default() += 1;
        }
        lines.entry(key).or_default().push(which);
        last_key.insert(key, which);
    }
    if !late {
        for (key, line) in &lines {
            in_order(accepted, *key, line);
        }
    }
    for (at, write) in accepted.iter().enumerate() {
        let name = format!("write {} ({:?}) {:?}", write.id, write.kind, write.outcome);
        for &key in &write.keys {
            let count = times.get(&(at, key)).copied().unwrap_or(0);
            if matches!(write.kind, Kind::Add | Kind::AddOnce | Kind::Transaction) {
                assert!(count <= 1, "{name} was applied {count} times");
            }
            if write.kind == Kind::Delete {
                continue;
            }
            match &write.outcome {
                Some(Outcome::Written) => assert!(count > 0, "{name} was not applied"),
                // A request that is applied late may meet a table where its condition holds again.
                Some(Outcome::ConditionFailed { .. }) if late => {}
                Some(outcome) if !outcome.may_have_applied() => {
                    assert_eq!(count, 0, "{name} was applied");
                }
                _ => {}
            }
        }
    }
    if aborted || late {
        return;
    }
    for key in 0..KEYS {
        // The last write of the key that took part. Where that is not certain, nothing is.
        let last = accepted.iter().enumerate().rev().find(|(_, write)| {
            write.keys.contains(&key)
                && write.outcome.as_ref().is_none_or(Outcome::may_have_applied)
        });
        let Some((at, write)) = last else { continue };
        if !matches!(write.outcome, Some(Outcome::Written)) {
            continue;
        }
        let item = fake.item(TABLE, [("pk", AttributeValue::S(pk(key)))]);
        let found = item.and_then(|item| number(&item, "id"));
        let wanted = (write.kind != Kind::Delete).then(|| accepted[at].id);
        assert_eq!(found, wanted, "key {key} holds another than its last write");
    }
}

/// Returns whether the applications of a key can be read as its writes in their order, some of them repeated.
pub(super) fn in_order(accepted: &[Accepted], key: u8, line: &[Option<usize>]) {
    let mut at = 0;
    for applied in line {
        match *applied {
            Some(which) => {
                assert!(
                    which >= at,
                    "key {key}: write {} landed after a later one, {}",
                    accepted[which].id,
                    accepted[at].id
                );
                at = which;
            }
            None => {
                let delete = accepted
                    .iter()
                    .enumerate()
                    .skip(at)
                    .find(|(_, write)| write.kind == Kind::Delete && write.keys.contains(&key));
                let (which, _) =
                    delete.unwrap_or_else(|| panic!("key {key}: a delete landed late"));
                at = which;
            }
        }
    }
    // A delete that is said to be written must have its place among the others.
    for (place, write) in accepted.iter().enumerate() {
        if write.kind != Kind::Delete
            || !write.keys.contains(&key)
            || !matches!(write.outcome, Some(Outcome::Written))
        {
            continue;
        }
        let fits = (0..line.len()).any(|spot| {
            line[spot].is_none()
                && line[..spot].iter().flatten().all(|&before| before < place)
                && line[spot..].iter().flatten().all(|&after| after > place)
        });
        assert!(fits, "delete {} was not applied in its turn", write.id);
    }
}
