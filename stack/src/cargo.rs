//! Finds and builds binaries with cargo, from within programs that cargo started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkout::{root, stack_dir};
use crate::secret::write_private;

/// The packages of the pipeline's programs.
pub const SERVICES: [&str; 3] = ["order-service", "outbox-relay", "customer-service"];

/// `cargo` in the checkout, without the variables with which cargo describes *this* program: build
/// scripts that watch them would rebuild their crates.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let described =
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text == "OUT_DIR" || described.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.current_dir(root());
    command
}

/// Builds the pipeline's programs and returns where each lies. Cargo's progress goes to standard
/// error; if the future is dropped, cargo is ended.
///
/// # Errors
/// When they do not compile.
pub async fn build_services(options: &[String]) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut command = tokio::process::Command::from(build_command(&SERVICES, options));
    let output = command.kill_on_drop(true).output().await.context("cannot start cargo")?;
    built_programs(&SERVICES, &output)
}

/// Builds binaries of the given packages and returns where each lies. Cargo's progress goes to
/// standard error. Blocks.
///
/// # Errors
/// When they do not compile.
pub fn build(packages: &[&str], options: &[String]) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let output = build_command(packages, options).output().context("cannot start cargo")?;
    built_programs(packages, &output)
}

fn build_command(packages: &[&str], options: &[String]) -> Command {
    let mut command = cargo();
    command.args(["build", "--bins", "--message-format=json-render-diagnostics"]).args(options);
    for package in packages {
        command.args(["-p", package]);
    }
    command.stderr(Stdio::inherit()).stdout(Stdio::piped());
    command
}

fn built_programs(
    packages: &[&str],
    output: &std::process::Output,
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    ensure!(output.status.success(), "cargo could not build {}", packages.join(", "));
    let messages = String::from_utf8_lossy(&output.stdout);
    let artifacts = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = PathBuf::from(message["executable"].as_str()?);
        Some((message["target"]["name"].as_str()?.to_owned(), path))
    });
    Ok(artifacts.collect())
}

/// The path of a service's program, built and up to date: `order-service`, `outbox-relay` or
/// `customer-service`.
///
/// Taken from `STACK_BIN_DIR` when that is set; otherwise cargo builds the three in the profile
/// and target folder of the running test, once for each process (under nextest once for each run).
///
/// # Errors
/// When they do not compile, or `STACK_BIN_DIR` lacks it.
pub async fn binary(name: &str) -> anyhow::Result<PathBuf> {
    if let Some(dir) = bin_dir() {
        let path = dir.join(name);
        ensure!(path.is_file(), "STACK_BIN_DIR has no {name}: {}", path.display());
        return Ok(path);
    }
    let built = tokio::task::spawn_blocking(built_services).await??;
    built.get(name).cloned().with_context(|| format!("no package has a program named {name}"))
}

/// The programs built for a run of nextest.
#[derive(Serialize, Deserialize)]
struct Built {
    run: String,
    options: Vec<String>,
    programs: BTreeMap<String, PathBuf>,
}

fn built_services() -> anyhow::Result<BTreeMap<String, PathBuf>> {
    static BUILT: Mutex<Option<BTreeMap<String, PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(programs) = &*built {
        return Ok(programs.clone());
    }

    let options = options_of_this_build()?;
    let dir = stack_dir()?.join("test");
    crate::checkout::open_folder(&dir)?;
    let lock = std::fs::File::create(dir.join("build.lock"))?;
    lock.lock()?;
    let note = dir.join("built.json");
    let run = std::env::var("NEXTEST_RUN_ID").ok();
    let known = std::fs::read(&note).ok().and_then(|json| serde_json::from_slice(&json).ok());
    let programs = match known {
        Some(Built { run: known, options: same, programs })
            if Some(&known) == run.as_ref() && same == options =>
        {
            programs
        }
        _ => build(&SERVICES, &options)?,
    };
    if let Some(run) = run {
        let note_text = Built { run, options, programs: programs.clone() };
        write_private(&note, &serde_json::to_string(&note_text)?)?;
    }
    *built = Some(programs.clone());
    Ok(programs)
}

/// The path of `stack-keeper`: from `STACK_BIN_DIR`, or beside the running test if it is newer than
/// its source; otherwise it is built.
pub(crate) fn keeper_binary() -> anyhow::Result<PathBuf> {
    const NAME: &str = "stack-keeper";
    static KEEPER: OnceLock<PathBuf> = OnceLock::new();
    if let Some(known) = KEEPER.get() {
        return Ok(known.clone());
    }
    let this = std::env::current_exe()?;
    let found = if this.file_name().is_some_and(|name| name == NAME) {
        this
    } else if let Some(dir) = bin_dir().filter(|dir| dir.join(NAME).is_file()) {
        dir.join(NAME)
    } else {
        let beside = profile_dir(&this).map(|dir| dir.join(NAME));
        match beside.filter(|program| is_newer_than_source(program)) {
            Some(program) => program,
            None => build(&["stack"], &options_of_this_build()?)?
                .remove(NAME)
                .context("cargo built the stack without its keeper")?,
        }
    };
    Ok(KEEPER.get_or_init(|| found).clone())
}

fn bin_dir() -> Option<PathBuf> {
    std::env::var_os("STACK_BIN_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

fn is_newer_than_source(program: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [source.join("src"), source.join("src/bin")]
        .into_iter()
        .flat_map(|dir| dir.read_dir().into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .chain([source.join("Cargo.toml")]);
    let newest: Option<SystemTime> = files.filter_map(|file| modified(&file)).max();
    modified(program).is_some_and(|built| Some(built) >= newest)
}

/// The `--target-dir`, `--profile` and `--target` that this program was built with.
fn options_of_this_build() -> anyhow::Result<Vec<String>> {
    let this = std::env::current_exe()?;
    let Some(profile_dir) = profile_dir(&this) else {
        return Ok(Vec::new());
    };
    let name = |dir: &Path| dir.file_name().map(|name| name.to_string_lossy().into_owned());
    let profile = match name(profile_dir).unwrap_or_default() {
        debug if debug == "debug" => "dev".to_owned(),
        other => other,
    };
    let mut options = vec!["--profile".to_owned(), profile];
    let Some(above) = profile_dir.parent() else {
        return Ok(options);
    };
    let is_target_dir = |dir: &Path| dir.join("CACHEDIR.TAG").is_file();
    let target_dir = if is_target_dir(above) {
        above
    } else {
        let Some(target_dir) = above.parent().filter(|dir| is_target_dir(dir)) else {
            return Ok(options);
        };
        options.extend(["--target".to_owned(), name(above).unwrap_or_default()]);
        target_dir
    };
    options.extend(["--target-dir".to_owned(), target_dir.to_string_lossy().into_owned()]);
    Ok(options)
}

/// `target/debug` for `target/debug/deps/test-0123` and for `target/debug/xtask`.
fn profile_dir(program: &Path) -> Option<&Path> {
    let dir = program.parent()?;
    let in_own_folder = dir.ends_with("deps") || dir.ends_with("examples");
    if in_own_folder { dir.parent() } else { Some(dir) }
}
