//! The reading of update expressions: may one be applied twice?

/// Returns whether applying the update twice is surely the same as once: it only sets attributes
/// (or map members) to given values, removes them, or takes elements from sets.
///
/// Not so: `ADD`, arithmetic, functions, one attribute set from another, and anything with a list
/// index (removing `a[0]` twice removes two elements; setting `a[9]` may append twice).
pub(super) fn is_idempotent(expression: &str) -> bool {
    if expression.contains(['[', '+', '-', '(']) {
        return false;
    }
    let spaced = expression.replace('=', " = ").replace(',', " , ");
    let mut section = None;
    let mut words = spaced.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if let Some(next) = Section::of(word) {
            section = Some(next);
            continue;
        }
        match section {
            None | Some(Section::Add) => return false,
            Some(Section::Remove | Section::Delete) => {}
            Some(Section::Set) => {
                if word == "=" && !words.peek().is_some_and(|value| value.starts_with(':')) {
                    return false;
                }
            }
        }
    }
    section.is_some()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Set,
    Remove,
    Add,
    Delete,
}

impl Section {
    fn of(word: &str) -> Option<Self> {
        [
            ("SET", Self::Set),
            ("REMOVE", Self::Remove),
            ("ADD", Self::Add),
            ("DELETE", Self::Delete),
        ]
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
        .map(|(_, section)| section)
    }
}

#[cfg(test)]
mod tests {
    use super::is_idempotent;

    #[test]
    fn setting_and_removing_may_be_done_twice() {
        for expression in [
            "SET a = :a",
            "set a=:a,#b.c=:c",
            "REMOVE a, b",
            "SET a = :a REMOVE b",
            "REMOVE b SET a = :a , c = :c",
            "DELETE tags :gone",
        ] {
            assert!(is_idempotent(expression), "{expression}");
        }
    }

    #[test]
    fn all_else_may_not() {
        for expression in [
            "ADD n :one",
            "SET a = :a ADD n :one",
            "SET n = n + :one",
            "SET n = n - :one",
            "SET a = b",
            "SET a = if_not_exists(b, :b)",
            "SET l = list_append(l, :x)",
            "REMOVE l[0]",
            "SET l[9] = :x",
            "SET a = :a, b = a",
            "",
            "nonsense",
        ] {
            assert!(!is_idempotent(expression), "{expression}");
        }
    }
}
