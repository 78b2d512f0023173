use super::classified::classified;
use super::samples::{ROOT, Sample};
use super::{ErrorKind, text};

/// Returns the samples of all modules.
fn all() -> Vec<Sample> {
    let mut all = crate::item::samples::all();
    all.extend(crate::letter::samples());
    all.extend(crate::retry::samples::all());
    all.extend(crate::settings::samples::all());
    all.extend(crate::sink::samples::all());
    #[cfg(feature = "embedded")]
    all.extend(crate::embedded::samples());
    #[cfg(feature = "kafka")]
    all.extend(crate::kafka::samples::all());
    #[cfg(feature = "pipeline")]
    all.extend(crate::pipeline::samples::all());
    #[cfg(feature = "streams")]
    all.extend(crate::streams::samples::all());
    all
}

/// Returns the texts of an error and of its causes, none left out.
fn chain(sample: &Sample) -> Vec<String> {
    let mut chain = vec![sample.error.to_string()];
    let mut cause = sample.error.source();
    while let Some(error) = cause {
        chain.push(error.to_string());
        cause = error.source();
    }
    chain
}

/// Returns the name of the variant, or of the struct, that an error is.
fn variant(sample: &Sample) -> String {
    let shown = format!("{:?}", sample.error);
    let end = shown.find(|c: char| !c.is_alphanumeric());
    shown[..end.unwrap_or(shown.len())].to_owned()
}

#[test]
fn each_cause_is_printed_once_down_to_the_root() {
    for sample in all() {
        let chain = chain(&sample);
        let printed = chain.join(": ");
        assert_eq!(text(&*sample.error), printed, "a cause is printed twice");
        let has_root = format!("{:?}", sample.error).contains(ROOT);
        let roots = printed.matches(ROOT).count();
        assert_eq!(roots, usize::from(has_root), "{printed}");
    }
}

#[test]
fn a_text_is_lower_case_without_a_final_stop() {
    for sample in all() {
        for text in chain(&sample) {
            assert!(!text.is_empty() && !text.ends_with('.'), "{text:?}");
            // An operation or a code of the service's has capitals within.
            let word = text.split(|c: char| !c.is_alphanumeric()).next();
            let (first, rest) = word.unwrap_or_default().split_at(1.min(text.len()));
            let is_name = rest.contains(char::is_uppercase);
            assert!(is_name || !first.contains(char::is_uppercase), "{text:?}");
        }
    }
}

#[test]
fn an_error_classifies_itself_also_where_its_type_is_not_known() {
    for sample in all() {
        let shown = format!("{}::{}", sample.of, variant(&sample));
        let found = (sample.error.kind(), sample.error.is_retryable());
        assert_eq!(found, (sample.kind, sample.is_retryable), "{shown}");
        if !sample.is_in_table {
            continue;
        }
        let known = classified(&*sample.error);
        let known = known.unwrap_or_else(|| panic!("{shown} is not in the table"));
        assert_eq!((known.kind(), known.is_retryable()), found, "{shown}");
    }
    assert!(classified(&std::fmt::Error).is_none(), "a caller's own");
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let reset = classified(&reset).map(|error| (error.kind(), error.is_retryable()));
    assert_eq!(reset, Some((ErrorKind::Unavailable, true)));
}

/// Reads the sources, so that a new error, or a new variant of one, can't be forgotten here.
#[cfg(all(
    feature = "embedded",
    feature = "kafka",
    feature = "pipeline",
    feature = "streams"
))]
#[test]
fn every_public_error_has_a_sample_of_every_variant() {
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The last error of an operation, which the numbers of a sink hold.
    const NO_ERRORS: [&str; 1] = ["LastError"];

    fn read(folder: &Path, found: &mut BTreeSet<(String, String)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                read(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                errors(&text, found);
            }
        }
    }

    fn name(text: &str) -> &str {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        &text[..end.unwrap_or(text.len())]
    }

    /// Finds the variants of the public errors of a file: by their names, or as they derive or
    /// implement `Error`.
    fn errors(text: &str, found: &mut BTreeSet<(String, String)>) {
        let mut derives = false;
        let mut within = None;
        for line in text.lines() {
            if let Some(of) = &within {
                let variant = line.strip_prefix("    ").map(name).unwrap_or_default();
                if variant.starts_with(char::is_uppercase) {
                    found.insert((String::clone(of), variant.to_owned()));
                }
                if line == "}" {
                    within = None;
                }
                continue;
            }
            derives |= line.starts_with("#[derive(") && line.ends_with("Error)]");
            let item = |keyword| line.strip_prefix(keyword).map(name);
            let (an_enum, a_struct) = (item("pub enum "), item("pub struct "));
            let Some(of) = an_enum.or(a_struct) else {
                // Attributes stand between the derive and its item, other items do not.
                derives &= line.starts_with('#') || line.starts_with("///");
                continue;
            };
            let is_error =
                derives || of.ends_with("Error") || text.contains(&format!("Error for {of} {{"));
            derives = false;
            if !is_error || NO_ERRORS.contains(&of) {
                continue;
            }
            if an_enum.is_some() {
                within = Some(of.to_owned());
            } else {
                found.insert((of.to_owned(), of.to_owned()));
            }
        }
    }

    let mut found = BTreeSet::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    read(&sources, &mut found);
    let samples = all();
    let samples = samples.iter().map(|one| (one.of.to_owned(), variant(one)));
    let samples: BTreeSet<_> = samples.collect();
    let missing: Vec<_> = found.difference(&samples).collect();
    assert!(missing.is_empty(), "without a sample: {missing:?}");
    let unknown: Vec<_> = samples.difference(&found).collect();
    assert!(unknown.is_empty(), "no public error: {unknown:?}");
}

#[test]
fn several_failures_are_transient_only_if_each_is_in_whatever_order() {
    use ErrorKind::{Capacity, Closed, Invalid, Timeout, Unavailable, Unknown};
    for (kinds, expected) in [
        (vec![], Unknown),
        (vec![Timeout, Unavailable], Unavailable),
        (vec![Capacity, Invalid, Unavailable], Invalid),
        (vec![Closed, Capacity, Invalid], Invalid),
        (vec![Unknown, Capacity], Unknown),
    ] {
        let of =
            |kinds: &mut dyn Iterator<Item = &ErrorKind>| ErrorKind::of_several(kinds.copied());
        assert_eq!(of(&mut kinds.iter()), expected, "{kinds:?}");
        assert_eq!(of(&mut kinds.iter().rev()), expected, "{kinds:?}");
    }
}
