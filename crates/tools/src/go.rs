//! Builds a tool by Go from its pinned module.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::Stage;
use crate::pins::{GoBuild, Pin};
use crate::run::Job;
use crate::surroundings::Surroundings;

/// Builds the program into the stage. The module is copied out of this program,
/// so that it works without a checkout too.
pub(crate) fn build(
    around: &Surroundings,
    job: &Job,
    stage: &Stage,
    pin: &Pin,
    build: &GoBuild,
) -> Result<()> {
    let go = around
        .first_on_path("go")
        .context("there is no `go` on PATH")?;
    let module = stage.folder.join("module");
    fs::create_dir_all(&module)?;
    fs::write(module.join("go.mod"), build.go_mod)?;
    fs::write(module.join("go.sum"), build.go_sum)?;
    job.line(&format!("building {} {} by Go", pin.name, pin.version));
    let mut command = Command::new(go);
    command
        .current_dir(&module)
        .env("PATH", &around.path)
        // What the caller's environment says about other builds must not
        // change this one: the pins and the checksums in go.sum decide.
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .env("GOTOOLCHAIN", build.toolchain)
        .env("CGO_ENABLED", "0")
        .env_remove("GOOS")
        .env_remove("GOARCH")
        .args(["build", "-v", "-trimpath", "-ldflags", &linker_flags(build)])
        .arg("-o")
        .arg(&stage.program)
        .arg(build.package);
    job.run(&mut command, "building")?;
    fs::remove_dir_all(&module)?;
    Ok(())
}

fn linker_flags(build: &GoBuild) -> String {
    let mut flags = String::from("-s -w");
    for (variable, value) in build.variables {
        flags.push_str(&format!(" -X {variable}={value}"));
    }
    flags
}
