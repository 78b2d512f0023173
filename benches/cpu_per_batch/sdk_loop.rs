//! The loop that a careful user writes with the SDK.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use futures::future::BoxFuture;

use crate::contender::Contender;
use crate::rig::Failure;
use crate::rig::records::{self, TABLE};
use crate::rig::sdk;

pub(crate) struct SdkLoop(pub(crate) Client);

impl Contender for SdkLoop {
    fn name(&self) -> &'static str {
        "hand-written SDK loop"
    }

    fn lane(
        self: Arc<Self>,
        lane: usize,
        batches: usize,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            for batch in 0..batches {
                let items = records::batch(lane, batch).into_iter().map(sdk::attributes);
                sdk::write_batch(&self.0, TABLE, items).await?;
            }
            Ok(())
        })
    }
}
