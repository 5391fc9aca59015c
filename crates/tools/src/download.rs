//! Downloads a release with `curl` and checks it before it is opened.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use sha2::{Digest, Sha256};

use crate::cache::Stage;
use crate::ensure::Failed;
use crate::pins::{CHECKSUMS, Pin, Release, pin};
use crate::run::Job;
use crate::surroundings::{Downloads, Surroundings};

/// Downloads the tool's release into the stage.
///
/// A host that cannot be reached or refuses is no error of the run: the tool is
/// then made in another way. A file that is not what it should be is one:
/// something between here and the publisher changed it.
pub(crate) fn download(around: &Surroundings, job: &Job, stage: &Stage) -> Result<(), Failed> {
    let pin = pin(job.tool);
    let Some(release) = &pin.release else {
        return Err(Failed::passing(anyhow!("there is no release to download")));
    };
    if around.downloads == Downloads::Off {
        return Err(Failed::passing(anyhow!(
            "switched off (TRUNKLINE_DOWNLOADS=off)"
        )));
    }
    let (os, arch) = platform();
    if !release.systems.contains(&os) {
        return Err(Failed::passing(anyhow!("there is no release for {os}")));
    }
    let url = filled(release.url, pin);
    let file = stage.folder.join("download");
    let wanted = checksum(around, job, stage, release, pin, &url).map_err(Failed::passing)?;
    job.line(&format!("downloading {url}"));
    fetch(around, job, &url, &file).map_err(Failed::passing)?;
    let got = sha256_of(&file).map_err(Failed::passing)?;
    if got != wanted {
        return Err(Failed::fatal(anyhow!(
            "{url} has a wrong checksum\n  wanted sha256 {wanted}\n  got    sha256 {got}\n\
             Something on the way changed the file, or it was cut; nothing of it was kept.\n\
             TRUNKLINE_DOWNLOADS=off makes the tool without this download."
        )));
    }
    unpack(release, pin, job, stage, &file).map_err(Failed::passing)?;
    job.line(&format!("downloaded, {arch}, sha256 {}…", &got[..12]));
    Ok(())
}

/// This machine in Go's words.
pub(crate) fn platform() -> (&'static str, &'static str) {
    let os = if cfg!(target_os = "macos") {
        "darwin"
    } else {
        std::env::consts::OS
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    (os, arch)
}

fn filled(template: &str, pin: &Pin) -> String {
    let (os, arch) = platform();
    template
        .replace("{version}", pin.version)
        .replace("{program}", pin.program)
        .replace("{os}", os)
        .replace("{arch}", arch)
}

/// The checksum that the file must have: the pinned one, else the publisher's.
fn checksum(
    around: &Surroundings,
    job: &Job,
    stage: &Stage,
    release: &Release,
    pin: &Pin,
    url: &str,
) -> Result<String> {
    if let Some(pinned) = checksum_in(CHECKSUMS, url) {
        return Ok(pinned);
    }
    let list = release
        .checksum_url
        .map(|template| filled(template, pin))
        .with_context(|| format!("there is no checksum for {url}"))?;
    let file = stage.folder.join("checksum");
    fetch(around, job, &list, &file)?;
    let text = fs::read_to_string(&file)?;
    let name = url.rsplit('/').next().unwrap_or(url);
    checksum_in(&text, name).with_context(|| format!("{list} does not list {name}"))
}

/// Finds a file's checksum in a list (`<sha256>  <name>` per line), or in a file
/// that holds nothing but the checksum.
fn checksum_in(list: &str, name: &str) -> Option<String> {
    let is_checksum = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    list.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let sum = words.next().filter(|word| is_checksum(word))?;
        let named = words
            .next()
            .map(|word| word.trim_start_matches('*').trim_start_matches("./"));
        named
            .is_none_or(|named| named == name)
            .then(|| sum.to_ascii_lowercase())
    })
}

fn fetch(around: &Surroundings, job: &Job, url: &str, file: &Path) -> Result<()> {
    let curl = around
        .first_on_path("curl")
        .context("there is no curl on PATH")?;
    let mut command = Command::new(curl);
    command.args(["--fail", "--silent", "--show-error", "--location"]);
    // A blocked host must not hold up the build that comes instead; a transfer
    // that stands still is given up as well.
    command.args([
        "--connect-timeout",
        "5",
        "--speed-limit",
        "1024",
        "--speed-time",
        "20",
    ]);
    match &around.downloads {
        Downloads::Mirror(base) => {
            let path = url.split_once("://").map_or(url, |(_, rest)| rest);
            command.arg(format!("{base}/{path}"));
        }
        _ => {
            command.args(["--proto", "=https"]).arg(url);
        }
    }
    job.run(command.arg("--output").arg(file), "downloading")
}

