//! Performs one action on one role.

use aws_sdk_iam::{Client, error::ProvideErrorMetadata, types::Tag};
use trunkline_aws::failure;
use trunkline_engine::{Applying, Create, Failure, FailureKind};
use trunkline_ids::{Address, Outputs, RoleArn};

use crate::{
    Access,
    observe::{attached, get, inline_names},
    plan::{Action, Mend},
    spec::RoleWish,
};

impl Access {
    pub(crate) async fn perform(&self, action: Action, cx: &Applying) -> Result<Outputs, Failure> {
        match action {
            Action::Create(role) => self.create(&role, cx).await,
            Action::Mend(mend) => {
                let known = self.owned(&mend.name, cx.address()).await?;
                let arn = known.ok_or_else(|| gone(&mend.name))?;
                self.mend(mend).await?;
                Ok(Outputs::new().with(cx.address(), &arn))
            }
            Action::Delete { name } => {
                if self.owned(&name, cx.address()).await?.is_some() {
                    self.delete(&name).await?;
                }
                Ok(Outputs::new())
            }
        }
    }

    async fn create(&self, role: &RoleWish, cx: &Applying) -> Result<Outputs, Failure> {
        let create = || self.create_role(role);
        let find = || self.owned(&role.name, &role.address);
        let arn = Create::new(cx, &role.address).by_mark(create, find).await?;
        let parts = Mend {
            name: role.name.clone(),
            attach: role.policies.iter().cloned().collect(),
            inline: role.inline.clone(),
            ..Mend::default()
        };
        let made = self.mend(parts).await;
        made.map_err(|failure| failure.remains(format!("role {}", role.name)))?;
        Ok(Outputs::new().with(&role.address, &arn))
    }

    /// IAM takes no client token, but names are unique: a second request is
    /// refused, and what is there already is ours or a conflict.
    async fn create_role(&self, role: &RoleWish) -> Result<RoleArn, Failure> {
        let request = self
            .once
            .create_role()
            .role_name(&role.name)
            .path(&role.path)
            .description(&role.description)
            .assume_role_policy_document(role.trust.to_string())
            .set_tags(Some(sdk_tags(&role.tags)?));
        match request.send().await {
            Ok(answer) => match answer.role() {
                Some(role) => Ok(RoleArn::new(role.arn())),
                None => Err(Failure::bug("IAM CreateRole answered without a role")),
            },
            Err(error) if error.code() == Some("EntityAlreadyExists") => {
                let there = self.owned(&role.name, &role.address).await?;
                there.ok_or_else(|| failure("IAM", "CreateRole", &error))
            }
            Err(error) => Err(failure("IAM", "CreateRole", &error)),
        }
    }

    /// The ARN of a role that carries the marks of `address`; none if there is
    /// no role of that name; a conflict if there is one that is not ours.
    pub(crate) async fn owned(
        &self,
        name: &str,
        address: &Address,
    ) -> Result<Option<RoleArn>, Failure> {
        let Some(role) = get(&self.iam, name).await? else {
            return Ok(None);
        };
        if role.address(self.aws.environment()).as_ref() == Some(address) {
            return Ok(Some(role.arn));
        }
        let mut conflict = Failure::bug(format!(
            "{} is there and does not carry the marks of {address}: it was left alone",
            role.arn
        ));
        conflict.kind = FailureKind::Conflict;
        conflict.cause.service = "IAM".to_owned();
        Err(conflict.next(format!("remove or rename the role {name}")))
    }

    async fn mend(&self, mend: Mend) -> Result<(), Failure> {
        let name = mend.name.as_str();
        if let Some(trust) = &mend.trust {
            let request = self.iam.update_assume_role_policy().role_name(name);
            let sent = request.policy_document(trust.to_string()).send().await;
            sent.map_err(|e| failure("IAM", "UpdateAssumeRolePolicy", &e))?;
        }
        if !mend.tags.is_empty() {
            let request = self.iam.tag_role().role_name(name);
            let sent = request.set_tags(Some(sdk_tags(&mend.tags)?)).send().await;
            sent.map_err(|e| failure("IAM", "TagRole", &e))?;
        }
        // One after the other: IAM refuses concurrent changes of one role
        // (ConcurrentModification).
        for arn in &mend.attach {
            let request = self.iam.attach_role_policy().role_name(name);
            let sent = request.policy_arn(arn).send().await;
            sent.map_err(|e| failure("IAM", "AttachRolePolicy", &e))?;
        }
        for (policy, document) in &mend.inline {
            let request = self.iam.put_role_policy().role_name(name);
            let request = request.policy_name(policy);
            let sent = request.policy_document(document.to_string()).send().await;
            sent.map_err(|e| failure("IAM", "PutRolePolicy", &e))?;
        }
        Ok(())
    }

