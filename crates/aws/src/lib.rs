//! What every AWS layer shares: SDK configuration, ownership marks, the one
//! table of AWS error codes, the presigner of EKS tokens. No service client.

mod failure;
mod guard;
mod marks;
mod policy;
mod token;

use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use trunkline_ids::{AccountId, Address, Region};

pub use failure::failure;
pub use guard::{Guard, Open};
pub use marks::{ADDRESS_TAG, ENVIRONMENT_TAG, address_of};
pub use policy::{canonical_policy, same_policy};
pub use token::{EksToken, eks_token};

/// How one environment reaches AWS.
#[derive(Debug, Clone)]
pub struct Aws {
    sdk: SdkConfig,
    once: SdkConfig,
    environment: String,
    account: AccountId,
}

impl Aws {
    /// From a configuration of the SDK. Every attempt of every client made
    /// from it asks `guard` first.
    #[must_use]
    pub fn new(
        sdk: &SdkConfig,
        environment: &str,
        account: AccountId,
        guard: Arc<dyn Guard>,
    ) -> Self {
        let mut guarded = sdk.to_builder();
        if let Some(client) = sdk.http_client() {
            guarded.set_http_client(Some(guard::guarded(client, guard)));
        }
        let guarded = guarded.build();
        let once = guarded
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            sdk: guarded,
            once,
            environment: environment.to_owned(),
            account,
        }
    }

    /// The environment's name: the value of the mark.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> Region {
        Region::new(
            self.sdk
                .region()
                .map(ToString::to_string)
                .unwrap_or_default(),
        )
    }

    /// Configuration with the SDK's standard retries: for reads, and for
    /// writes that are idempotent.
    #[must_use]
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// Configuration without retries: for creates that take no client token,
    /// where the SDK's own second try would make a second thing.
    #[must_use]
    pub fn once(&self) -> &SdkConfig {
        &self.once
    }

    /// The tags that make a resource ours, and its name in the console.
    #[must_use]
    pub fn marks(&self, address: &Address) -> Vec<(String, String)> {
        marks::marks(&self.environment, address)
    }
}

/// Loads the SDK's configuration for `region` from the usual places
/// (environment, profile, container, instance), with our HTTPS client: rustls
/// with ring.
pub async fn load(region: &Region) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(std::time::Duration::from_secs(5))
        .operation_attempt_timeout(std::time::Duration::from_secs(60))
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .region(aws_config::Region::new(region.as_str().to_owned()))
        .http_client(https_client())
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .timeout_config(timeouts)
        .load()
        .await
}

fn https_client() -> aws_smithy_runtime_api::client::http::SharedHttpClient {
    use aws_smithy_http_client::{
        Builder,
        tls::{Provider, rustls_provider::CryptoMode},
    };
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}
