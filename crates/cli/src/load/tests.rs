//! The reading of lines, and the messages about those that can't be read.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::path::Path;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::sink::WriteRecord;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::source::{Format, Raw, Reading, Row, unpack};
use super::value::{Item, Type};
use super::{column_type, letters};

fn reading(format: Format, keys: &[(&str, Type)], types: &[(&str, Type)]) -> Reading {
    let owned = |types: &[(&str, Type)]| -> HashMap<String, Type> {
        let types = types.iter();
        types.map(|(name, kind)| ((*name).into(), *kind)).collect()
    };
    Reading {
        format,
        keys: owned(keys),
        types: owned(types),
    }
}

fn rows(reading: &Reading, text: &[u8]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut give = |row| {
        rows.push(row);
        true
    };
    reading.read(text, &mut give).unwrap();
    rows
}

fn refused(reading: &Reading, text: &[u8]) -> String {
    reading.read(text, &mut |_| true).unwrap_err()
}

fn item(attributes: &[(&str, AttributeValue)]) -> Item {
    let attributes = attributes.iter().cloned();
    attributes
        .map(|(name, value)| (name.into(), value))
        .collect()
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn n(text: &str) -> AttributeValue {
    AttributeValue::N(text.into())
}

/// Returns the messages about the wrong lines.
fn faults(rows: &[Row]) -> Vec<(u64, &str)> {
    let wrong = rows.iter();
    wrong
        .filter_map(|row| Some((row.line, row.item.as_ref().err()?.as_str())))
        .collect()
}

#[test]
fn csv_takes_the_types_of_keys_and_of_the_arguments() {
    let keys = [("id", Type::Number), ("hash", Type::Binary)];
    let types = [("amount", Type::Number), ("paid", Type::Boolean)];
    let csv =
        "id,hash,amount,paid,zip\n1,AQI=,2.50,true,00123\n2,AQI=,,,\"a\nb\"\n3,AQI=,7,false,\n";
    let rows = rows(&reading(Format::Csv, &keys, &types), csv.as_bytes());

    let hash = || ("hash", AttributeValue::B(Blob::new([1, 2])));
    let first = item(&[
        ("id", n("1")),
        hash(),
        ("amount", n("2.50")),
        ("paid", AttributeValue::Bool(true)),
        ("zip", s("00123")),
    ]);
    // Nothing is no number and no boolean; as a string it is one.
    let second = item(&[("id", n("2")), hash(), ("zip", s("a\nb"))]);
    assert_eq!(rows[0].item.as_ref().unwrap(), &first);
    assert_eq!(rows[1].item.as_ref().unwrap(), &second);
    assert_eq!(rows[2].item.as_ref().unwrap()["zip"], s(""));
    let lines: Vec<u64> = rows.iter().map(|row| row.line).collect();
    assert_eq!(lines, [2, 3, 5]);
}

#[test]
fn a_bad_row_of_csv_is_one_bad_line() {
    let types = [("paid", Type::Boolean), ("hash", Type::Binary)];
    let csv = b"id,paid,hash\n1\n2,secret,\n3,,s%cret\n4,\xff,\n5,true,AQI=\n6,,,\n";
    let rows = rows(&reading(Format::Csv, &[], &types), csv);
    assert_eq!(
        faults(&rows),
        [
            (2, "has 1 fields, the header 3"),
            (3, "column \"paid\" is neither true nor false"),
            (4, "column \"hash\" is not base64"),
            (5, "is not UTF-8"),
            (7, "has 4 fields, the header 3"),
        ]
    );
    assert_eq!(rows[0].raw, Raw::Fields(vec!["1".into()]));
    assert!(rows[4].item.is_ok());
}

#[test]
fn a_wrong_header_ends_the_load() {
    let csv = reading(Format::Csv, &[], &[("amount", Type::Number)]);
    let unknown = "--types names \"amount\", which is no column of it";
    assert_eq!(refused(&csv, b"id,sum\n1,2\n"), unknown);
    let twice = "the header names column \"id\" twice";
    assert_eq!(refused(&csv, b"id,id,amount\n"), twice);
    let unnamed = "the header has a column without a name";
    assert_eq!(refused(&csv, b"id,,amount\n"), unnamed);
}

#[test]
fn json_keeps_every_digit_and_gives_keys_the_types_of_the_table() {
    let keys = [("id", Type::String), ("at", Type::Number)];
    let json = "\u{feff}{\"id\": 42, \"at\": \"7\", \"n\": 12345678901234567890123456789012345678}\n\
        \n\
        {\"id\": \"x\", \"at\": 1e3, \"list\": [1, null, {\"a\": \"\\u00e4\"}], \"no\": false}\r\n";
    let rows = rows(&reading(Format::Json, &keys, &[]), json.as_bytes());

    let digits = "12345678901234567890123456789012345678";
    let first = item(&[("id", s("42")), ("at", n("7")), ("n", n(digits))]);
    assert_eq!(rows[0].item.as_ref().unwrap(), &first);
    let map = AttributeValue::M(item(&[("a", s("ä"))]));
    let list = AttributeValue::L(vec![n("1"), AttributeValue::Null(true), map]);
    let second = item(&[
        ("id", s("x")),
        ("at", n("1e3")),
        ("list", list),
        ("no", AttributeValue::Bool(false)),
    ]);
    assert_eq!(rows[1].item.as_ref().unwrap(), &second);
    assert_eq!((rows[0].line, rows[1].line), (1, 3));
}

#[test]
fn exports_keep_their_types() {
    let json = br#"{"Item":{"id":{"N":"1"},"tags":{"SS":["a"]},"sums":{"NS":["1"]},"keys":{"BS":["AQI="]},"b":{"B":"AQI="},"m":{"M":{"l":{"L":[{"NULL":true},{"BOOL":false}]}}}}}"#;
    let row = &rows(&reading(Format::Json, &[("id", Type::String)], &[]), json)[0];
    let list = vec![AttributeValue::Null(true), AttributeValue::Bool(false)];
    let expected = item(&[
        ("id", n("1")),
        ("tags", AttributeValue::Ss(vec!["a".into()])),
        ("sums", AttributeValue::Ns(vec!["1".into()])),
        ("keys", AttributeValue::Bs(vec![Blob::new([1, 2])])),
        ("b", AttributeValue::B(Blob::new([1, 2]))),
        (
            "m",
            AttributeValue::M(item(&[("l", AttributeValue::L(list))])),
        ),
    ]);
    assert_eq!(row.item.as_ref().unwrap(), &expected);
    // A table whose key has that name has plain items of it.
    let row = &rows(
        &reading(Format::Json, &[("Item", Type::String)], &[]),
        br#"{"Item":"a"}"#,
    )[0];
    assert_eq!(row.item.as_ref().unwrap(), &item(&[("Item", s("a"))]));
}

#[test]
fn a_bad_line_of_json_is_told_without_its_contents() {
    let json = b"{\"id\": \"secret\"\n[\"secret\"]\n{\"Item\":{\"id\":{\"S\":7}}}\n{\"Item\":{\"id\":\"secret\"}}\n\xff\n{\"key\":\"s%cret\"}\n";
    let rows = rows(&reading(Format::Json, &[("key", Type::Binary)], &[]), json);
    let not_typed = "attribute \"id\" is not in DynamoDB's JSON, e.g. {\"S\":\"…\"}";
    assert_eq!(
        faults(&rows),
        [
            (
                1,
                "no JSON object: EOF while parsing an object at column 15"
            ),
            (2, "no JSON object: a value of another type at column 0"),
            (3, not_typed),
            (4, not_typed),
            (5, "is not UTF-8"),
            (6, "key \"key\" is not base64"),
        ]
    );
}

#[test]
fn gzip_is_unpacked_by_the_suffix() {
    let mut packed = Vec::new();
    // Two members, as in files that were joined.
    for part in ["first\n", "second\n"] {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(part.as_bytes()).unwrap();
        packed.extend(encoder.finish().unwrap());
    }
    let read = |name: &str| {
        let mut bytes = Vec::new();
        let file = std::io::Cursor::new(packed.clone());
        unpack(Path::new(name), file)
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    };
    assert_eq!(read("items.json.gz"), b"first\nsecond\n");
    assert_eq!(read("items.json"), packed);
}

#[test]
fn names_say_the_format() {
    let of = |name: &str| Format::of(Path::new(name));
    for (name, format) in [
        ("a.csv", Format::Csv),
        ("b.CSV.gz", Format::Csv),
        ("c.json", Format::Json),
        ("d.jsonl.GZ", Format::Json),
        ("e.ndjson", Format::Json),
    ] {
        assert_eq!(of(name), Some(format), "{name}");
    }
    for name in ["-", "csv", "a.txt", "b.gz", ""] {
        assert_eq!(of(name), None, "{name}");
    }
}

#[test]
fn column_types_are_read_from_arguments() {
    assert_eq!(column_type("amount=N"), Ok(("amount".into(), Type::Number)));
    assert_eq!(column_type("a=b=BOOL"), Ok(("a=b".into(), Type::Boolean)));
    for wrong in ["amount", "amount=", "amount=number", "=N"] {
        assert!(column_type(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn letters_of_bad_lines_are_of_the_form_that_the_library_reads() {
    let raw = Raw::Text("{\"id\": ".into());
    let letter = letters::of_line("a.json", 7, "decisions", "no JSON object", &raw);
    assert_eq!(
        letter,
        r#"{"v":1,"from":{"file":"a.json","line":7,"table":"decisions"},"reason":{"kind":"invalid","text":"no JSON object"},"attempts":0,"record":{"row":"{\"id\": "}}"#
    );
    let record = WriteRecord::from_dead_letter(&letter).unwrap();
    assert_eq!(record.table(), "decisions");
    assert_eq!(record.row(), Some(&br#""{\"id\": ""#[..]));
}
