//! What every command needs: the environment's file found and read, the
//! pipeline put together, hints that name the command as the person typed it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use trunkline_pipeline::{
    ChartSource, Connection, Environment, Listener, Pipeline, RepositoryUrl, Settings,
};

use crate::{
    args::{Global, Target},
    exit::Wrong,
    git,
};

/// The variable by which a wrapper says how it is called, `{}` standing for
/// the arguments: `cargo xtask {} --local`.
const RUN_AS: &str = "TRUNKLINE_RUN_AS";

/// A command for the person to type.
pub(crate) fn hint(arguments: &str) -> String {
    let run_as = env::var(RUN_AS).unwrap_or_else(|_| "trunkline {}".to_owned());
    run_as.replace("{}", arguments)
}

/// The environment of a target, with the overrides of the arguments.
pub(crate) fn environment(target: &Target, global: &Global) -> anyhow::Result<Environment> {
    let path = find(&target.environment)?;
    let text = fs::read_to_string(&path)
        .map_err(|error| Wrong(format!("{} cannot be read: {error}", path.display())))?;
    let mut environment = Environment::parse(&shown(&path), &text)?;
    if let Some(url) = &global.repository {
        let url = RepositoryUrl::parse(url).map_err(|e| Wrong(format!("--repository: {e}")))?;
        environment = environment.with_repository(url);
    }
    if let Some(revision) = &global.revision {
        environment = environment
            .with_revision(revision)
            .map_err(|why| Wrong(format!("--revision {revision}: {why}")))?;
    }
    Ok(environment)
}

/// The file of an environment: a path as it is, a name upwards from here.
pub(crate) fn find(environment: &str) -> anyhow::Result<PathBuf> {
    let given = Path::new(environment);
    if given.extension().is_some() || environment.contains('/') {
        return Ok(given.to_owned());
    }
    let here = env::current_dir().context("the current folder cannot be read")?;
    let relative = Path::new("environments").join(format!("{environment}.toml"));
    here.ancestors()
        .map(|folder| folder.join(&relative))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let known = known(&here);
            Wrong(format!(
                "there is no {} here or above{known}",
                relative.display()
            ))
            .into()
        })
}

fn known(here: &Path) -> String {
    let folder = here
        .ancestors()
        .map(|folder| folder.join("environments"))
        .find(|f| f.is_dir());
    let mut names: Vec<String> = folder
        .and_then(|folder| fs::read_dir(folder).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            entry
                .ok()?
                .path()
                .file_name()?
                .to_str()?
                .strip_suffix(".toml")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    if names.is_empty() {
        String::new()
    } else {
        format!("; there are: {}", names.join(", "))
    }
}

/// The path as a person would write it from here.
fn shown(path: &Path) -> String {
    let here = env::current_dir().ok();
    let relative = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    relative.as_deref().unwrap_or(path).display().to_string()
}

/// The connection of a target.
pub(crate) async fn connection(target: &Target, global: &Global) -> anyhow::Result<Connection> {
    Ok(Connection::open(environment(target, global)?).await?)
}

/// The pipeline of a target at the commit that its revision is at now, and
/// that commit.
pub(crate) async fn pipeline(
    target: &Target,
    global: &Global,
    listener: Arc<dyn Listener>,
) -> anyhow::Result<(Pipeline, String)> {
    let environment = environment(target, global)?;
    let workloads = environment.workloads();
    let (repository, revision) = (workloads.repository.as_str(), workloads.revision.as_str());
    let (settings, commit, connection) = tokio::join!(
        settings(global),
        git::commit(repository, revision),
        Connection::open(environment.clone()),
    );
    let (settings, commit) = (settings?, commit?);
    let pipeline = Pipeline::new(connection?, settings.at_commit(&commit))?;
    Ok((pipeline.with_listener(listener), commit))
}

/// The pipeline for whoever only looks or destroys: asks no repository, which
/// may be gone by then.
pub(crate) async fn pipeline_at_no_commit(
    target: &Target,
    global: &Global,
    listener: Arc<dyn Listener>,
) -> anyhow::Result<Pipeline> {
    let environment = environment(target, global)?;
    let (settings, connection) = tokio::join!(settings(global), Connection::open(environment));
    Ok(Pipeline::new(connection?, settings?)?.with_listener(listener))
}

async fn settings(global: &Global) -> anyhow::Result<Settings> {
    let mut settings = Settings::new(&global.helm, cache())
        .await
        .map_err(no_helm)?;
    if let Some(charts) = &global.charts {
        settings = settings.with_charts(ChartSource::parse(charts));
    }
    for name in PASSED_TO_HELM {
        if let Some(value) = env::var_os(name) {
            settings = settings.passing_to_helm(name, value);
        }
    }
    Ok(settings)
}

/// What helm needs of our environment to reach registries.
const PASSED_TO_HELM: [&str; 5] = [
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

fn no_helm(failure: trunkline_pipeline::Failure) -> anyhow::Error {
    let next = failure
        .next
        .as_deref()
        .unwrap_or("install Helm 4, or name it: --helm PATH");
    Wrong(format!("{failure}\n  do: {next}")).into()
}

fn cache() -> PathBuf {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home);
    base.unwrap_or_else(env::temp_dir)
        .join("trunkline")
        .join("charts")
}

/// Who runs this: the URL of a CI run, else `user@host`.
pub(crate) fn holder() -> String {
    let var = |name| env::var(name).ok().filter(|value| !value.is_empty());
    if let (Some(server), Some(repository), Some(run)) = (
        var("GITHUB_SERVER_URL"),
        var("GITHUB_REPOSITORY"),
        var("GITHUB_RUN_ID"),
    ) {
        return format!("{server}/{repository}/actions/runs/{run}");
    }
    let user = var("USER")
        .or_else(|| var("LOGNAME"))
        .unwrap_or_else(|| "somebody".to_owned());
    let host = fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| var("HOSTNAME"));
    format!(
        "{user}@{}",
        host.as_deref().map_or("this machine", str::trim)
    )
}
