//! URLs of Git repositories, folders and revisions in them.

use std::fmt;

use serde::Serialize;
use url::Url;

/// Where a Git repository is: `https://`, `ssh://`, `git@host:path`, or a
/// checkout by `file://`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RepositoryUrl(String);

/// Why a text is no URL of a repository, and what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {fix}")]
pub struct RepositoryError {
    pub(crate) problem: &'static str,
    pub(crate) fix: String,
}

const FORMS: &str = "as https://host/path, ssh://git@host/path or git@host:path";

impl RepositoryUrl {
    /// Checks a URL.
    ///
    /// # Errors
    /// What is wrong with it. One that carries a password is refused: it would
    /// end up in plans, journals and the cluster.
    pub fn parse(text: &str) -> Result<Self, RepositoryError> {
        let wrong = |problem, fix: String| Err(RepositoryError { problem, fix });
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return wrong("a URL holds no spaces", format!("write it {FORMS}"));
        }
        if is_scp_like(text) {
            return Ok(Self(text.to_owned()));
        }
        let Ok(url) = Url::parse(text) else {
            return wrong("not the URL of a repository", format!("write it {FORMS}"));
        };
        if url.password().is_some() || (url.scheme() == "https" && !url.username().is_empty()) {
            let fix = "leave user and password out; Argo CD has them in a Secret".to_owned();
            return wrong("the URL holds a secret", fix);
        }
        let path = url.path().trim_matches('/');
        match url.scheme() {
            "http" | "git" => {
                let fix = format!("did you mean https{}?", &text[url.scheme().len()..]);
                wrong("not encrypted", fix)
            }
            "https" | "ssh"
                if url.host_str().is_some_and(|host| !host.is_empty()) && !path.is_empty() =>
            {
                Ok(Self(text.to_owned()))
            }
            "file" if !path.is_empty() => Ok(Self(text.to_owned())),
            _ => wrong("not the URL of a repository", format!("write it {FORMS}")),
        }
    }

    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a checkout on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.0.starts_with("file:")
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Git's own short form of ssh, `git@github.com:you/repository.git`.
fn is_scp_like(text: &str) -> bool {
    let Some((host, path)) = text.split_once(':') else {
        return false;
    };
    let Some((user, host)) = host.split_once('@') else {
        return false;
    };
    let word = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !user.is_empty()
        && !host.is_empty()
        && user.chars().all(word)
        && host.chars().all(word)
        && !path.is_empty()
        && !path.starts_with('/')
}

/// Checks a branch, tag or commit by the rules that matter (git
/// check-ref-format); whether it exists is the repository's to say.
pub(crate) fn check_revision(text: &str) -> Result<(), &'static str> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
    if text.is_empty() {
        Err("a revision is not empty")
    } else if text.starts_with('-') {
        Err("a revision does not start with a hyphen")
    } else if text.chars().any(forbidden) || text.contains("..") || text.contains("@{") {
        Err("no branch, tag or commit can be called so")
    } else {
        Ok(())
    }
}

/// Checks a folder inside of a repository.
pub(crate) fn check_folder(text: &str) -> Result<(), &'static str> {
    let mut parts = text.trim_end_matches('/').split('/');
    if text.starts_with('/') {
        Err("expected a path inside of the repository, without a slash in front")
    } else if text.chars().any(char::is_control) || text.contains('\\') {
        Err("expected a path with forward slashes")
    } else if parts.any(|part| part.is_empty() || part == "." || part == "..") {
        Err("expected a plain path inside of the repository")
    } else {
        Ok(())
    }
}
