//! Tokens for the Kubernetes API: a presigned STS GetCallerIdentity URL, judged
//! by the rules of aws-iam-authenticator's verifier (kubernetes-sigs/
//! aws-iam-authenticator `pkg/token/token.go`) and of STS itself.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

use super::sigv4::Presigned;
use crate::front::{Form, Key, Scope};

const PREFIX: &str = "k8s-aws-v1.";
const CLUSTER_HEADER: &str = "x-k8s-aws-id";
const MAX_BYTES: usize = 4096;
/// A token lives this long from its date on, whatever X-Amz-Expires says.
const LIFE: SignedDuration = SignedDuration::from_mins(15);
/// STS takes a clock that is this much ahead.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
const MAX_EXPIRES: u32 = 900;
const ALLOWED: [&str; 10] = [
    "action",
    "version",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
    "x-amz-user-agent",
];

/// A token that keeps every rule but whose signature is still to be checked.
#[derive(Debug)]
pub(super) struct Token {
    host: String,
    query: Form,
    scope: Scope,
}

impl Token {
    /// Decodes a token and applies the rules.
    pub(super) fn parse(token: &str, now: Timestamp) -> Result<Self, String> {
        if token.len() > MAX_BYTES {
            return Err("token is too large".to_owned());
        }
        let encoded = token
            .strip_prefix(PREFIX)
            .ok_or_else(|| format!("token is missing expected \"{PREFIX}\" prefix"))?;
        let bytes = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
        let url = url::Url::parse(&text).map_err(|error| error.to_string())?;
        if url.scheme() != "https" {
            return Err(format!(
                "unexpected scheme \"{}\" in pre-signed URL",
                url.scheme()
            ));
        }
        if url.path() != "/" {
            return Err("unexpected path in pre-signed URL".to_owned());
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let token = Self::new(
            host,
            Form::parse(url.query().unwrap_or_default().as_bytes()),
        )?;
        token.check(now).map(|()| token)
    }

    fn new(host: String, query: Form) -> Result<Self, String> {
        let mut seen: Vec<String> = Vec::new();
        for (key, _) in &query.0 {
            let key = key.to_ascii_lowercase();
            if !ALLOWED.contains(&key.as_str()) {
                return Err(format!("non-whitelisted query parameter \"{key}\""));
            }
            if seen.contains(&key) {
                return Err("query parameter with multiple values not supported".to_owned());
            }
            seen.push(key);
        }
        let scope = query.get("X-Amz-Credential").and_then(Scope::parse);
        let scope = scope.ok_or("no credential scope in pre-signed URL")?;
        Ok(Self { host, query, scope })
    }

    fn check(&self, now: Timestamp) -> Result<(), String> {
        if self.get("Action") != "GetCallerIdentity" {
            return Err("unexpected action parameter in pre-signed URL".to_owned());
        }
        let region = &self.scope.region;
        let hosts = [
            "sts.amazonaws.com".to_owned(),
            format!("sts.{region}.amazonaws.com"),
        ];
        if !hosts.contains(&self.host) || self.scope.service != "sts" {
            return Err(format!(
                "unexpected hostname \"{}\" in pre-signed URL",
                self.host
            ));
        }
        if self.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" {
            return Err("unexpected algorithm in pre-signed URL".to_owned());
        }
        if !self
            .signed_headers()
            .any(|name| name.eq_ignore_ascii_case(CLUSTER_HEADER))
        {
            return Err(format!(
                "client did not sign the {CLUSTER_HEADER} header in the pre-signed URL"
            ));
        }
        if !self
            .get("X-Amz-Expires")
            .parse()
            .is_ok_and(|seconds: u32| seconds <= MAX_EXPIRES)
        {
            return Err("invalid X-Amz-Expires parameter in pre-signed URL".to_owned());
        }
        self.fresh(now)
    }

