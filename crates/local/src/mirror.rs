//! The chart mirror: a classic Helm repository on 127.0.0.1 with the stand-in
//! charts of this crate, and in their place the upstream charts of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How deep a chart may lie below the given folder.
const DEPTH: usize = 3;

/// The stand-in charts, file by file. A test compares the list with the folder.
const STAND_INS: &[(&str, &str, &str)] = &[
    (
        "argo-cd",
        "Chart.yaml",
        include_str!("../charts/argo-cd/Chart.yaml"),
    ),
    (
        "argo-cd",
        "values.yaml",
        include_str!("../charts/argo-cd/values.yaml"),
    ),
    (
        "argo-cd",
        "templates/_components.tpl",
        include_str!("../charts/argo-cd/templates/_components.tpl"),
    ),
    (
        "argo-cd",
        "templates/_helpers.tpl",
        include_str!("../charts/argo-cd/templates/_helpers.tpl"),
    ),
    (
        "argo-cd",
        "templates/components.yaml",
        include_str!("../charts/argo-cd/templates/components.yaml"),
    ),
    (
        "argo-cd",
        "templates/configs.yaml",
        include_str!("../charts/argo-cd/templates/configs.yaml"),
    ),
    (
        "argo-cd",
        "templates/crds.yaml",
        include_str!("../charts/argo-cd/templates/crds.yaml"),
    ),
    (
        "argo-cd",
        "templates/redis-secret-init.yaml",
        include_str!("../charts/argo-cd/templates/redis-secret-init.yaml"),
    ),
];

/// A served mirror. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Mirror {
    url: String,
    charts: Vec<String>,
    serving: JoinHandle<()>,
}

impl Mirror {
    /// Packages the charts and serves them on a free port. With a folder, its
    /// charts are served, and stand-ins only for what it lacks.
    pub(crate) async fn start(folder: Option<&Path>) -> Result<Self> {
        let packages = packages(folder)?;
        let charts = packages.iter().map(Package::title).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("the chart mirror finds no free port on 127.0.0.1")?;
        let url = format!("http://{}", listener.local_addr()?);
        let files = Arc::new(files(&packages));
        let routes = Router::new().route("/{file}", get(serve)).with_state(files);
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!("the chart mirror ended: {error}");
            }
        });
        Ok(Self {
            url,
            charts,
            serving,
        })
    }

    /// The repository's URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its charts, `name version (where from)`.
    pub(crate) fn charts(&self) -> &[String] {
        &self.charts
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Files = BTreeMap<String, Vec<u8>>;

async fn serve(State(files): State<Arc<Files>>, UrlPath(file): UrlPath<String>) -> Response {
    let kind = if file.ends_with(".yaml") {
        "application/yaml"
    } else {
        "application/gzip"
    };
    match files.get(&file) {
        Some(bytes) => ([(header::CONTENT_TYPE, kind)], bytes.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A packaged chart.
#[derive(Debug, Clone)]
struct Package {
    /// Its Chart.yaml.
    chart: Value,
    archive: Vec<u8>,
    from: String,
}

impl Package {
    fn field(&self, name: &str) -> &str {
        self.chart
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn title(&self) -> String {
        format!(
            "{} {} ({})",
            self.field("name"),
            self.field("version"),
            self.from
        )
    }

    fn file(&self) -> String {
        format!("{}-{}.tgz", self.field("name"), self.field("version"))
    }
}

/// Every file of the repository.
fn files(packages: &[Package]) -> Files {
    let mut entries: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut files = Files::new();
    for package in packages {
        let mut entry = package.chart.clone();
        entry["urls"] = json!([package.file()]);
        entry["digest"] = hex::encode(Sha256::digest(&package.archive)).into();
        entries
            .entry(package.field("name"))
            .or_default()
            .push(entry);
        files.insert(package.file(), package.archive.clone());
    }
    // JSON is YAML.
    let index = json!({"apiVersion": "v1", "entries": entries});
    files.insert("index.yaml".to_owned(), index.to_string().into_bytes());
    files
}

fn packages(folder: Option<&Path>) -> Result<Vec<Package>> {
    let mut packages = Vec::new();
    if let Some(folder) = folder {
        let mut charts = Vec::new();
        find(folder, DEPTH, &mut charts)
            .with_context(|| format!("the charts in {} cannot be read", folder.display()))?;
        if charts.is_empty() {
            bail!(
                "{} has no chart in it: no Chart.yaml up to {DEPTH} levels deep and no .tgz",
                folder.display()
            );
        }
        for chart in charts {
            let package = upstream(&chart)
                .with_context(|| format!("the chart {} cannot be packaged", chart.display()))?;
            packages.push(package);
        }
    }
    let stand_ins = stand_ins()?;
    for stand_in in stand_ins {
        if packages
            .iter()
            .all(|one| one.field("name") != stand_in.field("name"))
        {
            packages.push(stand_in);
        }
    }
    Ok(packages)
}

/// Chart folders and packages, in the order of their paths.
fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if folder.join("Chart.yaml").is_file() {
        found.push(folder.to_owned());
        return Ok(());
    }
    let mut entries: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() && depth > 0 {
            find(&entry, depth - 1, found)?;
        } else if entry.extension().is_some_and(|end| end == "tgz") {
            found.push(entry);
        }
    }
    Ok(())
}

fn stand_ins() -> Result<Vec<Package>> {
    let mut charts: BTreeMap<&str, Files> = BTreeMap::new();
    for (chart, file, text) in STAND_INS {
        let bytes = text.as_bytes().to_vec();
        charts
            .entry(chart)
            .or_default()
            .insert((*file).to_owned(), bytes);
    }
    charts
        .into_values()
        .map(|files| pack(files, "stand-in".to_owned()))
        .collect()
}

fn upstream(path: &Path) -> Result<Package> {
    let from = path.display().to_string();
    if path.is_dir() {
        let mut files = Files::new();
        read(path, path, &mut files)?;
        return pack(files, from);
    }
    let archive = fs::read(path)?;
    let mut entries = tar::Archive::new(flate2::read::GzDecoder::new(archive.as_slice()));
    for entry in entries.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let mut parts = name.components().skip(1);
        if parts
            .next()
            .is_some_and(|part| part.as_os_str() == "Chart.yaml")
            && parts.next().is_none()
        {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut entry, &mut text)?;
            let chart = serde_saphyr::from_str(&text).context("its Chart.yaml")?;
            return Ok(Package {
                chart,
                archive,
                from,
            });
        }
    }
    bail!("it has no Chart.yaml")
}

/// The files of a chart's folder, without those of version control.
fn read(root: &Path, folder: &Path, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == ".git") {
            continue;
        }
        if path.is_dir() {
            read(root, &path, files)?;
        } else if let Some(name) = path.strip_prefix(root)?.to_str() {
            files.insert(name.to_owned(), fs::read(&path)?);
        }
    }
    Ok(())
}

