//! The command line: `--quick` and what else a benchmark knows. Anything else is answered with
//! the usage.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// An option that takes a value.
pub(crate) struct Value {
    /// With its dashes.
    pub(crate) name: &'static str,
    /// How the value is called in the usage, e.g. `URL`.
    pub(crate) of: &'static str,
    pub(crate) does: &'static str,
}

/// What was given.
pub(crate) struct Arguments {
    pub(crate) quick: bool,
    values: BTreeMap<&'static str, String>,
}

impl Arguments {
    /// Reads the command line. Ends the process where it can't be followed, or where only the
    /// usage is asked for.
    pub(crate) fn read(bench: &str, known: &[Value]) -> Self {
        let mut read = Self {
            quick: false,
            values: BTreeMap::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => read.quick = true,
                // Cargo's own.
                "--bench" => {}
                "--help" => {
                    println!("{}", usage(bench, known));
                    std::process::exit(0);
                }
                name => {
                    let Some(option) = known.iter().find(|option| option.name == name) else {
                        refuse(bench, known, &format!("unknown argument {name}"));
                    };
                    let Some(value) = arguments.next() else {
                        refuse(bench, known, &format!("{name} needs a value"));
                    };
                    read.values.insert(option.name, value);
                }
            }
        }
        read
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

/// Ends the process, for what was given can't be followed.
pub(crate) fn refuse(bench: &str, known: &[Value], complaint: &str) -> ! {
    eprintln!("{complaint}\n{}", usage(bench, known));
    std::process::exit(2);
}

fn usage(bench: &str, known: &[Value]) -> String {
    let mut usage = format!(
        "usage: cargo bench --bench {bench} -- [options]\n  {:<22} fewer and shorter rounds: rougher figures",
        "--quick"
    );
    for Value { name, of, does } in known {
        let option = format!("{name} {of}");
        let _ = write!(usage, "\n  {option:<22} {does}");
    }
    usage
}
