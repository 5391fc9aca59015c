//! Signature Version 4 of a presigned URL, computed by its specification
//! (IAM User Guide, "Create a signed AWS API request"). Own code on purpose:
//! it checks the presigner of Trunkline, which uses AWS's signing crate.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the unreserved characters of RFC 3986 are encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a presigned GET consists of. Parameters and headers are decoded.
pub(super) struct Presigned<'a> {
    pub(super) path: &'a str,
    /// All query parameters but the signature.
    pub(super) query: Vec<(&'a str, &'a str)>,
    /// The signed headers in lower case, with their values.
    pub(super) headers: Vec<(&'a str, &'a str)>,
    /// `20260101T000000Z`.
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

impl Presigned<'_> {
    /// The signature of this request with a secret, in hexadecimal.
    pub(super) fn signature(&self, secret: &str) -> String {
        let day = self.date.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let canonical = hex::encode(Sha256::digest(self.canonical()));
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{canonical}", self.date);
        let key = [day, self.region, self.service, "aws4_request"]
            .iter()
            .fold(format!("AWS4{secret}").into_bytes(), |key, part| {
                hmac(&key, part)
            });
        hex::encode(hmac(&key, &text))
    }

    fn canonical(&self) -> String {
        let encode = |text| utf8_percent_encode(text, ENCODED).to_string();
        let mut query: Vec<String> = self
            .query
            .iter()
            .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
            .collect();
        query.sort();
        let mut headers = self.headers.clone();
        headers.sort_unstable();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", value.trim()))
            .collect();
        let nothing = hex::encode(Sha256::digest(b""));
        let (path, query, names) = (self.path, query.join("&"), names.join(";"));
        format!("GET\n{path}\n{query}\n{lines}\n{names}\n{nothing}")
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_example_key_signs_as_published() {
        // IAM User Guide, "Examples of the complete Signature Version 4 signing process":
        // signing key for 20150830/us-east-1/iam.
        let key = ["20150830", "us-east-1", "iam", "aws4_request"]
            .iter()
            .fold(
                b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec(),
                |key, part| hmac(&key, part),
            );
        assert_eq!(
            hex::encode(key),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }
}
