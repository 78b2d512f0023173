//! Members of a group as processes that join, leave and are killed at random, while partitions that go are held.
//!
//! No partition is ever open at two members, no record is read outside the time in which its partition is open, and
//! every record is read. A control whose guards are dropped early must be found out.

mod member;
mod timeline;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use dynamodb_connector::kafka::{KafkaSink, KafkaSinkSettings, ProducerRecord};

use super::{Topic, unique};
use member::{MARK, Protocol, TASK, Task};
use timeline::{Entry, Timeline, now_micros};

const PARTITIONS: i32 = 12;
const PLACES: usize = 3;
/// The time that all records may take to be read once the members come to rest: those of a killed member wait for
/// its session to end.
const REST: Duration = Duration::from_secs(90);

/// The process that is killed. Without a task there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of its own, which the other tests start and kill"]
async fn member_process() {
    if let Some(task) = member::task() {
        member::run(&task).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_classic_group_no_partition_has_two_owners() {
    churn(Protocol::Classic, false, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_group_of_the_consumer_protocol_no_partition_has_two_owners() {
    churn(Protocol::Consumer, false, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_let_go_early_are_found_out() {
    churn(Protocol::Classic, true, 3).await;
}

/// The time for which members come and go.
fn seconds() -> u64 {
    let set = std::env::var("KAFKA_CHURN_SECONDS").ok();
    set.map_or(25, |seconds| seconds.parse().expect("a number"))
}

/// A place of the group: a member for some seconds, then none for some.
struct Place {
    member: Option<(usize, Child)>,
    until: Instant,
}

struct Fleet {
    task: Task,
    next: usize,
    lines: mpsc::Sender<Entry>,
    leaving: Vec<Child>,
}

impl Fleet {
    fn start(&mut self) -> (usize, Child) {
        let number = self.next;
        self.next += 1;
        let task = Task {
            member: number,
            ..self.task.clone()
        };
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["kafka_broker::churn::member_process", "--exact"])
            .args(["--ignored", "--nocapture"])
            .env(TASK, serde_json::to_string(&task).expect("JSON"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a member");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let lines = self.lines.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The test harness may have begun the line.
                if let Some((_, entry)) = line.split_once(MARK) {
                    // The test may have failed.
                    let _ = lines.send(Entry::read(number, entry));
                }
            }
        });
        (number, child)
    }

    /// Has a member leave: its standard input ends.
    fn leave(&mut self, mut child: Child) {
        drop(child.stdin.take());
        self.leaving.push(child);
    }

    fn kill(&mut self, number: usize, mut child: Child) {
        child.kill().expect("killed");
        child.wait().expect("it ends");
        let _ = self.lines.send(Entry::killed(number));
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in &mut self.leaving {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "processes live in real time")]
async fn churn(protocol: Protocol, is_early: bool, seed: u64) {
    let Some(topic) = Topic::new("churn", PARTITIONS, &[]).await else {
        return;
    };
    let (lines, entries) = mpsc::channel();
    let mut fleet = Fleet {
        task: Task {
            bootstrap: topic.bootstrap.clone(),
            topic: topic.name.clone(),
            group: unique("group"),
            protocol,
            is_early,
            member: 0,
        },
        next: 0,
        lines,
        leaving: Vec::new(),
    };
    let sink = topic.sink(&KafkaSinkSettings::default()).await;
    let (halt, halted) = tokio::sync::watch::channel(false);
    let writer = tokio::spawn(write(sink, topic.name.clone(), halted));
    let mut rng = fastrand::Rng::with_seed(seed);
    let began = Instant::now();
    let mut places: Vec<Place> = (0..PLACES)
        .map(|_| Place {
            member: None,
            until: began + Duration::from_millis(rng.u64(0..2_000)),
        })
        .collect();
    let seconds = if is_early {
        seconds().min(25)
    } else {
        seconds()
    };
    let mut timeline = Timeline::default();
    // On a slow machine for longer, until something has happened.
    let longest = Duration::from_secs(seconds) + REST;
    while began.elapsed() < Duration::from_secs(seconds)
        || (began.elapsed() < longest && !timeline.has_shown(is_early))
    {
        for place in &mut places {
            if place.until > Instant::now() {
                continue;
            }
            let lasts = match place.member.take() {
                Some((number, child)) => {
                    match rng.u8(0..6) {
                        0 => fleet.kill(number, child),
                        _ => fleet.leave(child),
                    }
                    rng.u64(500..4_000)
                }
                None => {
                    place.member = Some(fleet.start());
                    rng.u64(5_000..12_000)
                }
            };
            place.until = Instant::now() + Duration::from_millis(lasts);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        timeline.extend(entries.try_iter());
    }
    halt.send(true).expect("it writes");
    let written = writer.await.expect("no panic");
    for place in &mut places {
        place.member.get_or_insert_with(|| fleet.start());
    }
    let rest = Instant::now();
    while timeline.unread(written) > 0 {
        timeline.extend(entries.try_iter());
        assert!(
            rest.elapsed() < REST,
            "{} records are not read",
            timeline.unread(written)
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for place in &mut places {
        if let Some((_, child)) = place.member.take() {
            fleet.leave(child);
        }
    }
    let last = Instant::now();
    for child in &mut fleet.leaving {
        while child.try_wait().expect("it is ours").is_none() {
            assert!(last.elapsed() < REST, "a member does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    timeline.extend(entries.try_iter());
    let found = timeline.check();
    assert!(found.openings > 20, "too little happened: {found:?}");
    if is_early {
        assert!(found.overlaps > 0, "the check finds nothing: {found:?}");
        return;
    }
    assert!(
        found.overlaps == 0 && found.strays == 0,
        "{:?}, until {}: {:#?}",
        found,
        now_micros(),
        found.problems
    );
}

/// Writes a record to each partition now and then, and returns how many each has.
async fn write(sink: KafkaSink, topic: String, halted: tokio::sync::watch::Receiver<bool>) -> i64 {
    let mut written = 0;
    while !*halted.borrow() {
        for partition in 0..PARTITIONS {
            let record = ProducerRecord::new(topic.as_str(), "x").partition(partition);
            drop(sink.send(record).await.expect("accepted"));
        }
        written += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sink.close().await.expect("delivered");
    written
}
