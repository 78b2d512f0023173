//! One file for the settings of a whole program.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

#[cfg(feature = "kafka")]
use crate::kafka::{KafkaSettings, KafkaSinkSettings, KafkaSourceSettings, TransactionSettings};
#[cfg(feature = "pipeline")]
use crate::pipeline::PipelineSettings;
#[cfg(all(feature = "kafka", feature = "pipeline"))]
use crate::pipeline::{GuaranteeField, KafkaTransactions};
use crate::settings::{ConfigError, SettingsPlace};
use crate::settings::{Section, one_line, parse_file, parse_json, parse_toml, table};
use crate::sink::DynamoDbSinkSettings;
#[cfg(feature = "streams")]
use crate::streams::StreamsSettings;

/// The sections at the top, those of features that are off included.
const SECTIONS: [&str; 4] = ["kafka", "pipeline", "sink", "streams"];
/// The sections within `kafka`, beside its own fields.
const WITHIN_KAFKA: [&str; 3] = ["sink", "source", "transaction"];
/// The field of `kafka.transaction` that is a pipeline's and not the producer's.
#[cfg(feature = "kafka")]
const GUARANTEE: &str = "guarantee";

/// The settings of a whole program, in one file with a section for each part.
///
/// A section that is missing is one without fields: all defaults. Each is checked when it is
/// asked for, and all of them by [`validate`](Self::validate). A section that does not exist is
/// refused, unless it is the program's [`own`](Self::own). `Debug` shows the names of the
/// sections and none of their values, since `kafka.properties` may hold secrets.
///
/// ```
/// use dynamodb_connector::SettingsFile;
///
/// let file = SettingsFile::from_toml(r#"
///     [sink.tables.decisions]
///     linger = "5ms"
///
///     [streams]
///     failover = "5s"
///
///     [kafka]
///     bootstrap_servers = "broker-1:9092"
///     properties.compression.type = "lz4"
///     [kafka.sink]
///     linger = "20ms"
///     [kafka.source]
///     group = "billing"
///     topics = ["decisions"]
///     [kafka.transaction]
///     application = "billing"
///     guarantee.exactly_once.commit_interval = "500ms"
///
///     [pipeline]
///     name = "billing"
///
///     [app]
///     region = "eu-west-1"
/// "#)?;
/// let unknown = file.sink().unwrap_err();
/// assert!(unknown.to_string().starts_with("settings: app: is no section, expected one of"));
///
/// let file = file.own("app");
/// file.validate()?;
/// assert_eq!(file.sink()?.tables().count(), 1);
/// # #[cfg(all(feature = "kafka", feature = "pipeline", feature = "streams"))]
/// # {
/// let (streams, kafka, pipeline) = (file.streams()?, file.kafka()?, file.pipeline()?);
/// let (from, to) = (file.kafka_source()?, file.kafka_sink()?);
/// let transactions = file.kafka_transactions()?;
/// # let _ = (streams, kafka, pipeline, from, to, transactions);
/// # }
/// # Ok::<(), dynamodb_connector::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct SettingsFile {
    path: Option<PathBuf>,
    sections: Map<String, Value>,
    own: BTreeSet<String>,
}