/// Packages a chart, always to the same bytes.
fn pack(mut files: Files, from: String) -> Result<Package> {
    let text = files.get("Chart.yaml").context("it has no Chart.yaml")?;
    let mut chart: Value =
        serde_saphyr::from_str(std::str::from_utf8(text)?).context("its Chart.yaml")?;
    if leave_out_unused(&mut chart, &files)? {
        // JSON is YAML. The lock names what is left out.
        files.insert("Chart.yaml".to_owned(), chart.to_string().into_bytes());
        files.remove("Chart.lock");
    }
    let name = chart
        .get("name")
        .and_then(Value::as_str)
        .context("its name")?;
    chart
        .get("version")
        .and_then(Value::as_str)
        .context("its version")?;
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, bytes) in &files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{name}/{path}"), bytes.as_slice())?;
    }
    let mut gzip = archive.into_inner()?;
    gzip.flush()?;
    let archive = gzip.finish()?;
    Ok(Package {
        chart,
        archive,
        from,
    })
}

/// Takes out dependencies that are not in `charts/` and switched off by
/// default: a chart's repository does not hold them (they are downloaded when
/// it is packaged), and Helm refuses a package that names them. Whether any was.
fn leave_out_unused(chart: &mut Value, files: &Files) -> Result<bool> {
    let Some(dependencies) = chart.get_mut("dependencies").and_then(Value::as_array_mut) else {
        return Ok(false);
    };
    let values: Value = match files.get("values.yaml") {
        Some(text) => serde_saphyr::from_str(std::str::from_utf8(text)?).context("its values")?,
        None => Value::Null,
    };
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let (mut missing, before) = (Vec::new(), dependencies.len());
    dependencies.retain(|one| {
        let name = text(one, "name").unwrap_or_default();
        let is_there = files.keys().any(|file| {
            file.strip_prefix("charts/").is_some_and(|rest| {
                rest.starts_with(&format!("{name}/")) || rest.starts_with(&format!("{name}-"))
            })
        });
        let condition = text(one, "condition").unwrap_or_default();
        let pointer = format!("/{}", condition.replace('.', "/"));
        let off = values.pointer(&pointer) == Some(&Value::Bool(false));
        if !is_there && !off {
            missing.push(name);
        }
        is_there || !off
    });
    if !missing.is_empty() {
        bail!(
            "its dependencies {} are not in its folder charts/: run `helm dependency build` there",
            missing.join(", ")
        );
    }
    Ok(dependencies.len() < before)
}

#[cfg(test)]
mod tests;
