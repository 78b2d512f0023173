//! The DynamoDB that is used: AWS by the usual configuration, or another endpoint.

use std::error::Error;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use clap::Args;

/// Servers other than AWS's take any region, but a request can't be signed without one.
const ANY_REGION: &str = "us-east-1";

#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// The URL of a DynamoDB other than AWS's, e.g. `http://localhost:8000`
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// The AWS region [default: that of the environment or the profile]
    #[arg(long)]
    region: Option<String>,
}

impl Connection {
    /// Region, credentials and endpoint, from the arguments, the environment, a profile, or the machine's role.
    pub(crate) async fn config(self) -> Result<SdkConfig, Box<dyn Error>> {
        let https = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(https);
        if let Some(region) = self.region {
            loader = loader.region(Region::new(region));
        } else if self.endpoint_url.is_some() {
            // Not the machine's role, which is asked over the network and not known there.
            let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(ProfileFileRegionProvider::new())
                .or_else(Region::new(ANY_REGION));
            loader = loader.region(chain);
        }
        if let Some(url) = self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err("no region: give --region, or set AWS_REGION".into());
        }
        Ok(config)
    }
}
