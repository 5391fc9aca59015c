//! The settings of the bucket: each is read, and set if it does not hold.

use std::fmt;

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketVersioningStatus,
    ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, VersioningConfiguration,
};
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_aws::same_policy;
use trunkline_engine::{Failure, FailureKind};

use crate::{run, store::Store};

/// How long runs are kept.
const KEEP_RUNS_DAYS: i32 = 365;
/// How long old versions are kept: to look at, and to undo a mistake.
const KEEP_OLD_VERSIONS_DAYS: i32 = 30;
/// Each sign of a lease is a version; nobody looks at those.
const KEEP_OLD_LEASES_DAYS: i32 = 1;

/// One setting of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// Old versions are kept.
    Versioning,
    /// Objects are encrypted by default.
    Encryption,
    /// Nothing can be made public.
    PublicAccessBlock,
    /// Objects are the account's, whoever writes them.
    Ownership,
    /// Requests without TLS are refused.
    TlsOnly,
    /// Old runs and versions go.
    Lifecycle,
}

impl Setting {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Versioning,
        Self::Encryption,
        Self::PublicAccessBlock,
        Self::Ownership,
        Self::TlsOnly,
        Self::Lifecycle,
    ];

    /// Whether it holds.
    pub(super) async fn holds(self, store: &Store) -> Result<bool, Failure> {
        let held = match self {
            Self::Versioning => versioning(store).await,
            Self::Encryption => encryption(store).await,
            Self::PublicAccessBlock => public_access_block(store).await,
            Self::Ownership => ownership(store).await,
            Self::TlsOnly => policy(store).await,
            Self::Lifecycle => lifecycle(store).await,
        };
        match held {
            // Each of S3's configurations is "not found" until it is set.
            Err(failure) if failure.kind == FailureKind::Gone && is_unset(&failure) => Ok(false),
            held => held,
        }
    }

    /// Sets it.
    pub(super) async fn set(self, store: &Store) -> Result<(), Failure> {
        match self {
            Self::Versioning => set_versioning(store).await,
            Self::Encryption => set_encryption(store).await,
            Self::PublicAccessBlock => set_public_access_block(store).await,
            Self::Ownership => set_ownership(store).await,
            Self::TlsOnly => set_policy(store).await,
            Self::Lifecycle => set_lifecycle(store).await,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Versioning => "versioning",
            Self::Encryption => "encryption",
            Self::PublicAccessBlock => "public access block",
            Self::Ownership => "ownership",
            Self::TlsOnly => "TLS only",
            Self::Lifecycle => "lifecycle",
        })
    }
}

/// The bucket itself is there, so what is gone is the setting.
fn is_unset(failure: &Failure) -> bool {
    failure.cause.code != "NoSuchBucket"
}

/// Starts a request about the bucket, which must be the account's.
macro_rules! about {
    ($store:expr, $operation:ident) => {
        $store
            .s3
            .$operation()
            .bucket($store.bucket.as_str())
            .expected_bucket_owner($store.account.as_str())
    };
}

fn built<T>(built: Result<T, aws_sdk_s3::error::BuildError>) -> Result<T, Failure> {
    built.map_err(|error| Failure::bug(error.to_string()))
}

async fn versioning(store: &Store) -> Result<bool, Failure> {
    let answer = about!(store, get_bucket_versioning).send().await;
    let answer = answer.map_err(|error| store.failed("GetBucketVersioning", &error))?;
    Ok(answer.status() == Some(&BucketVersioningStatus::Enabled))
}

async fn set_versioning(store: &Store) -> Result<(), Failure> {
    let wish = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
    let request = about!(store, put_bucket_versioning).versioning_configuration(wish.build());
    let answer = request.send().await;
    answer.map_err(|error| store.failed("PutBucketVersioning", &error))?;
    Ok(())
}

/// Any encryption by default will do: somebody may have chosen a key.
async fn encryption(store: &Store) -> Result<bool, Failure> {
    let answer = about!(store, get_bucket_encryption).send().await;
    let answer = answer.map_err(|error| store.failed("GetBucketEncryption", &error))?;
    let rules = answer
        .server_side_encryption_configuration()
        .map(|all| all.rules());
    Ok(rules
        .unwrap_or_default()
        .iter()
        .any(|rule| rule.apply_server_side_encryption_by_default().is_some()))
}

async fn set_encryption(store: &Store) -> Result<(), Failure> {
    let aes = ServerSideEncryptionByDefault::builder().sse_algorithm(ServerSideEncryption::Aes256);
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(built(aes.build())?)
        .build();
    let wish = ServerSideEncryptionConfiguration::builder().rules(rule);
    let request = about!(store, put_bucket_encryption)
        .server_side_encryption_configuration(built(wish.build())?);
    let answer = request.send().await;
    answer.map_err(|error| store.failed("PutBucketEncryption", &error))?;
    Ok(())
}

async fn public_access_block(store: &Store) -> Result<bool, Failure> {
    let answer = about!(store, get_public_access_block).send().await;
    let answer = answer.map_err(|error| store.failed("GetPublicAccessBlock", &error))?;
    Ok(answer.public_access_block_configuration() == Some(&all_blocked()))
}

fn all_blocked() -> PublicAccessBlockConfiguration {
    PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build()
}

