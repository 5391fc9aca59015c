//! The way to moto: requests passed on as they are, and requests of our own.

use bytes::Bytes;
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::answer::{Answer, AwsError, Body, whole};
use super::form::Form;
use super::identify::Scope;
use crate::xml;

/// Headers that belong to one connection and not to the message
/// (RFC 9110, section 7.6.1), and `Expect`, which our server has answered already.
const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "expect",
];

/// moto, or another emulator of AWS, behind the front.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    authority: http::uri::Authority,
    client: Client<HttpConnector, Body>,
}

impl Upstream {
    /// `url` is an http address without a path.
    pub(crate) fn new(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let authority = uri
            .authority()
            .ok_or_else(|| format!("{url} names no host"))?
            .clone();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { authority, client })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// Passes a request on: method, path, query, headers and body untouched.
    pub(crate) async fn forward(
        &self,
        parts: Parts,
        body: Body,
    ) -> Result<Response<Incoming>, AwsError> {
        let mut uri = parts.uri.into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query
            .get_or_insert(PathAndQuery::from_static("/"));
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = Uri::from_parts(uri).map_err(unavailable)?;
        *request.headers_mut() = parts.headers;
        strip(request.headers_mut());
        let mut response = self.client.request(request).await.map_err(unavailable)?;
        strip(response.headers_mut());
        Ok(response)
    }

    /// Passes a request on and reads the whole answer.
    pub(crate) async fn exchange(&self, parts: Parts, body: Bytes) -> Result<Answer, AwsError> {
        let (head, body) = self.forward(parts, whole(body)).await?.into_parts();
        let body = body.collect().await.map_err(unavailable)?.to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// A call of our own in a query protocol, as the caller in `scope`. An
    /// error of AWS's comes back as an error.
    pub(crate) async fn query(&self, scope: &Scope, form: &Form) -> Result<String, AwsError> {
        let request = Request::builder()
            .method("POST")
            .uri("/")
            .header("host", self.authority.as_str())
            .header(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            )
            .header("authorization", authorization(scope))
            .body(())
            .map_err(unavailable)?;
        let answer = self
            .exchange(request.into_parts().0, form.encode().into())
            .await?;
        if answer.status.is_success() {
            return Ok(answer.text().to_owned());
        }
        Err(AwsError {
            status: answer.status.as_u16(),
            code: xml::text(answer.text(), "Code").unwrap_or_else(|| "InternalFailure".into()),
            message: xml::text(answer.text(), "Message").unwrap_or_default(),
        })
    }
}

/// moto reads service, region and access key from this header and checks no signature.
fn authorization(scope: &Scope) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={}/20260101/{}/{}/aws4_request, SignedHeaders=host, Signature=0",
        scope.access_key, scope.region, scope.service
    )
}

fn strip(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn unavailable(error: impl std::error::Error) -> AwsError {
    let mut text = format!("the emulator behind the front did not answer: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    AwsError::new(503, "ServiceUnavailable", text)
}
