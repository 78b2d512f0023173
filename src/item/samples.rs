//! Samples of items that can't be written or read, for the tests of all errors.

use super::{ItemError, KeyKind};
use crate::error::ErrorKind;
use crate::error::samples::{ROOT, Sample};

/// Returns the error of a record that lacks a key.
pub(crate) fn misfit() -> ItemError {
    let attribute = ROOT.to_owned();
    ItemError::MissingKey { attribute }
}

pub(crate) fn all() -> Vec<Sample> {
    let mut all = of_records();
    #[cfg(feature = "streams")]
    all.extend(of_types());
    all
}

fn of_records() -> Vec<Sample> {
    let (path, attribute, index) = (|| "a.b".to_owned(), || "a".to_owned(), || "by_b".to_owned());
    let errors = [
        ItemError::NotAMap { found: "a number" },
        misfit(),
        ItemError::KeyType {
            attribute: attribute(),
            found: "N",
            wanted: KeyKind::String,
        },
        ItemError::EmptyKey {
            attribute: attribute(),
        },
        ItemError::KeyTooLong {
            attribute: attribute(),
            size: 2_049,
            limit: 2_048,
        },
        ItemError::IndexKeyType {
            index: index(),
            attribute: attribute(),
            found: "NULL",
            wanted: KeyKind::String,
        },
        ItemError::EmptyIndexKey {
            index: index(),
            attribute: attribute(),
        },
        ItemError::IndexKeyTooLong {
            index: index(),
            attribute: attribute(),
            size: 1_025,
            limit: 1_024,
        },
        ItemError::TooLarge {
            size: 409_601,
            limit: 409_600,
            largest: attribute(),
            largest_size: 400_000,
        },
        ItemError::TooDeep {
            path: path(),
            limit: 32,
        },
        ItemError::EmptySet { path: path() },
        ItemError::RepeatedMember { path: path() },
        ItemError::NotASet {
            path: path(),
            wanted: "SS",
            found: "a text",
        },
        ItemError::WrongMember {
            path: path(),
            wanted: "SS",
            found: "a number",
        },
        ItemError::NotANumber { path: path() },
        ItemError::TooManyDigits {
            path: path(),
            digits: 39,
            limit: 38,
        },
        ItemError::NumberTooLarge { path: path() },
        ItemError::NumberTooSmall { path: path() },
        ItemError::EmptyName { path: path() },
        ItemError::NameTooLong {
            path: path(),
            size: 65_536,
            limit: 65_535,
        },
        ItemError::NotAName {
            path: path(),
            found: "a list",
        },
        ItemError::Unsupported {
            path: path(),
            found: "a unit",
        },
        ItemError::FalseNull { path: path() },
        ItemError::UnknownType { path: path() },
        ItemError::Refused {
            path: String::new(),
        },
        ItemError::Json {
            offset: 3,
            expected: "a comma",
        },
        ItemError::Decode { wanted: "Order" },
    ];
    let sample = |error| Sample::new(error, ErrorKind::Invalid);
    errors.map(sample).into()
}

#[cfg(feature = "streams")]
fn of_types() -> Vec<Sample> {
    use super::DecodeError;
    let path = || "a.b".to_owned();
    let errors = [
        DecodeError::Unfit {
            path: path(),
            wanted: "u8".to_owned(),
            found: "S",
        },
        DecodeError::Name {
            path: path(),
            wanted: "u8".to_owned(),
        },
        DecodeError::Missing {
            path: ROOT.to_owned(),
        },
        DecodeError::Unknown { path: path() },
        DecodeError::Twice { path: path() },
        DecodeError::Refused { path: path() },
        DecodeError::TooDeep {
            path: path(),
            limit: 32,
        },
        DecodeError::Json {
            offset: 3,
            expected: "a comma",
        },
    ];
    let sample = |error| Sample::new(error, ErrorKind::Invalid);
    errors.map(sample).into()
}
