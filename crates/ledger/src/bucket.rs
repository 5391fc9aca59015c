//! The bucket of the ledger: made, found, repaired; refused if it is not ours.

mod setting;

use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    types::{BucketLocationConstraint, CreateBucketConfiguration, ObjectOwnership, Tag, Tagging},
};
use futures::future::try_join_all;
use serde::Serialize;
use trunkline_aws::{Aws, ENVIRONMENT_TAG, address_of};
use trunkline_engine::{Cause, Failure, FailureKind};
use trunkline_ids::Address;

pub use self::setting::Setting;
use crate::store::Store;

/// What `bootstrap` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Bootstrapped {
    /// The bucket was made.
    pub created: bool,
    /// The marks were missing and were put on it.
    pub marked: bool,
    /// What was not as it should be, and is now. For a new bucket, what AWS
    /// does not set by itself.
    pub repaired: Vec<Setting>,
}

impl Bootstrapped {
    /// Whether everything was as it should be.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        !self.created && !self.marked && self.repaired.is_empty()
    }
}

/// The address of the bucket.
#[must_use]
pub fn bucket_address() -> Address {
    Address::new("ledger", "bucket", "main")
}

/// What a bucket of this name is.
enum Bucket {
    Absent,
    Ours,
    /// In our account, without any tag and without any object: an own create
    /// that was cut before it was marked. S3 that takes tags in the create
    /// request never shows this.
    Unmarked,
}

/// Makes the bucket if it is missing, and sets what is not set.
pub(crate) async fn bootstrap(store: &Store, aws: &Aws) -> Result<Bootstrapped, Failure> {
    let mut found = look(store, aws).await?;
    let created = matches!(found, Bucket::Absent);
    if created {
        create(store, aws).await?;
        found = look(store, aws).await?;
    }
    let marked = !matches!(found, Bucket::Ours);
    if marked {
        mark(store, aws).await?;
    }
    let held = Setting::ALL.map(|setting| async move {
        let holds = setting.holds(store).await?;
        Ok::<_, Failure>((setting, holds))
    });
    let mut repaired = Vec::new();
    // Read together, written one by one: S3 refuses changes of one bucket at
    // the same time (OperationAborted).
    for (setting, holds) in try_join_all(held).await? {
        if !holds {
            setting.set(store).await?;
            repaired.push(setting);
        }
    }
    Ok(Bootstrapped {
        created,
        marked: marked && !created,
        repaired,
    })
}

async fn look(store: &Store, aws: &Aws) -> Result<Bucket, Failure> {
    let head = store
        .s3
        .head_bucket()
        .bucket(store.bucket.as_str())
        .expected_bucket_owner(store.account.as_str())
        .send()
        .await;
    if let Err(error) = head {
        let failure = store.failed("HeadBucket", &error);
        return match failure.kind {
            FailureKind::Gone => Ok(Bucket::Absent),
            FailureKind::Denied => Err(failure.next(format!(
                "the bucket {} is another account's, or you may not see it: \
                 it needs s3:ListBucket",
                store.bucket
            ))),
            _ => Err(failure),
        };
    }
    let tags = tags(store).await?;
    let pairs = || {
        tags.iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    };
    if address_of(pairs(), aws.environment()) == Some(bucket_address()) {
        return Ok(Bucket::Ours);
    }
    if tags.is_empty() && is_empty(store).await? {
        return Ok(Bucket::Unmarked);
    }
    let whose = pairs().find(|(key, _)| *key == ENVIRONMENT_TAG);
    let message = match whose {
        Some((_, other)) => format!("the bucket {} is marked as {other}'s", store.bucket),
        None => format!("there is a bucket {} that is not ours", store.bucket),
    };
    let cause = Cause {
        service: "ledger".to_owned(),
        message,
        ..Cause::default()
    };
    Err(Failure::new(FailureKind::Conflict, cause)
        .clear()
        .next(format!(
            "remove it, or mark it as ours if it is: {}",
            words(&aws.marks(&bucket_address()))
        )))
}

fn words(marks: &[(String, String)]) -> String {
    let pairs: Vec<String> = marks
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(" ")
}

async fn tags(store: &Store) -> Result<Vec<(String, String)>, Failure> {
    let answer = store
        .s3
        .get_bucket_tagging()
        .bucket(store.bucket.as_str())
        .expected_bucket_owner(store.account.as_str())
        .send()
        .await;
    match answer {
        Ok(answer) => {
            let tags = answer.tag_set.into_iter();
            Ok(tags.map(|tag| (tag.key, tag.value)).collect())
        }
        Err(error) if error.code() == Some("NoSuchTagSet") => Ok(Vec::new()),
        Err(error) => Err(store.failed("GetBucketTagging", &error)),
    }
}

/// Whether the bucket holds nothing, not even an old version.
async fn is_empty(store: &Store) -> Result<bool, Failure> {
    let answer = store
        .s3
        .list_object_versions()
        .bucket(store.bucket.as_str())
        .expected_bucket_owner(store.account.as_str())
        .max_keys(1)
        .send()
        .await
        .map_err(|error| store.failed("ListObjectVersions", &error))?;
    Ok(answer.versions().is_empty() && answer.delete_markers().is_empty())
}

fn our_tags(aws: &Aws) -> Result<Vec<Tag>, Failure> {
    let marks = aws.marks(&bucket_address()).into_iter();
    marks
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::bug(error.to_string()))
}

/// Creates the bucket with its marks and its ownership in the one request.
async fn create(store: &Store, aws: &Aws) -> Result<(), Failure> {
    let region = aws.region();
    let mut configuration = CreateBucketConfiguration::builder().set_tags(Some(our_tags(aws)?));
    // us-east-1 is where a bucket is without a constraint, and refuses one
    // (Amazon S3 API reference, CreateBucket).
    if region.as_str() != "us-east-1" {
        let constraint = BucketLocationConstraint::from(region.as_str());
        configuration = configuration.location_constraint(constraint);
    }
    let created = store
        .s3
        .create_bucket()
        .bucket(store.bucket.as_str())
        .create_bucket_configuration(configuration.build())
        .object_ownership(ObjectOwnership::BucketOwnerEnforced)
        .send()
        .await;
    match created.map_err(|error| store.failed("CreateBucket", &error)) {
        Ok(_) => Ok(()),
        // Made by an own attempt, or by somebody who bootstraps at the same
        // time; whether it is ours is looked at next.
        Err(failure) if failure.cause.code == "BucketAlreadyOwnedByYou" => Ok(()),
        Err(failure) if failure.cause.code == "BucketAlreadyExists" => Err(failure.next(
            "another account has a bucket of this name: choose another name for the environment",
        )),
        Err(failure) => Err(failure),
    }
}

async fn mark(store: &Store, aws: &Aws) -> Result<(), Failure> {
    let tagging = Tagging::builder()
        .set_tag_set(Some(our_tags(aws)?))
        .build()
        .map_err(|error| Failure::bug(error.to_string()))?;
    store
        .s3
        .put_bucket_tagging()
        .bucket(store.bucket.as_str())
        .expected_bucket_owner(store.account.as_str())
        .tagging(tagging)
        .send()
        .await
        .map_err(|error| store.failed("PutBucketTagging", &error))?;
    Ok(())
}
