//! Reads what buckets there are: their names in one list, then everything set
//! on ours at once, as S3 has no bulk form for it.

use std::collections::BTreeMap;

use aws_sdk_s3::{Client, types};
use futures::{future::join_all, try_join};
use serde_json::Value;
use trunkline_aws::{address_of, failure};
use trunkline_engine::{Failure, FailureKind, Health, Observed, Seen};
use trunkline_ids::{Address, BucketName};

use crate::spec::{Attributes, BucketWish, LAYER, PublicAccessBlock, Rule};

/// What buckets there are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// Every bucket that carries a mark of this layer, and every wished one.
    pub(crate) buckets: BTreeMap<Address, Observed<Bucket>>,
    /// Buckets that are called as ours and carry no marks.
    pub(crate) foreign: Vec<String>,
}

/// One bucket as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) name: BucketName,
    pub(crate) attributes: Attributes,
    pub(crate) tags: BTreeMap<String, String>,
    /// Whether it holds any object, version or delete marker.
    pub(crate) holds: bool,
}

/// Whose a bucket is, by its tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// There is no such bucket.
    Nobody,
    /// In our account, without any tags.
    Untagged,
    /// Marked by Trunkline for this environment.
    Us(Address),
    /// Not ours; why.
    Somebody(String),
}

/// Reads everything. A failed read is unknown, never absent.
pub(crate) async fn observe(
    s3: &Client,
    prefix: &str,
    environment: &str,
    wished: &[BucketWish],
) -> Observation {
    let mut seen = Observation::default();
    let names = match names(s3, prefix).await {
        Ok(names) => names,
        Err(failure) => {
            let unknown = |bucket: &BucketWish| {
                let why = Observed::Unknown(failure.to_string());
                (bucket.address.clone(), why)
            };
            seen.buckets = wished.iter().map(unknown).collect();
            return seen;
        }
    };
    let read = join_all(names.iter().map(|name| bucket(s3, environment, name))).await;
    for (name, read) in names.iter().zip(read) {
        let wished = wished.iter().find(|wish| wish.name == *name);
        seen.add(environment, name, wished, read);
    }
    for bucket in wished {
        let address = bucket.address.clone();
        seen.buckets.entry(address).or_insert(Observed::Absent);
    }
    seen
}

impl Observation {
    fn add(
        &mut self,
        environment: &str,
        name: &BucketName,
        wished: Option<&BucketWish>,
        read: Result<(Owner, Option<Bucket>), Failure>,
    ) {
        match (read, wished) {
            (Ok((Owner::Us(address), Some(bucket))), _) => {
                self.buckets.insert(address, Observed::one(bucket));
            }
            // Of another layer (the ledger's), or gone since the list.
            (Ok((Owner::Us(_) | Owner::Nobody, _)), _) => {}
            (Ok((Owner::Untagged, _)), _) => {
                let text = format!("bucket {name}: it carries no marks of {environment}");
                self.foreign.push(text);
            }
            (Ok((Owner::Somebody(why), _)), _) => {
                self.foreign.push(format!("bucket {name}: {why}"))
            }
            (Err(failure), Some(wished)) => {
                let why = Observed::Unknown(failure.to_string());
                self.buckets.insert(wished.address.clone(), why);
            }
            (Err(failure), None) => self.foreign.push(format!("bucket {name}: {failure}")),
        }
    }

    /// The summary for the engine.
    pub(crate) fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        for (address, observed) in &self.buckets {
            seen.presence.insert(address.clone(), observed.presence());
            if let Some(bucket) = observed.value() {
                seen.outputs.put(address, &bucket.name);
                let private = bucket.attributes.public_access_block == PublicAccessBlock::ALL;
                let privacy = if private { "private" } else { "NOT private" };
                let holds = if bucket.holds {
                    "holds objects"
                } else {
                    "empty"
                };
                seen.health.push(Health {
                    address: address.clone(),
                    well: private,
                    words: format!("{}, {privacy}, {holds}", bucket.name),
                });
            }
        }
        seen
    }
}

/// The names of all our account's buckets that start so.
pub(crate) async fn names(s3: &Client, prefix: &str) -> Result<Vec<BucketName>, Failure> {
    let mut pages = s3.list_buckets().prefix(prefix).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| failure("S3", "ListBuckets", &e))?;
        let found = page.buckets().iter().filter_map(types::Bucket::name);
        // Whoever emulates S3 may not know the prefix.
        let found = found.filter(|name| name.starts_with(prefix));
        names.extend(found.map(BucketName::new));
    }
    Ok(names)
}

