//! Making a source's clients and joining its group.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::super::error::KafkaError;
use super::super::settings::not_taken;
use super::super::topics::{Waits, look_up};
use super::clients::Clients;
use super::reader::Setup;
use super::start::{QUERY_TIMEOUT, Search};

/// The time between two looks at the clients' events.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Fails where this client may not use the group. Otherwise the first to learn of it would be the
/// reader of the source, in words of librdkafka that name no group.
///
/// Whatever else the answer is, or where there is none, says nothing for good: the member asks again.
async fn ask_for_group(setup: &Setup, clients: &Arc<Clients>) -> Result<(), KafkaError> {
    let settings = &setup.settings;
    let mut list = TopicPartitionList::new();
    for topic in &settings.topics {
        list.add_partition(topic, 0);
    }
    let longest = settings.topic_timeout.min(QUERY_TIMEOUT);
    let asked = Arc::clone(clients);
    let ask = move || asked.reader.committed_offsets(list, longest);
    let answer = tokio::task::spawn_blocking(ask).await;
    match answer.map(|answer| answer.map_err(|error| error.rdkafka_error_code())) {
        Ok(Err(Some(RDKafkaErrorCode::GroupAuthorizationFailed))) => {
            Err(setup.shared.group_refused())
        }
        _ => Ok(()),
    }
}

/// Makes the clients, waits until the topics are known to exist, and joins the group.
pub(super) async fn open(setup: &Setup) -> Result<(Arc<Clients>, Search), KafkaError> {
    let (settings, shared) = (&setup.settings, &setup.shared);
    let configs = &setup.configs;
    let clients = Clients::create(&configs.member, &configs.reader, shared)?;
    let clients = Arc::new(clients);
    let waits = Waits {
        unknown: settings.topic_timeout,
        unreachable: settings.topic_timeout,
    };
    let in_vain = || shared.failure().or_else(|| shared.connection.in_vain());
    let look_all_up = async {
        let mut opened_with = HashMap::new();
        for topic in &settings.topics {
            let topic: Arc<str> = topic.as_str().into();
            let (asked, answered) = (Arc::clone(&clients), Arc::clone(shared));
            let ask = move |topic: &str, longest| {
                let metadata = asked.reader.fetch_metadata(Some(topic), longest)?;
                answered.connection.succeeded();
                Ok(metadata)
            };
            let count = look_up(&topic, waits, ask, in_vain).await?;
            opened_with.insert(topic, i32::try_from(count).unwrap_or(i32::MAX));
        }
        ask_for_group(setup, &clients).await?;
        Ok::<_, KafkaError>(opened_with)
    };
    // Nothing is subscribed to yet, so no record comes; but errors do, and are noted by the callbacks.
    let serve = async {
        loop {
            while clients.reader.poll(Duration::ZERO).is_some() {}
            while clients.member.poll(Duration::ZERO).is_some() {}
            if let Some(failure) = shared.failure() {
                return failure;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let opened_with = tokio::select! {
        looked_up = look_all_up => looked_up?,
        failure = serve => return Err(failure),
    };
    let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
    let subscribed = clients.member.subscribe(&topics);
    subscribed.map_err(not_taken)?;
    let search = Search {
        start: settings.start,
        generation: settings.generation,
        opened_with,
    };
    Ok((clients, search))
}