async fn set_public_access_block(store: &Store) -> Result<(), Failure> {
    let request =
        about!(store, put_public_access_block).public_access_block_configuration(all_blocked());
    let answer = request.send().await;
    answer.map_err(|error| store.failed("PutPublicAccessBlock", &error))?;
    Ok(())
}

async fn ownership(store: &Store) -> Result<bool, Failure> {
    let answer = about!(store, get_bucket_ownership_controls).send().await;
    let answer = answer.map_err(|error| store.failed("GetBucketOwnershipControls", &error))?;
    let rules = answer.ownership_controls().map(|all| all.rules());
    let wish = ObjectOwnership::BucketOwnerEnforced;
    Ok(rules
        .unwrap_or_default()
        .iter()
        .any(|rule| rule.object_ownership == wish))
}

async fn set_ownership(store: &Store) -> Result<(), Failure> {
    let rule =
        OwnershipControlsRule::builder().object_ownership(ObjectOwnership::BucketOwnerEnforced);
    let wish = OwnershipControls::builder().rules(built(rule.build())?);
    let request =
        about!(store, put_bucket_ownership_controls).ownership_controls(built(wish.build())?);
    let answer = request.send().await;
    answer.map_err(|error| store.failed("PutBucketOwnershipControls", &error))?;
    Ok(())
}

async fn policy(store: &Store) -> Result<bool, Failure> {
    let answer = about!(store, get_bucket_policy).send().await;
    let answer = answer.map_err(|error| store.failed("GetBucketPolicy", &error))?;
    let there: Option<Value> = serde_json::from_str(answer.policy().unwrap_or_default()).ok();
    Ok(there.is_some_and(|there| same_policy(&there, &tls_only(store.bucket.as_str()))))
}

fn tls_only(bucket: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }],
    })
}

async fn set_policy(store: &Store) -> Result<(), Failure> {
    let policy = tls_only(store.bucket.as_str()).to_string();
    let answer = about!(store, put_bucket_policy).policy(policy).send().await;
    answer.map_err(|error| store.failed("PutBucketPolicy", &error))?;
    Ok(())
}

async fn lifecycle(store: &Store) -> Result<bool, Failure> {
    let answer = about!(store, get_bucket_lifecycle_configuration)
        .send()
        .await;
    let answer = answer.map_err(|error| store.failed("GetBucketLifecycleConfiguration", &error))?;
    let wish = rules()?;
    let there = answer.rules();
    Ok(there.len() == wish.len() && wish.iter().all(|rule| there.iter().any(|t| same(t, rule))))
}

/// Whether two rules do the same; S3 answers with more fields than it was
/// given.
fn same(there: &LifecycleRule, wish: &LifecycleRule) -> bool {
    let prefix = |rule: &LifecycleRule| {
        let filter = rule.filter().and_then(LifecycleRuleFilter::prefix);
        filter.unwrap_or_default().to_owned()
    };
    let days = |rule: &LifecycleRule| rule.expiration().and_then(LifecycleExpiration::days);
    let markers = |rule: &LifecycleRule| {
        let expiration = rule.expiration();
        let markers = expiration.and_then(LifecycleExpiration::expired_object_delete_marker);
        markers.unwrap_or_default()
    };
    let old = |rule: &LifecycleRule| {
        let old = rule.noncurrent_version_expiration();
        old.and_then(NoncurrentVersionExpiration::noncurrent_days)
    };
    let uploads = |rule: &LifecycleRule| {
        let uploads = rule.abort_incomplete_multipart_upload();
        uploads.and_then(AbortIncompleteMultipartUpload::days_after_initiation)
    };
    there.id() == wish.id()
        && there.status == wish.status
        && prefix(there) == prefix(wish)
        && days(there) == days(wish)
        && markers(there) == markers(wish)
        && old(there) == old(wish)
        && uploads(there) == uploads(wish)
}

fn rules() -> Result<Vec<LifecycleRule>, Failure> {
    let rule = |id: &str, prefix: &str| {
        LifecycleRule::builder()
            .id(id)
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
    };
    let old = |days| {
        let old = NoncurrentVersionExpiration::builder();
        old.noncurrent_days(days).build()
    };
    let uploads = AbortIncompleteMultipartUpload::builder().days_after_initiation(1);
    let rules = [
        rule("old-runs", run::FOLDER)
            .expiration(LifecycleExpiration::builder().days(KEEP_RUNS_DAYS).build()),
        rule("old-leases", "lease.json").noncurrent_version_expiration(old(KEEP_OLD_LEASES_DAYS)),
        rule("old-versions", "")
            .expiration(
                LifecycleExpiration::builder()
                    .expired_object_delete_marker(true)
                    .build(),
            )
            .noncurrent_version_expiration(old(KEEP_OLD_VERSIONS_DAYS))
            .abort_incomplete_multipart_upload(uploads.build()),
    ];
    rules.into_iter().map(|rule| built(rule.build())).collect()
}

async fn set_lifecycle(store: &Store) -> Result<(), Failure> {
    let wish = BucketLifecycleConfiguration::builder().set_rules(Some(rules()?));
    let request = about!(store, put_bucket_lifecycle_configuration)
        .lifecycle_configuration(built(wish.build())?);
    let answer = request.send().await;
    answer.map_err(|error| store.failed("PutBucketLifecycleConfiguration", &error))?;
    Ok(())
}
