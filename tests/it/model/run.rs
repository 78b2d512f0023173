//! A run of a case.

use super::*;

#[derive(Serialize)]
pub(super) struct Item {
    pub(super) pk: String,
    pub(super) id: u64,
}

#[derive(Serialize)]
pub(super) struct KeyOf {
    pub(super) pk: String,
}

pub(super) fn pk(key: u8) -> String {
    format!("key-{key}")
}

/// An accepted write.
pub(super) struct Accepted {
    pub(super) id: u64,
    pub(super) kind: Kind,
    pub(super) keys: Vec<u8>,
    /// `None` once taken, or where it was dropped.
    pub(super) receipt: Option<Receipt>,
    pub(super) outcome: Option<Outcome>,
}

/// The state that the tasks of a case share. All run on one thread, so the order in which they were accepted is the
/// order of `accepted`.
pub(super) struct Run {
    pub(super) table: TableSink,
    pub(super) settings: Settings,
    pub(super) accepted: RefCell<Vec<Accepted>>,
    pub(super) next_id: Cell<u64>,
}

impl Run {
    pub(super) fn id(&self) -> u64 {
        self.next_id.set(self.next_id.get() + 1);
        self.next_id.get()
    }

    pub(super) fn bounds(&self) {
        let stats = self.table.stats();
        assert!(stats.buffered_records <= self.settings.buffer, "{stats:?}");
        assert!(stats.buffered_bytes <= 64 << 20, "{stats:?}");
        assert!(stats.in_flight <= self.settings.concurrency.1, "{stats:?}");
    }

    pub(super) fn accept(
        &self,
        id: u64,
        kind: Kind,
        keys: Vec<u8>,
        keep: bool,
        entered: Result<Receipt, SubmitError>,
    ) {
        self.bounds();
        match entered {
            Ok(receipt) => self.accepted.borrow_mut().push(Accepted {
                id,
                kind,
                keys,
                receipt: keep.then_some(receipt),
                outcome: None,
            }),
            Err(SubmitError::Closed | SubmitError::Full) => {}
            Err(error) => panic!("refused: {error}"),
        }
    }

    pub(super) async fn step(&self, step: &Step) {
        let table = &self.table;
        match *step {
            Step::Write { kind, key, keep } => {
                let id = self.id();
                let item = Item { pk: pk(key), id };
                let of = KeyOf { pk: pk(key) };
                let add = "SET id = :id ADD n :one";
                let mut keys = vec![key];
                let entered = match kind {
                    Kind::Put => table.put(&item).await,
                    Kind::Delete => table.delete(&of).await,
                    Kind::Set => table.update(&of, "SET id = :id").value(":id", &id).await,
                    Kind::Add => {
                        table
                            .update(&of, add)
                            .value(":id", &id)
                            .value(":one", &1)
                            .await
                    }
                    Kind::AddOnce => {
                        table
                            .update(&of, add)
                            .value(":id", &id)
                            .value(":one", &1)
                            .exactly_once()
                            .await
                    }
                    Kind::NewerBy => table.put(&item).newer_by("id").await,
                    Kind::IfAbsent => table.put(&item).condition("attribute_not_exists(pk)").await,
                    Kind::Transaction => {
                        let other = (key + 1) % KEYS;
                        keys.push(other);
                        let of = KeyOf { pk: pk(other) };
                        let add = table.update(&of, add).value(":id", &id).value(":one", &1);
                        table.transaction().add(table.put(&item)).add(add).await
                    }
                };
                self.accept(id, kind, keys, keep, entered);
            }
            Step::Try { key } => {
                let id = self.id();
                let entered = table.put(&Item { pk: pk(key), id }).try_submit();
                self.accept(id, Kind::Put, vec![key], true, entered);
            }
            Step::Both { key } => {
                let (first, second) = (self.id(), self.id());
                let write = |id| async move {
                    let entered = table.put(&Item { pk: pk(key), id }).await;
                    self.accept(id, Kind::Put, vec![key], true, entered);
                };
                tokio::join!(write(first), write(second));
            }
            Step::GiveUp { key, after } => {
                let id = self.id();
                let item = Item { pk: pk(key), id };
                let write = async {
                    let entered = table.put(&item).await;
                    self.accept(id, Kind::Put, vec![key], true, entered);
                };
                // Given up, nothing was submitted: it is not among the accepted and must never be applied.
                let _ = tokio::time::timeout(ms(after), write).await;
            }
            Step::Flush => self.flush().await,
            Step::Snapshot => self.snapshot().await,
            Step::Sleep { millis } => tokio::time::sleep(ms(millis)).await,
        }
    }

    /// Returns whether each of the first `count` accepted writes has its outcome, as far as receipts are held.
    pub(super) fn resolved(&self, count: usize) -> Vec<bool> {
        let mut accepted = self.accepted.borrow_mut();
        accepted
            .iter_mut()
            .take(count)
            .map(|write| {
                if let Some(receipt) = &mut write.receipt
                    && write.outcome.is_none()
                {
                    write.outcome = receipt.try_outcome();
                }
                write.receipt.is_none() || write.outcome.is_some()
            })
            .collect()
    }

    pub(super) async fn flush(&self) {
        let count = self.accepted.borrow().len();
        match self.table.flush().await {
            Ok(()) | Err(DrainError::Unobserved { .. } | DrainError::Closed) => {}
            Err(error) => panic!("flush: {error}"),
        }
        assert!(
            self.resolved(count).into_iter().all(|resolved| resolved),
            "a flush was done before a write submitted earlier"
        );
    }

