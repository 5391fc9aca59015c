//! Names of S3's operations, which its requests do not carry: they follow
//! from the method, the path and the subresource in the query
//! (Amazon S3 API Reference; botocore `s3/2006-03-01/service-2.json`).

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use url::form_urlencoded;

use crate::xml;

/// Subresource, and the operations of GET, PUT and DELETE on it.
type Row = (&'static str, [&'static str; 3]);

#[rustfmt::skip]
const BUCKET: [Row; 14] = [
    ("versioning", ["GetBucketVersioning", "PutBucketVersioning", ""]),
    ("encryption", ["GetBucketEncryption", "PutBucketEncryption", "DeleteBucketEncryption"]),
    ("policy", ["GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"]),
    ("policyStatus", ["GetBucketPolicyStatus", "", ""]),
    ("publicAccessBlock", ["GetPublicAccessBlock", "PutPublicAccessBlock", "DeletePublicAccessBlock"]),
    ("lifecycle", ["GetBucketLifecycleConfiguration", "PutBucketLifecycleConfiguration", "DeleteBucketLifecycle"]),
    ("tagging", ["GetBucketTagging", "PutBucketTagging", "DeleteBucketTagging"]),
    ("ownershipControls", ["GetBucketOwnershipControls", "PutBucketOwnershipControls", "DeleteBucketOwnershipControls"]),
    ("location", ["GetBucketLocation", "", ""]),
    ("acl", ["GetBucketAcl", "PutBucketAcl", ""]),
    ("logging", ["GetBucketLogging", "PutBucketLogging", ""]),
    ("object-lock", ["GetObjectLockConfiguration", "PutObjectLockConfiguration", ""]),
    ("versions", ["ListObjectVersions", "", ""]),
    ("uploads", ["ListMultipartUploads", "", ""]),
];

#[rustfmt::skip]
const OBJECT: [Row; 6] = [
    ("tagging", ["GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging"]),
    ("acl", ["GetObjectAcl", "PutObjectAcl", ""]),
    ("attributes", ["GetObjectAttributes", "", ""]),
    ("retention", ["GetObjectRetention", "PutObjectRetention", ""]),
    ("legal-hold", ["GetObjectLegalHold", "PutObjectLegalHold", ""]),
    ("uploadId", ["ListParts", "UploadPart", "AbortMultipartUpload"]),
];

/// The operation of a path-style request.
pub(crate) fn operation(parts: &Parts) -> Option<&'static str> {
    let query: Vec<String> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .map(|(key, value)| {
                if key == "list-type" {
                    format!("{key}={value}")
                } else {
                    key.into()
                }
            })
            .collect();
    let has = |key: &str| query.iter().any(|name| name == key);
    let method = &parts.method;
    let rows: &[Row] = match bucket_and_key(parts).len() {
        0 => return (*method == Method::GET).then_some("ListBuckets"),
        1 => &BUCKET,
        _ => &OBJECT,
    };
    let by_method = |[get, put, delete]: [&'static str; 3]| match *method {
        Method::GET => Some(get),
        Method::PUT => Some(put),
        Method::DELETE => Some(delete),
        _ => None,
    };
    if let Some((_, operations)) = rows.iter().find(|(key, _)| has(key))
        && let Some(name) = by_method(*operations).filter(|name| !name.is_empty())
    {
        return Some(name);
    }
    if rows.len() == BUCKET.len() {
        bucket(method, has)
    } else {
        object(parts, has)
    }
}

fn bucket(method: &Method, has: impl Fn(&str) -> bool) -> Option<&'static str> {
    Some(match *method {
        Method::GET if has("list-type=2") => "ListObjectsV2",
        Method::GET => "ListObjects",
        Method::PUT => "CreateBucket",
        Method::DELETE => "DeleteBucket",
        Method::HEAD => "HeadBucket",
        Method::POST if has("delete") => "DeleteObjects",
        _ => return None,
    })
}

