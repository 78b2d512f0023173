//! The message about wrong arguments: one line, which ends with where to read more.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::Ending;
use crate::output::print;

/// Wrong arguments.
const USAGE: u8 = 2;

/// Arguments that are wrong together, or for the table they are about.
#[derive(Debug)]
pub(crate) struct Misused(pub(crate) String);

impl fmt::Display for Misused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Misused {}

/// Prints why a command failed, with those of its causes that its own text leaves out.
pub(crate) fn report(error: &(dyn Error + 'static)) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    // Some causes have lists in lines of their own.
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    eprintln!("dynamodb-connector: {}", lines.join("; "));
    if error.is::<Misused>() {
        return ExitCode::from(USAGE);
    }
    Ending::Failed.into()
}

/// Prints the help or the version where one was asked for, and one line on what is wrong otherwise.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return match print(error) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => Ending::Failed.into(),
        };
    }
    eprintln!("{}", line(error));
    ExitCode::from(USAGE)
}

fn line(error: &clap::Error) -> String {
    let text = error.to_string();
    let cause = match error.kind() {
        // Its text is the whole help.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing".to_owned(),
        // The first paragraph: what is wrong, and in lines of their own what it is about.
        _ => {
            let paragraph = text.split("\n\n").next().unwrap_or_default();
            let cause = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
            cause.strip_prefix("error: ").unwrap_or(&cause).to_owned()
        }
    };
    format!("dynamodb-connector: {cause} (see --help)")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::line;
    use crate::Cli;

    fn refused(arguments: &[&str]) -> String {
        let arguments = [&["dynamodb-connector"], arguments].concat();
        line(&Cli::try_parse_from(arguments).unwrap_err())
    }

    #[test]
    fn wrong_arguments_take_one_line() {
        let missing = "dynamodb-connector: a command is missing (see --help)";
        assert_eq!(refused(&[]), missing);
        let unknown = "dynamodb-connector: unrecognized subcommand 'demonstrate' (see --help)";
        assert_eq!(refused(&["demonstrate"]), unknown);
    }
}
