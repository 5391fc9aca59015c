//! The connection: credentials, the account checked first, the ledger.

use std::sync::Arc;

use aws_config::SdkConfig;
use trunkline_aws::{Aws, EksToken, Open};
use trunkline_engine::{Failure, FailureKind, Observing, Presence};
use trunkline_environment::Environment;
use trunkline_ids::{ClusterEndpoint, Outputs};
use trunkline_ledger::{Bootstrapped, Ledger};

use crate::{PipelineError, gate::Gate};

/// Who AWS says we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: String,
    /// The ARN, of an assumed role perhaps.
    pub arn: String,
}

/// An environment and the way to its account.
pub struct Connection {
    environment: Environment,
    identity: Identity,
    principal: String,
    sdk: SdkConfig,
    pub(crate) aws: Arc<Aws>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) ledger: Ledger,
}

impl Connection {
    /// Loads the SDK's configuration from the usual places and checks that the
    /// account is the one that the file pins.
    ///
    /// # Errors
    /// No credentials, no answer, or another account.
    pub async fn open(environment: Environment) -> Result<Self, PipelineError> {
        let sdk = trunkline_aws::load(environment.region()).await;
        Self::with_sdk(environment, sdk).await
    }

    /// The same with a configuration of the caller's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn with_sdk(environment: Environment, sdk: SdkConfig) -> Result<Self, PipelineError> {
        let identity = identity(&sdk).await?;
        let pinned = environment.account();
        if identity.account != pinned.as_str() {
            return Err(PipelineError::WrongAccount {
                pinned: pinned.to_string(),
                actual: identity.account,
                identity: identity.arn,
            });
        }
        let gate = Arc::new(Gate::default());
        let name = environment.name().as_str();
        let aws = Aws::new(&sdk, name, pinned.clone(), Arc::clone(&gate) as _);
        let open = Aws::new(&sdk, name, pinned.clone(), Arc::new(Open));
        let ledger = Ledger::new(&open, environment.ledger_bucket());
        let principal = principal(&aws, &identity.arn).await?;
        Ok(Self {
            environment,
            identity,
            principal,
            sdk,
            aws: Arc::new(aws),
            gate,
            ledger,
        })
    }

    /// The environment.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Who we are.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The role or user that we act as: whom the cluster lets in.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The SDK's configuration, without the guard of the lease.
    #[must_use]
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// AWS under the guard of the lease: what layers make their clients from.
    #[must_use]
    pub fn aws(&self) -> &Arc<Aws> {
        &self.aws
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Makes or repairs what every run needs and no run deletes: the ledger.
    ///
    /// # Errors
    /// A bucket of that name that is not ours; or S3's.
    pub async fn bootstrap(&self) -> Result<Bootstrapped, PipelineError> {
        Ok(self.ledger.bootstrap().await?)
    }

    /// How the cluster's API server is reached; none while it is not ACTIVE.
    ///
    /// # Errors
    /// EKS could not be asked.
    pub async fn cluster_endpoint(&self) -> Result<Option<ClusterEndpoint>, PipelineError> {
        let (layer, endpoint) = crate::compose::cluster_layer(self)?;
        let looking = Observing {
            outputs: Outputs::new(),
            parent: Presence::Present,
        };
        let seen = layer.observe(&looking).await.seen;
        match seen.presence.get(endpoint.address()) {
            Some(Presence::Unknown(why)) => Err(PipelineError::Unknown(vec![(
                endpoint.address().clone(),
                why.clone(),
            )])),
            _ => Ok(seen.outputs.get(&endpoint)),
        }
    }
}

/// A token for the Kubernetes API of an environment, as `aws eks get-token`
/// makes it. Asks nobody: kubectl calls this for every few minutes of work.
///
/// # Errors
/// No credentials.
pub async fn token(environment: &Environment) -> Result<EksToken, Failure> {
    let sdk = trunkline_aws::load(environment.region()).await;
    trunkline_aws::eks_token(&sdk, environment.cluster_name().as_str()).await
}

/// A session does not tell the path of its role, and EKS wants the whole ARN.
/// Who may not ask IAM is taken at the word of STS, which is right for every
/// role without a path.
async fn principal(aws: &Aws, arn: &str) -> Result<String, PipelineError> {
    if let Some(role) = trunkline_cluster::role_of_session(arn) {
        match trunkline_access::role_arn_by_name(aws, role).await {
            Ok(arn) => return Ok(arn.to_string()),
            Err(failure) if matches!(failure.kind, FailureKind::Denied | FailureKind::Gone) => {}
            // A guess would take the entry of the right principal away.
            Err(failure) => return Err(failure.clear().into()),
        }
    }
    trunkline_cluster::principal_of(arn).map_err(|error| PipelineError::Spec(error.to_string()))
}

async fn identity(sdk: &SdkConfig) -> Result<Identity, Failure> {
    let answer = aws_sdk_sts::Client::new(sdk)
        .get_caller_identity()
        .send()
        .await;
    let answer =
        answer.map_err(|e| trunkline_aws::failure("STS", "GetCallerIdentity", &e).clear())?;
    Ok(Identity {
        account: answer.account().unwrap_or_default().to_owned(),
        arn: answer.arn().unwrap_or_default().to_owned(),
    })
}
