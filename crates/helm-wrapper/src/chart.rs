//! Charts: from a folder, a repository or a registry into the cache, with a
//! digest of what is in them.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use flate2::read::GzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use trunkline_engine::Failure;

use crate::{
    Helm,
    failure::{Access, file, invalid},
    private::Private,
    yaml,
};

/// How long a download may take.
const PULL: Duration = Duration::from_secs(120);
/// Folders below a chart folder that are looked into for charts.
const DEPTH: usize = 3;

/// Where charts come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChartSource {
    /// A folder that holds charts, packed or not, up to three levels deep.
    Folder(PathBuf),
    /// A classic repository, `https://…`: an `index.yaml` and archives.
    Repository(String),
    /// A registry, `oci://…`, without the chart's name.
    Registry(String),
}

/// A chart on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// Its name in `Chart.yaml`.
    pub name: String,
    /// Its version in `Chart.yaml`.
    pub version: String,
    /// The version of what it installs.
    pub app_version: Option<String>,
    /// The archive or folder.
    pub path: PathBuf,
    /// SHA-256 over its files, the same whether it is packed or not.
    pub digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    version: String,
    app_version: Option<String>,
}

impl ChartSource {
    /// Reads what people write: `oci://…`, `http(s)://…`, else a folder.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim_end_matches('/');
        if text.starts_with("oci://") {
            Self::Registry(text.to_owned())
        } else if text.starts_with("http://") || text.starts_with("https://") {
            Self::Repository(text.to_owned())
        } else {
            Self::Folder(PathBuf::from(text))
        }
    }
}

impl fmt::Display for ChartSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Repository(url) | Self::Registry(url) => f.write_str(url),
        }
    }
}

impl Chart {
    /// Reads a chart from an archive or a folder.
    ///
    /// # Errors
    /// When it is none.
    pub fn at(path: &Path) -> Result<Self, Failure> {
        let files = files(path).map_err(|e| file(&format!("read {}", path.display()), &e))?;
        let Some(metadata) = files.get("Chart.yaml") else {
            return Err(invalid(
                "read a chart",
                format!("{} has no Chart.yaml", path.display()),
            ));
        };
        let text = String::from_utf8_lossy(metadata);
        let metadata: Metadata = yaml::document(&format!("{}", path.display()), &text)?;
        Ok(Self {
            name: metadata.name,
            version: metadata.version,
            app_version: metadata.app_version,
            path: path.to_owned(),
            digest: digest(&files),
        })
    }
}

impl Helm {
    /// Finds one version of a chart, downloading it into `cache` when it is not
    /// there. What came over plain HTTP is fetched every time: that is a mirror
    /// on this machine, whose versions may change what is in them.
    ///
    /// # Errors
    /// When the source does not have it; `Retry` when it does not answer.
    pub async fn chart(
        &self,
        source: &ChartSource,
        name: &str,
        version: &str,
        cache: &Path,
    ) -> Result<Chart, Failure> {
        let chart = match source {
            ChartSource::Folder(folder) => in_folder(folder, name, version)?,
            ChartSource::Repository(url) | ChartSource::Registry(url) => {
                let kept = cache.join(cache_name(url, name, version));
                let fresh = url.starts_with("http://") || !kept.is_file();
                if fresh {
                    self.pull(source, name, version, &kept).await?;
                }
                Chart::at(&kept)?
            }
        };
        if chart.name == name && chart.version == version {
            return Ok(chart);
        }
        let text = format!(
            "{source} gave {} {} for {name} {version}",
            chart.name, chart.version
        );
        Err(invalid("pull", text))
    }

    async fn pull(
        &self,
        source: &ChartSource,
        name: &str,
        version: &str,
        kept: &Path,
    ) -> Result<(), Failure> {
        let private = Private::new()?;
        let download = private.path("download");
        fs::create_dir(&download).map_err(|e| file("make a folder", &e))?;
        let mut command = private.command(self);
        command.arg("pull");
        match source {
            ChartSource::Registry(url) => command.arg(format!("{url}/{name}")),
            ChartSource::Repository(url) => command.args([name, "--repo", url]),
            ChartSource::Folder(_) => return Err(Failure::bug("a folder is not pulled from")),
        };
        command
            .args(["--version", version, "--destination"])
            .arg(&download);
        let action = format!("pull {name} {version} from {source}");
        self.run(Access::Read, &action, command, PULL).await?;
        let archive = fs::read_dir(&download)
            .map_err(|e| file("read a folder", &e))?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| is_archive(path))
            .ok_or_else(|| invalid(&action, "no archive came"))?;
        keep(&archive, kept).map_err(|e| file(&format!("write {}", kept.display()), &e))
    }
}

/// Moves a file into the cache in one step: an interrupted run leaves none that
/// is half there.
fn keep(archive: &Path, kept: &Path) -> io::Result<()> {
    let folder = kept.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    io::copy(&mut fs::File::open(archive)?, &mut new)?;
    new.persist(kept)?;
    Ok(())
}

