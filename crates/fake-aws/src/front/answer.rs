//! Answers to the caller, and errors in the form of each protocol.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};

/// A body that goes out: whole, or streamed from moto.
pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

/// A body that is known as a whole.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

/// An answer whose body is known as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An AWS error before it is put into a protocol's form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AwsError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl AwsError {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// What the service answers when it is called too often
    /// (EC2 and S3 have codes of their own; SDKs retry all of them).
    pub(crate) fn throttled(service: &str) -> Self {
        let (status, code, message) = match service {
            "ec2" => (503, "RequestLimitExceeded", "Request limit exceeded."),
            "s3" => (503, "SlowDown", "Please reduce your request rate."),
            "iam" | "sts" => (400, "Throttling", "Rate exceeded"),
            "eks" => (429, "ThrottlingException", "Rate exceeded"),
            _ => (400, "ThrottlingException", "Rate exceeded"),
        };
        Self::new(status, code, message)
    }
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers,
            body: body.into(),
        }
    }

    pub(crate) fn json(status: u16, body: &impl serde::Serialize) -> Self {
        Self::new(
            status,
            "application/json",
            serde_json::to_vec(body).unwrap_or_default(),
        )
    }

    /// An error in the form that the service's protocol has.
    pub(crate) fn error(service: &str, error: &AwsError) -> Self {
        let id = request_id();
        let (code, message) = (xml_text(&error.code), xml_text(&error.message));
        let xml = |body| Self::new(error.status, "text/xml;charset=UTF-8", body);
        let mut answer = match service {
            "ec2" => xml(format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
                 <Message>{message}</Message></Error></Errors><RequestID>{id}</RequestID></Response>"
            )),
            "s3" => xml(format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
                 <Message>{message}</Message><RequestId>{id}</RequestId></Error>"
            )),
            "iam" | "sts" => xml(format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
                 <Message>{message}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>"
            )),
            _ => {
                let body = serde_json::json!({"__type": error.code, "message": error.message});
                let mut answer = Self::json(error.status, &body);
                answer.set("x-amzn-errortype", &error.code);
                answer
            }
        };
        answer.set("x-amzn-requestid", &id);
        answer
    }

    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    /// Puts another body in; its length follows from it.
    pub(crate) fn replace_body(&mut self, body: impl Into<Bytes>) {
        self.headers.remove("content-length");
        self.body = body.into();
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(whole(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// AWS's error code in an answer, whatever its protocol.
pub(crate) fn error_code(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    if let Some(code) = headers
        .get("x-amzn-errortype")
        .and_then(|value| value.to_str().ok())
    {
        return Some(code.split(':').next().unwrap_or(code).to_owned());
    }
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) {
        let code = json.get("__type").or_else(|| json.get("code"))?.as_str()?;
        return Some(code.rsplit('#').next().unwrap_or(code).to_owned());
    }
    let text = std::str::from_utf8(body).ok()?;
    let document = roxmltree::Document::parse(text).ok()?;
    let code = document
        .descendants()
        .find(|node| node.tag_name().name() == "Code")?;
    code.text().map(str::to_owned)
}

/// The request id in an answer, whatever its protocol.
pub(crate) fn request_id_of(headers: &HeaderMap) -> Option<String> {
    ["x-amzn-requestid", "x-amz-request-id"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())
        .map(str::to_owned)
}

/// A fresh request id in the form of AWS's.
pub(crate) fn request_id() -> String {
    uuid(rand::random())
}

/// 128 bits in the form of a version 4 UUID.
pub(crate) fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    let (a, b, c, d) = (&hex[..8], &hex[8..12], &hex[13..16], &hex[17..20]);
    format!("{a}-{b}-4{c}-a{d}-{}", &hex[20..])
}

fn xml_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocols_error_carries_code_and_request_id() {
        let error = AwsError::new(400, "Some.Code", "a <b> & c");
        for service in ["ec2", "s3", "iam", "sts", "eks", "kms"] {
            let answer = Answer::error(service, &error);
            let code = error_code(answer.status, &answer.headers, &answer.body);
            assert_eq!(code.as_deref(), Some("Some.Code"), "{service}");
            assert!(
                request_id_of(&answer.headers).is_some_and(|id| id.len() == 36),
                "{service}"
            );
        }
    }

    #[test]
    fn codes_are_read_from_bodies_alone() {
        let none = HeaderMap::new();
        let code = |body: &[u8]| error_code(StatusCode::BAD_REQUEST, &none, body);
        assert_eq!(
            code(br#"{"__type":"com.amazonaws#NotFound"}"#).as_deref(),
            Some("NotFound")
        );
        assert_eq!(
            code(b"<Error><Code>NoSuchKey</Code></Error>").as_deref(),
            Some("NoSuchKey")
        );
        assert_eq!(error_code(StatusCode::OK, &none, b"<Code>x</Code>"), None);
    }
}
