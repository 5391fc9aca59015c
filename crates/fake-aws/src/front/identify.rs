//! What a request asks for: service and region out of the SigV4 credential
//! scope, the operation as AWS names it, and what it is about.

use http::Method;
use http::request::Parts;

use super::form::Form;
use super::s3;
use crate::eks;

/// The tag that names a resource of Trunkline.
pub(crate) const ADDRESS_TAG: &str = "trunkline:address";

/// The credential scope of a signature.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scope {
    pub(crate) access_key: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Scope {
    /// Reads it from the Authorization header or from a presigned query.
    pub(crate) fn of(parts: &Parts) -> Option<Self> {
        let header = parts
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        if let Some(credential) = header
            .and_then(|value| value.split_once("Credential="))
            .and_then(|(_, rest)| rest.split([',', ' ']).next())
        {
            return Self::parse(credential);
        }
        let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        query.get("X-Amz-Credential").and_then(Self::parse)
    }

    /// `AKID/20260101/eu-central-1/ec2/aws4_request`.
    pub(crate) fn parse(credential: &str) -> Option<Self> {
        let fields: Vec<&str> = credential.split('/').collect();
        let [access_key, _date, region, service, "aws4_request"] = fields[..] else {
            return None;
        };
        Some(Self {
            access_key: access_key.to_owned(),
            region: region.to_owned(),
            service: service.to_ascii_lowercase(),
        })
    }
}

/// The name of the operation. What cannot be told is named by its method and path.
pub(crate) fn action(service: &str, parts: &Parts, form: &Form) -> String {
    let target = parts
        .headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    if let Some((_, name)) = target.and_then(|target| target.rsplit_once('.')) {
        return name.to_owned();
    }
    if let Some(name) = form.get("Action") {
        return name.to_owned();
    }
    let known = match service {
        "s3" => s3::operation(parts),
        "eks" => eks::operation(&parts.method, parts.uri.path()),
        _ => None,
    };
    known.map_or_else(
        || format!("{} {}", parts.method, parts.uri.path()),
        str::to_owned,
    )
}

/// The application id in the user agent: `… app/NAME …` (AWS SDKs and Tools
/// Reference Guide, "Application ID").
pub(crate) fn app(parts: &Parts) -> Option<String> {
    ["x-amz-user-agent", "user-agent"].iter().find_map(|name| {
        let agent = parts.headers.get(*name)?.to_str().ok()?;
        let app = agent
            .split(' ')
            .find_map(|word| word.strip_prefix("app/"))?;
        Some(app.to_owned())
    })
}

/// Whether an operation changes something, by its name.
pub(crate) fn mutating(action: &str) -> bool {
    const READS: [&str; 18] = [
        "Describe",
        "Get",
        "List",
        "Head",
        "Select",
        "Lookup",
        "Search",
        "Simulate",
        "BatchGet",
        "AssumeRole",
        "Decode",
        "Decrypt",
        "Encrypt",
        "GenerateDataKey",
        "Query",
        "Scan",
        "GET ",
        "HEAD ",
    ];
    !READS.iter().any(|read| action.starts_with(read))
}

/// What a request is about, as far as the request itself says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Subject {
    /// `trunkline:address` among the tags it gives.
    pub(crate) address: Option<String>,
    /// Names and ids it mentions.
    pub(crate) ids: Vec<String>,
}

impl Subject {
    pub(crate) fn of(service: &str, parts: &Parts, form: &Form, body: &[u8]) -> Self {
        match service {
            "s3" => Self {
                address: s3::tag(body, ADDRESS_TAG),
                // An object is not its bucket, whose address may be known.
                ids: s3::bucket_and_key(parts).pop().into_iter().collect(),
            },
            "eks" => Self {
                address: json_tag(body),
                ids: eks::subjects(parts, body),
            },
            _ if form.get("Action").is_some() => Self {
                address: form.tag(ADDRESS_TAG).map(str::to_owned),
                ids: form_ids(form),
            },
            _ => Self {
                address: json_tag(body),
                ids: Vec::new(),
            },
        }
    }
}

impl Subject {
    /// Everything that the request names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.address.iter().chain(&self.ids).cloned().collect()
    }
}

/// Parameters that hold names and ids, by how AWS calls them.
fn form_ids(form: &Form) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for (key, value) in &form.0 {
        let name = key.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit());
        let naming = ["Id", "Name", "Arn"].iter().any(|end| name.ends_with(end));
        let nested = name.contains('.') && !name.starts_with("ResourceId");
        if naming && !nested && !value.is_empty() && !ids.contains(value) {
            ids.push(value.clone());
        }
    }
    ids
}

