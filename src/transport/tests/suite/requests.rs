//! Requests as they are sent: the bytes, the headers, the signature, the credentials, the clock.

use super::fake::{Fake, Reply};
use super::{
    ACCOUNTS_SHARE, ATTEMPT, CALL, RESOURCE, WAYS, body, client, host_of_account, list, opened,
    operations, sdk, transport,
};
use crate::retry::ErrorClass;
use crate::transport::{TransportKind, Way};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use sdk::Client;
use sdk::config::{Credentials, IdentityCache};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// Keys that the test rotates, or takes away.
#[derive(Clone, Debug, Default)]
struct Keys {
    turn: Arc<AtomicUsize>,
    of_accounts: bool,
}

const FAILING: usize = 1000;
const HANGING: usize = 1001;

impl Keys {
    fn nth(turn: usize, of_accounts: bool) -> Credentials {
        let mut builder = Credentials::builder()
            .access_key_id(format!("AKID{turn}"))
            .secret_access_key(format!("secret{turn}"))
            .session_token(format!("token{turn}"))
            .provider_name("rotating");
        if of_accounts {
            builder = builder.account_id(format!("{turn:012}"));
        }
        builder.build()
    }

    fn turn_to(&self, turn: usize) {
        self.turn.store(turn, Ordering::Relaxed);
    }
}

impl ProvideCredentials for Keys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.turn.load(Ordering::Relaxed) {
            HANGING => future::ProvideCredentials::new(std::future::pending()),
            FAILING => {
                let error = CredentialsError::provider_error("the vault is sealed");
                future::ProvideCredentials::ready(Err(error))
            }
            turn => future::ProvideCredentials::ready(Ok(Self::nth(turn, self.of_accounts))),
        }
    }
}

fn keyed(fake: &Fake, keys: &Keys) -> Client {
    client(fake, |config| {
        config
            .credentials_provider(keys.clone())
            .identity_cache(IdentityCache::no_cache())
    })
}

#[tokio::test]
async fn the_bytes_given_are_the_bytes_sent_and_signed() {
    // Spacing, key order and escapes that no serialiser would come up with.
    let odd = " {\"b\" :{ \"N\":\"1.50e0\"} ,\n \"a\":{\"S\":\"\\u00e9\u{e9}\"}} ";
    for kind in WAYS {
        for &operation in operations() {
            let fake = Fake::default();
            let client = client(&fake, |config| config);
            let transport = opened(kind, &fake, &client, RESOURCE).await;
            transport.call(operation, body(odd)).await.unwrap();

            let sent = fake.only();
            assert_eq!(sent.body, odd.as_bytes(), "{kind:?} {operation:?}");
            assert_eq!(sent.method, "POST");
            assert_eq!(sent.header("x-amz-target"), operation.target());
            assert_eq!(sent.header("content-type"), "application/x-amz-json-1.0");
            assert_eq!(sent.header("content-length"), odd.len().to_string());
            let credentials = Credentials::new("AKID", "secret", None, None, "test");
            sent.verify(&credentials, "eu-west-1");
        }
    }
}

#[tokio::test]
async fn the_first_request_carries_the_body_given() {
    for kind in WAYS {
        let fake = Fake::default();
        let client = client(&fake, |config| config);
        let transport = transport(&client, kind, RESOURCE, ATTEMPT);
        fake.answer(200, &[], "{\"first\":1}");
        let answer = transport.call(CALL, body("{\"x\":1}")).await.unwrap();
        assert_eq!(answer, &b"{\"first\":1}"[..]);
        assert_eq!(fake.only().body, &b"{\"x\":1}"[..]);
    }
}

#[tokio::test]
async fn both_ways_send_the_same_headers() {
    let mut sent: Vec<BTreeMap<String, String>> = Vec::new();
    for kind in WAYS {
        let fake = Fake::default();
        let client = client(&fake, |config| config);
        let transport = opened(kind, &fake, &client, RESOURCE).await;
        transport.call(CALL, body("{}")).await.unwrap();
        let mut headers = fake.only().headers;
        for own in [
            "authorization",
            "x-amz-date",
            "amz-sdk-invocation-id",
            "amz-sdk-request",
        ] {
            headers.remove(own);
        }
        sent.push(headers);
    }
    assert_eq!(sent[0], sent[1]);
    assert_eq!(sent[0].len(), 5, "{sent:?}");
}

#[tokio::test]
async fn rotating_credentials_are_followed_with_their_tokens() {
    for kind in WAYS {
        let (fake, keys) = (Fake::default(), Keys::default());
        let transport = opened(kind, &fake, &keyed(&fake, &keys), RESOURCE).await;
        for turn in 1..4 {
            keys.turn_to(turn);
            transport.call(CALL, body("{}")).await.unwrap();
            let sent = fake.only();
            assert_eq!(
                sent.header("x-amz-security-token"),
                format!("token{turn}"),
                "{kind:?}"
            );
            sent.verify(&Keys::nth(turn, false), "eu-west-1");
            fake.forget();
        }
    }
}

#[tokio::test]
async fn the_clients_identity_cache_is_used() {
    for kind in WAYS {
        let (fake, keys) = (Fake::default(), Keys::default());
        let client = client(&fake, |config| config.credentials_provider(keys.clone()));
        let transport = opened(kind, &fake, &client, RESOURCE).await;
        keys.turn_to(1);
        transport.call(CALL, body("{}")).await.unwrap();
        fake.only().verify(&Keys::nth(0, false), "eu-west-1");
    }
}

