//! The bucket as a store of small objects: conditional writes, and ages by
//! S3's own dates.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_s3::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::BeforeDeserializationInterceptorContextRef, timeout::TimeoutConfig,
    },
    error::{BoxError, ProvideErrorMetadata, SdkError},
    operation::{
        list_objects_v2::ListObjectsV2Output, put_object::builders::PutObjectFluentBuilder,
    },
    primitives::{ByteStream, DateTime, DateTimeFormat},
    types::{Delete, ObjectIdentifier},
};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use trunkline_aws::{Aws, failure};
use trunkline_engine::{Failure, FailureKind};
use trunkline_ids::{AccountId, BucketName};

/// How many objects are read at once.
const AT_ONCE: usize = 16;
/// How many keys S3 deletes in one request.
const KEYS_AT_ONCE: usize = 1000;

/// The objects of one bucket.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) s3: Client,
    pub(crate) bucket: BucketName,
    pub(crate) account: AccountId,
    environment: String,
}

/// An object as it was read.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) body: Vec<u8>,
    pub(crate) etag: String,
    /// How old it was when S3 answered, by S3's two dates in that answer.
    /// `None` where one of them was missing.
    pub(crate) age: Option<Duration>,
}

/// What must hold for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// There is no such object.
    Absent,
    /// The object is the one with this ETag.
    Unchanged(String),
}

/// How a conditional write ended.
#[derive(Debug)]
pub(crate) enum Written {
    /// It happened.
    Done { etag: String },
    /// The condition did not hold: or it holds no longer because of an own
    /// attempt whose answer was lost. Who must know reads the object.
    Refused,
}

/// One line of a list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) changed: Timestamp,
}

impl Store {
    pub(crate) fn new(aws: &Aws, bucket: BucketName) -> Self {
        Self {
            s3: Client::new(aws.sdk()),
            bucket,
            account: aws.account().clone(),
            environment: aws.environment().to_owned(),
        }
    }

