//! The model, its run of a case, and the promises.

use super::*;

/// The service: the writes applied to each key, in order, by their numbers.
struct Model {
    core: TestCore,
    now: Duration,
    rules: Rules,
    next: u64,
    /// Key, and whether sending it twice is forbidden, by write number.
    submitted: BTreeMap<u64, (Vec<String>, bool)>,
    poisoned: HashSet<u64>,
    in_flight: Vec<Request>,
    applied: HashMap<String, Vec<u64>>,
    tokens: HashSet<String>,
    outcomes: BTreeMap<u64, Outcome>,
    flushes: BTreeMap<u64, u64>,
    letters: Vec<DeadLettered>,
    outage: Option<Outage>,
    outages: u32,
}

impl Model {
    /// Returns a new model. `budgeted` has a table of little capacity, and two indexes of less.
    fn new(rules: Rules, concurrency: usize, budgeted: bool) -> Self {
        Self {
            core: if budgeted {
                with_budgets(rules.clone(), concurrency, 40, &[10, 5])
            } else {
                core(rules.clone(), concurrency)
            },
            now: ms(0),
            rules,
            next: 0,
            submitted: BTreeMap::new(),
            poisoned: HashSet::new(),
            in_flight: Vec::new(),
            applied: HashMap::new(),
            tokens: HashSet::new(),
            outcomes: BTreeMap::new(),
            flushes: BTreeMap::new(),
            letters: Vec::new(),
            outage: None,
            outages: 0,
        }
    }

    fn submit(&mut self, keys: &[u8], once: bool, make: impl FnOnce(u64) -> Submission<u64>) {
        let number = self.next;
        self.next += 1;
        let names: Vec<String> = keys.iter().map(|key| format!("k{key}")).collect();
        self.submitted.insert(number, (names, once));
        let mut submission = make(number);
        // Each key has its own costs: up to four units, and every set of the indexes.
        let key = keys.first().copied().unwrap_or_default();
        let mut indexes = IndexSet::default();
        for index in [0, 1].into_iter().filter(|index| key >> index & 1 == 1) {
            indexes.insert(index);
        }
        submission.cost = Cost::of_size(600 * (1 + usize::from(key)), indexes);
        submission.partition = u64::from(key % 3);
        self.core.submit(self.now, submission);
    }

    /// Returns the writes of a request by key and number. A batched delete has no number in the
    /// body.
    fn writes(&self, request: &Request) -> Vec<(String, u64)> {
        let sent = self.core.requests.writes(request.id);
        let number = |place: usize| {
            self.core
                .queue
                .get(sent[place])
                .expect("in flight")
                .write
                .completion
        };
        contents(request)
            .into_iter()
            .enumerate()
            .map(|(place, (key, found))| (key, found.unwrap_or_else(|| number(place))))
            .collect()
    }

