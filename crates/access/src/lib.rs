//! The layer of IAM: the roles that the control plane and the nodes act as.
//!
//! IAM is global and takes no client tokens, but its names are unique in an
//! account: a role of our name that carries our marks is ours, one that does
//! not is somebody's and is never touched.

mod apply;
mod leaks;
mod observe;
mod plan;
mod spec;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_iam::Client;
use futures::future::join_all;
use trunkline_aws::Aws;
use trunkline_engine::{Applying, Draft, Failure, FailureKind, Layer, Observing, Seen, Wish};
use trunkline_ids::Outputs;

pub use apply::role_arn_by_name;
pub use observe::Observation;
pub use plan::{Action, Mend};
pub use spec::{AccessSpec, Purpose, RoleWish};

/// The layer.
pub struct Access {
    spec: AccessSpec,
    wished: Vec<RoleWish>,
    aws: Arc<Aws>,
    iam: Client,
    /// For `CreateRole`, which must not be repeated by the SDK.
    once: Client,
}

impl Access {
    /// The layer of `spec`, reached by `aws`.
    #[must_use]
    pub fn new(spec: AccessSpec, aws: Arc<Aws>) -> Self {
        Self {
            wished: spec.roles(|address| aws.marks(address)),
            spec,
            iam: Client::new(aws.sdk()),
            once: Client::new(aws.once()),
            aws,
        }
    }
}

#[async_trait]
impl Layer for Access {
    type Observation = Observation;
    type Action = Action;

    fn name(&self) -> &'static str {
        spec::LAYER
    }

    fn api_actions(&self) -> &'static [&'static str] {
        &[
            "iam:AttachRolePolicy",
            "iam:CreateRole",
            "iam:DeleteInstanceProfile",
            "iam:DeleteRole",
            "iam:DeleteRolePolicy",
            "iam:DetachRolePolicy",
            "iam:GetRole",
            "iam:GetRolePolicy",
            "iam:ListAttachedRolePolicies",
            "iam:ListInstanceProfileTags",
            "iam:ListInstanceProfiles",
            "iam:ListInstanceProfilesForRole",
            "iam:ListOpenIDConnectProviderTags",
            "iam:ListOpenIDConnectProviders",
            "iam:ListRolePolicies",
            "iam:ListRoles",
            "iam:PutRolePolicy",
            "iam:RemoveRoleFromInstanceProfile",
            "iam:TagRole",
            "iam:UpdateAssumeRolePolicy",
        ]
    }

    async fn observe(&self, _: &Observing) -> Observation {
        observe::observe(&self.iam, &self.spec, self.aws.environment(), &self.wished).await
    }

    fn seen(&self, observation: &Observation) -> Seen {
        observation.seen()
    }

    fn plan(&self, wish: Wish, observation: &Observation) -> Draft<Action> {
        plan::plan(&self.wished, wish, observation)
    }

    /// Names that are taken by roles that are not ours.
    async fn preflight(&self) -> Result<Vec<String>, Failure> {
        let asked = self
            .wished
            .iter()
            .map(|role| self.owned(&role.name, &role.address));
        let mut problems = Vec::new();
        for answer in join_all(asked).await {
            match answer {
                Ok(_) => {}
                Err(failure) if failure.kind == FailureKind::Conflict => {
                    let fix = failure.next.unwrap_or_default();
                    problems.push(format!("{}; {fix}", failure.cause.message));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(problems)
    }

    async fn apply(&self, action: Action, cx: &Applying) -> Result<Outputs, Failure> {
        self.perform(action, cx).await
    }

    async fn leaks(&self) -> Result<Vec<String>, Failure> {
        self.left_over().await
    }
}
