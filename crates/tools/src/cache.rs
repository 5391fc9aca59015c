//! The cache: one folder per tool and version, made aside and renamed into
//! place, under a lock so that two processes do not make the same one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::pins::{Pin, pin};
use crate::surroundings::is_executable;
use crate::{Found, Origin, Tool};

/// Stands in every entry and says what it is. An entry without it is not one.
const RECORD: &str = "trunkline-tool.json";

#[derive(Serialize, Deserialize)]
struct Record {
    tool: Tool,
    version: String,
    origin: Origin,
}

/// The place of one tool in the cache, whether it is there or not.
pub(crate) struct Entry {
    tool: Tool,
    folder: PathBuf,
    /// The hidden name that its lock and its folders in the making start with.
    hidden: String,
}

impl Entry {
    pub(crate) fn of(cache: &Path, tool: Tool) -> Self {
        let Pin { name, version, .. } = pin(tool);
        let key = format!("{name}-{version}");
        Self {
            tool,
            folder: cache.join("tools").join(&key),
            hidden: format!(".{key}."),
        }
    }

    /// The tool, if it is in the cache.
    pub(crate) fn found(&self) -> Option<Found> {
        let record = fs::read(self.folder.join(RECORD)).ok()?;
        let record: Record = serde_json::from_slice(&record).ok()?;
        let path = self.folder.join("bin").join(pin(self.tool).program);
        // A virtual environment is links to a Python that may have gone.
        let interpreter = self.folder.join("bin/python");
        let usable = is_executable(&path)
            && (fs::symlink_metadata(&interpreter).is_err() || interpreter.exists());
        (usable && record.tool == self.tool && record.version == pin(self.tool).version).then_some(
            Found {
                tool: self.tool,
                version: record.version,
                origin: Origin::Cache,
                path,
            },
        )
    }

    /// Waits until this process alone may make the entry. The lock goes with
    /// the returned file, also when the process is killed.
    pub(crate) fn lock(&self, waiting: impl FnOnce()) -> Result<File> {
        let parent = self.parent();
        fs::create_dir_all(parent)
            .with_context(|| format!("the cache {} cannot be made", parent.display()))?;
        let path = parent.join(format!("{}lock", self.hidden));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        if file.try_lock().is_err() {
            waiting();
            file.lock()
                .with_context(|| format!("{} cannot be locked", path.display()))?;
        }
        Ok(file)
    }

    /// A new folder to make the entry in. What a killed process left of an
    /// earlier try is removed; the caller holds the lock.
    pub(crate) fn stage(&self) -> Result<Stage> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        for left in fs::read_dir(self.parent())?.flatten() {
            let name = left.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&self.hidden) && !name.ends_with(".lock") {
                remove(&left.path())?;
            }
        }
        // Never the same name twice: a build that outlived its killed parent
        // may still write into the old one.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = self
            .parent()
            .join(format!("{}{}.{number}", self.hidden, std::process::id()));
        fs::create_dir_all(folder.join("bin"))
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Stage {
            program: folder.join("bin").join(pin(self.tool).program),
            folder,
        })
    }

    /// Puts a finished stage into place.
    pub(crate) fn publish(&self, stage: Stage, origin: Origin) -> Result<Found> {
        let version = pin(self.tool).version.to_owned();
        let record = Record {
            tool: self.tool,
            version,
            origin,
        };
        fs::write(
            stage.folder.join(RECORD),
            serde_json::to_vec_pretty(&record)?,
        )?;
        // Data before name: after a power cut the entry is whole or absent.
        File::open(&stage.program)?.sync_all()?;
        File::open(stage.folder.join(RECORD))?.sync_all()?;
        if self.folder.exists() {
            remove(&self.folder)?;
        }
        fs::rename(&stage.folder, &self.folder)
            .with_context(|| format!("{} cannot be put into place", self.folder.display()))?;
        let found = self.found().with_context(|| {
            format!("{} was just made and is not usable", self.folder.display())
        })?;
        Ok(Found { origin, ..found })
    }

    fn parent(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }
}

/// A folder in which an entry is made; removed unless it was published.
pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    /// Where the program has to be.
    pub(crate) program: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Gone already if it was published. What cannot be removed now is
        // removed by the next stage of this entry.
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}
