//! A request to the front's control API. One in plain words, since a client
//! would be a dependency for three requests.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// Sends a request to `http://host:port`; the answer's JSON, null for none.
pub(crate) fn request(base: &str, method: &str, path: &str, body: &str) -> Value {
    let host = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    assert!(status.starts_with('2'), "{method} {path}: {answer}");
    assert!(!head.to_lowercase().contains("chunked"), "{head}");
    serde_json::from_str(body).unwrap_or_default()
}