pub(crate) fn sha256_of(file: &Path) -> Result<String> {
    let mut reader =
        fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(format!("{:x}", hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn unpack(release: &Release, pin: &Pin, job: &Job, stage: &Stage, file: &Path) -> Result<()> {
    match release.member {
        None => fs::rename(file, &stage.program)?,
        Some(member) => {
            let member = filled(member, pin);
            let mut tar = Command::new("tar");
            tar.arg("-xzf")
                .arg(file)
                .arg("-C")
                .arg(&stage.folder)
                .arg(&member);
            job.run(&mut tar, "unpacking")?;
            fs::rename(stage.folder.join(&member), &stage.program)?;
            let top = member.split('/').next().unwrap_or(&member);
            fs::remove_dir_all(stage.folder.join(top))?;
            fs::remove_file(file)?;
        }
    }
    fs::remove_file(stage.folder.join("checksum")).ok();
    make_executable(&stage.program)
}

/// Lets everyone execute the file.
pub(crate) fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{} cannot be made executable", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_read_in_every_form_that_publishers_use() {
        let sum = "E".repeat(64);
        let low = "e".repeat(64);
        for list in [
            sum.clone(),
            format!("{sum}\n"),
            format!("{sum}  etcd.tar.gz"),
            format!("{sum} *etcd.tar.gz"),
            format!(
                "# a comment\n{}  other\n{sum}  ./etcd.tar.gz\n",
                "a".repeat(64)
            ),
        ] {
            assert_eq!(
                checksum_in(&list, "etcd.tar.gz"),
                Some(low.clone()),
                "{list}"
            );
        }
        for list in [
            "",
            "<html>not found</html>",
            &format!("{sum}  etcd.tar.gz.asc"),
        ] {
            assert_eq!(checksum_in(list, "etcd.tar.gz"), None, "{list}");
        }
    }

    #[test]
    fn what_is_pinned_belongs_to_the_pinned_versions() {
        let lines = CHECKSUMS.lines().filter(|line| !line.starts_with('#'));
        for url in lines.map(|line| line.split_whitespace().nth(1).unwrap()) {
            let current = crate::Tool::ALL.iter().any(|tool| {
                let pin = pin(*tool);
                pin.release.as_ref().is_some_and(|release| {
                    let fixed = release.url.replace("{version}", pin.version);
                    let parts = fixed.replace("{program}", pin.program);
                    let mut rest = url;
                    parts
                        .split("{os}")
                        .flat_map(|part| part.split("{arch}"))
                        .all(|part| {
                            let at = rest.find(part);
                            rest = at.map_or("", |at| &rest[at + part.len()..]);
                            at.is_some()
                        })
                })
            });
            assert!(current, "{url} is of no pinned version");
        }
    }

    struct Quiet;

    impl crate::Progress for Quiet {
        fn line(&self, _: crate::Tool, _: &str) {}
    }

    #[test]
    fn the_program_is_taken_out_of_an_archive_and_the_rest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage {
            folder: folder.path().join("stage"),
            program: folder.path().join("stage/bin/etcd"),
        };
        let top = folder.path().join("etcd-9-linux");
        fs::create_dir_all(&top).unwrap();
        fs::create_dir_all(stage.folder.join("bin")).unwrap();
        fs::write(top.join("etcd"), "program").unwrap();
        fs::write(top.join("README.md"), "words").unwrap();
        let file = stage.folder.join("download");
        let mut tar = Command::new("tar");
        tar.arg("-czf")
            .arg(&file)
            .arg("-C")
            .arg(folder.path())
            .arg("etcd-9-linux");
        assert!(tar.status().unwrap().success());

        let (failed, log) = (
            std::sync::atomic::AtomicBool::new(false),
            folder.path().join("log"),
        );
        let tool = crate::Tool::Etcd;
        let job = Job {
            tool,
            progress: &Quiet,
            failed: &failed,
            log: &log,
        };
        let (url, systems) = ("", &["linux"][..]);
        let member = Some("etcd-9-linux/etcd");
        let release = Release {
            url,
            checksum_url: None,
            member,
            systems,
        };
        unpack(&release, pin(tool), &job, &stage, &file).unwrap();
        assert_eq!(fs::read_to_string(&stage.program).unwrap(), "program");
        assert!(crate::surroundings::is_executable(&stage.program));
        assert_eq!(
            fs::read_dir(&stage.folder).unwrap().count(),
            1,
            "bin, and nothing else"
        );
    }
}
