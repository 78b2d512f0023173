//! Error bodies drawn from a grammar of odd JSON, each with what has to be read from it.
//!
//! The answer to a refused request is made by DynamoDB, or by a compatible server, a proxy or a load
//! balancer. Whatever else it holds, a code that can be read decides, and the class that belongs to it.
//! What is expected is noted while a body is written, so that no second parser is needed.

mod writer;

use super::plan::Plan;
use crate::retry::ErrorClass::{
    self, Ambiguous, Fatal, Invalid, Permanent, Refused, Throttled, Transient,
};
use crate::transport::{parse_batch, parse_single, settle};
use bytes::Bytes;

use writer::Writer;

/// A stand-in for the contents of items, which must never be shown.
const SECRET: &str = "s3cr3t";

/// Codes and their class; `None` where the status decides.
const CODES: [(&str, Option<ErrorClass>); 24] = [
    ("ValidationException", Some(Invalid)),
    ("ConditionalCheckFailedException", Some(Permanent)),
    ("TransactionCanceledException", Some(Permanent)),
    ("ThrottlingException", Some(Throttled)),
    ("ProvisionedThroughputExceededException", Some(Throttled)),
    ("RequestLimitExceeded", Some(Throttled)),
    ("LimitExceededException", Some(Throttled)),
    ("InternalServerError", Some(Ambiguous)),
    ("ServiceUnavailable", Some(Ambiguous)),
    ("TransactionInProgressException", Some(Ambiguous)),
    ("TransactionConflictException", Some(Transient)),
    ("ReplicatedWriteConflictException", Some(Transient)),
    ("ResourceInUseException", Some(Transient)),
    ("ExpiredTokenException", Some(Transient)),
    ("UnrecognizedClientException", Some(Fatal)),
    ("InvalidSignatureException", Some(Fatal)),
    ("AccessDeniedException", Some(Fatal)),
    ("ResourceNotFoundException", Some(Fatal)),
    ("UnknownOperationException", Some(Fatal)),
    ("SerializationException", Some(Invalid)),
    ("ItemCollectionSizeLimitExceededException", Some(Permanent)),
    ("IdempotentParameterMismatchException", Some(Permanent)),
    ("ReplicaUnavailableException", None),
    ("Brand-New_Exception.2", None),
];

/// The reasons of a canceled transaction, the lightest first: the gravest decides.
const REASONS: [(&str, ErrorClass); 9] = [
    ("TransactionConflict", Transient),
    ("ThrottlingError", Throttled),
    ("ProvisionedThroughputExceeded", Throttled),
    ("BrandNewReason", Refused),
    ("ValidationError", Invalid),
    ("ConditionalCheckFailed", Permanent),
    ("DuplicateItem", Permanent),
    ("ItemCollectionSizeLimitExceeded", Permanent),
    ("AccessDenied", Fatal),
];

/// No code by any reading.
const UNREADABLE: [&str; 8] = [
    "",
    "   ",
    "no s3cr3t code",
    "com.amazonaws.dynamodb.v20120810#",
    ":http://internal.amazon.com/",
    "#the s3cr3t:x",
    "<s3cr3t>",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
];

/// Messages that quote an item, or end as the message of a canceled transaction does.
const MESSAGES: [(&str, &[&str]); 9] = [
    ("", &[]),
    ("The conditional request failed", &[]),
    (
        "One or more parameter values were invalid: The value s3cr3t is of no use",
        &[],
    ),
    (
        "The parameter cannot be converted to a numeric value: s3cr3t",
        &[],
    ),
    (
        "1 validation error detected: Value 's3cr3t' at 'item.v.member' failed to satisfy constraint",
        &[],
    ),
    (
        "Invalid ConditionExpression: Syntax error; token: \"-\", near: \"s3cr3t\"",
        &[],
    ),
    ("No [reasons of s3cr3t]", &[]),
    (
        "Transaction cancelled, please refer cancellation reasons for specific reasons \
         [None, TransactionConflict]",
        &["None", "TransactionConflict"],
    ),
    (
        "for specific reasons [ThrottlingError, ConditionalCheckFailed, None]",
        &["ThrottlingError", "ConditionalCheckFailed", "None"],
    ),
];

