use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::admission::Limits;
use crate::kafka::KafkaSettings;
use crate::kafka::source::KafkaSourceSettings;
use crate::kafka::source::shared::Shared;

fn committed(offset: i64, mark: Option<Mark>) -> Committed {
    Committed { offset, mark }
}

fn mark(generation: u64, topic: Option<&str>) -> Mark {
    Mark {
        generation,
        partitions: 8,
        topic: topic.map(str::to_owned),
    }
}

#[test]
fn marks_are_read_as_they_are_written_and_those_of_others_are_not_marks() {
    for mark in [mark(0, None), mark(3, Some("zgbfdQFbTnGmTNH2vXVQ0w"))] {
        assert_eq!(Mark::read(&mark.to_string()), Some(mark));
    }
    let later = "v1;generation=1;partitions=2;since=5";
    assert_eq!(Mark::read(later).map(|mark| mark.generation), Some(1));
    for other in ["", "v2;generation=1", "checkpoint 7", "v1;generation=x"] {
        assert_eq!(Mark::read(other), None, "{other}");
    }
}

#[test]
fn a_committed_offset_that_is_still_there_is_the_start_whatever_is_set() {
    let mine = committed(5, Some(mark(0, Some("a"))));
    for start in [
        OffsetReset::Earliest,
        OffsetReset::Latest,
        OffsetReset::Committed,
    ] {
        for current in [mark(0, Some("a")), mark(0, None)] {
            let decided = decide(Some(&mine), &current, (5, 5), false, start);
            assert_eq!(decided, Start::Committed(5));
        }
    }
}

#[test]
fn offsets_that_are_gone_are_a_gap_also_at_latest() {
    let gap = |cause, wanted, at| Start::Gap { cause, wanted, at };
    for start in [OffsetReset::Earliest, OffsetReset::Latest] {
        let trimmed = decide(
            Some(&committed(10, None)),
            &mark(0, None),
            (60, 100),
            false,
            start,
        );
        assert_eq!(trimmed, gap(GapCause::Trimmed, 10, 60));
        let short = decide(
            Some(&committed(10, None)),
            &mark(0, None),
            (0, 9),
            false,
            start,
        );
        assert_eq!(short, gap(GapCause::TopicReplaced, 10, 0));
    }
    // The new topic is longer than the old one was read.
    for (was, is) in [
        (mark(0, Some("a")), mark(0, Some("b"))),
        (mark(0, None), mark(1, None)),
    ] {
        let replaced = decide(
            Some(&committed(10, Some(was))),
            &is,
            (0, 100),
            false,
            OffsetReset::Earliest,
        );
        assert_eq!(replaced, gap(GapCause::TopicReplaced, 10, 0));
    }
}

#[test]
fn without_an_offset_the_setting_decides_and_a_partition_that_was_added_is_read_whole() {
    let decide = |start, is_added| decide(None, &mark(0, None), (3, 9), is_added, start);
    assert_eq!(decide(OffsetReset::Earliest, false), Start::Oldest(3));
    assert_eq!(decide(OffsetReset::Latest, false), Start::Newest);
    assert_eq!(decide(OffsetReset::Latest, true), Start::Oldest(3));
    assert_eq!(decide(OffsetReset::Committed, true), Start::Unknown);
}

#[test]
fn partitions_are_counted_as_when_the_group_first_read_the_topic() {
    let of = |partitions| Mark {
        partitions,
        ..mark(0, None)
    };
    let opened_with = 9;
    let count = |marks: &[Option<Mark>]| {
        let commits = marks.iter().map(|mark| committed(5, mark.clone()));
        first_count(&(0..).zip(commits).collect(), opened_with)
    };
    assert_eq!(count(&[]), 9, "the group begins now");
    assert_eq!(count(&[None]), 9, "another program's commit says nothing");
    assert_eq!(count(&[Some(of(4)), None]), 4, "those from 4 on were added");
    assert_eq!(count(&[Some(of(6)), Some(of(4))]), 4);
    assert_eq!(count(&[Some(of(12))]), 12, "the topic was made again");
}

#[tokio::test]
async fn partitions_that_are_not_wanted_fail_only_starts_that_depend_on_them() {
    let kafka = MockCluster::new(1).expect("a mock");
    kafka.create_topic("events", 2, 1).expect("a topic");
    let servers = KafkaSettings::new(kafka.bootstrap_servers());
    let settings = KafkaSourceSettings::new("group", ["events"]);
    let configs = settings.clients(&servers).expect("settings of clients");
    let limits = Limits {
        records: 10,
        bytes: 1 << 20,
    };
    let shared = Shared::new(limits, "group");
    let clients = Clients::create(&configs.member, &configs.reader, &shared).expect("clients");
    let find = |start, errors: &[RDKafkaRespErr]| {
        kafka.request_errors(RDKafkaApiKey::OffsetFetch, errors);
        let search = Search {
            start,
            generation: 0,
            opened_with: [("events".into(), 2)].into(),
        };
        search.find(&clients, &[("events".into(), 0)]).remove(0)
    };
    // The wanted one is asked for first.
    let (fine, refused) = (
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
    );
    let found = find(OffsetReset::Earliest, &[fine, refused]).expect("found");
    assert_eq!(found.start, Start::Oldest(0));
    find(OffsetReset::Latest, &[fine, refused]).expect_err("it may have been added");
    let found = find(OffsetReset::Latest, &[]).expect("found");
    assert_eq!(found.start, Start::Newest);
    find(OffsetReset::Earliest, &[refused]).expect_err("the wanted one");
}
