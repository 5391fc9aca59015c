//! Tokens for the Kubernetes API of EKS: a presigned STS `GetCallerIdentity`
//! URL, as aws-iam-authenticator defines it.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::{Credentials, provider::ProvideCredentials};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use trunkline_engine::{Cause, Failure, FailureKind};
use trunkline_ids::Region;

/// A bearer token and its end.
#[derive(Clone)]
pub struct EksToken {
    /// `k8s-aws-v1.…`. A secret.
    pub secret: String,
    /// When it ends: EKS takes a token for 15 minutes after its signature.
    pub expires: Timestamp,
}

impl std::fmt::Debug for EksToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EksToken(ends {})", self.expires)
    }
}

/// How long EKS takes a token.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// What `X-Amz-Expires` says: aws-iam-authenticator signs 60 and its verifier
/// refuses more than 900.
const PRESIGNED: Duration = Duration::from_secs(60);

/// Signs a token for `cluster` with the credentials of `sdk`.
///
/// # Errors
/// No credentials.
pub async fn eks_token(sdk: &SdkConfig, cluster: &str) -> Result<EksToken, Failure> {
    let denied = |message: String| {
        let cause = Cause {
            service: "AWS credentials".to_owned(),
            message,
            ..Cause::default()
        };
        Failure::new(FailureKind::Denied, cause)
            .clear()
            .next("give credentials: log in by `aws sso login`, set AWS_PROFILE, or check the role")
    };
    let Some(provider) = sdk.credentials_provider() else {
        return Err(denied("none are configured".to_owned()));
    };
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|error| denied(error.to_string()))?;
    let region = Region::new(sdk.region().map(ToString::to_string).unwrap_or_default());
    presign(&credentials, &region, cluster, SystemTime::now())
}

fn presign(
    credentials: &Credentials,
    region: &Region,
    cluster: &str,
    now: SystemTime,
) -> Result<EksToken, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::bug(format!("a token: {error}"));
    let url = format!(
        "https://sts.{region}.{}/?Action=GetCallerIdentity&Version=2011-06-15",
        dns_suffix(region)
    );
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(PRESIGNED);
    settings.signature_location = SignatureLocation::QueryParams;
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region.as_str())
        .name("sts")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|e| wrong(&e))?
        .into();
    let headers = [("x-k8s-aws-id", cluster)].into_iter();
    let request = SignableRequest::new("GET", &url, headers, SignableBody::Bytes(b""))
        .map_err(|e| wrong(&e))?;
    let (instructions, _) = sign(request, &params).map_err(|e| wrong(&e))?.into_parts();
    let mut signed = http::Request::get(&url).body(()).map_err(|e| wrong(&e))?;
    instructions.apply_to_request_http1x(&mut signed);
    let secret = format!(
        "k8s-aws-v1.{}",
        BASE64_URL_SAFE_NO_PAD.encode(signed.uri().to_string())
    );
    let expires = Timestamp::try_from(now + LIFE).map_err(|e| wrong(&e))?;
    Ok(EksToken { secret, expires })
}

/// The suffix of AWS's names: China has its own.
fn dns_suffix(region: &Region) -> &'static str {
    if region.as_str().starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// 2026-11-23T08:00:00Z.
    const NOON: u64 = 1_795_420_800;

    fn url_of(session: Option<&str>, region: &str) -> String {
        let credentials = Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            session.map(str::to_owned),
            None,
            "test",
        );
        let now = UNIX_EPOCH + Duration::from_secs(NOON);
        let token = presign(&credentials, &Region::new(region), "trunkline-sandbox", now).unwrap();
        assert_eq!(
            token.expires.as_second(),
            i64::try_from(NOON + 900).unwrap()
        );
        let encoded = token.secret.strip_prefix("k8s-aws-v1.").unwrap();
        String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
    }

    /// The vectors were made with botocore at a frozen clock; see
    /// `tests/tokens.py` for how.
    #[test]
    fn the_url_is_botocores_parameter_by_parameter() {
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../tests/tokens.json")).unwrap();
        assert!(!vectors.is_empty());
        for vector in vectors {
            let session = vector["session_token"].as_str();
            let ours = url_of(session, vector["region"].as_str().unwrap());
            assert_eq!(parts(&ours), parts(vector["url"].as_str().unwrap()));
        }
    }

    /// Scheme and host, then the parameters, sorted: botocore writes them in
    /// another order, which the signature does not see.
    fn parts(url: &str) -> Vec<String> {
        let (host, query) = url.split_once('?').unwrap();
        let mut parts: Vec<String> = query.split('&').map(str::to_owned).collect();
        parts.sort();
        parts.insert(0, host.to_owned());
        parts
    }
}