fn object(parts: &Parts, has: impl Fn(&str) -> bool) -> Option<&'static str> {
    Some(match parts.method {
        Method::GET => "GetObject",
        Method::HEAD => "HeadObject",
        Method::PUT if parts.headers.contains_key("x-amz-copy-source") => "CopyObject",
        Method::PUT => "PutObject",
        Method::DELETE => "DeleteObject",
        Method::POST if has("uploads") => "CreateMultipartUpload",
        Method::POST if has("uploadId") => "CompleteMultipartUpload",
        _ => return None,
    })
}

/// Whether answers to this operation are corrected: they are not streamed.
pub(crate) fn is_corrected(action: &str) -> bool {
    action == "GetBucketVersioning"
}

/// The answer as S3 gives it. moto calls the root of a bucket that was never
/// versioned `GetBucketVersioningResponse`, which the SDK for Rust refuses.
pub(crate) fn corrected(action: &str, body: Bytes) -> Bytes {
    match std::str::from_utf8(&body) {
        Ok(text) if is_corrected(action) => text
            .replace("GetBucketVersioningResponse", "VersioningConfiguration")
            .into(),
        _ => body,
    }
}

/// Bucket, and `bucket/key` if there is a key.
pub(crate) fn bucket_and_key(parts: &Parts) -> Vec<String> {
    let path = parts.uri.path().trim_start_matches('/');
    match path.split_once('/') {
        _ if path.is_empty() => Vec::new(),
        Some((bucket, "")) => vec![bucket.to_owned()],
        Some((bucket, key)) => vec![bucket.to_owned(), format!("{bucket}/{key}")],
        None => vec![path.to_owned()],
    }
}

/// The value of a tag in the body of CreateBucket or PutBucketTagging.
pub(crate) fn tag(body: &[u8], key: &str) -> Option<String> {
    let document = roxmltree::Document::parse(std::str::from_utf8(body).ok()?).ok()?;
    let mut tags = document
        .descendants()
        .filter(|node| node.tag_name().name() == "Tag");
    let tag = tags.find(|tag| xml::child(*tag, "Key") == Some(key))?;
    xml::child(tag, "Value").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_from_configurations() {
        let body = b"<C xmlns='x'><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></C>";
        assert_eq!(tag(body, "a").as_deref(), Some("b"));
        assert_eq!(tag(body, "c"), None);
        assert_eq!(tag(b"no xml", "a"), None);
    }

    #[test]
    fn only_what_is_known_to_be_wrong_is_corrected() {
        let given = Bytes::from_static(b"<GetBucketVersioningResponse xmlns=\"x\"/>");
        let right = corrected("GetBucketVersioning", given.clone());
        assert_eq!(right, "<VersioningConfiguration xmlns=\"x\"/>");
        assert_eq!(corrected("GetObject", given.clone()), given);
    }

    #[test]
    fn requests_are_named_as_aws_names_them() {
        let cases = [
            ("GET", "/", "ListBuckets"),
            ("PUT", "/b", "CreateBucket"),
            ("HEAD", "/b/", "HeadBucket"),
            ("GET", "/b?list-type=2&prefix=x", "ListObjectsV2"),
            ("GET", "/b?prefix=x", "ListObjects"),
            ("PUT", "/b?versioning", "PutBucketVersioning"),
            ("GET", "/b?lifecycle", "GetBucketLifecycleConfiguration"),
            ("DELETE", "/b?publicAccessBlock", "DeletePublicAccessBlock"),
            ("POST", "/b?delete", "DeleteObjects"),
            ("GET", "/b?versions", "ListObjectVersions"),
            ("PUT", "/b/lease.json?x-id=PutObject", "PutObject"),
            ("GET", "/b/a/b?versionId=1", "GetObject"),
            ("DELETE", "/b/a", "DeleteObject"),
            ("POST", "/b/a?uploads", "CreateMultipartUpload"),
            ("PUT", "/b/a?partNumber=1&uploadId=x", "UploadPart"),
            ("POST", "/b/a?uploadId=x", "CompleteMultipartUpload"),
        ];
        for (method, uri, name) in cases {
            let (parts, ()) = http::Request::builder()
                .method(method)
                .uri(uri)
                .body(())
                .unwrap()
                .into_parts();
            assert_eq!(operation(&parts), Some(name), "{method} {uri}");
        }
    }
}