/// Whose a bucket is.
pub(crate) async fn owner(
    s3: &Client,
    environment: &str,
    name: &BucketName,
) -> Result<Owner, Failure> {
    match tags(s3, name).await {
        Ok(tags) => Ok(owner_by(&tags, environment)),
        Err(failure) if failure.cause.code == "NoSuchTagSet" => Ok(Owner::Untagged),
        Err(failure) if failure.kind == FailureKind::Gone => Ok(Owner::Nobody),
        Err(failure) if failure.kind == FailureKind::Denied => Ok(Owner::Somebody(format!(
            "another account's, or this identity may not read it ({failure})"
        ))),
        Err(failure) => Err(failure),
    }
}

fn owner_by(tags: &BTreeMap<String, String>, environment: &str) -> Owner {
    let pairs = tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    match address_of(pairs, environment) {
        Some(address) => Owner::Us(address),
        None if tags.is_empty() => Owner::Untagged,
        None => Owner::Somebody(format!("it does not carry the marks of {environment}")),
    }
}

async fn bucket(
    s3: &Client,
    environment: &str,
    name: &BucketName,
) -> Result<(Owner, Option<Bucket>), Failure> {
    let tags = optional(tags(s3, name));
    let bucket = async {
        let all = try_join!(
            optional(versioning(s3, name)),
            optional(encryption(s3, name)),
            optional(public_access_block(s3, name)),
            optional(ownership(s3, name)),
            optional(policy(s3, name)),
            optional(lifecycle(s3, name)),
            holds(s3, name),
        )?;
        let attributes = Attributes {
            versioning: all.0.unwrap_or_default(),
            encryption: all.1.unwrap_or_default(),
            public_access_block: all.2.unwrap_or_default(),
            ownership: all.3.unwrap_or_default(),
            policy: all.4.unwrap_or_default(),
            lifecycle: all.5.unwrap_or_default(),
        };
        Ok((attributes, all.6))
    };
    let (tags, read) = futures::join!(tags, bucket);
    let tags = tags?.unwrap_or_default();
    match owner_by(&tags, environment) {
        Owner::Us(address) if address.layer() == LAYER => {
            let (attributes, holds) = read?;
            let name = name.clone();
            let bucket = Bucket {
                name,
                attributes,
                tags,
                holds,
            };
            Ok((Owner::Us(address), Some(bucket)))
        }
        // What is not of this layer need not be readable.
        owner => Ok((owner, None)),
    }
}

