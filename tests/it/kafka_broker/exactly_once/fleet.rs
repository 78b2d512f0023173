//! Processes of the application, which are killed, stopped, and left.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::member::{TASK, Task};

/// The longest that a process may take to leave.
const LEAVING: Duration = Duration::from_secs(120);

/// The processes, each in its place. Dropped, all are killed.
pub(super) struct Fleet {
    pub(super) task: Task,
    next: u64,
    places: Vec<Option<(Child, ChildStdin)>>,
    /// The ends of processes that were to go on, or to leave.
    pub(super) failed: Vec<ExitStatus>,
}

impl Fleet {
    pub(super) fn new(task: Task, places: usize, seed: u64) -> Self {
        Self {
            task,
            next: seed * 1_000,
            places: (0..places).map(|_| None).collect(),
            failed: Vec::new(),
        }
    }

    /// Starts a process in each place.
    pub(super) fn start_all(&mut self) {
        (0..self.places.len()).for_each(|place| self.start(place));
    }

    pub(super) fn start(&mut self, place: usize) {
        self.next += 10;
        let task = Task {
            seed: self.next,
            // One place has a name that stays.
            instance: (place == 0).then(|| "first".to_owned()),
            ..self.task.clone()
        };
        let child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["kafka_broker::exactly_once::member_process", "--exact"])
            .args(["--ignored", "--nocapture"])
            .env(TASK, serde_json::to_string(&task).expect("JSON"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.expect("a process");
        // Apart: a process is waited for without it, and ends with it.
        let input = child.stdin.take().expect("piped");
        self.places[place] = Some((child, input));
    }

    pub(super) async fn kill(&mut self, place: usize) {
        if let Some((mut child, _)) = self.places[place].take() {
            if let Some(status) = child.try_wait().expect("it is ours") {
                self.failed.push(status);
                return;
            }
            child.kill().await.expect("killed");
        }
    }

    pub(super) async fn kill_all(&mut self) {
        for place in 0..self.places.len() {
            self.kill(place).await;
        }
    }

    pub(super) fn signal(&self, place: usize, signal: Signal) {
        let child = self.places[place].as_ref();
        let id = child
            .and_then(|(child, _)| child.id())
            .and_then(|id| i32::try_from(id).ok());
        if let Some(process) = id.and_then(Pid::from_raw) {
            rustix::process::kill_process(process, signal).expect("it runs");
        }
    }

    /// Has a process leave by SIGTERM, and waits for its end.
    pub(super) async fn leave(&mut self, place: usize) {
        self.signal(place, Signal::TERM);
        self.left(place).await;
    }

    pub(super) async fn leave_all(&mut self) {
        for place in 0..self.places.len() {
            self.signal(place, Signal::TERM);
        }
        for place in 0..self.places.len() {
            self.left(place).await;
        }
    }

    async fn left(&mut self, place: usize) {
        let status = self.ended(place, LEAVING).await;
        if !status.success() {
            self.failed.push(status);
        }
    }

    /// Waits for a process that ends by itself.
    pub(super) async fn ended(&mut self, place: usize, longest: Duration) -> ExitStatus {
        let (mut child, _input) = self.places[place].take().expect("it runs");
        let ended = timeout(longest, child.wait()).await;
        ended.expect("it ends").expect("it is ours")
    }
}