    pub(super) async fn snapshot(&self) {
        let count = self.accepted.borrow().len();
        let snapshot = match self.table.snapshot().await {
            Ok(snapshot) => snapshot,
            Err(DrainError::Closed) => return,
            Err(error) => panic!("snapshot: {error}"),
        };
        let bytes = snapshot.to_bytes();
        let read = Snapshot::from_bytes(&bytes).expect("what was written can be read");
        assert_eq!(read.len(), snapshot.len());
        assert_eq!(read.to_bytes(), bytes);
        assert!(snapshot.len() <= self.settings.buffer);
        let text = String::from_utf8(bytes).expect("text");
        let resolved = self.resolved(count);
        for (write, resolved) in self.accepted.borrow().iter().zip(resolved) {
            let there = text.contains(&format!(r#"{{"N":"{}"}}"#, write.id));
            assert!(
                resolved || there || write.kind == Kind::Delete,
                "write {} is missing in a snapshot",
                write.id
            );
        }
    }
}

/// The id that a dead letter's record carries; a delete has none.
pub(super) fn id_of(record: &WriteRecord) -> Option<u64> {
    let part = record.parts().first().expect("a part");
    let text = match part.kind() {
        dynamodb_connector::sink::WriteKind::Update => part.expressions(),
        _ => String::from_utf8(part.item().as_json().to_vec()).expect("text"),
    };
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let value = json
        .get("id")
        .or_else(|| json.get("ExpressionAttributeValues")?.get(":id"))?;
    value["N"].as_str()?.parse().ok()
}

pub(super) fn number(item: &HashMap<String, AttributeValue>, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

pub(super) fn key_number(item: &HashMap<String, AttributeValue>) -> u8 {
    let text = item["pk"].as_s().expect("a string");
    text["key-".len()..].parse().expect("a number")
}

pub(super) async fn run(case: &Case) {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    let letters: Arc<Mutex<Vec<Option<u64>>>> = Arc::default();
    let mut builder = DynamoDbSink::builder(&fake.client())
        .table(TABLE, case.settings.table())
        .seed(case.seed);
    if case.settings.dead_letters {
        let letters = Arc::clone(&letters);
        builder = builder.dead_letters(move |letter| {
            let letters = Arc::clone(&letters);
            async move {
                letters.lock().push(id_of(&letter.record));
                tokio::time::sleep(ms(30)).await;
                Ok(())
            }
        });
    }
    let sink = builder.open().await.expect("opened");
    let table = sink.table(TABLE).expect("opened");
    case.faults.arm(&fake, case.seed);
    let outage = case.faults.outage.clone().map(|outage| {
        let (fake, faults, seed) = (fake.clone(), case.faults.clone(), case.seed);
        tokio::spawn(async move {
            tokio::time::sleep(ms(outage.after)).await;
            for fault in outage.kind.faults() {
                fake.inject(fault);
            }
            tokio::time::sleep(ms(outage.lasts)).await;
            fake.heal();
            faults.arm(&fake, seed);
        })
    });

    let run = Rc::new(Run {
        table: table.clone(),
        settings: case.settings.clone(),
        accepted: RefCell::default(),
        next_id: Cell::new(0),
    });
    let local = tokio::task::LocalSet::new();
    let aborted = local
        .run_until(async {
            let mut tasks = Vec::new();
            for steps in case.tasks.clone() {
                let run = Rc::clone(&run);
                tasks.push(tokio::task::spawn_local(async move {
                    for step in &steps {
                        run.step(step).await;
                    }
                }));
            }
            let mut aborted = false;
            match case.ending {
                Ending::Close => {}
                Ending::CloseAfter(after) => {
                    tokio::time::sleep(ms(after)).await;
                    let closed = table.close().await;
                    assert!(
                        matches!(closed, Ok(()) | Err(DrainError::Unobserved { .. })),
                        "{closed:?}"
                    );
                }
                Ending::AbortAfter(after) => {
                    tokio::time::sleep(ms(after)).await;
                    table.abort().await;
                    aborted = true;
                }
                Ending::AllAfter(after) => {
                    tokio::time::sleep(ms(after)).await;
                    let (_, flushed, snapshot, closed) = tokio::join!(
                        table.abort(),
                        table.flush(),
                        table.snapshot(),
                        table.close()
                    );
                    let errors = [flushed.err(), snapshot.err(), closed.err()];
                    for error in errors {
                        assert!(matches!(error, Some(DrainError::Closed)), "{error:?}");
                    }
                    aborted = true;
                }
            }
            for task in tasks {
                if let Err(error) = task.await {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
            aborted
        })
        .await;
    let closed = table.close().await;
    match case.ending {
        Ending::Close => assert!(
            matches!(closed, Ok(()) | Err(DrainError::Unobserved { .. })),
            "{closed:?}"
        ),
        _ => assert!(matches!(closed, Err(DrainError::Closed)), "{closed:?}"),
    }
    let mut accepted = run.accepted.take();
    for write in &mut accepted {
        if let (None, Some(receipt)) = (&write.outcome, write.receipt.take()) {
            write.outcome = Some(receipt.await);
        }
    }
    // What the service applies late is applied by now.
    tokio::time::sleep(Duration::from_secs(300)).await;
    if let Some(outage) = outage {
        outage.await.expect("no panic");
    }
    fake.heal();

    let stats = table.stats();
    let outcomes = stats.written
        + stats.superseded
        + stats.condition_failed
        + stats.rejected
        + stats.unwritten;
    assert_eq!(
        outcomes,
        accepted.len() as u64,
        "one outcome each: {stats:?}"
    );
    assert_eq!((stats.buffered_records, stats.buffered_bytes), (0, 0));
    check_requests(case, &fake);
    check_letters(case, &accepted, &letters.lock(), aborted);
    check_table(case, &fake, &accepted, aborted);
}