    fn fresh(&self, now: Timestamp) -> Result<(), String> {
        let text = self.get("X-Amz-Date");
        if text.is_empty() {
            return Err("X-Amz-Date parameter must be present in pre-signed URL".to_owned());
        }
        let date = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text)
            .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC))
            .map_err(|error| format!("X-Amz-Date {text}: {error}"))?
            .timestamp();
        let age = now.duration_since(date);
        if age > LIFE {
            return Err(format!(
                "X-Amz-Date parameter is expired (15 minute expiration) {text}"
            ));
        }
        if age < -SKEW {
            return Err(format!("Signature not yet current: {text}"));
        }
        Ok(())
    }

    /// The credential scope: the access key, for the signature and the identity.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether the signature is that of the key, made for this cluster.
    pub(super) fn is_signed_by(&self, key: &Key, cluster: &str) -> bool {
        if self.query.get("X-Amz-Security-Token") != key.session.as_deref() {
            return false;
        }
        let header = |name: &str| match name {
            "host" => Some(self.host.as_str()),
            CLUSTER_HEADER => Some(cluster),
            // The verifier sends no other header that a client could sign.
            _ => None,
        };
        let Some(headers) = self
            .signed_headers()
            .map(|name| Some((name, header(name)?)))
            .collect()
        else {
            return false;
        };
        let query = self
            .query
            .0
            .iter()
            .filter(|(key, _)| key != "X-Amz-Signature");
        let expected = Presigned {
            path: "/",
            query: query
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect(),
            headers,
            date: self.get("X-Amz-Date"),
            region: &self.scope.region,
            service: &self.scope.service,
        };
        expected.signature(&key.secret) == self.get("X-Amz-Signature")
    }

    fn get(&self, key: &str) -> &str {
        self.query.get(key).unwrap_or_default()
    }

    fn signed_headers(&self) -> impl Iterator<Item = &str> {
        self.get("X-Amz-SignedHeaders").split(';')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";
    const GOOD: &str = "https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity\
        &Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIAEXAMPLE%2F20260102%2Feu-central-1%2Fsts%2Faws4_request\
        &X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id\
        &X-Amz-Signature=00";

    fn parse(url: &str, now: &str) -> Result<Token, String> {
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(url));
        Token::parse(&token, now.parse().unwrap())
    }

    #[test]
    fn a_token_that_keeps_the_rules_is_taken_for_fifteen_minutes() {
        assert_eq!(parse(GOOD, NOW).unwrap().scope().access_key, "AKIAEXAMPLE");
        assert!(parse(GOOD, "2026-01-02T03:19:05Z").is_ok());
        assert!(
            parse(GOOD, "2026-01-02T03:19:06Z")
                .unwrap_err()
                .contains("expired")
        );
        assert!(
            parse(GOOD, "2026-01-02T02:58:00Z")
                .unwrap_err()
                .contains("not yet current")
        );
    }

    #[test]
    fn signatures_of_botocore_are_known_and_others_are_not() {
        // Made by botocore 1.44.5's RequestSigner at this clock.
        let signed = |more: &str, signature: &str| {
            let url = GOOD.replace("&X-Amz-Signature=00", more) + "&X-Amz-Signature=" + signature;
            parse(&url, NOW).unwrap()
        };
        let plain = signed(
            "",
            "5ea85d242c2bd116f5279b4c044b6c114635bcbb4882aae7d9dbc7285d20ed0e",
        );
        let session = signed(
            "&X-Amz-Security-Token=session%2Ftoken%2Bwith%3Dsigns",
            "bd2766e4ef065037f11031d058734b07e2b26e7ed925cb8df77e369882b8a91b",
        );
        let key = |secret: &str, session: Option<&str>| Key {
            secret: secret.to_owned(),
            session: session.map(str::to_owned),
        };
        let good = key("secret/EXAMPLE+key", None);
        let temporary = key("secret/EXAMPLE+key", Some("session/token+with=signs"));
        assert!(plain.is_signed_by(&good, "trunkline-sandbox"));
        assert!(session.is_signed_by(&temporary, "trunkline-sandbox"));
        assert!(!plain.is_signed_by(&good, "trunkline-live"));
        assert!(!plain.is_signed_by(&key("another", None), "trunkline-sandbox"));
        assert!(!plain.is_signed_by(&temporary, "trunkline-sandbox"));
        assert!(!session.is_signed_by(&good, "trunkline-sandbox"));
    }

    #[test]
    fn each_rule_refuses_its_violation() {
        let cases = [
            ("https://", "http://", "scheme"),
            (".com/?", ".com/x?", "path"),
            ("sts.eu-central-1.", "sts.us-east-1.", "hostname"),
            ("sts.eu-central-1.amazonaws.com", "example.com", "hostname"),
            ("=GetCallerIdentity", "=AssumeRole", "action"),
            ("&Version", "&Extra=1&Version", "non-whitelisted"),
            ("&Version", "&action=x&Version", "multiple values"),
            ("%3Bx-k8s-aws-id", "", "did not sign"),
            ("Expires=60", "Expires=901", "X-Amz-Expires"),
            ("&X-Amz-Expires=60", "", "X-Amz-Expires"),
            ("&X-Amz-Date=20260102T030405Z", "", "X-Amz-Date"),
            ("%2Faws4_request", "", "credential scope"),
            ("%2Fsts%2F", "%2Fec2%2F", "hostname"),
        ];
        for (from, to, text) in cases {
            assert!(GOOD.contains(from), "{from}");
            let error = parse(&GOOD.replacen(from, to, 1), NOW).unwrap_err();
            assert!(error.contains(text), "{from} → {to}: {error}");
        }
        let bare = Token::parse("token", NOW.parse().unwrap()).unwrap_err();
        assert!(bare.contains("prefix"));
    }
}