    fn send(&mut self) {
        if let Some(request) = self.core.next_request(self.now) {
            assert!(request.items <= self.rules.max_batch_items);
            assert!(request.body.len() <= self.rules.max_batch_bytes);
            let mut keys: Vec<String> = self
                .in_flight
                .iter()
                .chain([&request])
                .flat_map(contents)
                .map(|(key, _)| key)
                .collect();
            let all = keys.len();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), all, "a key is twice in flight");
            self.in_flight.push(request);
        }
        self.assert_none_late();
        self.collect();
    }

    /// Checks that only writes in flight, or with the handler, outlive their deadline.
    fn assert_none_late(&self) {
        for (_, entry) in self.core.queue.iter() {
            let late = |write: &Write<u64>| write.deadline.is_some_and(|at| at <= self.now);
            let own = !matches!(entry.state, State::DeadLettered(_)) && late(&entry.write);
            let late = own || entry.older.values().any(late);
            assert!(!late || matches!(entry.state, State::InFlight));
        }
    }

    fn apply(&mut self, request: &Request) {
        if request.operation == Operation::TransactWriteItems {
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            let token = body["ClientRequestToken"]
                .as_str()
                .expect("a token")
                .to_owned();
            if !self.tokens.insert(token) {
                return;
            }
        }
        for (key, number) in self.writes(request) {
            self.applied.entry(key).or_default().push(number);
        }
    }

    fn answer(&mut self, pick: u8, answer: &Answer) {
        if self.in_flight.is_empty() {
            return;
        }
        let request = self
            .in_flight
            .swap_remove(usize::from(pick) % self.in_flight.len());
        let batch = request.operation == Operation::BatchWriteItem;
        let writes = self.writes(&request);
        let poisoned = writes
            .iter()
            .any(|(_, number)| self.poisoned.contains(number));
        let failure = match answer {
            _ if self.outage.is_some() => self.outage.map(Outage::error),
            _ if poisoned => Some(error(ErrorClass::Invalid, "ValidationException")),
            Answer::Done => None,
            Answer::Unprocessed(_) if batch => None,
            Answer::Unprocessed(_) | Answer::Throttled => {
                Some(error(ErrorClass::Throttled, "ThrottlingException"))
            }
            Answer::Transient => Some(error(ErrorClass::Transient, "ConnectFailed")),
            Answer::Lost(_) => Some(error(ErrorClass::Ambiguous, "ConnectionClosed")),
            Answer::Refused if batch && request.items > 1 => {
                // Spurious: alone they pass.
                Some(error(ErrorClass::Invalid, "ValidationException"))
            }
            Answer::Refused => Some(error(ErrorClass::Transient, "ConnectFailed")),
        };
        let mut unprocessed = Vec::new();
        match (&failure, answer) {
            (None, Answer::Unprocessed(mask)) => {
                for (place, (key, number)) in writes.into_iter().enumerate() {
                    if mask >> (place % 32) & 1 == 1 {
                        let json = format!("{{\"pk\":{{\"S\":\"{key}\"}}}}");
                        let key = item::key_of_json(json.as_bytes(), &schema());
                        unprocessed.push(key.expect("a key"));
                    } else {
                        self.applied.entry(key).or_default().push(number);
                    }
                }
            }
            (None, _) => self.apply(&request),
            (Some(_), Answer::Lost(true)) if !poisoned && self.outage.is_none() => {
                self.apply(&request);
            }
            (Some(_), _) => {}
        }
        if batch {
            let answer = failure.map_or(
                Ok(BatchOutcome {
                    unprocessed,
                    consumed: None,
                }),
                Err,
            );
            self.core.on_batch(self.now, request.id, answer);
        } else {
            let answer = failure.map_or(Ok(()), Err);
            self.core
                .on_call(self.now, request.id, answer.map(|()| None));
        }
        self.collect();
    }

    fn collect(&mut self) {
        if self.core.take_describe(self.now) {
            let described = match self.outage {
                None | Some(Outage::UnknownCode) => Described::Unchanged,
                Some(Outage::Denied | Outage::Credentials) => {
                    Described::Failed(error(ErrorClass::Ambiguous, "InternalServerError"))
                }
                Some(Outage::Missing) => Described::Missing(Outage::Missing.error()),
            };
            self.core.on_described(self.now, described);
        }
        self.letters.extend(self.core.take_dead_letters());
        for settled in settled(&mut self.core) {
            let before = self.outcomes.insert(settled.completion, settled.outcome);
            assert!(
                before.is_none(),
                "write {} has two outcomes",
                settled.completion
            );
        }
        for flush in self.core.take_flushed() {
            let upto = self.flushes.remove(&flush).expect("a flush is done once");
            let open = (0..upto).find(|number| !self.outcomes.contains_key(number));
            assert_eq!(open, None, "the flush did not wait for this write");
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Put {
                key,
                deadline,
                poison,
            } => {
                if *poison {
                    self.poisoned.insert(self.next);
                }
                let deadline = deadline.map(|millis| ms(u64::from(millis)));
                self.submit(&[*key], false, |n| Submission {
                    deadline,
                    ..put(*key, n)
                });
            }
            Step::Delete { key } => self.submit(&[*key], false, |n| delete(*key, n)),
            Step::Update { key, idempotent } => self.submit(&[*key], !idempotent, |n| {
                single(WriteKind::Update, *key, n, *idempotent)
            }),
            Step::Conditional { key } => {
                self.submit(&[*key], false, |n| single(WriteKind::Put, *key, n, true));
            }
            Step::Transaction { first, second } => {
                self.submit(&[*first, *second], true, |n| {
                    transaction(&[*first, *second], n)
                });
            }
            Step::Send => self.send(),
            Step::Answer { pick, answer } => self.answer(*pick, answer),
            Step::Pass { millis } => self.now += ms(u64::from(*millis)),
            Step::Flush => {
                let flush = self.flushes.len() as u64 + self.next * 1_000;
                if self.flushes.contains_key(&flush) {
                    return;
                }
                self.flushes.insert(flush, self.next);
                self.core.flush(flush);
                self.collect();
            }
            Step::Outage(outage) => {
                self.outage = *outage;
                self.outages += 1;
            }
            Step::DeadLetter => {
                if let Some(letter) = self.letters.pop() {
                    self.core.dead_lettered(self.now, letter.ticket, true);
                    self.collect();
                }
            }
        }
    }

    /// Runs to the end, with a service that fails no more.
    fn drain(&mut self) {
        self.outage = None;
        self.core.drain();
        for _ in 0..100_000 {
            if self.core.is_idle() {
                return;
            }
            let sent = self.in_flight.len();
            self.send();
            if !self.in_flight.is_empty() {
                self.answer(0, &Answer::Done);
            } else if let Some(letter) = self.letters.pop() {
                self.core.dead_lettered(self.now, letter.ticket, true);
                self.collect();
            } else if sent == 0 && !self.core.is_idle() {
                let wake = self.core.wake_at().expect("it never blocks for ever");
                self.now = self.now.max(wake);
            }
        }
        panic!("it does not come to an end");
    }

    fn judge(&self) {
        assert!(self.flushes.is_empty(), "every flush is done");
        assert_eq!(self.core.queue.keys(), 0);
        assert!(self.core.isolation.is_empty());
        assert!(!self.core.queue.has_ready());
        assert!(self.core.queue.parked().is_empty());
        assert_eq!(self.core.queue.batched().bytes(), 0);
        for (number, (keys, once)) in &self.submitted {
            let outcome = self
                .outcomes
                .get(number)
                .expect("every write has an outcome");
            for key in keys {
                let applied = self.applied.get(key).map_or(0, |applied| {
                    applied.iter().filter(|found| *found == number).count()
                });
                if outcome.is_written() {
                    assert!(applied > 0, "write {number} is said to be written");
                } else if !outcome.may_have_applied() {
                    assert_eq!(applied, 0, "write {number}: {outcome:?}");
                }
                if *once {
                    assert!(applied <= 1, "write {number} was applied {applied} times");
                }
            }
            if let Outcome::Rejected {
                reason: RejectReason::Refused { .. },
                ..
            } = outcome
            {
                let cause = self.poisoned.contains(number) || self.outages > 10;
                assert!(cause, "write {number} is rejected for an outage");
            }
            if matches!(outcome, Outcome::Superseded) {
                let newer = self.submitted.range(number + 1..);
                let mut newer = newer.filter(|(_, (others, _))| others == keys);
                let covered = newer.any(|(number, _)| self.outcomes[number].is_written());
                assert!(
                    covered,
                    "write {number} is superseded by none that was written"
                );
            }
        }
        for (key, applied) in &self.applied {
            assert!(applied.is_sorted(), "{key} was reordered: {applied:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Checks arbitrary interleavings of submissions, answers, faults, time, flushes and the end.
    #[test]
    fn nothing_is_lost_duplicated_or_reordered(
        steps in steps(),
        concurrency in 1..5_usize,
        max_batch_items in 1..8_usize,
        coalesce: bool,
        dead_letters: bool,
        budgeted: bool,
        max_attempts in proptest::option::of(1..6_u32),
    ) {
        let rules = Rules {
            max_batch_items,
            max_batch_bytes: 600,
            coalesce,
            max_attempts,
            dead_letters,
            ..rules()
        };
        let mut model = Model::new(rules, concurrency, budgeted);
        for step in &steps {
            model.step(step);
        }
        model.drain();
        model.judge();
    }

    /// Checks that every write has one true outcome if the table is aborted at any moment.
    #[test]
    fn aborted_at_any_moment_every_write_has_one_outcome(
        steps in steps(),
        concurrency in 1..5_usize,
        dead_letters: bool,
    ) {
        let mut model = Model::new(Rules { dead_letters, ..rules() }, concurrency, true);
        for step in &steps {
            model.step(step);
        }
        let saved = model.core.snapshot().len();
        let open = model.submitted.len() - model.outcomes.len();
        prop_assert_eq!(saved, open, "a snapshot holds what has no outcome");
        model.core.abort(model.now);
        model.letters.clear();
        model.collect();
        model.judge();
    }
}
