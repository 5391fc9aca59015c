//! What a run takes from its environment: where the cache is, which programs
//! are on `PATH`, whether downloads are wanted. Read once, so that tests can
//! give another one without touching the process.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// From where releases are downloaded (`TRUNKLINE_DOWNLOADS`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Downloads {
    /// From their publishers.
    Publishers,
    /// From a mirror that serves `<base>/<host>/<path>` of the publishers.
    Mirror(String),
    /// Not at all: everything is built.
    Off,
}

/// What `ensure` and `lookup` take from the environment.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The cache's root.
    pub cache: PathBuf,
    /// The value of `PATH`.
    pub path: OsString,
    /// From where releases come.
    pub downloads: Downloads,
}

impl Surroundings {
    /// Reads this process's environment.
    #[must_use]
    pub fn from_env() -> Self {
        let downloads = match env::var("TRUNKLINE_DOWNLOADS").ok().as_deref() {
            None | Some("") => Downloads::Publishers,
            Some("off") => Downloads::Off,
            Some(base) => Downloads::Mirror(base.trim_end_matches('/').to_owned()),
        };
        Self {
            cache: cache_dir(),
            path: env::var_os("PATH").unwrap_or_default(),
            downloads,
        }
    }

    /// Every program of that name on `PATH`, in its order.
    pub(crate) fn on_path(&self, program: &str) -> impl Iterator<Item = PathBuf> {
        env::split_paths(&self.path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(program))
            .filter(|path| is_executable(path))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// The first program of that name on `PATH`.
    pub(crate) fn first_on_path(&self, program: &str) -> Option<PathBuf> {
        self.on_path(program).next()
    }
}

/// `$TRUNKLINE_CACHE`, or `~/.cache/trunkline`.
#[must_use]
pub fn cache_dir() -> PathBuf {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("TRUNKLINE_CACHE")
        .and_then(|path| absolute(&path).ok())
        .or_else(|| set("HOME").map(|home| home.join(".cache/trunkline")))
        // A process without a home still gets a place of its own.
        .unwrap_or_else(|| env::temp_dir().join("trunkline-cache"))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))
}

/// Whether the file can be executed by someone.
pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
