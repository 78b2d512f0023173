use super::*;
use crate::streams::ShardId;

fn sequence(number: u32) -> SequenceNumber {
    number.to_string().parse().expect("digits")
}

fn row(checkpoint: Checkpoint) -> LeaseRow {
    LeaseRow::new(ShardId::new("s"), checkpoint)
}

fn failure(code: &str, fresh: bool) -> ReadFailure {
    let body = format!(r#"{{"__type": "x#{code}"}}"#);
    let error = crate::transport::settle(400, None, body.into()).expect_err("a refusal");
    ReadFailure {
        operation: "GetRecords",
        error,
        fresh,
        iterator: Some("iterator".to_owned()),
    }
}

const NOW: Duration = Duration::from_secs(7);
const TRIMMED: &str = "TrimmedDataAccessException";
const GONE: &str = "ResourceNotFoundException";

#[test]
fn what_is_trimmed_behind_a_record_is_missing_for_certain() {
    let mut position = Position::new(&row(Checkpoint::After(sequence(7))), None, false, 7);
    let stale = position.failed(&mut failure(TRIMMED, false), NOW);
    assert_eq!(stale, Failed::Again, "its iterator alone may be too old");
    assert_eq!(position.next(), (ReadFrom::After(sequence(7)), None));
    let fresh = position.failed(&mut failure(TRIMMED, true), NOW);
    assert_eq!(fresh, Failed::Gap(GapCause::Trimmed));
    assert_eq!(position.next(), (ReadFrom::TrimHorizon, None));
}

#[test]
fn what_is_trimmed_where_a_shard_begins_is_perhaps_missing() {
    let mut row = row(Checkpoint::TrimHorizon);
    row.first = Some(sequence(5));
    let mut position = Position::new(&row, None, false, 7);
    assert_eq!(position.next().0, ReadFrom::First(sequence(5)));
    let told = position.failed(&mut failure(TRIMMED, true), NOW);
    assert_eq!(told, Failed::Gap(GapCause::PossiblyTrimmed));
    assert_eq!(position.next().0, ReadFrom::TrimHorizon);
}

#[test]
fn a_shard_that_is_trimmed_whole_holds_nothing() {
    let mut position = Position::new(&row(Checkpoint::TrimHorizon), None, false, 7);
    for _ in 1..ANSWERS_NEEDED {
        assert_eq!(
            position.failed(&mut failure(TRIMMED, true), NOW),
            Failed::Later
        );
    }
    assert_eq!(
        position.failed(&mut failure(TRIMMED, true), NOW),
        Failed::Empty
    );
    assert_eq!(position.read(Pages::default(), NOW), None);
    assert_eq!(
        position.failed(&mut failure(TRIMMED, true), NOW),
        Failed::Later
    );
}

#[test]
fn a_shard_that_is_gone_is_a_gap_unless_it_is_of_a_first_start() {
    let mut born = row(Checkpoint::TrimHorizon);
    born.first = Some(sequence(5));
    let lost = Failed::GapAndEnd(GapCause::ShardLost);
    let mut first = row(Checkpoint::TrimHorizon);
    first.created = Some(RETENTION_MS);
    let mut old = row(Checkpoint::TrimHorizon);
    old.created = Some(1);
    for (row, last) in [
        (first, Failed::End),
        (old, Failed::GapAndEnd(GapCause::ShardLost)),
        // Another library's row does not show whether the shard was born since.
        (
            row(Checkpoint::TrimHorizon),
            Failed::GapAndEnd(GapCause::ShardLost),
        ),
        (row(Checkpoint::After(sequence(7))), lost),
        (born, Failed::GapAndEnd(GapCause::ShardLost)),
    ] {
        let mut position = Position::new(&row, None, false, RETENTION_MS + 7);
        for _ in 1..ANSWERS_NEEDED {
            assert_eq!(
                position.failed(&mut failure(GONE, true), NOW),
                Failed::Later
            );
        }
        assert_eq!(position.failed(&mut failure(GONE, true), NOW), last);
    }
}

#[test]
fn an_iterator_at_latest_is_kept_as_long_as_it_serves() {
    let pinned = || Some("pinned".to_owned());
    let mut position = Position::new(&row(Checkpoint::Latest), pinned(), false, 7);
    assert_eq!(position.next(), (ReadFrom::Latest, pinned()));
    position.failed(&mut failure("InternalServerError", false), NOW);
    assert_eq!(position.next().1.as_deref(), Some("iterator"));
    let expired = position.failed(&mut failure("ExpiredIteratorException", false), NOW);
    assert_eq!(expired, Failed::Again);
    assert_eq!(position.next(), (ReadFrom::TrimHorizon, None));

    let mut position = Position::new(&row(Checkpoint::Latest), pinned(), false, 7);
    let page = Pages {
        next: pinned(),
        first: Some(sequence(3)),
        last: Some(sequence(4)),
        oldest: Some(1),
    };
    assert_eq!(position.read(page, NOW), None);
    position.rewind(None);
    assert_eq!(position.next(), (ReadFrom::At(sequence(3)), None));
}

#[test]
fn a_refusal_without_a_better_reason_is_no_end_and_a_denied_read_is() {
    let mut position = Position::new(&row(Checkpoint::TrimHorizon), None, false, 7);
    for code in [
        "ValidationException",
        "RequestEntityTooLarge",
        "UnheardOfException",
    ] {
        for _ in 0..100 {
            let refused = position.failed(&mut failure(code, true), NOW);
            assert_eq!(refused, Failed::Later);
        }
    }
    let denied = position.failed(&mut failure("AccessDeniedException", true), NOW);
    assert_eq!(denied, Failed::GiveUp);
}

#[test]
fn at_dynamodb_local_nothing_is_missing_of_a_shard_that_was_read_up_a_moment_ago() {
    for (ago, told) in [
        (Duration::from_secs(1), Failed::Again),
        (JUST_READ_UP, Failed::Gap(GapCause::Trimmed)),
    ] {
        let shard = ShardId::new("shardId-00000000000000500000-0");
        let row = LeaseRow::new(shard, Checkpoint::After(sequence(7)));
        let mut position = Position::new(&row, None, true, 7);
        for _ in 0..ANSWERS_NEEDED {
            position.read(Pages::default(), NOW);
        }
        let trimmed = position.failed(&mut failure(TRIMMED, true), NOW + ago);
        assert_eq!(trimmed, told);
        assert_eq!(position.next().0, ReadFrom::TrimHorizon);
    }
}

#[test]
fn at_dynamodb_local_the_first_record_tells_whether_any_was_trimmed() {
    let mut row = LeaseRow::new(ShardId::new("shardId-00000000000000500000-0"), {
        Checkpoint::TrimHorizon
    });
    row.first = Some(sequence(5));
    for (oldest, told) in [(440_001, None), (440_000, Some(GapCause::PossiblyTrimmed))] {
        let mut position = Position::new(&row, None, true, 7);
        let refused = position.failed(&mut failure(TRIMMED, true), NOW);
        assert_eq!(refused, Failed::Again);
        let page = Pages {
            first: Some(sequence(8)),
            last: Some(sequence(8)),
            oldest: Some(oldest),
            next: None,
        };
        assert_eq!(position.read(page, NOW), told);
    }
    let mut position = Position::new(&row, None, true, 7);
    position.failed(&mut failure(TRIMMED, true), NOW);
    for _ in 1..ANSWERS_NEEDED {
        assert_eq!(
            position.failed(&mut failure(TRIMMED, true), NOW),
            Failed::Later
        );
    }
    let gap = Failed::Gap(GapCause::PossiblyTrimmed);
    assert_eq!(position.failed(&mut failure(TRIMMED, true), NOW), gap);
    assert_eq!(
        position.failed(&mut failure(TRIMMED, true), NOW),
        Failed::Empty
    );
}
