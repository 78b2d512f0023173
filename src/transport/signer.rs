//! Signatures in `SigV4`, with everything that stays the same between requests worked out once.
//!
//! `aws-sigv4` parses, sorts and formats the headers of every request and derives the day's key for
//! each. That is a tenth of the cost of a batch, and here only the time, the session token and the
//! body differ. So the headers are kept sorted and the key derived. The arithmetic is left to the
//! same crates.
//!
//! A [`Signer`] is proven before it is used: it is made only if it signs a request of every
//! operation as `aws-sigv4` does. Where it can't, `aws-sigv4` signs.

use super::Operation;
use super::signature::sign_by_sdk;
use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::date_time::{DateTime, Format};
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
/// Headers that `aws-sigv4` does not sign (its `SigningSettings::default`).
const UNSIGNED_HEADERS: [&str; 4] = [
    "authorization",
    "user-agent",
    "x-amzn-trace-id",
    "transfer-encoding",
];

const DATE_HEADER: &str = "x-amz-date";
const TOKEN_HEADER: &str = "x-amz-security-token";

/// The headers that a signature adds to a request.
#[derive(PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) date: String,
    pub(super) authorization: String,
}

/// A header's place in the text that is signed.
struct SignedHeader {
    name: String,
    value: Value,
}

enum Value {
    Fixed(String),
    Date,
    /// Left out where the credentials have none.
    Token,
}

/// An operation's signed headers, sorted by name.
struct SignedHeaders {
    lines: Vec<SignedHeader>,
    /// The names, with and without that of the token.
    with_token: String,
    without_token: String,
}

/// The date of a second and the key of a day.
struct DayKey {
    credentials: Credentials,
    second: u64,
    /// `20250131T235959Z`
    date_time: String,
    key: Vec<u8>,
}

/// A signer of the requests of one transport: see the module's documentation.
pub(super) struct Signer {
    operations: Vec<SignedHeaders>,
    region: String,
    service: String,
    kept: Mutex<Option<DayKey>>,
}

