//! The client's configuration is obeyed, either way.

use super::fake::{Fake, Reply};
use super::{CALL, RESOURCE, WAYS, WHERE, body, client, opened, operations, sdk, transport};
use crate::retry::ErrorClass;
use sdk::Client;
use sdk::config::retry::RetryConfig;
use sdk::config::timeout::TimeoutConfig;
use sdk::config::{AppName, Builder, Credentials};
use std::time::Duration;

fn of_account(config: Builder) -> Builder {
    let credentials = Credentials::builder()
        .access_key_id("AKID")
        .secret_access_key("secret")
        .account_id("999999999999")
        .provider_name("test");
    config.credentials_provider(credentials.build())
}

#[tokio::test]
async fn requests_go_where_the_configuration_says() {
    for &(configuration, resource, uri) in WHERE {
        goes_to(configuration, configured(configuration), resource, uri).await;
    }
    for (to, uri) in [
        ("http://localhost:8000", "http://localhost:8000/"),
        (
            "http://localhost:8000/proxy",
            "http://localhost:8000/proxy/",
        ),
    ] {
        goes_to(to, |c| c.endpoint_url(to), RESOURCE, uri).await;
    }
}

fn configured(name: &str) -> fn(Builder) -> Builder {
    match name {
        "plain" => |c| c,
        "fips" => |c| c.use_fips(true),
        "dual stack" => |c| c.use_dual_stack(true),
        "fips and dual stack" => |c| c.use_fips(true).use_dual_stack(true),
        "account id" => of_account,
        other => panic!("no configuration {other}"),
    }
}

async fn goes_to(name: &str, adjust: impl Fn(Builder) -> Builder, resource: &str, uri: &str) {
    for kind in WAYS {
        for &operation in operations() {
            let fake = Fake::default();
            let client = client(&fake, &adjust);
            // The first request too: it is that from which the direct way learns the endpoint.
            let first = transport(&client, kind, resource, super::ATTEMPT);
            first.call(operation, body("{}")).await.unwrap();
            assert_eq!(fake.only().uri, uri, "{name} {kind:?} {operation:?} first");

            let transport = opened(kind, &fake, &client, resource).await;
            transport.call(operation, body("{}")).await.unwrap();
            let sent = fake.only();
            assert_eq!(sent.uri, uri, "{name} {kind:?} {operation:?}");
            let credentials = Credentials::new("AKID", "secret", None, None, "test");
            sent.verify(&credentials, "eu-west-1");
        }
    }
}

#[tokio::test]
async fn the_app_name_is_in_the_user_agent() {
    for kind in WAYS {
        let fake = Fake::default();
        let client = client(&fake, |c| c.app_name(AppName::new("till").unwrap()));
        let transport = opened(kind, &fake, &client, RESOURCE).await;
        transport.call(CALL, body("{}")).await.unwrap();
        assert!(
            fake.only().header("user-agent").contains("app/till"),
            "{kind:?}"
        );
        assert!(
            fake.only().header("x-amz-user-agent").contains("app/till"),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn connect_and_read_timeouts_reach_the_http_client() {
    for kind in WAYS {
        let fake = Fake::default();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(7))
            .read_timeout(Duration::from_secs(8))
            .build();
        let client = client(&fake, |c| c.timeout_config(timeouts));
        let transport = opened(kind, &fake, &client, RESOURCE).await;
        transport.call(CALL, body("{}")).await.unwrap();
        assert_eq!(
            fake.settings().connect_timeout(),
            Some(Duration::from_secs(7)),
            "{kind:?}"
        );
        assert_eq!(
            fake.settings().read_timeout(),
            Some(Duration::from_secs(8)),
            "{kind:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_shortest_timeout_ends_an_attempt() {
    let seconds = Duration::from_secs;
    for kind in WAYS {
        for (operation, attempt, ours, expected) in [
            (Some(3), None, 20, 3),
            (None, Some(4), 20, 4),
            (Some(9), Some(5), 20, 5),
            (None, None, 20, 20),
            (Some(60), Some(60), 2, 2),
        ] {
            let fake = Fake::default();
            let mut timeouts = TimeoutConfig::builder();
            timeouts.set_operation_timeout(operation.map(seconds));
            timeouts.set_operation_attempt_timeout(attempt.map(seconds));
            let client = client(&fake, |c| c.timeout_config(timeouts.build()));
            let transport = transport(&client, kind, RESOURCE, seconds(ours));
            // The first attempt is by the orchestrator whatever the kind, the second is not.
            for _ in 0..2 {
                fake.then(Reply::Hangs);
                let hour = tokio::time::sleep(seconds(3600));
                let start = hour.deadline();
                let error = transport.call(CALL, body("{}")).await.unwrap_err();
                assert_eq!(error.code(), "AttemptTimeout", "{kind:?}");
                assert_eq!(error.class(), ErrorClass::Ambiguous);
                assert!(error.may_have_applied());
                assert!(!error.is_credentials());
                let took = tokio::time::sleep(seconds(3600)).deadline() - start;
                let off = took.abs_diff(seconds(expected));
                assert!(
                    off < Duration::from_millis(50),
                    "{kind:?} {took:?} not {expected}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_ever_sent_twice() {
    for kind in WAYS {
        for retry in [
            RetryConfig::standard().with_max_attempts(5),
            RetryConfig::adaptive().with_max_attempts(5),
            RetryConfig::disabled(),
        ] {
            let fake = Fake::default();
            let client = client(&fake, |c| c.retry_config(retry));
            let transport = opened(kind, &fake, &client, RESOURCE).await;
            for (status, code) in [
                (500, "InternalServerError"),
                (400, "ThrottlingException"),
                (503, ""),
            ] {
                fake.answer(status, &[], &format!("{{\"__type\":\"{code}\"}}"));
                transport.call(CALL, body("{}")).await.unwrap_err();
                assert_eq!(fake.sent().len(), 1, "{kind:?} {code}");
                fake.forget();
            }
            fake.then(Reply::Hangs);
            transport.call(CALL, body("{}")).await.unwrap_err();
            assert_eq!(fake.sent().len(), 1, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_cannot_send_is_fatal() {
    for kind in WAYS {
        let fake = Fake::default();
        let keys = || Credentials::new("AKID", "secret", None, None, "test");
        let base = || sdk::Config::builder().behavior_version_latest();
        let region = || sdk::config::Region::new("eu-west-1");
        for (name, config, text) in [
            (
                "no client",
                base().region(region()).credentials_provider(keys()),
                "HTTP client",
            ),
            (
                "no region",
                base()
                    .http_client(fake.clone())
                    .credentials_provider(keys()),
                "egion",
            ),
            (
                "no keys",
                base().region(region()).http_client(fake.clone()),
                "credentials",
            ),
            (
                "no URL",
                base()
                    .region(region())
                    .http_client(fake.clone())
                    .credentials_provider(keys())
                    .endpoint_url("nowhere"),
                "",
            ),
        ] {
            let client = Client::from_conf(config.build());
            let transport = transport(&client, kind, RESOURCE, super::ATTEMPT);
            let error = transport
                .call(CALL, body("{\"secret\":1}"))
                .await
                .unwrap_err();
            assert_eq!(error.class(), ErrorClass::Fatal, "{name} {error:?}");
            assert_eq!(error.code(), "ClientMisconfigured", "{name}");
            assert!(error.to_string().contains(text), "{name}: {error}");
            assert!(
                !format!("{error} {error:?}").contains("secret"),
                "{name}: {error:?}"
            );
            assert!(fake.sent().is_empty(), "{name}");
        }
    }
}