/// Values that are no strings, no lists and no code. All of them are well-formed.
const JUNK: [&str; 14] = [
    "null",
    "true",
    "0",
    "-0.0e-0",
    "400",
    "1e999999",
    "123456789012345678901234567890123456789012345678901234567890",
    "{}",
    r#"{"__type":"ValidationException","code":"s3cr3t"}"#,
    r#"{"pk":{"S":"s3cr3t"},"pk":{"N":"1e400"}}"#,
    r#"{"a\ud800":{"s3cr3t":[{},[],{"":null}]}}"#,
    // Strings of which no text can be made.
    r#""\ud800s3cr3t""#,
    r#""\udc00\ud800""#,
    r#""s3cr3t\uDBFFx""#,
];

/// Names of members that say nothing of a failure.
const OTHER_NAMES: [&str; 12] = [
    "Attributes",
    "ConsumedCapacity",
    "UnprocessedItems",
    "status",
    "Type",
    "__Type",
    "CODE",
    "MESSAGE",
    "",
    "s3cr3t",
    r"\ud800",
    r"a\udfff\u0000",
];

/// Texts after which no JSON goes on, within an object.
const BREAKS: [&str; 10] = [
    ",,",
    "'code':1,",
    "// comment\n",
    "\"a\" 1,",
    "\"a\":NaN,",
    "\"a\":01,",
    "\"a\":\"\n\",",
    "\"a\":\"\\x\",",
    "\"a\":[},",
    "<html>",
];

const SPACES: [&str; 6] = ["", "", "", " ", "\n\t", "\r\n  "];