/// Nothing of keys.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("region", &self.region)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Returns a signer of POSTs to `uri` for a service's operations, in their order, with the
    /// headers that `headers` gives for each; `None` where it would not sign as `aws-sigv4` does.
    pub(super) fn proven(
        operations: &[Operation],
        headers: impl Fn(Operation) -> Headers,
        uri: &http::Uri,
        scope: (&str, &str),
        identity: &Identity,
        now: SystemTime,
    ) -> Option<Self> {
        if uri.path() != "/" || uri.query().is_some() {
            return None;
        }
        let host = host(uri)?;
        let (region, service) = scope;
        let signer = Self {
            operations: operations
                .iter()
                .map(|&operation| SignedHeaders::of(&headers(operation), host))
                .collect(),
            region: region.to_owned(),
            service: service.to_owned(),
            kept: Mutex::new(None),
        };
        let credentials = identity.data::<Credentials>()?;
        let uri = uri.to_string();
        let body = b"{\"proof\":true}";
        let proven = operations.iter().all(|&operation| {
            let headers = headers(operation);
            let theirs = sign_by_sdk(identity, scope, now, &uri, headers.iter(), body);
            let ours = signer.sign(operation, credentials, now, body);
            let (Ok(theirs), Some(ours)) = (theirs, ours) else {
                return false;
            };
            let is =
                |name: &str, value: &str| theirs.headers().any(|header| header == (name, value));
            is("authorization", &ours.authorization) && is(DATE_HEADER, &ours.date)
        });
        proven.then_some(signer)
    }

    /// Signs a request. `None` for a time before 1970, or an operation without headers: no
    /// operation is.
    pub(super) fn sign(
        &self,
        operation: Operation,
        credentials: &Credentials,
        time: SystemTime,
        body: &[u8],
    ) -> Option<Signed> {
        let lines = self.operations.get(operation.index())?;
        let second = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let (date, key) = self.date_and_key(credentials, second)?;
        let token = credentials.session_token();
        let names = if token.is_some() {
            &lines.with_token
        } else {
            &lines.without_token
        };

        let mut text = String::with_capacity(1024 + token.map_or(0, str::len));
        text.push_str("POST\n/\n\n");
        for line in &lines.lines {
            let value = match (&line.value, token) {
                (Value::Fixed(value), _) => value,
                (Value::Date, _) => date.as_str(),
                (Value::Token, Some(token)) => token,
                (Value::Token, None) => continue,
            };
            text.push_str(&line.name);
            text.push(':');
            text.push_str(value);
            text.push('\n');
        }
        text.push('\n');
        text.push_str(names);
        text.push('\n');
        push_hex(&mut text, &Sha256::digest(body));
        let canonical = Sha256::digest(text.as_bytes());

        let day = date.get(..8)?;
        text.clear();
        text.push_str("AWS4-HMAC-SHA256\n");
        text.push_str(&date);
        text.push('\n');
        self.push_scope(&mut text, day);
        text.push('\n');
        push_hex(&mut text, &canonical);
        let signature = calculate_signature(key, text.as_bytes());

        text.clear();
        text.push_str("AWS4-HMAC-SHA256 Credential=");
        text.push_str(credentials.access_key_id());
        text.push('/');
        self.push_scope(&mut text, day);
        text.push_str(", SignedHeaders=");
        text.push_str(names);
        text.push_str(", Signature=");
        text.push_str(&signature);
        Some(Signed {
            date,
            authorization: text,
        })
    }

    fn push_scope(&self, text: &mut String, day: &str) {
        for part in [day, "/", &self.region, "/", &self.service, "/aws4_request"] {
            text.push_str(part);
        }
    }

    /// Returns the second's date and the day's key, made anew where the second, the day or the
    /// credentials are others.
    fn date_and_key(&self, credentials: &Credentials, second: u64) -> Option<(String, Vec<u8>)> {
        const DAY: u64 = 24 * 60 * 60;
        let mut kept = self.kept.lock();
        if let Some(kept) = kept.as_mut()
            && kept.second / DAY == second / DAY
            && kept.credentials == *credentials
        {
            if kept.second != second {
                kept.second = second;
                kept.date_time = date_time(second)?;
            }
            return Some((kept.date_time.clone(), kept.key.clone()));
        }
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(second))?;
        let secret = credentials.secret_access_key();
        let key = generate_signing_key(secret, time, &self.region, &self.service);
        let new = DayKey {
            credentials: credentials.clone(),
            second,
            date_time: date_time(second)?,
            key: key.as_ref().to_vec(),
        };
        let answer = (new.date_time.clone(), new.key.clone());
        *kept = Some(new);
        Some(answer)
    }
}

impl SignedHeaders {
    fn of(headers: &Headers, host: &str) -> Self {
        let fixed = headers
            .iter()
            .filter(|(name, _)| !UNSIGNED_HEADERS.contains(name))
            .map(|(name, value)| (name.to_owned(), Value::Fixed(value.to_owned())));
        let own = [
            ("host".to_owned(), Value::Fixed(host.to_owned())),
            (DATE_HEADER.to_owned(), Value::Date),
            (TOKEN_HEADER.to_owned(), Value::Token),
        ];
        let mut lines: Vec<SignedHeader> = fixed
            .chain(own)
            .map(|(name, value)| SignedHeader { name, value })
            .collect();
        lines.sort_by(|a, b| a.name.cmp(&b.name));
        let names = |token: bool| {
            let names = lines.iter().map(|line| line.name.as_str());
            let kept: Vec<&str> = names
                .filter(|name| token || *name != TOKEN_HEADER)
                .collect();
            kept.join(";")
        };
        Self {
            with_token: names(true),
            without_token: names(false),
            lines,
        }
    }
}

