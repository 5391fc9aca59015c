//! What buckets there should be. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trunkline_ids::{AccountId, Address, BucketName, Ref, Region};

/// The name of this layer.
pub(crate) const LAYER: &str = "storage";
const EGRESS: &str = "egress";

/// A recording that was overwritten or deleted can be had back for so long.
const NONCURRENT_DAYS: i32 = 30;
/// The parts of an upload that was never completed are paid for until then.
const ABORT_DAYS: i32 = 7;

/// The buckets of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSpec {
    environment: String,
    account: AccountId,
    region: Region,
    partition: String,
}

/// One bucket as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BucketWish {
    pub(crate) address: Address,
    pub(crate) name: BucketName,
    pub(crate) region: Region,
    pub(crate) attributes: Attributes,
    pub(crate) tags: BTreeMap<String, String>,
}

/// What can be set on a bucket, each in a form that can be compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    pub(crate) versioning: String,
    pub(crate) encryption: String,
    pub(crate) public_access_block: PublicAccessBlock,
    pub(crate) ownership: String,
    pub(crate) policy: Value,
    pub(crate) lifecycle: Vec<Rule>,
}

/// What of public access is blocked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "the API's own four switches")]
pub(crate) struct PublicAccessBlock {
    pub(crate) block_acls: bool,
    pub(crate) ignore_acls: bool,
    pub(crate) block_policy: bool,
    pub(crate) restrict: bool,
}

/// A lifecycle rule, as far as we write them; what we never write is `other`,
/// so that a rule of somebody's never equals ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) enabled: bool,
    pub(crate) prefix: String,
    pub(crate) expire_days: Option<i32>,
    pub(crate) delete_markers: bool,
    pub(crate) noncurrent_days: Option<i32>,
    pub(crate) abort_days: Option<i32>,
    pub(crate) other: bool,
}

/// The names of what can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    /// Whether overwritten objects are kept as versions.
    Versioning,
    /// Encryption at rest.
    Encryption,
    /// The switches that keep it private whatever a policy says.
    PublicAccessBlock,
    /// Who owns what is written, and whether ACLs count.
    Ownership,
    /// The bucket policy.
    Policy,
    /// What S3 deletes by itself.
    Lifecycle,
}

impl StorageSpec {
    /// The buckets of `environment`. `partition` is that of its ARNs: `aws`.
    #[must_use]
    pub fn new(environment: &str, account: AccountId, region: Region, partition: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            account,
            region,
            partition: partition.to_owned(),
        }
    }

    /// The reference to the bucket of recordings.
    #[must_use]
    pub fn egress(&self) -> Ref<BucketName> {
        Ref::new(Address::new(LAYER, "bucket", EGRESS))
    }

    /// The name of the bucket of recordings: known before it is made. Names
    /// of buckets are shared by all of AWS, so account and region are part.
    #[must_use]
    pub fn egress_name(&self) -> BucketName {
        BucketName::new(self.prefix() + EGRESS)
    }

    /// What the names of all buckets of the environment start with.
    pub(crate) fn prefix(&self) -> String {
        format!(
            "trunkline-{}-{}-{}-",
            self.environment, self.account, self.region
        )
    }

    /// Every bucket as it should be; `marks` are the tags of an address.
    pub(crate) fn buckets(
        &self,
        marks: impl Fn(&Address) -> Vec<(String, String)>,
    ) -> Vec<BucketWish> {
        let address = self.egress().address().clone();
        vec![BucketWish {
            tags: marks(&address).into_iter().collect(),
            attributes: self.attributes(&self.egress_name()),
            name: self.egress_name(),
            region: self.region.clone(),
            address,
        }]
    }

    fn attributes(&self, name: &BucketName) -> Attributes {
        Attributes {
            versioning: "Enabled".to_owned(),
            encryption: "AES256".to_owned(),
            public_access_block: PublicAccessBlock::ALL,
            ownership: "BucketOwnerEnforced".to_owned(),
            policy: tls_only(&self.partition, name),
            lifecycle: vec![Rule {
                id: "trunkline".to_owned(),
                enabled: true,
                delete_markers: true,
                noncurrent_days: Some(NONCURRENT_DAYS),
                abort_days: Some(ABORT_DAYS),
                ..Rule::default()
            }],
        }
    }
}

impl PublicAccessBlock {
    /// Everything is blocked.
    pub(crate) const ALL: Self = Self {
        block_acls: true,
        ignore_acls: true,
        block_policy: true,
        restrict: true,
    };
}

impl Attribute {
    /// All of them, in the order they are set: what keeps a bucket private
    /// comes first.
    pub(crate) const ALL: [Self; 6] = [
        Self::PublicAccessBlock,
        Self::Ownership,
        Self::Policy,
        Self::Encryption,
        Self::Versioning,
        Self::Lifecycle,
    ];
}

/// Refuses whatever does not come by TLS (Amazon S3 user guide, "Security best
/// practices", "Enforce encryption of data in transit").
fn tls_only(partition: &str, name: &BucketName) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [
                format!("arn:{partition}:s3:::{name}"),
                format!("arn:{partition}:s3:::{name}/*"),
            ],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }],
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn buckets() -> Vec<BucketWish> {
        let account = AccountId::new("111122223333");
        let spec = StorageSpec::new("sandbox", account, Region::new("eu-central-1"), "aws");
        spec.buckets(|address| {
            vec![
                ("trunkline:environment".to_owned(), "sandbox".to_owned()),
                ("trunkline:address".to_owned(), address.to_string()),
                ("Name".to_owned(), "sandbox-bucket-egress".to_owned()),
            ]
        })
    }

    #[test]
    fn the_bucket_is_private_encrypted_versioned_and_tidies_itself() {
        insta::assert_json_snapshot!(buckets());
    }
}
