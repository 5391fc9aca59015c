//! The layer of S3: the bucket of recordings, encrypted, versioned, private,
//! reached by TLS only.
//!
//! A bucket that holds anything holds data: it is kept unless its data was
//! given up explicitly.

mod apply;
mod observe;
mod plan;
mod set;
mod spec;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use futures::future::{join_all, try_join_all};
use trunkline_aws::Aws;
use trunkline_engine::{Applying, Draft, Failure, Layer, Observing, Seen, Wish};
use trunkline_ids::Outputs;

use crate::observe::Owner;

pub use observe::Observation;
pub use plan::{Action, Mend};
pub use spec::{Attribute, BucketWish, StorageSpec};

/// The layer.
pub struct Storage {
    spec: StorageSpec,
    wished: Vec<BucketWish>,
    aws: Arc<Aws>,
    s3: Client,
    /// For `CreateBucket`, which must not be repeated by the SDK.
    once: Client,
}

impl Storage {
    /// The layer of `spec`, reached by `aws`.
    #[must_use]
    pub fn new(spec: StorageSpec, aws: Arc<Aws>) -> Self {
        Self {
            wished: spec.buckets(|address| aws.marks(address)),
            spec,
            s3: Client::new(aws.sdk()),
            once: Client::new(aws.once()),
            aws,
        }
    }
}

#[async_trait]
impl Layer for Storage {
    type Observation = Observation;
    type Action = Action;

    fn name(&self) -> &'static str {
        spec::LAYER
    }

    fn api_actions(&self) -> &'static [&'static str] {
        &[
            "s3:AbortMultipartUpload",
            "s3:CreateBucket",
            "s3:DeleteBucket",
            "s3:DeleteObjects",
            "s3:GetBucketEncryption",
            "s3:GetBucketLifecycleConfiguration",
            "s3:GetBucketOwnershipControls",
            "s3:GetBucketPolicy",
            "s3:GetBucketTagging",
            "s3:GetBucketVersioning",
            "s3:GetPublicAccessBlock",
            "s3:ListBuckets",
            "s3:ListMultipartUploads",
            "s3:ListObjectVersions",
            "s3:PutBucketEncryption",
            "s3:PutBucketLifecycleConfiguration",
            "s3:PutBucketOwnershipControls",
            "s3:PutBucketPolicy",
            "s3:PutBucketTagging",
            "s3:PutBucketVersioning",
            "s3:PutPublicAccessBlock",
        ]
    }

    async fn observe(&self, _: &Observing) -> Observation {
        let environment = self.aws.environment();
        observe::observe(&self.s3, &self.spec.prefix(), environment, &self.wished).await
    }

    fn seen(&self, observation: &Observation) -> Seen {
        observation.seen()
    }

    fn plan(&self, wish: Wish, observation: &Observation) -> Draft<Action> {
        plan::plan(self.aws.environment(), &self.wished, wish, observation)
    }

    /// Names that are taken. A bucket without any tag may be our own, left by
    /// a lost request: the create judges it by its intent.
    async fn preflight(&self) -> Result<Vec<String>, Failure> {
        let mut problems = Vec::new();
        let owners = join_all(self.wished.iter().map(|bucket| self.owner(&bucket.name))).await;
        for (bucket, owner) in self.wished.iter().zip(owners) {
            let name = &bucket.name;
            match owner? {
                Owner::Nobody | Owner::Untagged => {}
                Owner::Us(address) if address == bucket.address => {}
                Owner::Us(address) => {
                    problems.push(format!("the bucket {name} is marked as {address}"));
                }
                Owner::Somebody(why) => {
                    let advice = apply::advice(name);
                    problems.push(format!("the bucket {name} is {why}; {advice}"));
                }
            }
        }
        Ok(problems)
    }

    async fn apply(&self, action: Action, cx: &Applying) -> Result<Outputs, Failure> {
        self.perform(action, cx).await
    }

    /// Buckets that are called as ours and carry no marks.
    async fn leaks(&self) -> Result<Vec<String>, Failure> {
        let names = observe::names(&self.s3, &self.spec.prefix()).await?;
        let owners = try_join_all(names.iter().map(|name| self.owner(name))).await?;
        let leaked = names.iter().zip(owners);
        let leaked = leaked.filter(|(_, o)| matches!(o, Owner::Untagged | Owner::Somebody(_)));
        Ok(leaked
            .map(|(name, _)| format!("S3 bucket {name}, without our marks"))
            .collect())
    }
}
