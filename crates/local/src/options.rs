//! What a stack is started with: chosen on the command line of `up`, handed to
//! the daemon in `options.json`, shown by `status`.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use trunkline_fake_aws::faults::Pace;

use crate::paths::Paths;
use crate::state::write_privately;
use crate::toolbox::Toolbox;

/// The account of a stack that was not asked for another one.
pub(crate) const ACCOUNT: &str = "111122223333";

/// The region of calls whose signature names none.
pub(crate) const REGION: &str = "eu-central-1";

/// How a stack is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Options {
    /// The stack's name.
    pub(crate) name: String,
    /// The AWS account that it stands in for.
    pub(crate) account: String,
    /// How fast things go that take AWS minutes.
    pub(crate) pace: Pace,
    /// The port of the AWS front; 0 for a free one.
    pub(crate) port: u16,
    /// Upstream charts: a folder, or the URL of a repository.
    pub(crate) charts: Option<String>,
    /// The programs that it runs.
    pub(crate) tools: Toolbox,
}

impl Options {
    /// Hands the options to the daemon.
    pub(crate) fn write(&self, paths: &Paths) -> Result<()> {
        write_privately(&paths.options(), self)
    }

    /// What `up` handed over.
    pub(crate) fn read(paths: &Paths) -> Result<Self> {
        let file = paths.options();
        let text = fs::read(&file)
            .with_context(|| format!("{} cannot be read; `up` writes it", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is broken", file.display()))
    }
}

/// Twelve digits.
pub(crate) fn account_id(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an account id has 12 digits".to_owned())
    }
}

/// Whether charts are named by a URL, not by a folder.
pub(crate) fn is_url(charts: &str) -> bool {
    charts.starts_with("http://") || charts.starts_with("https://")
}

/// A repository's URL, or a folder that is there; the folder by its whole path,
/// since the daemon has another current folder.
pub(crate) fn charts(text: &str) -> Result<String, String> {
    if is_url(text) {
        return Ok(text.to_owned());
    }
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    if !path.is_dir() {
        return Err("there is no such folder, and it is no http(s) URL".to_owned());
    }
    path.into_os_string()
        .into_string()
        .map_err(|_| "its path is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn charts_are_a_url_or_a_folder_by_its_whole_path() {
        assert_eq!(
            charts("https://example.com/x").unwrap(),
            "https://example.com/x"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(charts(path).unwrap(), path);
        assert!(Path::new(&charts(".").unwrap()).is_absolute());
        assert!(
            charts("/no/such/folder")
                .unwrap_err()
                .contains("no such folder")
        );
    }

    #[test]
    fn an_account_id_has_twelve_digits() {
        assert_eq!(account_id("012345678901").unwrap(), "012345678901");
        assert!(account_id("12345678901").is_err());
        assert!(account_id("1234-5678-90").is_err());
    }
}
