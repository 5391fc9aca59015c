//! Performs one action.

mod cluster;
mod entry;

use trunkline_engine::{Applying, Cause, Failure, FailureKind};
use trunkline_ids::{ClusterName, Outputs};

use crate::{
    Cluster,
    observe::{self, ClusterState},
    plan::Action,
    spec,
};

impl Cluster {
    pub(crate) async fn perform(&self, action: Action, cx: &Applying) -> Result<Outputs, Failure> {
        match action {
            Action::Create(wish) => self.create(&wish, cx).await,
            Action::Await(name) => self.await_active(&name, cx).await,
            Action::Update(update) => self.update(&update, cx).await,
            Action::Delete { name, unprotect } => {
                self.delete(&name, unprotect, cx).await?;
                Ok(Outputs::new())
            }
            Action::Enter(entry) => {
                self.enter(&entry, cx).await?;
                Ok(Outputs::new())
            }
            Action::Leave { cluster, principal } => {
                self.leave(&cluster, &principal).await?;
                Ok(Outputs::new())
            }
        }
    }

    /// The cluster of a name if it is ours; a conflict if it is not.
    pub(crate) async fn owned(&self, name: &ClusterName) -> Result<Option<ClusterState>, Failure> {
        let Some(cluster) = observe::cluster(&self.eks, name).await? else {
            return Ok(None);
        };
        if cluster.address(self.aws.environment()) == Some(spec::address()) {
            return Ok(Some(cluster));
        }
        let text = format!("the cluster {name} is there and does not carry our marks");
        let conflict = said(FailureKind::Conflict, text).clear();
        Err(conflict.next(format!(
            "remove the cluster {name}, or rename the environment"
        )))
    }
}

/// A failure of our own words.
fn said(kind: FailureKind, message: String) -> Failure {
    let cause = Cause {
        service: "EKS".to_owned(),
        message,
        ..Cause::default()
    };
    Failure::new(kind, cause)
}

/// Whether EKS does not see yet what IAM has made: it says so only in words.
/// terraform-provider-aws retries on the same (internal/service/eks,
/// `cluster.go` and `access_entry.go`).
fn is_not_seen_yet(failure: &Failure) -> bool {
    const WORDS: &[&str] = &[
        "could not be assumed",
        "does not exist",
        "Error in role params",
        "doesn't have the Amazon EKS Managed Policies",
        "IAM role's policy must include",
        "principalArn is invalid",
    ];
    let message = &failure.cause.message;
    failure.cause.code == "InvalidParameterException"
        && WORDS.iter().any(|words| message.contains(words))
}
