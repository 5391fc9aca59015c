//! What of this environment may stay behind in IAM without an address.

use aws_sdk_iam::types::Tag;
use futures::try_join;
use trunkline_aws::{ENVIRONMENT_TAG, failure};
use trunkline_engine::{Failure, FailureKind};

use crate::{Access, observe::names};

/// The tag by which EKS Auto Mode marks what it makes for a cluster.
const CLUSTER_TAG: &str = "eks:eks-cluster-name";

impl Access {
    pub(crate) async fn left_over(&self) -> Result<Vec<String>, Failure> {
        let all = try_join!(
            self.roles(),
            self.instance_profiles(),
            self.oidc_providers()
        )?;
        Ok([all.0, all.1, all.2].concat())
    }

    /// Whether an instance profile was made by Auto Mode for our cluster.
    pub(crate) async fn is_of_our_cluster(&self, profile: &str) -> Result<bool, Failure> {
        let request = self.iam.list_instance_profile_tags();
        match request.instance_profile_name(profile).send().await {
            Ok(answer) => Ok(has(answer.tags(), CLUSTER_TAG, &self.spec.cluster_name())),
            Err(error) => match failure("IAM", "ListInstanceProfileTags", &error) {
                failure if failure.kind == FailureKind::Gone => Ok(false),
                failure => Err(failure),
            },
        }
    }

    async fn roles(&self) -> Result<Vec<String>, Failure> {
        let path = self.spec.path();
        let names = names(&self.iam, &path).await?;
        Ok(names
            .iter()
            .map(|name| format!("IAM role {name} under {path}"))
            .collect())
    }

    /// Auto Mode's are called `eks-…` (the managed policy AmazonEKSComputePolicy
    /// allows no other name).
    async fn instance_profiles(&self) -> Result<Vec<String>, Failure> {
        let mut pages = self.iam.list_instance_profiles().into_paginator().send();
        let mut left = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| failure("IAM", "ListInstanceProfiles", &e))?;
            for profile in page.instance_profiles() {
                let name = profile.instance_profile_name();
                if name.starts_with("eks") && self.is_of_our_cluster(name).await? {
                    left.push(format!("IAM instance profile {name}"));
                }
            }
        }
        Ok(left)
    }

    async fn oidc_providers(&self) -> Result<Vec<String>, Failure> {
        let list = self.iam.list_open_id_connect_providers().send().await;
        let list = list.map_err(|e| failure("IAM", "ListOpenIDConnectProviders", &e))?;
        let mut left = Vec::new();
        let arns = list.open_id_connect_provider_list().iter();
        // The provider of GitHub is shared by environments; those of clusters
        // are not.
        for arn in arns
            .filter_map(|p| p.arn())
            .filter(|arn| arn.contains("/oidc.eks."))
        {
            let request = self.iam.list_open_id_connect_provider_tags();
            let answer = request.open_id_connect_provider_arn(arn).send().await;
            let answer = answer.map_err(|e| failure("IAM", "ListOpenIDConnectProviderTags", &e))?;
            if has(answer.tags(), ENVIRONMENT_TAG, self.aws.environment()) {
                left.push(format!("IAM OIDC provider {arn}"));
            }
        }
        Ok(left)
    }
}

fn has(tags: &[Tag], key: &str, value: &str) -> bool {
    tags.iter()
        .any(|tag| tag.key() == key && tag.value() == value)
}