impl SettingsFile {
    /// Reads a file ending in `.toml` or `.json`. Its sections are not checked yet.
    ///
    /// Blocks the calling thread while it reads: meant for the start of a program, not for a
    /// running task.
    ///
    /// # Errors
    /// [`ConfigError::Format`] for any other ending, [`ConfigError::File`] where the file can't be
    /// read or is not UTF-8, and [`ConfigError::InFile`] with an error as of
    /// [`from_toml`](Self::from_toml).
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let mut file = Self::new(parse_file(path)?).map_err(|error| error.in_file(path))?;
        file.path = Some(path.to_owned());
        Ok(file)
    }

    /// Reads TOML. Its sections are not checked yet.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`] where it is no TOML.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::new(parse_toml(text)?)
    }

    /// Reads JSON. Its sections are not checked yet.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`] where it is no JSON, [`ConfigError::Unreadable`] where it is no object.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        Self::new(parse_json(text)?)
    }

    fn new(value: Value) -> Result<Self, ConfigError> {
        Ok(Self {
            path: None,
            sections: table(&SettingsPlace::Whole, value)?,
            own: BTreeSet::new(),
        })
    }

    /// Names a section that is the program's own, so that it is not refused as unknown.
    #[must_use]
    pub fn own(mut self, section: impl Into<String>) -> Self {
        self.own.insert(section.into());
        self
    }

    /// Returns the settings of a sink: the section `sink`.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`] for a section of the file that does not exist; a mistake in this
    /// section, as of [`DynamoDbSinkSettings::from_toml`]; with the file's name, where it has one.
    pub fn sink(&self) -> Result<DynamoDbSinkSettings, ConfigError> {
        self.section()
    }

    /// Returns the settings of a table's stream: the section `streams`.
    ///
    /// # Errors
    /// As [`sink`](Self::sink).
    #[cfg(feature = "streams")]
    pub fn streams(&self) -> Result<StreamsSettings, ConfigError> {
        self.section()
    }

    /// Returns the brokers and the properties of their clients: the section `kafka`, without those
    /// within.
    ///
    /// # Errors
    /// As [`sink`](Self::sink), and [`ConfigError::Missing`] where no brokers are set.
    #[cfg(feature = "kafka")]
    pub fn kafka(&self) -> Result<KafkaSettings, ConfigError> {
        self.section()
    }

    /// Returns the settings of a Kafka producer: the section `kafka.sink`.
    ///
    /// # Errors
    /// As [`sink`](Self::sink).
    #[cfg(feature = "kafka")]
    pub fn kafka_sink(&self) -> Result<KafkaSinkSettings, ConfigError> {
        self.section()
    }

    /// Returns the settings of a Kafka consumer: the section `kafka.source`.
    ///
    /// # Errors
    /// As [`sink`](Self::sink), and [`ConfigError::Missing`] where no group or no topic is set.
    #[cfg(feature = "kafka")]
    pub fn kafka_source(&self) -> Result<KafkaSourceSettings, ConfigError> {
        self.section()
    }

    /// Returns the transactions of a pipeline that ends in Kafka: the sections `kafka` and `kafka.transaction`, which has the fields of
    /// [`TransactionSettings`] and `guarantee`, a [`Guarantee`](crate::pipeline::Guarantee): `"at_least_once"`, `"exactly_once"`,
    /// or `exactly_once` with a `commit_interval`.
    ///
    /// # Errors
    /// As [`sink`](Self::sink), and [`ConfigError::Missing`] where no brokers or no application is set.
    #[cfg(all(feature = "kafka", feature = "pipeline"))]
    pub fn kafka_transactions(&self) -> Result<KafkaTransactions, ConfigError> {
        let (kafka, settings) = (self.kafka()?, self.section::<TransactionSettings>()?);
        let section = self.sections.get("kafka");
        let section = section.and_then(|kafka| kafka.get("transaction"));
        let guarantee = section.and_then(|section| section.get(GUARANTEE));
        let read = || {
            let guarantee = GuaranteeField::read(guarantee.cloned())?;
            let transactions = KafkaTransactions::new(&kafka, settings).guarantee(guarantee);
            transactions.validate()?;
            Ok(transactions)
        };
        read().map_err(|error| self.of_file(error))
    }

    /// Returns the settings of a pipeline: the section `pipeline`.
    ///
    /// # Errors
    /// As [`sink`](Self::sink).
    #[cfg(feature = "pipeline")]
    pub fn pipeline(&self) -> Result<PipelineSettings, ConfigError> {
        self.section()
    }

    /// Checks every section that the file has, but for the program's own and those of features that
    /// are off.
    ///
    /// # Errors
    /// The first mistake: see [`sink`](Self::sink).
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.sink()?;
        #[cfg(feature = "streams")]
        self.streams()?;
        #[cfg(feature = "kafka")]
        if let Some(kafka) = self.sections.get("kafka") {
            self.kafka()?;
            self.kafka_sink()?;
            if kafka.get("source").is_some() {
                self.kafka_source()?;
            }
            if kafka.get("transaction").is_some() {
                #[cfg(feature = "pipeline")]
                self.kafka_transactions()?;
                #[cfg(not(feature = "pipeline"))]
                self.section::<TransactionSettings>()?;
            }
        }
        #[cfg(feature = "pipeline")]
        self.pipeline()?;
        Ok(())
    }

    /// Reads the section of this type, without the sections within it.
    fn section<T: Section>(&self) -> Result<T, ConfigError> {
        let read = || {
            self.refuse_unknown()?;
            let path = T::PLACE.to_string();
            let mut names = path.split('.');
            let first = self.sections.get(names.next().unwrap_or_default());
            let found = names.fold(first, |found, name| match found {
                Some(Value::Object(table)) => table.get(name),
                no_table => no_table,
            });
            let none = || Value::Object(Map::new());
            let mut fields = found.cloned().unwrap_or_else(none);
            if let Value::Object(table) = &mut fields {
                match T::PLACE {
                    SettingsPlace::Kafka => {
                        table.retain(|name, _| !WITHIN_KAFKA.contains(&name.as_str()));
                    }
                    #[cfg(feature = "kafka")]
                    SettingsPlace::KafkaTransaction => drop(table.remove(GUARANTEE)),
                    _ => {}
                }
            }
            T::read(fields)
        };
        read().map_err(|error| self.of_file(error))
    }

    /// Names the file in an error, where there is one.
    fn of_file(&self, error: ConfigError) -> ConfigError {
        match &self.path {
            Some(path) => error.in_file(path),
            None => error,
        }
    }

    fn refuse_unknown(&self) -> Result<(), ConfigError> {
        let is_known = |name: &str| SECTIONS.contains(&name) || self.own.contains(name);
        let Some(unknown) = self.sections.keys().find(|name| !is_known(name)) else {
            return Ok(());
        };
        let own = self.own.iter().map(String::as_str);
        let known: Vec<&str> = SECTIONS.into_iter().chain(own).collect();
        Err(ConfigError::Unreadable {
            place: SettingsPlace::Whole,
            field: Some(one_line(unknown)),
            problem: format!("is no section, expected one of {}", known.join(", ")),
        })
    }
}

impl fmt::Debug for SettingsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sections: Vec<&String> = self.sections.keys().collect();
        f.debug_struct("SettingsFile")
            .field("path", &self.path)
            .field("sections", &sections)
            .field("own", &self.own)
            .finish()
    }
}

#[cfg(test)]
mod tests;
#[cfg(all(test, feature = "kafka", feature = "pipeline"))]
mod transaction_tests;
