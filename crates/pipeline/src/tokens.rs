//! Tokens for the Kubernetes API out of AWS credentials.

use async_trait::async_trait;
use aws_config::SdkConfig;
use secrecy::SecretString;
use trunkline_engine::Failure;
use trunkline_objects::{Token, TokenSource};

/// Signs tokens for one cluster.
pub(crate) struct EksTokens {
    pub(crate) sdk: SdkConfig,
    pub(crate) cluster: String,
}

#[async_trait]
impl TokenSource for EksTokens {
    async fn token(&self) -> Result<Token, Failure> {
        let token = trunkline_aws::eks_token(&self.sdk, &self.cluster).await?;
        Ok(Token {
            secret: SecretString::from(token.secret),
            expires: token.expires,
        })
    }
}
