//! Settings that cannot work are errors at once, with the cause and the remedy, and not after a time-out.

use dynamodb_connector::ErrorKind;
use dynamodb_connector::embedded::EmbeddedKafka;
use dynamodb_connector::kafka::{
    KafkaError, KafkaSettings, KafkaSink, KafkaSinkSettings, KafkaSource, Message, ProducerRecord,
    TransactionSettings,
};
use dynamodb_connector::pipeline::{
    Guarantee, KafkaRecords, KafkaTransactions, Pipeline, PipelinePart,
};

#[cfg(feature = "kafka-tls")]
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{settings, sink, soon};

/// The error of the first record, with time-outs of five minutes.
async fn first_error(settings: &KafkaSettings) -> KafkaError {
    let sink = KafkaSink::open(settings).await.expect("a sink");
    let sent = soon(sink.send(ProducerRecord::new("events", "x"))).await;
    sent.map(drop).expect_err("it cannot be sent")
}

#[tokio::test]
async fn an_illegal_topic_name_is_refused_with_the_rule() {
    let kafka = EmbeddedKafka::start(&[]).expect("a mock");
    let sink = sink(&kafka, &KafkaSinkSettings::default()).await;
    for name in ["", "no spaces", ".."] {
        let error = soon(sink.send(ProducerRecord::new(name, "x"))).await;
        let error = error.map(drop).expect_err("illegal");
        assert!(error.is_topic(), "{error}");
        assert!(error.to_string().contains("its name"), "{error}");
    }
}

#[tokio::test]
async fn a_host_name_that_does_not_resolve_is_the_reason_at_once() {
    let error = first_error(&KafkaSettings::new("no-such-host.invalid:9092")).await;
    assert!(matches!(error, KafkaError::NotConnected { .. }), "{error}");
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
}

#[cfg(feature = "kafka-tls")]
#[tokio::test]
async fn tls_that_fails_is_the_reason_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // It is no TLS.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = stream.read(&mut [0; 1_024]).await;
        }
    });
    let tls = KafkaSettings::new(address).set("security.protocol", "ssl");
    let error = first_error(&tls).await;
    assert!(matches!(error, KafkaError::NotConnected { .. }), "{error}");
    assert!(error.to_string().contains("SSL"), "{error}");
}

#[cfg(feature = "kafka-tls")]
#[tokio::test]
async fn a_certificate_file_that_is_missing_is_named_when_the_sink_is_opened() {
    let settings = KafkaSettings::new("localhost:1")
        .set("security.protocol", "ssl")
        .set("ssl.ca.location", "/no/such/ca.pem");
    let sink = KafkaSink::open(&settings).await;
    let error = sink.map(drop).expect_err("no such file");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("ssl.ca.location"), "{error}");
}

#[tokio::test]
async fn sasl_without_a_mechanism_is_refused_with_the_choices() {
    let kafka = EmbeddedKafka::start(&[]).expect("a mock");
    let settings = settings(&kafka).set("security.protocol", "sasl_plaintext");
    let sink = KafkaSink::open(&settings).await;
    let error = sink.map(drop).expect_err("no mechanism");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("PLAIN"), "{error}");
}

#[tokio::test]
async fn a_pipeline_at_least_once_that_reaches_no_broker_ends_before_its_first_record() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let here = settings(&kafka);
    let source = soon(KafkaSource::open(&here, "group", ["events"])).await;
    let source = source.expect("a source");
    let nowhere = KafkaSettings::new("no-such-host.invalid:9092");
    let transactions = KafkaTransactions::new(&nowhere, TransactionSettings::new("app"))
        .guarantee(Guarantee::AtLeastOnce);
    let output = KafkaRecords::new(|_: &Message| Ok::<_, String>(None));
    let job = Pipeline::from(source).to_transactional(&transactions, output);
    let error = soon(job.run()).await.expect_err("there is no broker");
    assert_eq!(error.part(), PipelinePart::Sink);
    let error = error.to_string();
    assert!(error.contains("no-such-host.invalid"), "{error}");
}