    /// IAM deletes a role only when nothing hangs on it any more.
    async fn delete(&self, name: &str) -> Result<(), Failure> {
        self.leave_instance_profiles(name).await?;
        for arn in unless_gone(attached(&self.iam, name).await)?.unwrap_or_default() {
            let request = self.iam.detach_role_policy().role_name(name);
            let sent = request.policy_arn(arn).send().await;
            unless_gone(sent.map_err(|e| failure("IAM", "DetachRolePolicy", &e)))?;
        }
        for policy in unless_gone(inline_names(&self.iam, name).await)?.unwrap_or_default() {
            let request = self.iam.delete_role_policy().role_name(name);
            let sent = request.policy_name(policy).send().await;
            unless_gone(sent.map_err(|e| failure("IAM", "DeleteRolePolicy", &e)))?;
        }
        let sent = self.iam.delete_role().role_name(name).send().await;
        unless_gone(sent.map_err(|e| failure("IAM", "DeleteRole", &e)))?;
        Ok(())
    }

    /// Auto Mode puts the node role into an instance profile of its own, which
    /// goes with its NodeClass. One that stayed behind would keep the role for
    /// ever; it is ours to remove when it carries our cluster's mark.
    async fn leave_instance_profiles(&self, role: &str) -> Result<(), Failure> {
        let list = self.iam.list_instance_profiles_for_role().role_name(role);
        let answer = list.send().await;
        let answer = answer.map_err(|e| failure("IAM", "ListInstanceProfilesForRole", &e));
        let Some(answer) = unless_gone(answer)? else {
            return Ok(());
        };
        for profile in answer.instance_profiles() {
            let name = profile.instance_profile_name();
            if !self.is_of_our_cluster(name).await? {
                let mut conflict = Failure::bug(format!(
                    "the role {role} is in the instance profile {name}, which is not ours"
                ));
                conflict.kind = FailureKind::Conflict;
                conflict.cause.service = "IAM".to_owned();
                return Err(conflict.next(format!("take the role out of {name}")));
            }
            let request = self.iam.remove_role_from_instance_profile();
            let request = request.role_name(role).instance_profile_name(name);
            let sent = request.send().await;
            unless_gone(sent.map_err(|e| failure("IAM", "RemoveRoleFromInstanceProfile", &e)))?;
            let request = self.iam.delete_instance_profile();
            let sent = request.instance_profile_name(name).send().await;
            unless_gone(sent.map_err(|e| failure("IAM", "DeleteInstanceProfile", &e)))?;
        }
        Ok(())
    }
}

/// The ARN of a role by its name, with its path: what the ARN of a session of
/// the role does not tell.
///
/// # Errors
/// IAM's; gone if there is no such role.
pub async fn role_arn_by_name(aws: &trunkline_aws::Aws, name: &str) -> Result<RoleArn, Failure> {
    let role = get(&Client::new(aws.sdk()), name).await?;
    role.map(|role| role.arn).ok_or_else(|| gone(name))
}

fn sdk_tags(tags: &std::collections::BTreeMap<String, String>) -> Result<Vec<Tag>, Failure> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build();
    let tags: Result<_, _> = tags.iter().map(tag).collect();
    tags.map_err(|e| Failure::bug(format!("a tag is not complete: {e}")))
}

/// What a delete wants gone may be gone.
fn unless_gone<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.kind == FailureKind::Gone => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn gone(name: &str) -> Failure {
    let mut failure = Failure::bug(format!("there is no role {name}"));
    failure.kind = FailureKind::Gone;
    failure.cause.service = "IAM".to_owned();
    failure.next("plan again")
}
