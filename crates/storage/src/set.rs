//! Sets one attribute of one bucket.

use aws_sdk_s3::types;
use trunkline_aws::failure;
use trunkline_engine::Failure;

use crate::{
    Storage,
    apply::incomplete,
    spec::{Attribute, BucketWish, Rule},
};

impl Storage {
    pub(crate) async fn put(
        &self,
        bucket: &BucketWish,
        attribute: Attribute,
    ) -> Result<(), Failure> {
        let (name, wish) = (bucket.name.as_str(), &bucket.attributes);
        match attribute {
            Attribute::PublicAccessBlock => self.put_public_access_block(bucket).await,
            Attribute::Ownership => self.put_ownership(bucket).await,
            Attribute::Encryption => self.put_encryption(bucket).await,
            Attribute::Policy => {
                let request = self.s3.put_bucket_policy().bucket(name);
                let sent = request.policy(wish.policy.to_string()).send().await;
                sent.map_err(|e| failure("S3", "PutBucketPolicy", &e))?;
                Ok(())
            }
            Attribute::Versioning => {
                let status = types::BucketVersioningStatus::from(wish.versioning.as_str());
                let config = types::VersioningConfiguration::builder().status(status);
                let request = self.s3.put_bucket_versioning().bucket(name);
                let sent = request
                    .versioning_configuration(config.build())
                    .send()
                    .await;
                sent.map_err(|e| failure("S3", "PutBucketVersioning", &e))?;
                Ok(())
            }
            Attribute::Lifecycle => {
                let rules: Result<Vec<_>, _> = wish.lifecycle.iter().map(lifecycle_rule).collect();
                let config = types::BucketLifecycleConfiguration::builder();
                let config = config.set_rules(Some(rules?)).build().map_err(incomplete)?;
                let request = self.s3.put_bucket_lifecycle_configuration().bucket(name);
                let sent = request.lifecycle_configuration(config).send().await;
                sent.map_err(|e| failure("S3", "PutBucketLifecycleConfiguration", &e))?;
                Ok(())
            }
        }
    }

    async fn put_public_access_block(&self, bucket: &BucketWish) -> Result<(), Failure> {
        let wish = bucket.attributes.public_access_block;
        let config = types::PublicAccessBlockConfiguration::builder()
            .block_public_acls(wish.block_acls)
            .ignore_public_acls(wish.ignore_acls)
            .block_public_policy(wish.block_policy)
            .restrict_public_buckets(wish.restrict)
            .build();
        let request = self
            .s3
            .put_public_access_block()
            .bucket(bucket.name.as_str());
        let sent = request
            .public_access_block_configuration(config)
            .send()
            .await;
        sent.map_err(|e| failure("S3", "PutPublicAccessBlock", &e))?;
        Ok(())
    }

    async fn put_ownership(&self, bucket: &BucketWish) -> Result<(), Failure> {
        let ownership = types::ObjectOwnership::from(bucket.attributes.ownership.as_str());
        let rule = types::OwnershipControlsRule::builder().object_ownership(ownership);
        let controls = types::OwnershipControls::builder()
            .rules(rule.build().map_err(incomplete)?)
            .build()
            .map_err(incomplete)?;
        let request = self.s3.put_bucket_ownership_controls();
        let request = request.bucket(bucket.name.as_str());
        let sent = request.ownership_controls(controls).send().await;
        sent.map_err(|e| failure("S3", "PutBucketOwnershipControls", &e))?;
        Ok(())
    }

    async fn put_encryption(&self, bucket: &BucketWish) -> Result<(), Failure> {
        let algorithm = types::ServerSideEncryption::from(bucket.attributes.encryption.as_str());
        let default = types::ServerSideEncryptionByDefault::builder().sse_algorithm(algorithm);
        let rule = types::ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default.build().map_err(incomplete)?)
            .build();
        let config = types::ServerSideEncryptionConfiguration::builder().rules(rule);
        let config = config.build().map_err(incomplete)?;
        let request = self.s3.put_bucket_encryption().bucket(bucket.name.as_str());
        let sent = request
            .server_side_encryption_configuration(config)
            .send()
            .await;
        sent.map_err(|e| failure("S3", "PutBucketEncryption", &e))?;
        Ok(())
    }
}

fn lifecycle_rule(rule: &Rule) -> Result<types::LifecycleRule, Failure> {
    let status = if rule.enabled {
        types::ExpirationStatus::Enabled
    } else {
        types::ExpirationStatus::Disabled
    };
    let filter = types::LifecycleRuleFilter::builder().prefix(&rule.prefix);
    let mut built = types::LifecycleRule::builder()
        .id(&rule.id)
        .status(status)
        .filter(filter.build());
    if rule.expire_days.is_some() || rule.delete_markers {
        let expiration = types::LifecycleExpiration::builder()
            .set_days(rule.expire_days)
            .set_expired_object_delete_marker(rule.delete_markers.then_some(true));
        built = built.expiration(expiration.build());
    }
    if let Some(days) = rule.noncurrent_days {
        let expiration = types::NoncurrentVersionExpiration::builder().noncurrent_days(days);
        built = built.noncurrent_version_expiration(expiration.build());
    }
    if let Some(days) = rule.abort_days {
        let abort = types::AbortIncompleteMultipartUpload::builder();
        let abort = abort.days_after_initiation(days);
        built = built.abort_incomplete_multipart_upload(abort.build());
    }
    built.build().map_err(incomplete)
}