#[tokio::test]
async fn credentials_of_another_account_go_to_its_endpoint() {
    for kind in WAYS {
        let fake = Fake::default();
        let keys = Keys {
            of_accounts: true,
            ..Keys::default()
        };
        let mut before = 0;
        let transport = opened(kind, &fake, &keyed(&fake, &keys), RESOURCE).await;
        for turn in [1, 1, 2, 0, 0] {
            keys.turn_to(turn);
            transport.call(CALL, body("{}")).await.unwrap();
            let sent = fake.only();
            assert_eq!(sent.host(), host_of_account(turn), "{kind:?}");
            sent.verify(&Keys::nth(turn, true), "eu-west-1");
            // Only the orchestrator sends an id: it is asked anew where the endpoint is another.
            let asked = !sent.header("amz-sdk-invocation-id").is_empty();
            let anew = before != turn && !ACCOUNTS_SHARE;
            assert_eq!(asked, kind == TransportKind::Sdk || anew, "{kind:?} {turn}");
            before = turn;
            fake.forget();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_cannot_be_had_are_told_from_lost_answers() {
    for kind in WAYS {
        for (first, broken) in [
            (false, FAILING),
            (true, FAILING),
            (false, HANGING),
            (true, HANGING),
        ] {
            let case = format!("{kind:?} {first} {broken}");
            let (fake, keys) = (Fake::default(), Keys::default());
            let client = keyed(&fake, &keys);
            let transport = if first {
                transport(&client, kind, RESOURCE, ATTEMPT)
            } else {
                opened(kind, &fake, &client, RESOURCE).await
            };
            keys.turn_to(broken);
            let error = transport.call(CALL, body("{}")).await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Transient, "{case} {error:?}");
            assert_eq!(error.code(), "CredentialsUnavailable");
            assert!(error.is_credentials());
            assert!(!error.may_have_applied());
            assert!(fake.sent().is_empty(), "{case}");
            let told = broken == HANGING || error.to_string().contains("the vault is sealed");
            assert!(told, "{error}");

            keys.turn_to(7);
            transport.call(CALL, body("{}")).await.unwrap();
            fake.only().verify(&Keys::nth(7, false), "eu-west-1");
        }
    }
}

fn http_date(time: SystemTime) -> String {
    DateTime::from(time).fmt(Format::HttpDate).unwrap()
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected() {
    let hour = Duration::from_secs(3600);
    for kind in WAYS {
        for ahead in [true, false] {
            for code in ["InvalidSignatureException", "RequestTimeTooSkewed"] {
                let fake = Fake::default();
                let client = client(&fake, |config| config);
                let transport = opened(kind, &fake, &client, RESOURCE).await;
                transport.call(CALL, body("{}")).await.unwrap();
                let now = fake.only().signed_at();
                fake.forget();
                let server = if ahead { now + hour } else { now - hour };
                let refusal = format!("{{\"__type\":\"x#{code}\",\"message\":\"expired\"}}");
                fake.answer(400, &[("date", &http_date(server))], &refusal);

                let error = transport.call(CALL, body("{}")).await.unwrap_err();
                assert_eq!(error.class(), ErrorClass::Transient, "{kind:?} {error:?}");
                fake.forget();

                fake.answer(400, &[("date", &http_date(server))], &refusal);
                let error = transport.call(CALL, body("{}")).await.unwrap_err();
                // Corrected, and refused again: it was not the clock.
                assert_eq!(error.class(), ErrorClass::Fatal, "{kind:?} {error:?}");
                let signed = fake.only().signed_at();
                let off = signed
                    .duration_since(server)
                    .unwrap_or_else(|e| e.duration());
                assert!(off < Duration::from_secs(60), "{kind:?} {off:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_clock_known_to_be_off_is_taken_over_from_the_sdk() {
    let fake = Fake::default();
    let client = client(&fake, |config| config);
    list(&client).await;
    let now = fake.sent()[0].signed_at();
    let server = now + Duration::from_secs(7200);
    fake.answer(200, &[("date", &http_date(server))], "{}");
    list(&client).await;

    let transport = opened(TransportKind::Direct, &fake, &client, RESOURCE).await;
    transport.call(CALL, body("{}")).await.unwrap();
    let off = fake.only().signed_at().duration_since(now).unwrap();
    assert!(off > Duration::from_secs(7000), "{off:?}");
}

#[tokio::test]
async fn a_correction_that_is_switched_off_stays_off() {
    for kind in WAYS {
        let fake = Fake::default();
        let client = client(&fake, |config| config.disable_clock_skew_correction(true));
        let transport = opened(kind, &fake, &client, RESOURCE).await;
        let refusal = "{\"__type\":\"x#InvalidSignatureException\"}";
        fake.answer(400, &[("date", "Thu, 01 Jan 1970 00:00:00 GMT")], refusal);
        let error = transport.call(CALL, body("{}")).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Fatal, "{kind:?}");
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_leaves_the_way_captured() {
    let fake = Fake::default();
    let client = client(&fake, |config| config);
    let transport = transport(
        &client,
        TransportKind::Auto,
        RESOURCE,
        Duration::from_millis(5),
    );
    fake.then(Reply::Hangs);
    transport.call(CALL, body("{}")).await.unwrap_err();
    assert!(matches!(transport.0.way(), Way::Direct(_)));
}
