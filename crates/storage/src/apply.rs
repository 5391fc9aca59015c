//! Performs one action on one bucket.

use std::collections::BTreeMap;

use aws_sdk_s3::{error::ProvideErrorMetadata, types};
use trunkline_aws::failure;
use trunkline_engine::{Applying, Cause, Create, Failure, FailureKind};
use trunkline_ids::{BucketName, Outputs};

use crate::{
    Storage,
    observe::{Owner, owner},
    plan::{Action, Mend},
    spec::{Attribute, BucketWish},
};

/// Where S3 takes no location constraint (S3 API reference, "CreateBucket").
const DEFAULT_REGION: &str = "us-east-1";

/// A bucket that is ours now.
enum Made {
    /// Just now, or by a request of ours whose answer was lost before it was
    /// tagged.
    New,
    /// Before, with our marks.
    Adopted,
}

impl Storage {
    pub(crate) async fn perform(&self, action: Action, cx: &Applying) -> Result<Outputs, Failure> {
        match action {
            Action::Create(bucket) => {
                let made = self.create(&bucket, cx).await?;
                let finished = self.finish(&bucket, &made).await;
                finished.map_err(|f| f.remains(format!("bucket {}", bucket.name)))?;
                Ok(Outputs::new().with(&bucket.address, &bucket.name))
            }
            Action::Mend(mend) => {
                self.must_be_ours(&mend.bucket.name, cx).await?;
                self.mend(&mend).await?;
                Ok(Outputs::new().with(&mend.bucket.address, &mend.bucket.name))
            }
            Action::Delete { name, with_data } => {
                match self.owner(&name).await? {
                    Owner::Nobody => {}
                    _ => {
                        self.must_be_ours(&name, cx).await?;
                        self.delete(&name, with_data, cx).await?;
                    }
                }
                Ok(Outputs::new())
            }
        }
    }

    /// S3 takes no client token, but names are unique. Tags travel in the
    /// request, so that a bucket of ours is marked from its first moment; an
    /// S3 that ignores them there (emulators do) leaves a bucket without any
    /// tag, which is taken as ours only after a request of ours was lost.
    async fn create(&self, bucket: &BucketWish, cx: &Applying) -> Result<Made, Failure> {
        let create = || self.create_bucket(bucket);
        let find = || async {
            match self.owner(&bucket.name).await? {
                Owner::Us(address) if address == bucket.address => Ok(Some(Made::Adopted)),
                Owner::Untagged => Ok(Some(Made::New)),
                Owner::Nobody => Ok(None),
                other => Err(taken(&bucket.name, &other)),
            }
        };
        Create::new(cx, &bucket.address).by_mark(create, find).await
    }

    async fn create_bucket(&self, bucket: &BucketWish) -> Result<Made, Failure> {
        // In us-east-1 S3 answers a create of what is there already by "done",
        // so that it is asked first.
        match self.owner(&bucket.name).await? {
            Owner::Nobody => {}
            Owner::Us(address) if address == bucket.address => return Ok(Made::Adopted),
            other => return Err(taken(&bucket.name, &other)),
        }
        let mut config = types::CreateBucketConfiguration::builder();
        config = config.set_tags(Some(sdk_tags(&bucket.tags)?));
        if bucket.region.as_str() != DEFAULT_REGION {
            let region = types::BucketLocationConstraint::from(bucket.region.as_str());
            config = config.location_constraint(region);
        }
        let request = self.once.create_bucket().bucket(bucket.name.as_str());
        let request = request.create_bucket_configuration(config.build());
        match request.send().await {
            Ok(_) => Ok(Made::New),
            Err(error) => {
                let failure = failure("S3", "CreateBucket", &error);
                let exists = ["BucketAlreadyOwnedByYou", "BucketAlreadyExists"];
                if !error.code().is_some_and(|code| exists.contains(&code)) {
                    return Err(failure);
                }
                match self.owner(&bucket.name).await? {
                    Owner::Us(address) if address == bucket.address => Ok(Made::Adopted),
                    _ => Err(failure.next(advice(&bucket.name))),
                }
            }
        }
    }

    /// Everything that a bucket has besides its name.
    async fn finish(&self, bucket: &BucketWish, made: &Made) -> Result<(), Failure> {
        let tags = match made {
            Made::New => Some(bucket.tags.clone()),
            // It may carry tags of others, and setting replaces all.
            Made::Adopted => None,
        };
        let all = Mend {
            bucket: bucket.clone(),
            attributes: Attribute::ALL.into(),
            tags,
        };
        self.mend(&all).await
    }

    /// One after the other: S3 refuses concurrent changes of one bucket
    /// (OperationAborted).
    async fn mend(&self, mend: &Mend) -> Result<(), Failure> {
        if let Some(tags) = &mend.tags {
            self.put_tags(&mend.bucket.name, tags).await?;
        }
        for attribute in Attribute::ALL {
            if mend.attributes.contains(&attribute) {
                self.put(&mend.bucket, attribute).await?;
            }
        }
        Ok(())
    }

    async fn put_tags(
        &self,
        name: &BucketName,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let tagging = types::Tagging::builder().set_tag_set(Some(sdk_tags(tags)?));
        let tagging = tagging.build().map_err(incomplete)?;
        let request = self.s3.put_bucket_tagging().bucket(name.as_str());
        let sent = request.tagging(tagging).send().await;
        sent.map_err(|e| failure("S3", "PutBucketTagging", &e))?;
        Ok(())
    }

