//! The binary, run as its users run it against a DynamoDB within the test: what it prints, writes and ends with.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::embedded::EmbeddedDynamoDb;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::sink::WriteRecord;
use dynamodb_connector::streams::StreamsSource;
use dynamodb_connector::{StreamView, TableSpec};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

const TABLE: &str = "orders";

/// Waits for what a process does. The bound is there to fail in place of hanging.
async fn in_time<F: Future>(future: F) -> F::Output {
    let waited = tokio::time::timeout(Duration::from_secs(300), future);
    waited.await.expect("the process hangs")
}

/// The end of a run: its code, its output, its errors.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    errors: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamodb-connector"));
    command
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "any")
        .env("AWS_SECRET_ACCESS_KEY", "any")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env_remove("AWS_REGION")
        .env_remove("AWS_PROFILE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn end(child: Child) -> Ended {
    let output = in_time(child.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code(),
        out: text(output.stdout),
        errors: text(output.stderr),
    }
}

async fn run(arguments: &[&str]) -> Ended {
    end(command(arguments).spawn().unwrap()).await
}

fn interrupt(child: &Child) {
    let id = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
}

/// It fails with one line on standard error, which says this.
async fn refuses(arguments: &[&str], code: i32, says: &str) {
    let ended = run(arguments).await;
    let errors = &ended.errors;
    assert_eq!(ended.code, Some(code), "{arguments:?}: {errors}");
    assert!(errors.starts_with("dynamodb-connector: "), "{errors}");
    assert!(errors.contains(says), "{arguments:?}: {errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

/// A folder of a test's own, deleted at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("cli-{test}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A DynamoDB with a table whose keys are a string and a number.
async fn database() -> (EmbeddedDynamoDb, String) {
    let database = EmbeddedDynamoDb::start().await.unwrap();
    let spec = TableSpec::new(TABLE)
        .partition("customer", KeyKind::String)
        .sort("number", KeyKind::Number)
        .stream(StreamView::NewAndOldImages);
    database.create_table(spec).await.unwrap();
    let url = database.endpoint_url();
    (database, url)
}

async fn count(client: &Client) -> i32 {
    let scan = client.scan().table_name(TABLE).consistent_read(true);
    scan.send().await.unwrap().count()
}

#[tokio::test]
async fn the_demonstration_brings_every_change_to_the_topic_in_order() {
    let ended = run(&["demo"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let out = &ended.out;
    assert!(out.contains("4000 events of 1000 decisions"), "{out}");
    assert!(out.contains("missing:   0\n"), "{out}");
    assert!(out.contains("not in order within a decision: 0\n"), "{out}");
}

#[tokio::test]
async fn wrong_arguments_take_one_line_and_end_with_2() {
    refuses(&[], 2, "a command is missing").await;
    refuses(&["demonstrate"], 2, "demonstrate").await;
    refuses(&["demo", "--fast"], 2, "--fast").await;
    refuses(&["load", "a.csv"], 2, "--table").await;
    refuses(&["load", "a.txt", "--table", TABLE], 2, "--format").await;
    refuses(&["load", "-", "--table", TABLE], 2, "--format").await;
    let types = ["load", "a.csv", "--table", TABLE, "--types", "amount"];
    refuses(&types, 2, "amount=N").await;
    let types = ["load", "a.json", "--table", TABLE, "--types", "amount=N"];
    refuses(&types, 2, "--types is for CSV").await;
    refuses(
        &["load", "/missing.csv", "--table", TABLE],
        1,
        "/missing.csv",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_writes_a_file_with_the_types_of_the_keys() {
    let (database, url) = database().await;
    let folder = Folder::new("load");
    let csv = folder.file(
        "orders.csv",
        "customer,number,amount,zip\n007,1,2.50,00123\n007,2,3,00123\n",
    );
    let load = ["load", &csv, "--table", TABLE, "--endpoint-url", &url];
    let ended = run(&[&load[..], &["--types", "amount=N", "--output", "json"]].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        summary,
        json!({
            "file": csv, "table": TABLE, "lines": 2, "last_line": 3, "written": 2, "dead_lettered": 0,
            "unwritten": 0, "interrupted": false, "dead_letters": null,
        })
    );
    assert!(!Path::new(&format!("{csv}.dead.jsonl")).exists());

    let client = database.client();
    let key = |item: aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder| {
        item.key("customer", AttributeValue::S("007".into()))
            .key("number", AttributeValue::N("1".into()))
    };
    let found = key(client.get_item().table_name(TABLE)).send().await;
    let item = found.unwrap().item.unwrap();
    assert_eq!(item["amount"].as_n().unwrap(), "2.5");
    assert_eq!(item["zip"].as_s().unwrap(), "00123");

    let ended = run(&[&load[..], &["--types", "number=S"]].concat()).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let missing = ["load", &csv, "--table", "missing", "--endpoint-url", &url];
    refuses(&missing, 1, "missing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_names_bad_lines_and_keeps_them() {
    let (database, url) = database().await;
    let folder = Folder::new("bad");
    let json = folder.file(
        "orders.jsonl",
        "{\"customer\":\"a\",\"number\":1}\n{\"customer\":\"secret\"\n{\"customer\":\"secret\"}\n{\"customer\":\"a\",\"number\":4}\n",
    );
    let letters = folder.path("letters");
    let mut load = vec!["load", &json, "--table", TABLE, "--endpoint-url", &url];
    load.extend(["--dead-letters", &letters]);
    let ended = run(&load).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(
        ended.out,
        format!("2 of 4 lines written to orders\n2 not written: see {letters}\n")
    );
    let errors: Vec<&str> = ended.errors.lines().collect();
    let first = format!("{json}:2: no JSON object");
    assert!(errors[0].starts_with(&first), "{errors:?}");
    assert!(errors[1].starts_with(&format!("{json}:3: ")), "{errors:?}");
    assert!(!ended.errors.contains("secret"), "{errors:?}");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert_eq!(count(&database.client()).await, 2);

    let written = std::fs::read_to_string(&letters).unwrap();
    let places: Vec<(Value, Option<Vec<u8>>)> = written
        .lines()
        .map(|line| {
            let letter: Value = serde_json::from_str(line).unwrap();
            let record = WriteRecord::from_dead_letter(line).unwrap();
            (
                letter["from"]["line"].clone(),
                record.row().map(<[u8]>::to_vec),
            )
        })
        .collect();
    let row = |text: &str| Some(serde_json::to_vec(text).unwrap());
    assert_eq!(
        places,
        [
            (json!(2), row("{\"customer\":\"secret\"")),
            (json!(3), row("{\"customer\":\"secret\"}")),
        ]
    );
    // Letters of an earlier load stay.
    assert_eq!(run(&load).await.code, Some(3));
    assert_eq!(
        std::fs::read_to_string(&letters).unwrap().lines().count(),
        4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_load_after_what_was_read() {
    let (database, url) = database().await;
    let mut load = command(&["load", "-", "--format", "json", "--table", TABLE]);
    let mut child = load
        .args(["--endpoint-url", &url])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = "{\"customer\":\"a\",\"number\":1}\n{\"customer\":\"a\",\"number\":2}\n";
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).await.unwrap();
    let client = database.client();
    in_time(async { while count(&client).await < 2 {} }).await;
    // Standard input stays open: the load would wait for more.
    interrupt(&child);
    let ended = end(child).await;
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(
        ended.out,
        "2 of 2 lines written to orders\ninterrupted after line 2\n"
    );
    drop(stdin);
}

/// Puts an item of one number.
async fn put(client: &Client, number: u64) {
    let item = client.put_item().table_name(TABLE);
    let item = item
        .item("customer", AttributeValue::S("ada".to_owned()))
        .item("number", AttributeValue::N(number.to_string()));
    item.send().await.unwrap();
}

#[tokio::test]
async fn tail_prints_changes_and_leaves_no_table_behind() {
    let (database, url) = database().await;
    let client = database.client();
    put(&client, 1).await;
    let tail = ["tail", TABLE, "--from", "oldest", "--endpoint-url", &url];
    let mut child = command(&tail).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for number in ["1", "2"] {
        let line = in_time(lines.next_line()).await.unwrap().unwrap();
        let change: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(change["event"], "INSERT", "{line}");
        assert_eq!(change["keys"]["number"]["N"], number, "{line}");
        assert_eq!(change["new"]["customer"]["S"], "ada", "{line}");
        put(&client, 2).await;
    }
    interrupt(&child);
    let ended = end(child).await;
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(ended.errors, "");
    let tables = client.list_tables().send().await.unwrap();
    assert_eq!(tables.table_names(), [TABLE]);

    // What reads its output has ended.
    let mut child = command(&tail).spawn().unwrap();
    drop(child.stdout.take());
    let ended = end(child).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let mut help = command(&["--help"]).spawn().unwrap();
    drop(help.stdout.take());
    let ended = end(help).await;
    assert_eq!((ended.code, &*ended.errors), (Some(0), ""));

    refuses(&["tail", TABLE, "--from", "soon"], 2, "90m").await;
    let missing = ["tail", "missing", "--endpoint-url", &url];
    refuses(&missing, 1, "\"missing\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_listed_and_released() {
    let (database, url) = database().await;
    let (client, streams) = (database.client(), database.streams_client());
    // Makes the leases, and reads nothing.
    let source = StreamsSource::builder(&client, &streams, TABLE);
    drop(source.open().await.unwrap());
    let list = ["leases", "list", "orders-leases", "--endpoint-url", &url];
    let ended = run(&[&list[..], &["--output", "json"]].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lease: Value = serde_json::from_str(&ended.out).unwrap();
    let shard = lease["shard"].as_str().unwrap();
    assert_eq!(
        lease,
        json!({"shard": shard, "owner": null, "handed_over_by": null, "counter": 0, "checkpoint": "TRIM_HORIZON"})
    );
    let release = ["leases", "release", "orders-leases", shard];
    let release = [&release[..], &["--endpoint-url", &url]].concat();
    let forced = [&release[..], &["--force"]].concat();
    refuses(&forced, 1, "no worker has it").await;

    // A worker that took it and is gone without a word.
    let taken = client
        .update_item()
        .table_name("orders-leases")
        .key("leaseKey", AttributeValue::S(shard.into()))
        .update_expression("SET leaseOwner = :worker")
        .expression_attribute_values(":worker", AttributeValue::S("reader-1".into()));
    taken.send().await.unwrap();
    let ended = run(&list).await;
    let expected = format!(
        "{:width$}  WORKER    COUNTER  CHECKPOINT\n{shard}  reader-1        0  TRIM_HORIZON\n",
        "SHARD",
        width = shard.len()
    );
    assert_eq!(ended.out, expected);
    let still = [&release[..], &["--failover", "1s"]].concat();
    let ended = run(&still).await;
    assert_eq!(ended.out, format!("released {shard}\n"), "{ended:?}");
    refuses(&still, 1, "no worker has it").await;

    let missing = ["leases", "release", "orders-leases", "none", "--force"];
    let missing = [&missing[..], &["--endpoint-url", &url]].concat();
    refuses(&missing, 1, "no such lease").await;
    let nowhere = ["leases", "list", "missing", "--endpoint-url", &url];
    refuses(&nowhere, 1, "ResourceNotFoundException").await;
    let short = [&release[..], &["--failover", "0s"]].concat();
    refuses(&short, 2, "--force").await;
    let both = [&forced[..], &["--failover", "1s"]].concat();
    refuses(&both, 2, "--failover").await;
}
