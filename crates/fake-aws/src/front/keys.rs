//! Secrets of access keys, learnt from the answers in which AWS hands them
//! out: the token webhook verifies signatures with them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::xml;

/// Access keys whose secret passed by.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    known: Mutex<HashMap<String, Key>>,
}

/// What belongs to an access key id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) secret: String,
    /// Session token of temporary credentials.
    pub(crate) session: Option<String>,
}

impl Keys {
    /// Takes the credentials out of an answer of CreateAccessKey or AssumeRole,
    /// and forgets a key that was deleted.
    pub(crate) fn learn(&self, service: &str, action: &str, ids: &[String], answer: &str) {
        if !matches!(service, "iam" | "sts") {
            return;
        }
        if action == "DeleteAccessKey" {
            self.lock().retain(|key, _| !ids.contains(key));
        } else if let Some((id, secret)) = credentials(answer) {
            let session = xml::text(answer, "SessionToken");
            self.lock().insert(id, Key { secret, session });
        }
    }

    /// What is known of an access key id.
    pub(crate) fn get(&self, access_key: &str) -> Option<Key> {
        self.lock().get(access_key).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Access key id and secret in an answer that hands them out.
pub(crate) fn credentials(answer: &str) -> Option<(String, String)> {
    Some((
        xml::text(answer, "AccessKeyId")?,
        xml::text(answer, "SecretAccessKey")?,
    ))
}