/// The address among the tags of a JSON body: `{"tags": {…}}` or `[{"Key", "Value"}]`.
fn json_tag(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let tags = ["tags", "Tags"].iter().find_map(|key| body.get(key))?;
    let by_name = tags.get(ADDRESS_TAG);
    let listed = || {
        let is_address = |tag: &&serde_json::Value| {
            ["Key", "TagKey"]
                .iter()
                .any(|key| tag.get(key).is_some_and(|it| it == ADDRESS_TAG))
        };
        let tag = tags.as_array()?.iter().find(is_address)?;
        tag.get("Value").or_else(|| tag.get("TagValue"))
    };
    by_name.or_else(listed)?.as_str().map(str::to_owned)
}

/// Whether the request's body and answer pass through without being read.
pub(crate) fn streams(service: &str, parts: &Parts) -> bool {
    let configuration = parts.method == Method::PUT && s3::bucket_and_key(parts).len() == 1;
    service == "s3"
        && !configuration
        && matches!(parts.method, Method::PUT | Method::GET | Method::POST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_scope_is_read_from_the_header_and_from_a_presigned_query() {
        let header = parts(http::Request::builder().uri("/").header(
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=AKIA1/20260101/eu-central-1/ec2/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=00",
        ));
        let scope = Scope::of(&header).unwrap();
        assert_eq!(
            (scope.access_key.as_str(), scope.service.as_str()),
            ("AKIA1", "ec2")
        );
        let query = parts(http::Request::builder().uri(
            "/?Action=GetCallerIdentity&X-Amz-Credential=AKIA2%2F20260101%2Fus-east-1%2Fsts%2Faws4_request",
        ));
        assert_eq!(Scope::of(&query).unwrap().region, "us-east-1");
        assert_eq!(
            Scope::of(&parts(http::Request::builder().uri("/bucket"))),
            None
        );
    }

    #[test]
    fn operations_are_named_by_target_form_and_path() {
        let post = || http::Request::builder().method("POST").uri("/");
        let none = Form::default();
        let target = parts(post().header("X-Amz-Target", "TrentService.CreateKey"));
        assert_eq!(action("kms", &target, &none), "CreateKey");
        let form = Form::parse(b"Action=CreateVpc&Version=2016-11-15");
        assert_eq!(action("ec2", &parts(post()), &form), "CreateVpc");
        let eks = parts(http::Request::builder().method("POST").uri("/clusters"));
        assert_eq!(action("eks", &eks, &none), "CreateCluster");
        let unknown = parts(http::Request::builder().uri("/what"));
        assert_eq!(action("other", &unknown, &none), "GET /what");
    }

    #[test]
    fn the_application_is_told_from_the_user_agent() {
        let by = |name, agent| parts(http::Request::builder().uri("/").header(name, agent));
        let rust = "aws-sdk-rust/1.3 os/linux lang/rust/1.95 app/k1";
        assert_eq!(app(&by("x-amz-user-agent", rust)).as_deref(), Some("k1"));
        let boto = "Boto3/1.40 md/Botocore#1.40 app/k2 cfg/retry-mode#legacy";
        assert_eq!(app(&by("user-agent", boto)).as_deref(), Some("k2"));
        assert_eq!(app(&by("user-agent", "curl/8")), None);
    }

    #[test]
    fn reads_and_writes_are_told_apart_by_name() {
        for read in [
            "DescribeVpcs",
            "GetRole",
            "ListBuckets",
            "HeadObject",
            "GET /x",
        ] {
            assert!(!mutating(read), "{read}");
        }
        for write in [
            "CreateVpc",
            "PutObject",
            "DeleteRole",
            "TagResource",
            "POST /x",
        ] {
            assert!(mutating(write), "{write}");
        }
    }

    #[test]
    fn the_subject_is_the_tag_and_the_ids() {
        let post = parts(http::Request::builder().method("POST").uri("/"));
        let form = Form::parse(
            b"Action=CreateSubnet&VpcId=vpc-1&CidrBlock=10.0.0.0%2F24&TagSpecification.1.ResourceType=subnet\
              &TagSpecification.1.Tag.1.Key=trunkline%3Aaddress&TagSpecification.1.Tag.1.Value=net%2Fsubnet%2Fa",
        );
        let subject = Subject::of("ec2", &post, &form, b"");
        assert_eq!(subject.address.as_deref(), Some("net/subnet/a"));
        assert_eq!(subject.ids, ["vpc-1"]);
        let body =
            br#"{"Tags": [{"TagKey": "trunkline:address", "TagValue": "storage/key/main"}]}"#;
        let subject = Subject::of("kms", &post, &Form::default(), body);
        assert_eq!(subject.address.as_deref(), Some("storage/key/main"));
    }
}
