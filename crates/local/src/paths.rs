//! Where a stack keeps its things: `<cache>/local/<name>/`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The folder of one stack and the places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The places of the stack of that name.
    pub(crate) fn of(name: &str) -> Result<Self> {
        check_name(name)?;
        Ok(Self {
            root: trunkline_tools::cache_dir().join("local").join(name),
        })
    }

    /// The places in a given folder.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    /// The stack's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What runs: written by the daemon, read by everyone.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// What the daemon is started with: written by `up`.
    pub(crate) fn options(&self) -> PathBuf {
        self.root.join("options.json")
    }

    /// Locked by the daemon for as long as it lives.
    pub(crate) fn daemon_lock(&self) -> PathBuf {
        self.root.join("daemon.lock")
    }

    /// Locked by a command that starts or stops the stack.
    pub(crate) fn command_lock(&self) -> PathBuf {
        self.root.join("command.lock")
    }

    /// The log of one part.
    pub(crate) fn log(&self, part: &str) -> PathBuf {
        self.logs().join(format!("{part}.log"))
    }

    /// The logs of the stack's parts.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The folders of the clusters.
    pub(crate) fn clusters(&self) -> PathBuf {
        self.root.join("clusters")
    }
}

/// A name is a folder's name and stands in messages: short and plain.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 40 || !name.chars().all(plain) || name.starts_with('-') {
        bail!("`{name}` cannot be the name of a stack: 1 to 40 of a-z, 0-9 and -, no - in front");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        for name in ["default", "ci-2", "0"] {
            assert!(
                Paths::of(name)
                    .unwrap()
                    .root()
                    .ends_with(Path::new("local").join(name))
            );
        }
        for name in ["", "..", "a/b", "-x", "Groß", &"x".repeat(41)] {
            let error = Paths::of(name).unwrap_err().to_string();
            assert!(error.contains("cannot be the name of a stack"), "{error}");
        }
    }
}