fn cache_name(url: &str, name: &str, version: &str) -> String {
    let source = hex::encode(&Sha256::digest(url)[..4]);
    format!("{name}-{version}-{source}.tgz")
}

/// The chart of that name and version below a folder.
fn in_folder(folder: &Path, name: &str, version: &str) -> Result<Chart, Failure> {
    if !folder.is_dir() {
        return Err(invalid(
            "find charts",
            format!("{} is no folder", folder.display()),
        ));
    }
    let mut found = Vec::new();
    search(folder, DEPTH, name, &mut found);
    let mut others = Vec::new();
    for path in found {
        let chart = Chart::at(&path)?;
        if chart.name == name && chart.version == version {
            return Ok(chart);
        }
        if chart.name == name {
            others.push(chart.version);
        }
    }
    let there = if others.is_empty() {
        "none of that name".to_owned()
    } else {
        others.join(", ")
    };
    let text = format!(
        "{} has no {name} {version}; there: {there}",
        folder.display()
    );
    Err(invalid("find charts", text))
}

/// Collects what may be the chart; folders are searched in order of name.
fn search(folder: &Path, depth: usize, name: &str, found: &mut Vec<PathBuf>) {
    if folder.join("Chart.yaml").is_file() {
        found.push(folder.to_owned());
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        let file_name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && depth > 0 {
            search(&path, depth - 1, name, found);
        } else if is_archive(&path) && file_name.starts_with(&format!("{name}-")) {
            found.push(path);
        }
    }
}

fn is_archive(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "tgz")
}

type Files = BTreeMap<String, Vec<u8>>;

/// All files of a chart by their path below it.
fn files(path: &Path) -> io::Result<Files> {
    let mut all = Files::new();
    if path.is_dir() {
        read_folder(path, path, &mut all)?;
    } else {
        let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(path)?));
        for entry in archive.entries()? {
            let mut entry = entry?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            // The first part is the chart's name.
            let inside: PathBuf = entry.path()?.components().skip(1).collect();
            let mut text = Vec::new();
            entry.read_to_end(&mut text)?;
            all.insert(inside.to_string_lossy().into_owned(), text);
        }
    }
    Ok(all)
}

fn read_folder(root: &Path, folder: &Path, all: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_folder(root, &path, all)?;
        } else {
            let inside = path.strip_prefix(root).unwrap_or(&path);
            all.insert(inside.to_string_lossy().into_owned(), fs::read(&path)?);
        }
    }
    Ok(())
}

/// Over paths, lengths and bytes, so that no two different charts read the same.
fn digest(files: &Files) -> String {
    let mut hash = Sha256::new();
    for (path, text) in files {
        hash.update((path.len() as u64).to_be_bytes());
        hash.update(path);
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn folder_chart(root: &Path, name: &str, version: &str) -> PathBuf {
        let folder = root.join("a/b").join(name);
        fs::create_dir_all(folder.join("templates")).unwrap();
        let metadata = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
        fs::write(folder.join("Chart.yaml"), metadata).unwrap();
        fs::write(folder.join("templates/a.yaml"), "kind: X\n").unwrap();
        folder
    }

    #[test]
    fn sources_are_told_apart() {
        assert_eq!(
            ChartSource::parse("oci://a/b/"),
            ChartSource::Registry("oci://a/b".into())
        );
        assert_eq!(
            ChartSource::parse("http://127.0.0.1:1/"),
            ChartSource::Repository("http://127.0.0.1:1".into())
        );
        assert_eq!(
            ChartSource::parse("../charts"),
            ChartSource::Folder("../charts".into())
        );
    }

    #[test]
    fn a_folder_is_searched_and_says_what_it_has() {
        let root = tempfile::tempdir().unwrap();
        folder_chart(root.path(), "argo-cd", "10.1.1");
        let chart = in_folder(root.path(), "argo-cd", "10.1.1").unwrap();
        assert_eq!((chart.name.as_str(), chart.app_version), ("argo-cd", None));
        let failure = in_folder(root.path(), "argo-cd", "10.2.0").unwrap_err();
        assert!(failure.to_string().contains("there: 10.1.1"), "{failure}");
        let failure = in_folder(root.path(), "loki", "1.0.0").unwrap_err();
        assert!(
            failure.to_string().contains("none of that name"),
            "{failure}"
        );
    }

    #[test]
    fn packed_or_not_the_digest_is_the_same() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder_chart(root.path(), "redis", "0.1.0");
        let archive = root.path().join("redis-0.1.0.tgz");
        let packed = GzEncoder::new(fs::File::create(&archive).unwrap(), Compression::fast());
        let mut tar = tar::Builder::new(packed);
        tar.append_dir_all("redis", &folder).unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        let chart = Chart::at(&folder).unwrap();
        assert_eq!(chart.digest, Chart::at(&archive).unwrap().digest);
        fs::write(folder.join("templates/a.yaml"), "kind: Y\n").unwrap();
        assert_ne!(chart.digest, Chart::at(&folder).unwrap().digest);
    }
}