/// Returns the host as the HTTP client sends it: without the scheme's own port.
fn host(uri: &http::Uri) -> Option<&str> {
    let implied = matches!(
        (uri.scheme_str(), uri.port_u16()),
        (Some("http"), Some(80)) | (Some("https"), Some(443))
    );
    if implied {
        uri.host()
    } else {
        uri.authority().map(http::uri::Authority::as_str)
    }
}

/// Returns a time as `20250131T235959Z`.
fn date_time(second: u64) -> Option<String> {
    let time = DateTime::from_secs(i64::try_from(second).ok()?);
    let mut text = time.fmt(Format::DateTime).ok()?;
    text.retain(|c| !matches!(c, '-' | ':'));
    Some(text)
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::operation::Service;
    use proptest::prelude::*;

    fn operations() -> &'static [Operation] {
        Service::DynamoDb.operations()
    }

    fn headers(operation: Operation) -> Headers {
        let mut headers = Headers::new();
        headers.insert("content-type", "application/x-amz-json-1.0");
        headers.insert("user-agent", "aws-sdk-rust/1.0 os/linux");
        headers.insert("x-amz-user-agent", "aws-sdk-rust/1.0 api/dynamodb");
        headers.insert("x-amz-target", operation.target());
        headers
    }

    fn identity(secret: &str, token: Option<&str>) -> Identity {
        let token = token.map(str::to_owned);
        Credentials::new("AKID", secret, token, None, "test").into()
    }

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn proven(uri: &str, identity: &Identity) -> Option<Signer> {
        let uri = uri.parse().unwrap();
        Signer::proven(
            operations(),
            headers,
            &uri,
            ("eu-west-1", "dynamodb"),
            identity,
            at(7),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// One signer through changing keys, tokens, days and bodies.
        #[test]
        fn signs_as_aws_sigv4_does(
            steps in prop::collection::vec(
                ("[a-z]{0,3}", prop::option::of("[a-zA-Z0-9+/=]{1,9}"), 0..4_000_000_000_u64, 0..9_usize, "[a-z]{0,99}"),
                1..6,
            ),
            uri in prop::sample::select(vec![
                "https://dynamodb.eu-west-1.amazonaws.com/", "http://127.0.0.1:8000/", "http://localhost:80/",
                "https://example.com:443/", "https://example.com:8443",
            ]),
        ) {
            let signer = proven(uri, &identity("first", None)).unwrap();
            for (secret, token, second, operation, body) in steps {
                let operation = operations()[operation];
                let identity = identity(&secret, token.as_deref());
                let credentials = identity.data::<Credentials>().unwrap();
                for second in [second, second + 1, second + 86_400] {
                    let ours = signer.sign(operation, credentials, at(second), body.as_bytes()).unwrap();
                    let headers = headers(operation);
                    let theirs = sign_by_sdk(
                        &identity, ("eu-west-1", "dynamodb"), at(second), uri, headers.iter(), body.as_bytes(),
                    ).unwrap();
                    let theirs: Vec<_> = theirs.headers().collect();
                    prop_assert!(theirs.contains(&("authorization", ours.authorization.as_str())));
                    prop_assert!(theirs.contains(&("x-amz-date", ours.date.as_str())));
                }
            }
        }
    }

    #[test]
    fn what_it_would_not_sign_alike_it_leaves_to_aws_sigv4() {
        let identity = identity("secret", None);
        for uri in ["https://example.com/prefix", "https://example.com/?a=b"] {
            assert!(proven(uri, &identity).is_none(), "{uri}");
        }
        // Spaces that `aws-sigv4` takes out of what it signs.
        let spaced = |operation| {
            let mut headers = headers(operation);
            headers.insert("x-amz-meta", "two  spaces");
            headers
        };
        let uri = "https://example.com/".parse().unwrap();
        let scope = ("eu-west-1", "dynamodb");
        assert!(Signer::proven(operations(), spaced, &uri, scope, &identity, at(7)).is_none());
    }
}