    async fn delete(
        &self,
        name: &BucketName,
        with_data: bool,
        cx: &Applying,
    ) -> Result<(), Failure> {
        if with_data {
            // A wait, so that it can be stopped: a million objects take long,
            // and the next run goes on from there.
            cx.wait("its objects to be deleted", self.empty(name))
                .await?;
        }
        let sent = self.s3.delete_bucket().bucket(name.as_str()).send().await;
        match sent.map_err(|e| failure("S3", "DeleteBucket", &e)) {
            Ok(_) => Ok(()),
            Err(failure) if failure.kind == FailureKind::Gone => Ok(()),
            Err(mut failure) if failure.cause.code == "BucketNotEmpty" && !with_data => {
                failure.kind = FailureKind::Conflict;
                let environment = self.aws.environment();
                Err(failure.next(format!("trunkline destroy {environment} --delete-data")))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Deletes every version, every delete marker and every unfinished upload.
    async fn empty(&self, name: &BucketName) -> Result<(), Failure> {
        loop {
            let page = self.s3.list_object_versions().bucket(name.as_str());
            let page = page.send().await;
            let page = page.map_err(|e| failure("S3", "ListObjectVersions", &e))?;
            let versions = page.versions().iter().map(|v| (v.key(), v.version_id()));
            let markers = page
                .delete_markers()
                .iter()
                .map(|m| (m.key(), m.version_id()));
            let objects: Vec<_> = versions.chain(markers).collect();
            if objects.is_empty() {
                return self.abort_uploads(name).await;
            }
            self.delete_objects(name, &objects).await?;
        }
    }

    async fn delete_objects(
        &self,
        name: &BucketName,
        objects: &[(Option<&str>, Option<&str>)],
    ) -> Result<(), Failure> {
        let object = |(key, version): &(Option<&str>, Option<&str>)| {
            types::ObjectIdentifier::builder()
                .set_key(key.map(str::to_owned))
                .set_version_id(version.map(str::to_owned))
                .build()
        };
        let objects: Result<Vec<_>, _> = objects.iter().map(object).collect();
        let delete = types::Delete::builder()
            .set_objects(Some(objects.map_err(incomplete)?))
            .quiet(true)
            .build()
            .map_err(incomplete)?;
        let request = self
            .s3
            .delete_objects()
            .bucket(name.as_str())
            .delete(delete);
        let answer = request.send().await;
        let answer = answer.map_err(|e| failure("S3", "DeleteObjects", &e))?;
        // Objects are refused one by one, in an answer of 200.
        let Some(refused) = answer.errors().first() else {
            return Ok(());
        };
        let code = refused.code().unwrap_or_default().to_owned();
        let kind = match code.as_str() {
            "AccessDenied" => FailureKind::Denied,
            "InternalError" | "SlowDown" => FailureKind::Retry,
            _ => FailureKind::Conflict,
        };
        let cause = Cause {
            service: "S3".to_owned(),
            action: "DeleteObjects".to_owned(),
            code,
            message: format!(
                "{}: {}",
                refused.key().unwrap_or_default(),
                refused.message().unwrap_or_default()
            ),
            request_id: None,
        };
        Err(Failure::new(kind, cause).remains(format!("objects in {name}")))
    }

    async fn abort_uploads(&self, name: &BucketName) -> Result<(), Failure> {
        loop {
            let page = self.s3.list_multipart_uploads().bucket(name.as_str());
            let page = page.send().await;
            let page = page.map_err(|e| failure("S3", "ListMultipartUploads", &e))?;
            if page.uploads().is_empty() {
                return Ok(());
            }
            for upload in page.uploads() {
                let request = self.s3.abort_multipart_upload().bucket(name.as_str());
                let request = request.set_key(upload.key().map(str::to_owned));
                let request = request.set_upload_id(upload.upload_id().map(str::to_owned));
                match request
                    .send()
                    .await
                    .map_err(|e| failure("S3", "AbortMultipartUpload", &e))
                {
                    Err(failure) if failure.cause.code != "NoSuchUpload" => return Err(failure),
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }

    pub(crate) async fn owner(&self, name: &BucketName) -> Result<Owner, Failure> {
        owner(&self.s3, self.aws.environment(), name).await
    }

    async fn must_be_ours(&self, name: &BucketName, cx: &Applying) -> Result<(), Failure> {
        match self.owner(name).await? {
            Owner::Us(address) if address == *cx.address() => Ok(()),
            other => Err(taken(name, &other)),
        }
    }
}

fn sdk_tags(tags: &BTreeMap<String, String>) -> Result<Vec<types::Tag>, Failure> {
    let tag = |(key, value)| types::Tag::builder().key(key).value(value).build();
    let tags: Result<_, _> = tags.iter().map(tag).collect();
    tags.map_err(incomplete)
}

pub(crate) fn incomplete(error: impl std::fmt::Display) -> Failure {
    Failure::bug(format!("a request to S3 is not complete: {error}"))
}

/// The name is somebody's.
fn taken(name: &BucketName, owner: &Owner) -> Failure {
    let whose = match owner {
        Owner::Somebody(why) => why.clone(),
        Owner::Us(address) => format!("it is marked as {address}"),
        Owner::Untagged => "it carries no marks".to_owned(),
        Owner::Nobody => "it is not there".to_owned(),
    };
    let cause = Cause {
        service: "S3".to_owned(),
        message: format!("the bucket {name} is not ours to change: {whose}"),
        ..Cause::default()
    };
    let kind = match owner {
        Owner::Nobody => FailureKind::Gone,
        _ => FailureKind::Conflict,
    };
    Failure::new(kind, cause).clear().next(advice(name))
}

pub(crate) fn advice(name: &BucketName) -> String {
    format!("remove the bucket {name}, or take another name for the environment")
}
