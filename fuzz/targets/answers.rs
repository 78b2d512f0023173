#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dynamodb_connector::fuzzing::answers(bytes));
