//! The record: every call that reached the front, in the order of arrival.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// One call to AWS as the front saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Position in the record, from 1; never used again after a clear.
    pub n: u64,
    /// When the request arrived.
    pub at: jiff::Timestamp,
    /// Signing name of the service: `ec2`, `s3`, `iam`, `sts`, `eks`.
    pub service: String,
    /// The operation as AWS names it: `CreateVpc`.
    pub action: String,
    /// Region out of the credential scope.
    pub region: String,
    /// The `trunkline:address` of what the call is about where it is known
    /// (from the tags of the request or of an earlier create), else its name or ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Names and ids in the request, and those that a create has given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Whether the operation changes something, by its name.
    pub mutating: bool,
    /// HTTP status of the answer (also of an answer that was then dropped).
    pub status: u16,
    /// AWS's error code, if the answer is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Request id in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Milliseconds from arrival to answer.
    pub duration_ms: f64,
    /// Process at the other end of the connection, where that could be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Access key that signed the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// Application id in the user agent of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The fault that was applied to this call, by the name of its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl Call {
    /// `service:action`, as IAM writes an action.
    pub fn name(&self) -> String {
        format!("{}:{}", self.service, self.action)
    }

    /// Whether AWS did what was asked.
    pub fn succeeded(&self) -> bool {
        (200..400).contains(&self.status)
    }
}

/// All calls since the start or the last clear.
#[derive(Debug, Default)]
pub struct Record {
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    last: u64,
    list: Vec<Call>,
}

impl Record {
    /// Number of a call that arrives now. Numbers follow the arrival, entries
    /// are pushed when the answer is ready.
    pub fn number(&self) -> u64 {
        let mut calls = self.lock();
        calls.last += 1;
        calls.last
    }

    /// Adds a finished call.
    pub fn push(&self, call: Call) {
        let mut calls = self.lock();
        let place = calls.list.partition_point(|other| other.n < call.n);
        calls.list.insert(place, call);
    }

    /// The calls with a number greater than `n`, in the order of arrival.
    pub fn since(&self, n: u64) -> Vec<Call> {
        let calls = self.lock();
        let place = calls.list.partition_point(|call| call.n <= n);
        calls.list[place..].to_vec()
    }

    /// Forgets all calls; numbers go on.
    pub fn clear(&self) {
        self.lock().list.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
