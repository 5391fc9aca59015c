//! Names that follow from the environment alone: known before anything
//! exists, the same in every layer.

use trunkline_ids::{BucketName, ClusterName, RoleArn};

use crate::{Environment, region};

impl Environment {
    /// The name of the EKS cluster, `trunkline-sandbox`.
    #[must_use]
    pub fn cluster_name(&self) -> ClusterName {
        ClusterName::new(self.named())
    }

    /// The name of a bucket: names of buckets are shared by all of AWS, so
    /// account and region are part of it.
    #[must_use]
    pub fn bucket_name(&self, purpose: &str) -> BucketName {
        BucketName::new(bucket(
            self.name.as_str(),
            self.account.as_str(),
            self.region.as_str(),
            purpose,
        ))
    }

    /// The bucket of lease, intents and journals.
    #[must_use]
    pub fn ledger_bucket(&self) -> BucketName {
        self.bucket_name("ledger")
    }

    /// The bucket of recordings.
    #[must_use]
    pub fn egress_bucket(&self) -> BucketName {
        self.bucket_name("egress")
    }

    /// The path of all IAM roles of the environment, `/trunkline/sandbox/`.
    #[must_use]
    pub fn role_path(&self) -> String {
        format!("/trunkline/{}/", self.name)
    }

    /// The name of a role, `trunkline-sandbox-node` for `node`.
    #[must_use]
    pub fn role_name(&self, purpose: &str) -> String {
        format!("{}-{purpose}", self.named())
    }

    /// The ARN of a role: known before it is made.
    #[must_use]
    pub fn role_arn(&self, purpose: &str) -> RoleArn {
        RoleArn::new(format!(
            "arn:{}:iam::{}:role{}{}",
            self.partition(),
            self.account,
            self.role_path(),
            self.role_name(purpose)
        ))
    }

    /// The partition of its ARNs: `aws`, `aws-us-gov`, `aws-cn`.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        region::partition(self.region.as_str())
    }

    fn named(&self) -> String {
        format!("trunkline-{}", self.name)
    }
}

/// The longest name of a bucket (Amazon S3 user guide, "General purpose bucket
/// naming rules").
const LONGEST_BUCKET: usize = 63;

fn bucket(environment: &str, account: &str, region: &str, purpose: &str) -> String {
    format!("trunkline-{environment}-{account}-{region}-{purpose}")
}

/// How long an environment's name may be in a region, so that the names of its
/// buckets stay legal: 18 in `ap-southeast-2`, 20 where there is room.
pub(crate) fn longest_name(region: &str) -> usize {
    let rest = bucket("", "111122223333", region, "ledger").len();
    LONGEST_BUCKET.saturating_sub(rest).min(20)
}
