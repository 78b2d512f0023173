//! The binary, run as its users run it: what it prints, and its exit codes.

use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dynamodb-connector"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary was built with this test")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the binary prints text")
}

#[cfg(feature = "demo")]
#[test]
fn the_demonstration_brings_every_change_to_the_topic_in_order() {
    let output = run(&["demo"]);
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{errors}");
    assert!(out.contains("4000 events of 1000 decisions"), "{out}");
    assert!(out.contains("missing:   0\n"), "{out}");
    assert!(out.contains("not in order within a decision: 0\n"), "{out}");
}

#[test]
fn wrong_arguments_take_one_line_and_end_with_2() {
    for arguments in [&[][..], &["demonstrate"], &["demo", "--fast"]] {
        let output = run(arguments);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{arguments:?}: {errors}");
        assert!(errors.starts_with("dynamodb-connector: "), "{errors}");
    }
}