/// What is not set is none; the table of codes knows each code for it.
async fn optional<T>(read: impl Future<Output = Result<T, Failure>>) -> Result<Option<T>, Failure> {
    match read.await {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.kind == FailureKind::Gone => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn tags(s3: &Client, name: &BucketName) -> Result<BTreeMap<String, String>, Failure> {
    let answer = s3.get_bucket_tagging().bucket(name.as_str()).send().await;
    let answer = answer.map_err(|e| failure("S3", "GetBucketTagging", &e))?;
    let tags = answer.tag_set().iter();
    // Tags of AWS's own can neither be set nor removed.
    let tags = tags.filter(|tag| !tag.key().starts_with("aws:"));
    Ok(tags
        .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
        .collect())
}

async fn versioning(s3: &Client, name: &BucketName) -> Result<String, Failure> {
    let answer = s3
        .get_bucket_versioning()
        .bucket(name.as_str())
        .send()
        .await;
    let answer = answer.map_err(|e| failure("S3", "GetBucketVersioning", &e))?;
    let status = answer.status().map(|status| status.as_str().to_owned());
    Ok(status.unwrap_or_default())
}

async fn encryption(s3: &Client, name: &BucketName) -> Result<String, Failure> {
    let answer = s3
        .get_bucket_encryption()
        .bucket(name.as_str())
        .send()
        .await;
    let answer = answer.map_err(|e| failure("S3", "GetBucketEncryption", &e))?;
    let rules = answer.server_side_encryption_configuration();
    let rule = rules.and_then(|config| config.rules().first());
    let default = rule.and_then(|rule| rule.apply_server_side_encryption_by_default());
    Ok(default
        .map(|default| default.sse_algorithm().as_str().to_owned())
        .unwrap_or_default())
}

async fn public_access_block(s3: &Client, name: &BucketName) -> Result<PublicAccessBlock, Failure> {
    let answer = s3
        .get_public_access_block()
        .bucket(name.as_str())
        .send()
        .await;
    let answer = answer.map_err(|e| failure("S3", "GetPublicAccessBlock", &e))?;
    let block = answer.public_access_block_configuration();
    Ok(
        block.map_or_else(PublicAccessBlock::default, |block| PublicAccessBlock {
            block_acls: block.block_public_acls().unwrap_or_default(),
            ignore_acls: block.ignore_public_acls().unwrap_or_default(),
            block_policy: block.block_public_policy().unwrap_or_default(),
            restrict: block.restrict_public_buckets().unwrap_or_default(),
        }),
    )
}

async fn ownership(s3: &Client, name: &BucketName) -> Result<String, Failure> {
    let ask = s3.get_bucket_ownership_controls().bucket(name.as_str());
    let answer = ask.send().await;
    let answer = answer.map_err(|e| failure("S3", "GetBucketOwnershipControls", &e))?;
    let rule = answer.ownership_controls().and_then(|c| c.rules().first());
    Ok(rule
        .map(|rule| rule.object_ownership().as_str().to_owned())
        .unwrap_or_default())
}

async fn policy(s3: &Client, name: &BucketName) -> Result<Value, Failure> {
    let answer = s3.get_bucket_policy().bucket(name.as_str()).send().await;
    let answer = answer.map_err(|e| failure("S3", "GetBucketPolicy", &e))?;
    let text = answer.policy().unwrap_or_default();
    Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
}

async fn lifecycle(s3: &Client, name: &BucketName) -> Result<Vec<Rule>, Failure> {
    let ask = s3.get_bucket_lifecycle_configuration();
    let answer = ask.bucket(name.as_str()).send().await;
    let answer = answer.map_err(|e| failure("S3", "GetBucketLifecycleConfiguration", &e))?;
    let mut rules: Vec<Rule> = answer.rules().iter().map(rule).collect();
    rules.sort();
    Ok(rules)
}

fn rule(rule: &types::LifecycleRule) -> Rule {
    let filter = rule.filter();
    let expiration = rule.expiration();
    let noncurrent = rule.noncurrent_version_expiration();
    let filter_of_others = filter.is_some_and(|f| {
        f.tag().is_some()
            || f.and().is_some()
            || f.object_size_greater_than().is_some()
            || f.object_size_less_than().is_some()
    });
    #[allow(
        deprecated,
        reason = "old rules carry their prefix outside of the filter"
    )]
    let prefix = filter.and_then(|f| f.prefix()).or_else(|| rule.prefix());
    Rule {
        id: rule.id().unwrap_or_default().to_owned(),
        enabled: *rule.status() == types::ExpirationStatus::Enabled,
        prefix: prefix.unwrap_or_default().to_owned(),
        expire_days: expiration.and_then(|e| e.days()).filter(|days| *days != 0),
        delete_markers: expiration
            .and_then(|e| e.expired_object_delete_marker())
            .unwrap_or_default(),
        noncurrent_days: noncurrent.and_then(|n| n.noncurrent_days()),
        abort_days: rule
            .abort_incomplete_multipart_upload()
            .and_then(|abort| abort.days_after_initiation()),
        other: filter_of_others
            || !rule.transitions().is_empty()
            || !rule.noncurrent_version_transitions().is_empty()
            || expiration.is_some_and(|e| e.date().is_some())
            || noncurrent.is_some_and(|n| n.newer_noncurrent_versions().is_some()),
    }
}

/// Whether it holds anything: the first entry of the list of versions says so.
async fn holds(s3: &Client, name: &BucketName) -> Result<bool, Failure> {
    let ask = s3.list_object_versions().bucket(name.as_str()).max_keys(1);
    match ask.send().await {
        Ok(answer) => Ok(!answer.versions().is_empty()
            || !answer.delete_markers().is_empty()
            || answer.is_truncated().unwrap_or_default()),
        Err(error) => match failure("S3", "ListObjectVersions", &error) {
            failure if failure.kind == FailureKind::Gone => Ok(false),
            failure => Err(failure),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_told_by_both_marks() {
        let tags = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
            pairs.iter().map(owned).collect()
        };
        let ours = [
            ("trunkline:environment", "sandbox"),
            ("trunkline:address", "storage/bucket/egress"),
        ];
        let egress = Address::new("storage", "bucket", "egress");
        assert_eq!(owner_by(&tags(&ours), "sandbox"), Owner::Us(egress));
        assert!(matches!(owner_by(&tags(&ours), "live"), Owner::Somebody(_)));
        assert!(matches!(
            owner_by(&tags(&ours[..1]), "sandbox"),
            Owner::Somebody(_)
        ));
        assert_eq!(owner_by(&tags(&[]), "sandbox"), Owner::Untagged);
    }
}
