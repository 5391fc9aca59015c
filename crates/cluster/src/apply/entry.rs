//! Access entries: who reaches the cluster, and as what.

use std::time::Duration;

use aws_sdk_eks::types;
use trunkline_aws::failure;
use trunkline_engine::{Applying, Create, Failure, FailureKind};
use trunkline_ids::ClusterName;

use super::{is_not_seen_yet, said};
use crate::{Cluster, observe, spec::EntryWish, wait::until};

const SEEN_AT_MOST: Duration = Duration::from_secs(120);

impl Cluster {
    /// Makes the entry, or puts right the one that is there. In a cluster of
    /// ours an entry of a principal that we wish for is ours to set, whoever
    /// made it.
    pub(super) async fn enter(&self, entry: &EntryWish, cx: &Applying) -> Result<(), Failure> {
        match observe::entry(&self.eks, &entry.cluster, &entry.principal).await? {
            Some(there) => self.adopt(entry, &there).await?,
            None => {
                let send = |token| self.create_entry_once_seen(entry, token, cx);
                Create::new(cx, &entry.address).with_token(send).await?;
            }
        }
        let associated = self.associate_once_seen(entry, cx).await;
        associated.map_err(|f| f.remains(format!("access entry of {}", entry.principal)))
    }

    async fn adopt(&self, entry: &EntryWish, there: &observe::Entry) -> Result<(), Failure> {
        if there.kind != entry.kind {
            let principal = &entry.principal;
            let text = format!(
                "the access entry of {principal} is of type {}, wished is {}",
                there.kind, entry.kind
            );
            let conflict = said(FailureKind::Conflict, text).clear();
            return Err(conflict.next("plan again: it is made anew"));
        }
        let differs = |(key, value): &(&String, &String)| there.tags.get(*key) != Some(*value);
        if entry.tags.iter().any(|tag| differs(&tag)) {
            self.tag(&there.arn, &entry.tags).await?;
        }
        Ok(())
    }

    async fn create_entry_once_seen(
        &self,
        entry: &EntryWish,
        token: String,
        cx: &Applying,
    ) -> Result<(), Failure> {
        match self.create_entry(entry, &token).await {
            Err(failure) if is_not_seen_yet(&failure) => {}
            ended => return ended,
        }
        until(cx, "EKS to see the principal", SEEN_AT_MOST, || async {
            match self.create_entry(entry, &token).await {
                Ok(()) => Ok(Some(())),
                Err(failure) if is_not_seen_yet(&failure) => Ok(None),
                Err(failure) => Err(failure),
            }
        })
        .await
    }

    async fn create_entry(&self, entry: &EntryWish, token: &str) -> Result<(), Failure> {
        let sent = self
            .eks
            .create_access_entry()
            .cluster_name(entry.cluster.as_str())
            .principal_arn(&entry.principal)
            .r#type(&entry.kind)
            .set_tags(Some(entry.tags.clone().into_iter().collect()))
            .client_request_token(token)
            .send()
            .await;
        let Err(error) = sent else { return Ok(()) };
        let failure = failure("EKS", "CreateAccessEntry", &error);
        if failure.cause.code != "ResourceInUseException" {
            return Err(failure);
        }
        // A principal has one entry at most: somebody was faster.
        match observe::entry(&self.eks, &entry.cluster, &entry.principal).await? {
            Some(there) => self.adopt(entry, &there).await,
            None => Err(failure),
        }
    }

    /// A new entry may not be seen at once by the call that uses it.
    async fn associate_once_seen(&self, entry: &EntryWish, cx: &Applying) -> Result<(), Failure> {
        match self.associate(entry).await {
            Err(failure) if failure.kind == FailureKind::Gone => {}
            ended => return ended,
        }
        until(cx, "EKS to see the access entry", SEEN_AT_MOST, || async {
            match self.associate(entry).await {
                Ok(()) => Ok(Some(())),
                Err(failure) if failure.kind == FailureKind::Gone => Ok(None),
                Err(failure) => Err(failure),
            }
        })
        .await
    }

    async fn associate(&self, entry: &EntryWish) -> Result<(), Failure> {
        let scope = types::AccessScope::builder().r#type(types::AccessScopeType::Cluster);
        let sent = self
            .eks
            .associate_access_policy()
            .cluster_name(entry.cluster.as_str())
            .principal_arn(&entry.principal)
            .policy_arn(&entry.policy)
            .access_scope(scope.build())
            .send()
            .await;
        sent.map_err(|e| failure("EKS", "AssociateAccessPolicy", &e))?;
        Ok(())
    }

    pub(super) async fn leave(
        &self,
        cluster: &ClusterName,
        principal: &str,
    ) -> Result<(), Failure> {
        let ask = self
            .eks
            .delete_access_entry()
            .cluster_name(cluster.as_str());
        let sent = ask.principal_arn(principal).send().await;
        match sent.map_err(|e| failure("EKS", "DeleteAccessEntry", &e)) {
            Err(failure) if failure.kind != FailureKind::Gone => Err(failure),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