/// The meaning of a member, if it can be read.
enum Meaning {
    /// `__type`, with the place of its code.
    Type(usize),
    /// `code` or `Code`, likewise.
    Code(usize),
    /// The code cannot be read, yet it is `__type`.
    BareType,
    Message(&'static [&'static str]),
    Reasons(Vec<&'static str>),
    ThrottlingReasons(usize),
    /// A member of an answer that is none of an error.
    Answer(&'static str),
    Other,
}

/// A body, and what has to be read from it.
pub(super) struct OddError {
    status: u16,
    header: Option<String>,
    body: Vec<u8>,
    /// The place of the header's code.
    header_code: Option<usize>,
    /// Those that are there in full, in order.
    members: Vec<Meaning>,
    /// Set if the body is one object.
    whole: bool,
    /// Set if its contents are valid UTF-8.
    is_text: bool,
    /// Set if there is a byte-order mark.
    marked: bool,
}

impl OddError {
    pub(super) fn draw(bytes: &[u8]) -> Self {
        let mut plan = Plan(bytes);
        let status = plan.pick(&[400, 400, 400, 400, 403, 404, 413, 429, 500, 503]);
        let (header, header_code) = match plan.byte() % 12 {
            10 => Some(code_text(&mut plan)).unzip(),
            11 => (Some(plan.pick(&UNREADABLE).to_owned()), None),
            _ => (None, None),
        };
        let mut writer = Writer {
            plan,
            text: String::new(),
            members: Vec::new(),
            broken: false,
        };
        writer.body();
        let Writer {
            mut plan,
            text,
            members,
            broken,
        } = writer;
        let mut body = text.into_bytes();
        let mut len = body.len();
        let mut whole = !broken;
        let mut is_text = true;
        match plan.byte() % 10 {
            6 => {
                len = usize::from(u16::from_le_bytes(plan.bytes())) % body.len().max(1);
                body.truncate(len);
                whole = false;
            }
            7 => {
                body.extend_from_slice(plan.pick(&[&b"}"[..], b",{}", b"\0", b"null", b"\xff"]));
                whole = false;
            }
            8 => body.extend_from_slice(b" \n"),
            9 => {
                // Bytes that are no text, in place of the contents.
                let secret = SECRET.as_bytes();
                let at = body.windows(secret.len()).position(|part| part == secret);
                if let Some(byte) = at.and_then(|at| body.get_mut(at)) {
                    *byte = 0xff;
                    is_text = false;
                }
            }
            _ => {}
        }
        let marked = plan.once_in(12);
        if marked {
            body.splice(..0, *b"\xef\xbb\xbf");
        }
        let members = members.into_iter();
        let members = members.filter(|(end, _)| *end <= len);
        Self {
            status,
            header,
            body,
            header_code,
            members: members.map(|(_, meaning)| meaning).collect(),
            whole,
            is_text,
            marked,
        }
    }

    /// Returns the code that has to be found, with its class.
    fn code(&self) -> Option<(&'static str, ErrorClass)> {
        let members = self.members.iter();
        let typed = members.clone().find_map(|meaning| match meaning {
            Meaning::Type(code) => Some(*code),
            _ => None,
        });
        let coded = members.clone().find_map(|meaning| match meaning {
            Meaning::Code(code) => Some(*code),
            _ => None,
        });
        let (code, class) = CODES[self.header_code.or(typed).or(coded)?];
        Some((code, class.unwrap_or_else(|| self.class_of_status(true))))
    }

    fn class_of_status(&self, coded: bool) -> ErrorClass {
        match self.status {
            400 if coded => Refused,
            404 if coded => Refused,
            400 => Transient,
            413 => Invalid,
            429 => Throttled,
            500 | 503 => Ambiguous,
            _ => Fatal,
        }
    }

    /// Returns the codes of a canceled transaction's reasons.
    fn reasons(&self) -> &[&'static str] {
        let listed = self.members.iter().find_map(|meaning| match meaning {
            Meaning::Reasons(reasons) => Some(&reasons[..]),
            _ => None,
        });
        let told = self.members.iter().find_map(|meaning| match meaning {
            Meaning::Message(reasons) => Some(*reasons),
            _ => None,
        });
        let listed = listed.unwrap_or_default();
        if listed.is_empty() {
            told.unwrap_or_default()
        } else {
            listed
        }
    }

    /// Returns what has to come of it.
    pub(super) fn expected(&self) -> (&'static str, ErrorClass) {
        let Some((code, mut class)) = self.code() else {
            let class = self.class_of_status(false);
            let code = match self.status {
                413 => "RequestEntityTooLarge",
                _ => "HttpStatus",
            };
            return (code, class);
        };
        let mut conditional = code == "ConditionalCheckFailedException";
        if code == "TransactionCanceledException" {
            let gravity = |code: &&str| REASONS.iter().position(|(reason, _)| reason == code);
            let gravest = self.reasons().iter().filter_map(gravity).max();
            class = gravest.map_or(Refused, |gravest| REASONS[gravest].1);
            conditional = self.reasons().contains(&"ConditionalCheckFailed");
        }
        if conditional && !(self.whole && self.is_text) {
            // The item in place may be lost.
            return ("GarbledAnswer", Ambiguous);
        }
        (code, class)
    }

    /// Checks that the expected is read, and nothing is shown that must not be.
    pub(super) fn check(&self) {
        let body = || Bytes::from(self.body.clone());
        let told = || format!("{:?} {}", self.header, String::from_utf8_lossy(&self.body));
        let header = self.header.as_deref();
        let error = settle(self.status, header, body()).expect_err("it is refused");
        let read = (error.code(), error.class());
        assert_eq!(read, self.expected(), "{}", told());
        assert_eq!(error.status(), Some(self.status));
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SECRET), "{shown} of {}", told());
        if error.code() != "GarbledAnswer" {
            let throttling = self.members.iter().find_map(|meaning| match meaning {
                Meaning::ThrottlingReasons(count) => Some(*count),
                _ => None,
            });
            let found = error.throttling_reasons().len();
            assert_eq!(found, throttling.unwrap_or_default(), "{}", told());
        }

        let typed = |meaning: &Meaning| matches!(meaning, Meaning::Type(_) | Meaning::BareType);
        let typed = self.members.iter().any(typed);
        let holds = |name: &str| {
            let named = |meaning: &Meaning| matches!(meaning, Meaning::Answer(n) if *n == name);
            self.members.iter().any(named)
        };
        let whole = self.whole && !self.marked && !typed;
        if parse_batch(&self.body).is_ok() {
            assert!(whole && holds("UnprocessedItems"), "{}", told());
        }
        if parse_single(&self.body).is_ok() {
            let answers = ["Attributes", "ConsumedCapacity"].into_iter().any(holds);
            assert!(whole && (answers || self.members.is_empty()), "{}", told());
        }
    }

    /// Returns whether a code has to be found.
    #[cfg(test)]
    pub(super) fn has_code(&self) -> bool {
        self.code().is_some()
    }

    /// Returns the bytes of the body.
    #[cfg(test)]
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Returns a text that holds a code, and the code's place.
fn code_text(plan: &mut Plan<'_>) -> (String, usize) {
    let place = usize::from(plan.byte()) % CODES.len();
    let code = CODES[place].0;
    let text = match plan.byte() % 8 {
        0 => format!("com.amazonaws.dynamodb.v20120810#{code}"),
        1 => format!("com.amazon.coral.service#{code}"),
        2 => format!("{code}:http://internal.amazon.com/coral/com.amazon.coral.service/"),
        3 => format!("a#b#{code}:x:y"),
        4 => format!(" {code}\t"),
        5 => format!("#{code}:"),
        _ => code.to_owned(),
    };
    (text, place)
}