    /// The same store with time-outs that fit into the life of a lease: an
    /// answer that comes later than the lease lives is no answer.
    pub(crate) fn quick(&self) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(5))
            .operation_timeout(Duration::from_secs(12))
            .build();
        let config = self.s3.config().to_builder().timeout_config(timeouts);
        Self {
            s3: Client::from_conf(config.build()),
            ..self.clone()
        }
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Stored>, Failure> {
        let answered = AnsweredAt::default();
        let request = self
            .s3
            .get_object()
            .bucket(self.bucket.as_str())
            .expected_bucket_owner(self.account.as_str())
            .key(key)
            .customize()
            .interceptor(answered.clone());
        let object = match request.send().await {
            Ok(object) => object,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(self.failed("GetObject", &error)),
        };
        let etag = object.e_tag.clone().unwrap_or_default();
        let age = answered.get().zip(object.last_modified).map(|(now, then)| {
            let age = timestamp(&now).duration_since(timestamp(&then));
            Duration::try_from(age).unwrap_or(Duration::ZERO)
        });
        let body = object.body.collect().await.map_err(|error| {
            // The rest of the body did not come: as passing as a broken
            // connection, and nothing was written.
            let cause = trunkline_engine::Cause {
                service: "S3".to_owned(),
                action: "GetObject".to_owned(),
                message: error.to_string(),
                ..Default::default()
            };
            Failure::new(FailureKind::Retry, cause).clear()
        })?;
        Ok(Some(Stored {
            body: body.to_vec(),
            etag,
            age,
        }))
    }

    /// Writes if the condition holds.
    pub(crate) async fn put_if(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: &Condition,
    ) -> Result<Written, Failure> {
        let request = match condition {
            Condition::Absent => self.putting(key, body).if_none_match("*"),
            Condition::Unchanged(etag) => self.putting(key, body).if_match(etag),
        };
        match self.send(request).await {
            Ok((etag, _)) => Ok(Written::Done { etag }),
            Err(failure) if is_refusal(&failure) => Ok(Written::Refused),
            Err(failure) => Err(failure),
        }
    }

    /// Writes in any case; says when, by S3's date.
    pub(crate) async fn put(&self, key: &str, body: Vec<u8>) -> Result<Timestamp, Failure> {
        let (_, at) = self.send(self.putting(key, body)).await?;
        Ok(at)
    }

    fn putting(&self, key: &str, body: Vec<u8>) -> PutObjectFluentBuilder {
        self.s3
            .put_object()
            .bucket(self.bucket.as_str())
            .expected_bucket_owner(self.account.as_str())
            .key(key)
            .content_type("application/json")
            .body(ByteStream::from(body))
    }

    async fn send(&self, request: PutObjectFluentBuilder) -> Result<(String, Timestamp), Failure> {
        let answered = AnsweredAt::default();
        let done = request
            .customize()
            .interceptor(answered.clone())
            .send()
            .await
            .map_err(|error| self.failed("PutObject", &error))?;
        let at = answered
            .get()
            .as_ref()
            .map_or_else(Timestamp::now, timestamp);
        Ok((done.e_tag.unwrap_or_default(), at))
    }

    /// Deletes an object if it is still the one with this ETag. `false` if it
    /// is another one; an object that is gone already is fine.
    pub(crate) async fn delete_unchanged(&self, key: &str, etag: &str) -> Result<bool, Failure> {
        let done = self
            .s3
            .delete_object()
            .bucket(self.bucket.as_str())
            .expected_bucket_owner(self.account.as_str())
            .key(key)
            .if_match(etag)
            .send()
            .await;
        match done.map_err(|error| self.failed("DeleteObject", &error)) {
            Ok(_) => Ok(true),
            Err(failure) if failure.cause.code == "NoSuchKey" => Ok(true),
            Err(failure) if is_refusal(&failure) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Deletes objects, whatever they hold.
    pub(crate) async fn delete_all(&self, keys: &[String]) -> Result<(), Failure> {
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let named: Result<Vec<_>, _> = keys
                .iter()
                .map(|key| ObjectIdentifier::builder().key(key).build())
                .collect();
            let delete = named.and_then(|keys| {
                let delete = Delete::builder().set_objects(Some(keys));
                delete.quiet(true).build()
            });
            let delete = delete.map_err(|error| Failure::bug(error.to_string()))?;
            let done = self
                .s3
                .delete_objects()
                .bucket(self.bucket.as_str())
                .expected_bucket_owner(self.account.as_str())
                .delete(delete)
                .send()
                .await
                .map_err(|error| self.failed("DeleteObjects", &error))?;
            if let Some(first) = done.errors().first() {
                let cause = trunkline_engine::Cause {
                    service: "S3".to_owned(),
                    action: "DeleteObjects".to_owned(),
                    code: first.code().unwrap_or_default().to_owned(),
                    message: first.message().unwrap_or_default().to_owned(),
                    request_id: None,
                };
                return Err(Failure::new(FailureKind::Retry, cause));
            }
        }
        Ok(())
    }

    /// Everything whose key starts with `prefix`, in the order of the keys.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Failure> {
        let pages = self.pages(prefix, None).await?;
        let objects = pages
            .into_iter()
            .flat_map(|page| page.contents.unwrap_or_default());
        Ok(objects
            .filter_map(|object| {
                Some(Listed {
                    key: object.key?,
                    changed: object
                        .last_modified
                        .as_ref()
                        .map_or_else(Timestamp::now, timestamp),
                })
            })
            .collect())
    }

    /// The folders right below `prefix`, by name, in order.
    pub(crate) async fn folders(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let pages = self.pages(prefix, Some("/")).await?;
        let folders = pages
            .into_iter()
            .flat_map(|page| page.common_prefixes.unwrap_or_default());
        Ok(folders
            .filter_map(|folder| {
                let folder = folder.prefix?;
                let name = folder.strip_prefix(prefix)?;
                Some(name.trim_end_matches('/').to_owned())
            })
            .collect())
    }

    async fn pages(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
    ) -> Result<Vec<ListObjectsV2Output>, Failure> {
        let mut pages = self
            .s3
            .list_objects_v2()
            .bucket(self.bucket.as_str())
            .expected_bucket_owner(self.account.as_str())
            .prefix(prefix)
            .set_delimiter(delimiter.map(str::to_owned))
            .into_paginator()
            .send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            all.push(page.map_err(|error| self.failed("ListObjectsV2", &error))?);
        }
        Ok(all)
    }

    /// Reads several objects, some at once, in the order of the keys. One that
    /// has vanished meanwhile is `None`.
    pub(crate) async fn get_all(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Stored>)>, Failure> {
        stream::iter(keys.into_iter().map(|key| async move {
            let stored = self.get(&key).await?;
            Ok((key, stored))
        }))
        .buffered(AT_ONCE)
        .try_collect()
        .await
    }

    /// The failure of a request, with what to do where the bucket is missing.
    pub(crate) fn failed<E>(&self, action: &str, error: &SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let failure = failure("S3", action, error);
        if failure.cause.code == "NoSuchBucket" {
            let environment = &self.environment;
            return failure.next(format!(
                "make the ledger first:  trunkline bootstrap {environment}"
            ));
        }
        failure
    }
}

/// Whether S3 refused because a condition did not hold: it was another object
/// (412), another conditional write was under way (409), or there was none to
/// match (404).
fn is_refusal(failure: &Failure) -> bool {
    matches!(
        failure.cause.code.as_str(),
        "PreconditionFailed" | "ConditionalRequestConflict" | "NoSuchKey"
    )
}

/// A date of S3 as ours.
fn timestamp(date: &DateTime) -> Timestamp {
    Timestamp::new(date.secs(), i32::try_from(date.subsec_nanos()).unwrap_or(0))
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Keeps the header `Date` of the last answer to one request, which the SDK
/// does not hand out.
#[derive(Clone, Default)]
struct AnsweredAt(Arc<Mutex<Option<DateTime>>>);

impl AnsweredAt {
    fn get(&self) -> Option<DateTime> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AnsweredAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnsweredAt")
    }
}

impl Intercept for AnsweredAt {
    fn name(&self) -> &'static str {
        "AnsweredAt"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context
            .response()
            .headers()
            .get("date")
            .and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.bucket)
    }
}
