//! Pipelines that end in transactions.

use super::builder::Pipeline;
use super::chain::Chain;
use super::dead_letter::{DeadLetter, DeadLettersTo, NoDeadLetters};
use super::gate_keeper::GateKeeper;
use super::job::Job;
use super::kafka_transactions::{KafkaTransactions, TransactionalSource};
use super::operator::Operator;
use super::transactional_output::TransactionalOutput;
use super::transactional_sink::{TransactionalSink, Way};

/// Dead letters of `R` that a [`TransactionalOutput`] makes records of.
pub type LettersInTransaction<F, R, L> = DeadLettersTo<F, TransactionalSink<DeadLetter<R>, L>>;

impl<S, C> Pipeline<S, C, NoDeadLetters>
where
    S: TransactionalSource,
    C: Chain<In = S::Item>,
{
    /// Ends the pipeline in Kafka, exactly once: the records that `output` makes of values, and the source's positions, are
    /// committed in one transaction, with the dead letters of [`Job::dead_letter_with`]. What that guarantees, and
    /// what it costs, is said at [`Guarantee`](super::Guarantee), which [`KafkaTransactions::guarantee`] sets.
    ///
    /// A record whose output brokers always refuse is a dead letter, alone, once it was tried in a transaction by itself. A topic
    /// that does not exist or may not be written to ends the pipeline, and so does a refused record where there are no dead
    /// letters.
    ///
    /// Where the pipeline ends by an error, what was not committed by then, up to an interval, is given again by the next run.
    /// A transaction that is aborted as the pipeline stops, and whose records do not come again before its end, is such an error,
    /// which is retryable: a run that ends without one has published all that it took.
    ///
    /// The cluster is reached before the first record: settings and brokers that are wrong end the run at its start.
    ///
    /// Each job of an application that runs at the same time needs an application or instance name of its own:
    /// jobs of one `kafka` would end each other's transactions. [`Pipeline::groups`](Pipeline::groups) sees to that.
    pub fn to_transactional<O: TransactionalOutput<C::Out>>(
        self,
        kafka: &KafkaTransactions,
        output: O,
    ) -> Job<S, C, TransactionalSink<C::Out, O>, NoDeadLetters> {
        let gate = GateKeeper::new();
        let driver = kafka.driver(&self.parts.source, &gate);
        let way = match &driver {
            Some(_) => Way::Gate(gate),
            None => kafka.producer(),
        };
        let sink = TransactionalSink::new(output, way);
        let mut job = self.end_in(Operator::new("sink", "sink"), sink);
        job.driver = driver;
        job
    }
}

impl<S, C, O> Job<S, C, TransactionalSink<C::Out, O>, NoDeadLetters>
where
    S: TransactionalSource,
    C: Chain<In = S::Item>,
    O: TransactionalOutput<C::Out>,
{
    /// Makes records of dead letters, which are in the same transaction as their source's position, in the order of its
    /// partition. Without, the first record that is refused stops the pipeline.
    ///
    /// A letter has what `convert` makes of its record as it comes in, such as
    /// [`RawMessage::of`](super::RawMessage::of).
    #[expect(clippy::type_complexity, reason = "a job's type names all its parts")]
    pub fn dead_letter_with<R, F, L>(
        self,
        convert: F,
        letters: L,
    ) -> Job<S, C, TransactionalSink<C::Out, O>, LettersInTransaction<F, R, L>>
    where
        R: Clone + Send + 'static,
        F: FnMut(&S::Item) -> R + Send + 'static,
        L: TransactionalOutput<DeadLetter<R>>,
    {
        let sink = self.sink.of_letters(letters);
        Job {
            source: self.source,
            chain: self.chain,
            sink: self.sink,
            dead_letters: DeadLettersTo { convert, sink },
            settings: self.settings,
            operators: self.operators,
            sink_operator: self.sink_operator,
            dead_letter_operator: self.dead_letter_operator,
            in_flight: self.in_flight,
            lag: self.lag,
            driver: self.driver,
            group: self.group,
        }
    }
}
