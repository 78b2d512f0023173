//! The command line: `--quick` and the options of a benchmark. Anything else is answered with
//! the usage.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lexopt::{Arg::Long, Parser, ValueExt as _};

/// An option that takes a value.
pub(crate) struct Value {
    /// Without its dashes.
    pub(crate) name: &'static str,
    /// The name of the value in the usage, e.g. `URL`.
    pub(crate) of: &'static str,
    pub(crate) does: &'static str,
}

/// The arguments that were given.
pub(crate) struct Arguments {
    bench: &'static str,
    known: &'static [Value],
    pub(crate) quick: bool,
    values: BTreeMap<&'static str, String>,
}

impl Arguments {
    /// Reads the command line. Ends the process where it can't be followed, or where only the
    /// usage is asked for.
    pub(crate) fn read(bench: &'static str, known: &'static [Value]) -> Self {
        let mut read = Self {
            bench,
            known,
            quick: false,
            values: BTreeMap::new(),
        };
        if let Err(error) = read.parse(Parser::from_env()) {
            read.refuse(&error.to_string());
        }
        read
    }

    fn parse(&mut self, mut arguments: Parser) -> Result<(), lexopt::Error> {
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("quick") => self.quick = true,
                // Cargo's own.
                Long("bench") => {}
                Long("help") => {
                    println!("{}", self.usage());
                    std::process::exit(0);
                }
                Long(name) if let Some(option) = self.known.iter().find(|one| one.name == name) => {
                    self.values
                        .insert(option.name, arguments.value()?.string()?);
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(())
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Returns those of all that an option names, with commas between, or all where it is not given. `a` names `a`, or where
    /// there is none, all that begin with `a-`.
    pub(crate) fn chosen<T: Copy>(
        &self,
        option: &str,
        all: &[T],
        name: impl Fn(&T) -> &'static str,
    ) -> Vec<T> {
        let Some(given) = self.value(option) else {
            return all.to_vec();
        };
        let named = |given: &str| -> Vec<T> {
            let group = format!("{given}-");
            let exact = all.iter().find(|one| name(one) == given);
            let of_group = all.iter().filter(|one| name(one).starts_with(&group));
            let found = exact.map_or_else(|| of_group.copied().collect(), |one| vec![*one]);
            if found.is_empty() {
                let names: Vec<&str> = all.iter().map(&name).collect();
                self.refuse(&format!("--{option} knows {}", names.join(", ")));
            }
            found
        };
        given.split(',').flat_map(named).collect()
    }

    /// Ends the process, for the arguments can't be followed.
    pub(crate) fn refuse(&self, complaint: &str) -> ! {
        eprintln!("{complaint}\n{}", self.usage());
        std::process::exit(2);
    }

    fn usage(&self) -> String {
        let mut usage = format!(
            "usage: cargo bench --bench {} -- [options]\n  {:<22} fewer and shorter rounds: rougher figures",
            self.bench, "--quick"
        );
        for Value { name, of, does } in self.known {
            let option = format!("--{name} {of}");
            let _ = write!(usage, "\n  {option:<22} {does}");
        }
        usage
    }
}
